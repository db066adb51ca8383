//! `std::sync::mpsc`, and a `oneshot` for each reply.

use super::{CAPACITY, Client, Peer, Request, serve};
use crate::place::Joined;
use core_affinity::CoreId;
use std::sync::mpsc::{SyncSender, sync_channel};

type Requests = SyncSender<Request<oneshot::Sender<u64>>>;

pub(crate) struct Std {
    requests: Requests,
    _thread: Joined,
}

impl Peer for Std {
    const NAME: &'static str = "std mpsc, oneshot";
    type Client = StdClient;

    fn start(core: Option<CoreId>) -> Self {
        let (requests, inbox) = sync_channel(CAPACITY);
        let reply = |caller: oneshot::Sender<u64>, sum| caller.send(sum).expect("the caller waits");
        Self { requests, _thread: Joined::start(core, move || serve(inbox, reply)) }
    }

    fn client(&self) -> Self::Client {
        StdClient(self.requests.clone())
    }
}

pub(crate) struct StdClient(Requests);

impl Client for StdClient {
    fn call(&mut self) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request::Call(reply)).expect("the thread lives");
        answer.recv().expect("the thread answers")
    }

    fn post(&mut self) {
        self.0.send(Request::Post).expect("the thread lives");
    }
}
