//! `kanal`, with a channel for each reply.

use super::{AsyncClient, CAPACITY, Client, Peer, Request, serve};
use crate::place::Joined;
use core_affinity::CoreId;
use kanal::{Sender, bounded};

type Requests = Sender<Request<Sender<u64>>>;

pub(crate) struct Kanal {
    requests: Requests,
    _thread: Joined,
}

impl Peer for Kanal {
    const NAME: &'static str = "kanal";
    type Client = KanalClient;

    fn start(core: Option<CoreId>) -> Self {
        let (requests, inbox) = bounded(CAPACITY);
        let reply = |caller: Sender<u64>, sum| caller.send(sum).expect("the caller waits");
        Self { requests, _thread: Joined::start(core, move || serve(inbox, reply)) }
    }

    fn client(&self) -> Self::Client {
        KanalClient(self.requests.clone())
    }
}

pub(crate) struct KanalClient(Requests);

impl Client for KanalClient {
    fn call(&mut self) -> u64 {
        let (reply, answer) = bounded(1);
        self.0.send(Request::Call(reply)).expect("the thread lives");
        answer.recv().expect("the thread answers")
    }

    fn post(&mut self) {
        self.0.send(Request::Post).expect("the thread lives");
    }
}

impl AsyncClient for KanalClient {
    async fn call_async(&mut self) -> u64 {
        let (reply, answer) = bounded(1);
        self.0.as_async().send(Request::Call(reply)).await.expect("the thread lives");
        answer.as_async().recv().await.expect("the thread answers")
    }
}
