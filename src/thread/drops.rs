//! Dropping what is the user's: in a loop, and with panics contained.

use super::{Frame, Thread};
use crate::diagnose::What;
use crate::mailbox::{Entry, Mailbox, Shared};
use crate::sync::Arc;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

impl Thread {
    /// Drops a reference to an object of this thread's apartment. A destructor that drops the next object, and so on,
    /// does not nest: the next one is put on the list and its turn comes in the loop (rule LT-1).
    pub(crate) fn drop_object(&self, object: Rc<dyn Any>) {
        self.dropping.borrow_mut().push_back(object);
        if self.is_dropping.replace(true) {
            return;
        }
        loop {
            let next = self.dropping.borrow_mut().pop_front();
            let Some(next) = next else { break };
            let home = self.home();
            let contained = catch_unwind(AssertUnwindSafe(|| drop(next)));
            if let Err(payload) = contained {
                let message = panic_message(payload);
                if let Some(home) = home {
                    home.mailbox().tell(self.who(), None, || What::Contained { place: "a destructor", message });
                }
            }
        }
        self.is_dropping.set(false);
        Self::current().leave_if_due();
    }
}

/// Runs something of the user's whose panic is nobody's to receive: it is contained and recorded.
pub(crate) fn contain(mailbox: &Arc<Mailbox>, thread: &Thread, place: &'static str, run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        let message = panic_message(payload);
        mailbox.tell(thread.who(), None, || What::Contained { place, message });
    }
}

/// Drops a reference to an object of the MTA. If it is the last, the destructor runs in no call and no chain.
pub(crate) fn drop_shared(mailbox: &Arc<Mailbox>, thread: &Thread, shared: Shared) {
    thread.push_frame(Frame::of_no_call(thread));
    contain(mailbox, thread, "a destructor", || drop(shared));
    thread.pop_frame();
}

/// Drops what an ended apartment never ran, each by itself: a second panic while the first unwinds would end the program.
pub(crate) fn drop_unrun(mailbox: &Arc<Mailbox>, thread: &Thread, unrun: Vec<Entry>) {
    for entry in unrun {
        contain(mailbox, thread, "the destructor of a closure that never ran", || drop(entry));
    }
}

/// A panic's message. The payload is dropped here; if that panics too, the second payload is forgotten (rule LT-4).
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let message: Arc<str> = if let Some(text) = payload.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic whose payload is no text")
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    message
}
