//! The object's end of a reference: as long as one stands, the object is kept.

use crate::common::Common;
use crate::error::CallError;
use crate::id::ObjectId;
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::{Going, Home, Thread};
use std::any::Any;

/// Shared by all references to an object, proxies and local ones; with the last of them the object is released. An object
/// has one: whoever has the same stub means the same object.
pub(crate) struct Stub {
    pub(crate) site: Site,
    pub(crate) object: ObjectId,
}

/// Where an object is.
pub(crate) enum Site {
    /// In an apartment, which keeps it.
    Apartment(Arc<Mailbox>),
    /// In none: free-threaded, and kept here (rule MA-7).
    Free(Free),
}

/// A free-threaded object of a process.
pub(crate) struct Free {
    pub(crate) process: Arc<Common>,
    /// Always there but in `drop`.
    object: Option<Box<dyn Any + Send + Sync>>,
}

impl Free {
    /// What a view looks at.
    pub(crate) fn object(&self) -> &dyn Any {
        match &self.object {
            Some(object) => &**object,
            None => crate::broken("a free-threaded object is there while a reference to it is"),
        }
    }
}

impl Stub {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, object: ObjectId) -> Arc<Self> {
        Arc::new(Self { site: Site::Apartment(Arc::clone(mailbox)), object })
    }

    /// Of a free-threaded object, which it keeps.
    pub(crate) fn free(process: &Arc<Common>, held: Box<dyn Any + Send + Sync>) -> Arc<Self> {
        let free = Free { process: Arc::clone(process), object: Some(held) };
        Arc::new(Self { site: Site::Free(free), object: process.new_object() })
    }

    /// The apartment's mailbox; none for a free-threaded object.
    pub(crate) fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        match &self.site {
            Site::Apartment(mailbox) => Some(mailbox),
            Site::Free(_) => None,
        }
    }

    /// The object's process.
    pub(crate) fn process(&self) -> &Arc<Common> {
        match &self.site {
            Site::Apartment(mailbox) => &mailbox.common,
            Site::Free(free) => &free.process,
        }
    }

    /// Whether the object can still be had: `Disconnected` once its apartment has ended.
    pub(crate) fn is_connected(&self) -> Result<(), CallError> {
        self.mailbox().map_or(Ok(()), |mailbox| mailbox.is_there(self.object))
    }
}

impl Drop for Stub {
    /// Never waits, fails or panics (rule LT-1): at home the object goes at once, from elsewhere a release is left,
    /// which needs no room (rule MB-4). A free-threaded object goes here, wherever that is (rule AP-2).
    fn drop(&mut self) {
        let thread = Thread::current();
        match &mut self.site {
            Site::Apartment(mailbox) => match thread.home() {
                Some(Home::Sta(home)) if Arc::ptr_eq(&home.mailbox, mailbox) => home.let_go(&thread, self.object),
                _ => mailbox.release(self.object),
            },
            Site::Free(Free { process, object }) => {
                if let Some(held) = object.take() {
                    thread.drop_object(Going::Free { process: Arc::clone(process), id: self.object, held });
                }
            }
        }
    }
}
