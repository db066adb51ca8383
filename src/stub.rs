//! The apartment's end of a reference: as long as one stands, the apartment keeps the object.

use crate::id::ObjectId;
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::{Home, Thread};

/// Shared by all references to an object, proxies and local ones; with the last of them the object is released.
pub(crate) struct Stub {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) object: ObjectId,
}

impl Stub {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, object: ObjectId) -> Arc<Self> {
        Arc::new(Self { mailbox: Arc::clone(mailbox), object })
    }
}

impl Drop for Stub {
    /// Never waits, fails or panics (rule LT-1): at home the object goes at once, from elsewhere a release is left,
    /// which needs no room (rule MB-4).
    fn drop(&mut self) {
        let thread = Thread::current();
        match thread.home() {
            Some(Home::Sta(home)) if Arc::ptr_eq(&home.mailbox, &self.mailbox) => home.let_go(&thread, self.object),
            _ => self.mailbox.release(self.object),
        }
    }
}
