//! An `actix` actor on a system of its own.

use super::{AsyncClient, CAPACITY, Client, Peer};
use crate::place::Joined;
use actix::dev::SendError;
use actix::{Actor, Addr, Context, Handler, Message, System};
use core_affinity::CoreId;
use futures_lite::future::block_on;
use std::sync::mpsc::channel;

struct Counter(u64);

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(CAPACITY);
    }
}

#[derive(Message)]
#[rtype(u64)]
struct Add;

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, Add: Add, _: &mut Self::Context) -> u64 {
        self.0 += 1;
        self.0
    }
}

pub(crate) struct Actix {
    counter: Addr<Counter>,
    system: System,
    _thread: Joined,
}

impl Peer for Actix {
    const NAME: &'static str = "actix";
    /// Its runtimes are ready for sockets: each keeps some files open.
    const MOST: usize = 100;
    type Client = ActixClient;

    fn start(core: Option<CoreId>) -> Self {
        let (tell, told) = channel();
        let body = move || {
            let runner = System::new();
            let counter = runner.block_on(async { Counter(0).start() });
            tell.send((counter, System::current())).expect("the maker waits for it");
            runner.run().expect("the system ends in order");
        };
        let thread = Joined::start(core, body);
        let (counter, system) = told.recv().expect("the thread has started");
        Self { counter, system, _thread: thread }
    }

    fn client(&self) -> Self::Client {
        ActixClient(self.counter.clone())
    }
}

impl Drop for Actix {
    fn drop(&mut self) {
        self.system.stop();
    }
}

pub(crate) struct ActixClient(Addr<Counter>);

impl Client for ActixClient {
    fn call(&mut self) -> u64 {
        block_on(self.call_async())
    }

    fn post(&mut self) {
        match self.0.try_send(Add) {
            Ok(()) => {}
            // Only a message with an answer waits for room.
            Err(SendError::Full(add)) => drop(block_on(self.0.send(add)).expect("the actor answers")),
            Err(SendError::Closed(_)) => panic!("the actor lives"),
        }
    }
}

impl AsyncClient for ActixClient {
    async fn call_async(&mut self) -> u64 {
        self.0.send(Add).await.expect("the actor answers")
    }
}
