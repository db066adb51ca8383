//! Where a future's waker is, between the poll that brings it and the ring that takes it.

use crate::call::record::Wakes;
use crate::common::Common;
use crate::diagnose::What;
use crate::sync::{Arc, Mutex};
use crate::thread::{Frame, Thread, panic_message};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// A waker is user code, whichever way it is touched: it is cloned, woken and dropped with no lock held, and runs in no
/// call and no chain. Woken, it may call back into any apartment.
///
/// The poll puts it here *before* it looks at the call; whoever changes the call rings *afterwards*, and takes it out. So
/// either the look sees the change, or the ring finds the waker.
pub(super) struct WakerSlot {
    waker: Mutex<Option<Waker>>,
    process: Arc<Common>,
}

impl WakerSlot {
    pub(super) fn new(process: &Arc<Common>) -> Arc<Self> {
        Arc::new(Self { waker: Mutex::new(None), process: Arc::clone(process) })
    }

    /// The call is polled: from now on this one is woken. A panic of its `clone` is the poller's.
    pub(super) fn set(&self, waker: &Waker) {
        if self.waker.lock().as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let waker = waker.clone();
        let before = self.waker.lock().replace(waker);
        self.contain("a waker's destructor", || drop(before));
    }

    /// The call is over: nobody is woken any more.
    pub(super) fn clear(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            self.contain("a waker's destructor", || drop(waker));
        }
    }

    pub(super) fn contain(&self, place: &'static str, run: impl FnOnce()) {
        let thread = Thread::current();
        thread.push_frame(|| Frame::of_no_call(&thread));
        let contained = catch_unwind(AssertUnwindSafe(run));
        thread.pop_frame();
        if let Err(payload) = contained {
            let message = panic_message(payload);
            thread.tell_in(&self.process, None, || What::Contained { place, message });
        }
    }
}

impl Wakes for WakerSlot {
    fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            self.contain("a waker", || waker.wake());
        }
    }
}
