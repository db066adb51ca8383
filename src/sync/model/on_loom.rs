//! What is loom's own.

use loom::sync::LockResult;
use loom::thread::Thread;
use std::sync::OnceLock;
use std::time::Instant;

pub(crate) use loom as checker;

/// loom counts a stack in words and gives 32 KiB where nothing is asked for, too little for nested waits.
pub(super) const STACK: usize = 64 * 1024;

/// What locking gives.
#[track_caller]
pub(super) fn locked<G>(result: LockResult<G>) -> G {
    result.expect("no lock is held while user code runs, so none is poisoned")
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
