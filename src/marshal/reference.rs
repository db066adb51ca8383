//! What every reference is made of, whatever it sees its object as.

use crate::common::Common;
use crate::describe::{CallTarget, Method};
use crate::error::CallError;
use crate::id::ApartmentId;
use crate::stub::Stub;
use crate::sync::{Arc, Weak};
use crate::thread::Thread;
use crate::view::Declaration;
use std::panic::Location;

/// A reference to an object without its type.
#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) stub: Arc<Stub>,
    /// What the object's type answers to, once that has been asked for.
    pub(crate) declaration: Option<&'static Declaration>,
    /// Where it belongs, under strict rules; it can be used everywhere otherwise.
    place: Option<Place>,
}

/// A reference that does not keep the object.
#[derive(Clone)]
pub(crate) struct WeakReference {
    stub: Weak<Stub>,
    declaration: Option<&'static Declaration>,
    place: Option<Place>,
}

impl WeakReference {
    pub(crate) fn upgrade(&self) -> Option<Reference> {
        let Self { declaration, place, .. } = self.clone();
        Some(Reference { stub: self.stub.upgrade()?, declaration, place })
    }
}

/// An apartment, as one that references belong to.
#[derive(Clone)]
pub(crate) struct Place {
    process: Arc<Common>,
    apartment: ApartmentId,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.process, &other.process) && self.apartment == other.apartment
    }
}

impl Place {
    /// Where the calling thread is; one in no apartment counts as one of the MTA's, if there is an MTA (rule ST-1).
    fn here(process: &Arc<Common>) -> Result<Self, CallError> {
        if let Some(home) = Thread::current().home() {
            let mailbox = home.mailbox();
            return Ok(Self { process: Arc::clone(&mailbox.common), apartment: mailbox.name.id });
        }
        let apartment = process.mta().ok_or(CallError::NotInitialized)?;
        Ok(Self { process: Arc::clone(process), apartment })
    }
}

impl Reference {
    /// A reference that belongs to where the calling thread is.
    pub(crate) fn new(stub: Arc<Stub>) -> Self {
        let mut reference = Self { stub, declaration: None, place: None };
        reference.arrives();
        reference
    }

    /// The same object, seen through a type that says what it answers to.
    pub(crate) fn declared(&self, declaration: &'static Declaration) -> Self {
        Self { declaration: Some(declaration), ..self.clone() }
    }

    /// Whether it may be used here (rules ST-1, ST-2). Without strict rules it always may; a free-threaded object may be
    /// used in every apartment.
    pub(crate) fn usable(&self) -> Result<(), CallError> {
        let process = self.stub.process();
        if !process.strict {
            return Ok(());
        }
        let here = Place::here(process)?;
        match &self.place {
            _ if self.stub.mailbox().is_none() => Ok(()),
            Some(place) if *place == here => Ok(()),
            _ => Err(CallError::WrongThread),
        }
    }

    /// It is about to leave for another apartment, from where it belongs.
    pub(crate) fn leaves(&mut self) -> Result<(), CallError> {
        self.usable()
    }

    /// It belongs to where the calling thread is from now on.
    pub(crate) fn arrives(&mut self) {
        let process = self.stub.process();
        if process.strict {
            self.place = Place::here(process).ok();
        }
    }

    /// Where its object is at home; a free-threaded one is nowhere.
    pub(crate) fn home(&self) -> Option<Place> {
        let mailbox = self.stub.mailbox()?;
        Some(Place { process: Arc::clone(&mailbox.common), apartment: mailbox.name.id })
    }

    /// It comes back from `there` in something that was lent to be changed, whatever became of the call. What belongs
    /// neither there nor here was put in without having been marshalled to there, and stays what it is.
    pub(crate) fn comes_back(&mut self, there: Option<&Place>) {
        let process = self.stub.process();
        let is_theirs = there.is_some() && self.place.as_ref() == there;
        if process.strict && (is_theirs || self.usable().is_ok()) {
            self.arrives();
        }
    }

    /// The same without keeping the object.
    pub(crate) fn downgrade(&self) -> WeakReference {
        WeakReference { stub: Arc::downgrade(&self.stub), declaration: self.declaration, place: self.place.clone() }
    }

    pub(crate) fn same_object(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stub, &other.stub)
    }

    /// What a call through it asks for.
    pub(crate) fn target<T: ?Sized>(
        &self,
        method: Option<&'static Method>,
        location: &'static Location<'static>,
    ) -> CallTarget {
        let type_name = self.declaration.map_or_else(std::any::type_name::<T>, Declaration::type_name);
        CallTarget { object: Some(self.stub.object), type_name, method, location }
    }
}
