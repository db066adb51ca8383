//! A thread with `tokio`'s one-threaded runtime and a `LocalSet`, its `mpsc`, and its `oneshot` for each reply.

use super::{AsyncClient, CAPACITY, Client, Peer, Request};
use crate::place::Joined;
use core_affinity::CoreId;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

type Requests = mpsc::Sender<Request<oneshot::Sender<u64>>>;

/// With timers and without sockets.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime can be made")
}

pub(crate) struct Tokio {
    requests: Requests,
    _thread: Joined,
}

impl Peer for Tokio {
    const NAME: &'static str = "tokio mpsc, oneshot";
    type Client = TokioClient;

    fn start(core: Option<CoreId>) -> Self {
        let (requests, mut inbox) = mpsc::channel::<Request<oneshot::Sender<u64>>>(CAPACITY);
        let counts = async move {
            let mut sum = 0;
            while let Some(request) = inbox.recv().await {
                sum += 1;
                if let Request::Call(caller) = request {
                    caller.send(sum).expect("the caller waits");
                }
            }
        };
        Self { requests, _thread: Joined::start(core, || LocalSet::new().block_on(&runtime(), counts)) }
    }

    fn client(&self) -> Self::Client {
        TokioClient(self.requests.clone())
    }
}

pub(crate) struct TokioClient(Requests);

impl Client for TokioClient {
    fn call(&mut self) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.0.blocking_send(Request::Call(reply)).expect("the thread lives");
        answer.blocking_recv().expect("the thread answers")
    }

    fn post(&mut self) {
        self.0.blocking_send(Request::Post).expect("the thread lives");
    }
}

impl AsyncClient for TokioClient {
    async fn call_async(&mut self) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request::Call(reply)).await.expect("the thread lives");
        answer.await.expect("the thread answers")
    }
}
