//! The shipped primitives: parking_lot's monitor, std's threads and atomics, and a place to sleep on.

use super::time_left;
use std::cell::Cell;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::thread::{self, ThreadId};
use std::time::Instant;

pub(super) use super::epoch::Epoch;
pub(crate) use super::patience::Patience;
pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

/// Whether this build is one for a checker of interleavings. There is no default process in those, and only there can the
/// detection of deadlocks be left out.
pub(crate) const MODELLED: bool = false;

/// A condition variable whose wait may have an end.
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    /// Sleeps until notified or, if an end is given, until then. It may return early: whoever waits, waits in a loop.
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>, until: Option<Instant>) -> MutexGuard<'a, T> {
        match until {
            Some(until) => {
                self.0.wait_until(&mut guard, until);
            }
            None => self.0.wait(&mut guard),
        }
        guard
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Where one thread sleeps until it is let go. To be let go before is kept: it does not sleep then.
///
/// It is not std's parking. The permit of that is the thread's and one for all: a sleep here could take what somebody else
/// has given it for a park of the user's own, which would then have no end. And once the thread's locals are gone its handle
/// cannot be had any more, which who waits in a destructor of C's would need. It is std's mutex and condition variable, on which a sleep is as
/// lean as a park; parking_lot has a table that grows with each thread that has slept in it.
pub(crate) struct Parker {
    let_go: std::sync::Mutex<bool>,
    changed: std::sync::Condvar,
}

impl Parker {
    pub(crate) const fn new() -> Self {
        Self { let_go: std::sync::Mutex::new(false), changed: std::sync::Condvar::new() }
    }

    /// By its thread, before it says that it sleeps. Only a model's has to know whose it is.
    pub(crate) fn is_mine(&self) {}

    /// By the same thread, after that. It may return early: who let it go the last time may have been late.
    pub(crate) fn park(&self, until: Option<Instant>) {
        let guard = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |let_go: &mut bool| !*let_go;
        let mut guard = match until {
            None => self.changed.wait_while(guard, stays).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let waited = self.changed.wait_timeout_while(guard, time_left(until), stays);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *guard = false;
    }

    /// By whoever knows that it sleeps, or is about to.
    pub(crate) fn unpark(&self) {
        *self.let_go.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

/// A thread that was started with [`spawn`].
pub(crate) type JoinHandle = thread::JoinHandle<()>;

/// Starts a thread that bears a name. The error is the system's.
pub(crate) fn spawn(
    name: &str,
    stack_size: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle> {
    // A NUL cannot be in a system's thread name; the apartment keeps its own name as it was given.
    let mut builder = thread::Builder::new().name(name.replace('\0', " "));
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    builder.spawn(|| {
        OWN.set(Some(thread::current().id()));
        body();
    })
}

thread_local! {
    /// Which of the threads that [`spawn`] has started this is. It has no destructor, and so is there to the end.
    static OWN: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

/// Forgets the threads that have ended: some may never have come to serve, and their stacks are given back so.
pub(crate) fn reap(threads: &mut Vec<JoinHandle>) {
    threads.retain(|thread| !thread.is_finished());
}

/// Whether it is the calling thread.
pub(crate) fn is_this_thread(thread: &JoinHandle) -> bool {
    OWN.try_with(Cell::get) == Ok(Some(thread.thread().id()))
}

/// Whether the calling thread unwinds just now.
pub(crate) fn thread_is_unwinding() -> bool {
    thread::panicking()
}

/// How many threads can usefully run at once.
pub(crate) fn default_parallelism() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

pub(crate) fn yield_now() {
    thread::yield_now();
}

/// The next thread's number: over the whole program, from 1. The only state above a process.
pub(crate) fn next_thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Declares a thread-local that `try_with` reads; after its destruction that is an error.
macro_rules! local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        thread_local! { $(#[$meta])* static $name: $type = $init; }
    };
}
pub(crate) use local;
