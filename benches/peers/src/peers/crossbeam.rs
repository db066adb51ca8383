//! `crossbeam-channel`, with a channel for each reply, and with one for all replies to a client.

use super::{CAPACITY, Client, Peer, Request, serve};
use crate::place::Joined;
use core_affinity::CoreId;
use crossbeam_channel::{Receiver, Sender, bounded};

type Requests = Sender<Request<Sender<u64>>>;

fn start(core: Option<CoreId>) -> (Requests, Joined) {
    let (requests, inbox) = bounded(CAPACITY);
    let reply = |caller: Sender<u64>, sum| caller.send(sum).expect("the caller waits");
    (requests, Joined::start(core, move || serve(inbox, reply)))
}

pub(crate) struct Crossbeam {
    requests: Requests,
    _thread: Joined,
}

impl Peer for Crossbeam {
    const NAME: &'static str = "crossbeam, a channel per reply";
    type Client = CrossbeamClient;

    fn start(core: Option<CoreId>) -> Self {
        let (requests, thread) = start(core);
        Self { requests, _thread: thread }
    }

    fn client(&self) -> Self::Client {
        CrossbeamClient(self.requests.clone())
    }
}

pub(crate) struct CrossbeamClient(Requests);

impl Client for CrossbeamClient {
    fn call(&mut self) -> u64 {
        let (reply, answer) = bounded(1);
        self.0.send(Request::Call(reply)).expect("the thread lives");
        answer.recv().expect("the thread answers")
    }

    fn post(&mut self) {
        self.0.send(Request::Post).expect("the thread lives");
    }
}

pub(crate) struct CrossbeamReused {
    requests: Requests,
    _thread: Joined,
}

impl Peer for CrossbeamReused {
    const NAME: &'static str = "crossbeam, one channel for replies";
    type Client = CrossbeamReusedClient;

    fn start(core: Option<CoreId>) -> Self {
        let (requests, thread) = start(core);
        Self { requests, _thread: thread }
    }

    fn client(&self) -> Self::Client {
        CrossbeamReusedClient { requests: self.requests.clone(), reply: bounded(1) }
    }
}

pub(crate) struct CrossbeamReusedClient {
    requests: Requests,
    reply: (Sender<u64>, Receiver<u64>),
}

impl Client for CrossbeamReusedClient {
    fn call(&mut self) -> u64 {
        self.requests.send(Request::Call(self.reply.0.clone())).expect("the thread lives");
        self.reply.1.recv().expect("the thread answers")
    }

    fn post(&mut self) {
        self.requests.send(Request::Post).expect("the thread lives");
    }
}
