//! The thread that brings something about, as those see it who wait for that: a worker's, of its end.

use crate::id::ThreadId;
use crate::sync::{Arc, AtomicU64, Bell, Mutex, Ordering};

/// It does for a thread in no apartment what an apartment's [`Seat`](super::Seat) does for its own. Who begins to wait says so
/// and then rings the thread, if that has begun; a thread that begins later finds it said.
pub(crate) struct Doer {
    /// The thread's number; 0 before it has begun.
    thread: AtomicU64,
    bell: Mutex<Option<Arc<Bell>>>,
    awaited: AtomicU64,
}

impl Doer {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { thread: AtomicU64::new(0), bell: Mutex::new(None), awaited: AtomicU64::new(0) })
    }

    /// It runs.
    pub(crate) fn begins(&self, thread: ThreadId, bell: &Arc<Bell>) {
        self.thread.store(u64::from(thread.0), Ordering::Release);
        *self.bell.lock() = Some(Arc::clone(bell));
    }

    pub(super) fn is(&self, thread: ThreadId) -> bool {
        self.thread.load(Ordering::Acquire) == u64::from(thread.0)
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > 0
    }

    pub(crate) fn begins_to_be_awaited(&self) {
        self.awaited.fetch_add(1, Ordering::AcqRel);
        let bell = self.bell.lock().clone();
        if let Some(bell) = bell {
            bell.ring();
        }
    }

    pub(crate) fn is_awaited_no_more(&self) {
        self.awaited.fetch_sub(1, Ordering::AcqRel);
    }
}
