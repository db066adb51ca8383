//! The same primitives on loom. Time does not pass by itself here: a process' clock is a driven one, and a wait with an
//! end is woken by whoever advances it.

use super::Spin;
use loom::sync::MutexGuard as LoomGuard;
use loom::thread::Thread;
use std::io;
use std::sync::OnceLock;
use std::time::Instant;

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

/// loom's mutex with parking_lot's face: no poisoning.
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

pub(crate) type MutexGuard<'a, T> = LoomGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no lock is held while user code runs, so none is poisoned")
    }
}

pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    #[track_caller]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>, until: Option<Instant>) -> MutexGuard<'a, T> {
        assert!(until.is_none(), "a model's clock is a driven one");
        self.0.wait(guard).expect("no lock is held while user code runs, so none is poisoned")
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Where one thread sleeps until it is let go. loom's permits do not pile up, and its own waits stand on them: whoever lets a
/// thread go does so once for each of its sleeps.
pub(crate) struct Parker(OnceLock<Thread>);

impl Parker {
    pub(crate) fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn is_mine(&self) {
        self.0.get_or_init(loom::thread::current);
    }

    pub(crate) fn park(&self, until: Option<Instant>) {
        assert!(until.is_none(), "a model's clock is a driven one");
        loom::thread::park();
    }

    pub(crate) fn unpark(&self) {
        self.0.get().expect("who is asleep has said so").unpark();
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

pub(crate) type JoinHandle = loom::thread::JoinHandle<()>;

/// loom counts a stack in words and gives 32 KiB where nothing is asked for, too little for nested waits.
const STACK_WORDS: usize = 64 * 1024;

pub(crate) fn spawn(
    name: &str,
    _stack_size: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle> {
    loom::thread::Builder::new().name(name.to_owned()).stack_size(STACK_WORDS).spawn(body)
}

/// A model's threads are all joined at its end.
pub(crate) fn reap(_threads: &mut Vec<JoinHandle>) {}

pub(crate) fn is_this_thread(thread: &JoinHandle) -> bool {
    thread.thread().id() == loom::thread::current().id()
}

/// loom runs all its threads on one, so the platform's answer would speak of another thread's panic.
pub(crate) fn thread_is_unwinding() -> bool {
    false
}

pub(crate) fn default_parallelism() -> usize {
    1
}

pub(crate) fn yield_now() {
    loom::thread::yield_now();
}

pub(crate) fn next_thread_number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

macro_rules! local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        loom::thread_local! { $(#[$meta])* static $name: $type = $init; }
    };
}
pub(crate) use local;
