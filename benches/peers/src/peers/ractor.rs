//! A `ractor` actor on a thread with a one-threaded runtime. Its mailbox has no bounds.

use super::tokio::runtime;
use super::{AsyncClient, Client, Peer, Request};
use crate::place::Joined;
use core_affinity::CoreId;
use futures_lite::future::block_on;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use std::sync::mpsc::channel;

struct Counter;

type Add = Request<RpcReplyPort<u64>>;

impl Actor for Counter {
    type Msg = Add;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Add>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Add>, request: Add, sum: &mut u64) -> Result<(), ActorProcessingErr> {
        *sum += 1;
        if let Request::Call(caller) = request {
            caller.send(*sum)?;
        }
        Ok(())
    }
}

pub(crate) struct Ractor {
    counter: ActorRef<Add>,
    _thread: Joined,
}

impl Peer for Ractor {
    const NAME: &'static str = "ractor (no bounds)";
    type Client = RactorClient;

    fn start(core: Option<CoreId>) -> Self {
        let (tell, told) = channel();
        let lives = async move {
            let (counter, ended) = Actor::spawn(None, Counter, ()).await.expect("an actor can be made");
            tell.send(counter).expect("the maker waits for it");
            ended.await.expect("the actor ends in order");
        };
        let thread = Joined::start(core, || runtime().block_on(lives));
        let counter = told.recv().expect("the thread has started");
        Self { counter, _thread: thread }
    }

    fn client(&self) -> Self::Client {
        RactorClient(self.counter.clone())
    }
}

impl Drop for Ractor {
    fn drop(&mut self) {
        self.counter.stop(None);
    }
}

pub(crate) struct RactorClient(ActorRef<Add>);

impl Client for RactorClient {
    fn call(&mut self) -> u64 {
        block_on(self.call_async())
    }

    fn post(&mut self) {
        self.0.cast(Request::Post).expect("the actor lives");
    }
}

impl AsyncClient for RactorClient {
    async fn call_async(&mut self) -> u64 {
        self.0.call(Request::Call, None).await.expect("the actor lives").expect("the actor answers")
    }
}
