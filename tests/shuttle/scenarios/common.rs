//! What several scenarios need.

use shuttle::thread::{self, JoinHandle, ThreadId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Starts that many threads, each with its number.
pub(super) fn start<R: Send + 'static>(
    count: usize,
    body: impl Fn(usize) -> R + Clone + Send + 'static,
) -> Vec<JoinHandle<R>> {
    let one = |number| {
        let body = body.clone();
        thread::spawn(move || body(number))
    };
    (0..count).map(one).collect()
}

/// What they return, in their order.
pub(super) fn join<R>(threads: Vec<JoinHandle<R>>) -> Vec<R> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// A number of std's: to count adds no steps to a schedule.
#[derive(Clone, Default)]
pub(super) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(super) fn add(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    pub(super) fn count(&self) {
        self.add();
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Part of an object that is dropped at its home, once.
pub(super) struct Homely {
    home: ThreadId,
    drops: Count,
}

impl Homely {
    /// Of an object that is made on this thread.
    pub(super) fn new(drops: &Count) -> Self {
        Self { home: thread::current().id(), drops: drops.clone() }
    }
}

impl Drop for Homely {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.home, "an object is dropped on its apartment's thread");
        self.drops.add();
    }
}
