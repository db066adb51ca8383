//! A `kameo` actor on a thread with a one-threaded runtime.

use super::tokio::runtime;
use super::{AsyncClient, CAPACITY, Client, Peer};
use crate::place::Joined;
use core_affinity::CoreId;
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::message::{Context, Message};
use std::sync::mpsc::channel;

#[derive(Actor)]
struct Counter(u64);

struct Add;

impl Message<Add> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Add: Add, _: &mut Context<Self, Self::Reply>) -> u64 {
        self.0 += 1;
        self.0
    }
}

pub(crate) struct Kameo {
    counter: ActorRef<Counter>,
    _thread: Joined,
}

impl Peer for Kameo {
    const NAME: &'static str = "kameo";
    type Client = KameoClient;

    fn start(core: Option<CoreId>) -> Self {
        let (tell, told) = channel();
        let lives = async move {
            let counter = Counter::spawn_with_mailbox(Counter(0), kameo::mailbox::bounded(CAPACITY));
            tell.send(counter.clone()).expect("the maker waits for it");
            counter.wait_for_shutdown().await;
        };
        let thread = Joined::start(core, || runtime().block_on(lives));
        let counter = told.recv().expect("the thread has started");
        Self { counter, _thread: thread }
    }

    fn client(&self) -> Self::Client {
        KameoClient(self.counter.clone())
    }
}

impl Drop for Kameo {
    fn drop(&mut self) {
        self.counter.kill();
    }
}

pub(crate) struct KameoClient(ActorRef<Counter>);

impl Client for KameoClient {
    fn call(&mut self) -> u64 {
        self.0.ask(Add).blocking_send().expect("the actor answers")
    }

    fn post(&mut self) {
        self.0.tell(Add).blocking_send().expect("the actor lives");
    }
}

impl AsyncClient for KameoClient {
    async fn call_async(&mut self) -> u64 {
        self.0.ask(Add).await.expect("the actor answers")
    }
}
