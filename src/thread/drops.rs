//! Dropping what is the user's: in a loop, and with panics contained.

use super::{Frame, Thread};
use crate::common::Common;
use crate::diagnose::What;
use crate::id::ObjectId;
use crate::mailbox::{Mailbox, Place, Shared};
use crate::sync::Arc;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// How deep waits nest that drop what the destructors below them have let go.
const DROPPING_WAITS: u32 = 8;

/// An object that is about to be dropped.
pub(crate) enum Going {
    /// A reference to one of the apartment's. It is told by whoever takes it off the table.
    Own(Rc<dyn Any>),
    /// A free-threaded one: its destructor runs in no call and no chain.
    Free { process: Arc<Common>, id: ObjectId, held: Box<dyn Any + Send + Sync> },
}

impl Thread {
    /// Drops an object, or a reference to one of this thread's apartment. A destructor that drops the next object, and so
    /// on, does not nest: the next one is put on the list and its turn comes in the loop (rule LT-1). A reference that is not
    /// the last runs nothing, and goes at once.
    #[inline]
    pub(crate) fn drop_object(self: &Rc<Self>, object: Going) {
        if let Going::Own(own) = &object
            && Rc::strong_count(own) > 1
        {
            drop(object);
            return self.leave_if_due();
        }
        self.dropping.borrow_mut().push_back(object);
        if !self.is_dropping.get() {
            self.drop_all();
        }
    }

    /// Drops what is on the list, if there is anything. For a wait inside a destructor, which may be for what is on it:
    /// the loop below gets to that only when the destructor returns. Waits that are nested deep leave it to the loops
    /// below: a chain whose destructors all wait does not overflow the stack either.
    pub(crate) fn drop_what_is_left(self: &Rc<Self>) -> bool {
        if !self.has_something_to_drop() {
            return false;
        }
        let may = self.waits_open() <= DROPPING_WAITS && !self.dispatches_nothing();
        if may {
            self.drop_all();
        }
        may
    }

    fn drop_all(self: &Rc<Self>) {
        self.is_dropping.set(true);
        let _known = self.stays_known();
        loop {
            let next = self.dropping.borrow_mut().pop_front();
            match next {
                Some(Going::Own(object)) => self.drop_own(object),
                Some(Going::Free { process, id, held }) => self.drop_free(&process, id, held),
                None => break,
            }
        }
        self.is_dropping.set(false);
        Self::current().leave_if_due();
    }

    fn drop_own(&self, object: Rc<dyn Any>) {
        let home = self.home();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(object))) {
            let message = panic_message(payload);
            if let Some(home) = home {
                home.mailbox().tell(self.who(), None, || What::Contained { place: "a destructor", message });
            }
        }
    }

    fn drop_free(&self, process: &Common, id: ObjectId, held: Box<dyn Any + Send + Sync>) {
        process.tell(self.who(), None, || What::ObjectDropped { object: id });
        self.push_frame(|| Frame::of_a_release(self, id));
        let contained = catch_unwind(AssertUnwindSafe(|| drop(held)));
        self.pop_frame();
        if let Err(payload) = contained {
            let message = panic_message(payload);
            process.tell(self.who(), None, || What::Contained { place: "a destructor", message });
        }
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
    thread.push_frame(|| Frame::of_no_call(thread));
    contain(mailbox, thread, "a destructor", || drop(shared));
    thread.pop_frame();
}

/// Drops what an ended apartment never ran, each by itself: a second panic while the first unwinds would end the program.
pub(crate) fn drop_unrun(mailbox: &Arc<Mailbox>, thread: &Thread, unrun: Vec<Place>) {
    for entry in unrun {
        contain(mailbox, thread, "the destructor of a closure that never ran", || drop(entry));
    }
}

/// A panic's message. The payload is dropped here.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let message: Arc<str> = if let Some(text) = payload.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic whose payload is no text")
    };
    drop_payload(payload);
    message
}

/// If that panics too, the second payload is forgotten (rule LT-4).
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
