//! The object's end of a reference: as long as one stands, the object is kept.

use crate::common::Common;
use crate::connection::{Asked, Connection, Runs};
use crate::error::CallError;
use crate::id::{ChainId, ObjectId};
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::{Going, Home, Thread};
use std::any::Any;
use std::rc::Rc;

/// Shared by all references to an object, proxies and local ones; with the last of them the object is released. An object
/// has one: whoever has the same stub means the same object.
pub(crate) struct Stub {
    pub(crate) site: Site,
    pub(crate) object: ObjectId,
    /// Whether its apartment still lets calls in to it. (A free-threaded object always does.)
    connection: Connection,
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
        let site = Site::Apartment(Arc::clone(mailbox));
        Arc::new(Self { site, object, connection: Connection::new() })
    }

    /// Of a free-threaded object, which it keeps.
    pub(crate) fn free(process: &Arc<Common>, held: Box<dyn Any + Send + Sync>) -> Arc<Self> {
        let free = Free { process: Arc::clone(process), object: Some(held) };
        Arc::new(Self { site: Site::Free(free), object: process.new_object(), connection: Connection::new() })
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

    /// Whether the object can still be had: `Disconnected` once its apartment has ended, or has disconnected it.
    pub(crate) fn is_connected(&self) -> Result<(), CallError> {
        match &self.site {
            Site::Apartment(mailbox) if self.is_disconnected() => Err(mailbox.object_gone(Some(self.object))),
            Site::Apartment(mailbox) => mailbox.is_there(self.object),
            Site::Free(_) => Ok(()),
        }
    }

    /// The call that the calling thread serves innermost is about to run on the object. None if that was disconnected.
    #[inline]
    pub(crate) fn runs(&self) -> Option<Running<'_>> {
        let Site::Apartment(mailbox) = &self.site else { return Some(Running(None)) };
        let call = Thread::with_current(|thread| {
            thread
                .with_frame(|frame| frame.and_then(|frame| Some(Runs { chain: frame.chain?, depth: frame.depth })))
                // Whose locals are being destroyed knows nothing of its calls: this one is in no chain but its own.
                .unwrap_or_else(|| Runs { chain: ChainId(thread.new_call()), depth: 1 })
        });
        self.connection.begins(call).then_some(Running(Some((self, mailbox, call))))
    }

    /// Whether the object was disconnected by itself; its apartment may have ended all the same.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.connection.is_gone()
    }

    /// Asks the object's apartment to disconnect it. False if that has to be waited for, with
    /// [`is_disconnected_or_rings`](Stub::is_disconnected_or_rings).
    pub(crate) fn ask_disconnect(
        &self,
        mailbox: &Arc<Mailbox>,
        thread: &Rc<Thread>,
        cannot_wait: Option<CallError>,
    ) -> Result<bool, CallError> {
        let waits_for_us = |runs: &Runs| {
            thread.with_frames(|frames| {
                frames.iter().any(|frame| frame.chain == Some(runs.chain) && frame.depth >= runs.depth)
            })
        };
        match self.connection.ask(waits_for_us, cannot_wait) {
            Asked::Cut => self.cut_off(mailbox, thread),
            Asked::Nothing => {}
            Asked::Wait => return Ok(false),
            Asked::CannotWait(why) => return Err(why),
        }
        Ok(true)
    }

    pub(crate) fn is_disconnected_or_rings(&self, thread: &Thread) -> bool {
        self.connection.is_gone_or_rings(thread.bell())
    }

    /// Who waits for that gives up; false if it need not any more.
    pub(crate) fn gives_up_disconnect(&self, thread: &Thread) -> bool {
        self.connection.gives_up(thread.bell())
    }

    /// Nothing runs on it any more: the mailbox turns away what would, and the apartment's own reference goes.
    fn cut_off(&self, mailbox: &Arc<Mailbox>, thread: &Rc<Thread>) {
        mailbox.disconnect(self.object, thread.who());
        self.connection.cut();
        let_go(mailbox, thread, self.object);
    }
}

/// The apartment's own reference to an object goes: at home at once, from elsewhere a release is left, which needs no room
/// (rule MB-4).
fn let_go(mailbox: &Arc<Mailbox>, thread: &Rc<Thread>, object: ObjectId) {
    match thread.home() {
        Some(Home::Sta(home)) if Arc::ptr_eq(&home.mailbox, mailbox) => home.let_go(thread, object),
        _ => mailbox.release(object),
    }
}

/// A call runs on the object, unless that is free-threaded; with the last one a disconnecting that was asked for takes
/// effect.
pub(crate) struct Running<'a>(Option<(&'a Stub, &'a Arc<Mailbox>, Runs)>);

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((stub, mailbox, call)) = self.0.take()
            && stub.connection.ended(call)
        {
            stub.cut_off(mailbox, &Thread::current());
        }
    }
}

impl Drop for Stub {
    /// Never waits, fails or panics (rule LT-1). A free-threaded object goes here, wherever that is (rule AP-2).
    fn drop(&mut self) {
        let thread = Thread::current();
        let disconnected = self.is_disconnected();
        match &mut self.site {
            Site::Apartment(mailbox) if disconnected => mailbox.forget(self.object),
            Site::Apartment(mailbox) => let_go(mailbox, &thread, self.object),
            Site::Free(Free { process, object }) => {
                if let Some(held) = object.take() {
                    thread.drop_object(Going::Free { process: Arc::clone(process), id: self.object, held });
                }
            }
        }
    }
}
