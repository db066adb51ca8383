//! `flume`, with a channel for each reply.

use super::{AsyncClient, CAPACITY, Client, Peer, Request, serve};
use crate::place::Joined;
use core_affinity::CoreId;
use flume::{Sender, bounded};

type Requests = Sender<Request<Sender<u64>>>;

pub(crate) struct Flume {
    requests: Requests,
    _thread: Joined,
}

impl Peer for Flume {
    const NAME: &'static str = "flume";
    type Client = FlumeClient;

    fn start(core: Option<CoreId>) -> Self {
        let (requests, inbox) = bounded(CAPACITY);
        let reply = |caller: Sender<u64>, sum| caller.send(sum).expect("the caller waits");
        Self { requests, _thread: Joined::start(core, move || serve(inbox, reply)) }
    }

    fn client(&self) -> Self::Client {
        FlumeClient(self.requests.clone())
    }
}

pub(crate) struct FlumeClient(Requests);

impl Client for FlumeClient {
    fn call(&mut self) -> u64 {
        let (reply, answer) = bounded(1);
        self.0.send(Request::Call(reply)).expect("the thread lives");
        answer.recv().expect("the thread answers")
    }

    fn post(&mut self) {
        self.0.send(Request::Post).expect("the thread lives");
    }
}

impl AsyncClient for FlumeClient {
    async fn call_async(&mut self) -> u64 {
        let (reply, answer) = bounded(1);
        self.0.send_async(Request::Call(reply)).await.expect("the thread lives");
        answer.recv_async().await.expect("the thread answers")
    }
}
