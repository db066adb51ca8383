//! `parking_lot`'s mutex around the counter. Another job: there is no second thread, and the counter has to be `Send`.

use super::{Client, Peer};
use crate::measure::Kind;
use core_affinity::CoreId;
use std::sync::Arc;

pub(crate) struct Mutex(Arc<parking_lot::Mutex<u64>>);

impl Peer for Mutex {
    const NAME: &'static str = "a mutex (another job)";
    const KIND: Kind = Kind::OtherJob;
    type Client = MutexClient;

    fn start(_: Option<CoreId>) -> Self {
        Self(Arc::default())
    }

    fn client(&self) -> Self::Client {
        MutexClient(Arc::clone(&self.0))
    }
}

pub(crate) struct MutexClient(Arc<parking_lot::Mutex<u64>>);

impl Client for MutexClient {
    fn call(&mut self) -> u64 {
        let mut sum = self.0.lock();
        *sum += 1;
        *sum
    }

    fn post(&mut self) {
        self.call();
    }
}
