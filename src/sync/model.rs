//! The same primitives on a checker of interleavings: loom, which searches them, or shuttle, which draws them. The two have
//! the same names for the same things. Time does not pass by itself here: a process' clock is a driven one, and a wait with
//! an end is woken by whoever advances it.

#[cfg(all(loom, feature = "loom"))]
mod on_loom;
#[cfg(all(loom, feature = "loom"))]
use on_loom as on;

#[cfg(all(shuttle, feature = "shuttle"))]
mod on_shuttle;
#[cfg(all(shuttle, feature = "shuttle"))]
use on_shuttle as on;

use super::Spin;
use on::STACK;
use std::io;
use std::time::Instant;

pub(crate) use checker::sync::MutexGuard;
pub(crate) use checker::sync::atomic::{AtomicU64, Ordering};
pub(crate) use on::{Parker, checker};

pub(crate) const MODELLED: bool = true;

/// The checker's mutex with parking_lot's face: no poisoning.
pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        on::locked(self.0.lock())
    }
}

pub(crate) struct Condvar(checker::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(checker::sync::Condvar::new())
    }

    #[track_caller]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>, until: Option<Instant>) -> MutexGuard<'a, T> {
        assert!(until.is_none(), "a model's clock is a driven one");
        on::locked(self.0.wait(guard))
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// One look, and then it sleeps: what the looks of the shipped one are for, and what comes between them, is in that.
#[derive(Default)]
pub(crate) struct Patience(());

impl Patience {
    pub(crate) fn look<T>(&self, _: Spin, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        look()
    }
}

/// Real time, which does not pass.
#[derive(Clone, Copy)]
pub(super) struct Epoch(());

impl Epoch {
    pub(super) fn now() -> Self {
        Self(())
    }

    pub(super) fn is(&self, _: &Self) -> bool {
        false
    }

    pub(super) fn instant(&self, _: u64) -> Option<Instant> {
        None
    }

    pub(super) fn nanos(&self) -> u64 {
        0
    }

    pub(super) fn roughly(&self) -> u64 {
        self.nanos()
    }
}

pub(crate) type JoinHandle = checker::thread::JoinHandle<()>;

pub(crate) fn spawn(
    name: &str,
    _stack_size: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle> {
    checker::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body)
}

/// A model's threads are all joined at its end.
pub(crate) fn reap(_threads: &mut Vec<JoinHandle>) {}

pub(crate) fn is_this_thread(thread: &JoinHandle) -> bool {
    thread.thread().id() == checker::thread::current().id()
}

/// A checker runs all its threads on one, so the platform's answer would speak of another thread's panic.
pub(crate) fn thread_is_unwinding() -> bool {
    false
}

pub(crate) fn default_parallelism() -> usize {
    1
}

pub(crate) fn yield_now() {
    checker::thread::yield_now();
}

pub(crate) fn next_thread_number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

macro_rules! local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $crate::sync::checker::thread_local! { $(#[$meta])* static $name: $type = $init; }
    };
}
pub(crate) use local;
