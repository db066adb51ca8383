//! Threads that call or post together, on order.

use crate::place::Joined;
use core_affinity::CoreId;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Threads that each do what they are ordered, tell what came of it, and sleep until the next order.
pub(crate) struct Crew<O, R>(Vec<Worker<O, R>>);

/// Its thread ends when there can be no more orders.
struct Worker<O, R> {
    orders: Sender<O>,
    reports: Receiver<R>,
    _thread: Joined,
}

impl<O: Send + 'static, R: Send + 'static> Crew<O, R> {
    pub(crate) fn new<W: FnMut(O) -> R + Send + 'static>(
        core: Option<CoreId>,
        workers: impl IntoIterator<Item = W>,
    ) -> Self {
        let start = |mut work: W| {
            let (orders, ordered) = channel();
            let (report, reports) = channel();
            let body = move || {
                for order in ordered {
                    let reported = report.send(work(order));
                    assert!(reported.is_ok(), "somebody waits for the report");
                }
            };
            Worker { orders, reports, _thread: Joined::start(core, body) }
        };
        Self(workers.into_iter().map(start).collect())
    }

    /// Sends all of them to work.
    pub(crate) fn order(&self, mut order: impl FnMut() -> O) {
        for worker in &self.0 {
            worker.orders.send(order()).expect("no worker ends before there are no more orders");
        }
    }

    /// Waits for each of them.
    pub(crate) fn reports(&self) -> Vec<R> {
        self.0.iter().map(|worker| worker.reports.recv().expect("each worker reports")).collect()
    }
}
