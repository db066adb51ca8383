//! What is shuttle's own.

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use std::future::poll_fn;
use std::sync::{LockResult, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

pub(crate) use shuttle as checker;

/// shuttle counts a stack in bytes. Only the pages that are touched are had.
pub(super) const STACK: usize = 512 * 1024;

/// What locking gives. While one thread unwinds, shuttle runs others on the same thread of the system's, which then all
/// seem to unwind, and poison what they unlock.
pub(super) fn locked<G>(result: LockResult<G>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// One sleep in so many returns for nothing.
const EARLY: u32 = 16;

/// Where one thread sleeps until it is let go.
///
/// It is not shuttle's parking. Who is parked there may wake for nothing at any step, and is drawn for that as often as those
/// who have something to do: with sixty that sleep, most of a schedule is their waking. Here who sleeps is not drawn, and
/// one sleep in some returns at once, which its thread has to bear as it would one later on.
pub(crate) struct Parker {
    let_go: AtomicBool,
    /// std's: no step for shuttle, which runs one thread at a time.
    sleeper: Mutex<Option<Waker>>,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self { let_go: AtomicBool::new(false), sleeper: Mutex::new(None) }
    }

    pub(crate) fn is_mine(&self) {}

    pub(crate) fn park(&self, until: Option<Instant>) {
        assert!(until.is_none(), "a model's clock is a driven one");
        if thread_rng().gen_ratio(1, EARLY) {
            return;
        }
        block_on(poll_fn(|own| {
            if self.let_go.swap(false, Ordering::AcqRel) {
                return Poll::Ready(());
            }
            *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(own.waker().clone());
            Poll::Pending
        }));
    }

    pub(crate) fn unpark(&self) {
        self.let_go.store(true, Ordering::Release);
        let sleeper = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        sleeper.into_iter().for_each(Waker::wake);
    }
}
