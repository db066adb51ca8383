//! What every marshalled reference is, in whatever form: a packet, a table packet, an entry of the global table.

use super::proxy::Proxy;
use super::reference::{Reference, WeakReference};
use crate::common::Common;
use crate::diagnose::{ErrorSeen, PacketForm, PacketMark, What};
use crate::error::{CallError, WhyDisconnected};
use crate::id::PacketId;
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::Thread;
use crate::view::{Declares, View};
use std::any::type_name;
use std::fmt;

/// A reference that belongs to no apartment. It may be dropped anywhere, as references may.
pub(super) struct Parcel {
    mark: PacketMark,
    process: Arc<Common>,
    /// The object's apartment, if it has one: a weak parcel asks it what became of the object.
    mailbox: Option<Arc<Mailbox>>,
    contents: Contents,
}

pub(super) enum Contents {
    Strong(Reference),
    Weak(WeakReference),
    /// It was unpacked for good.
    Taken,
}

impl Contents {
    /// How a reference that was marshalled as a `T` is seen as an `I`: by what its object's type declares (rule MA-5).
    pub(super) fn seen_as<T: ?Sized + Declares, I: ?Sized + 'static>(
        reference: &mut Reference,
    ) -> Result<View<I>, CallError> {
        let declaration = T::declaration(reference.declaration);
        *reference = reference.declared(declaration);
        declaration.require::<I>()
    }
}

impl Parcel {
    /// Marshals a reference that is seen as a `T`.
    pub(super) fn pack<T: ?Sized>(reference: &Reference, form: PacketForm) -> Result<Self, CallError> {
        let thread = Thread::current();
        let mut reference = reference.clone();
        let packed = reference.leaves().and_then(|()| reference.stub.is_connected());
        let stub = &reference.stub;
        let mark = PacketMark {
            packet: thread.new_packet(),
            form,
            object: stub.object,
            of: stub.mailbox().map(|mailbox| mailbox.name.id),
        };
        let (process, mailbox) = (Arc::clone(stub.process()), stub.mailbox().cloned());
        let error = packed.as_ref().err().map(ErrorSeen::from);
        thread.tell(&process, None, || What::Packed { mark, type_name: type_name::<T>(), error });
        packed?;
        let contents = match form {
            PacketForm::TableWeak => Contents::Weak(reference.downgrade()),
            _ => Contents::Strong(reference),
        };
        Ok(Self { mark, process, mailbox, contents })
    }

    pub(super) fn id(&self) -> PacketId {
        self.mark.packet
    }

    /// A proxy of the calling thread's apartment; the parcel stays.
    pub(super) fn unpack<I: ?Sized>(
        &self,
        view: impl FnOnce(&mut Reference) -> Result<View<I>, CallError>,
    ) -> Result<Proxy<I>, CallError> {
        let thread = Thread::current();
        let result = self.reference(&thread).and_then(|mut reference| {
            let view = view(&mut reference)?;
            reference.arrives();
            Ok(Proxy::of(reference, view))
        });
        let error = || result.as_ref().err().map(ErrorSeen::from);
        let mark = self.mark;
        thread.tell(&self.process, None, || What::Unpacked { mark, interface: type_name::<I>(), error: error() });
        result
    }

    /// The same, for good: the parcel is used up, whatever comes of it.
    pub(super) fn unpack_last<I: ?Sized>(
        &mut self,
        view: impl FnOnce(&mut Reference) -> Result<View<I>, CallError>,
    ) -> Result<Proxy<I>, CallError> {
        let result = self.unpack(view);
        let taken = std::mem::replace(&mut self.contents, Contents::Taken);
        drop(taken);
        result
    }

    fn reference(&self, thread: &Thread) -> Result<Reference, CallError> {
        thread.is_initialized(&self.process)?;
        match &self.contents {
            Contents::Strong(reference) => reference.stub.is_connected().map(|()| reference.clone()),
            Contents::Weak(weak) => {
                let there = weak.upgrade();
                match (&there, &self.mailbox) {
                    (Some(reference), _) => reference.stub.is_connected().map_err(object_alone)?,
                    (None, Some(mailbox)) => mailbox.is_there(self.mark.object)?,
                    (None, None) => {}
                }
                there.ok_or(CallError::ObjectNotRegistered)
            }
            Contents::Taken => crate::broken("a packet is unmarshalled for good once"),
        }
    }
}

/// A weak parcel's object alone is gone (rule MA-3), not its apartment (rule MA-4).
fn object_alone(error: CallError) -> CallError {
    match error {
        CallError::Disconnected(gone) if gone.why == WhyDisconnected::ObjectGone => CallError::ObjectNotRegistered,
        other => other,
    }
}

impl Drop for Parcel {
    /// Gives its reference back, unless it was unpacked for good.
    fn drop(&mut self) {
        if !matches!(self.contents, Contents::Taken) {
            Thread::current().tell(&self.process, None, || What::PacketDropped { mark: self.mark });
        }
    }
}

impl fmt::Display for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.mark.packet, self.mark.object)?;
        match &self.mailbox {
            Some(mailbox) => write!(f, " of {}", mailbox.name),
            None => f.write_str(", free-threaded"),
        }
    }
}
