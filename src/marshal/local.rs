//! The direct reference at home.

use super::proxy::Proxy;
use crate::error::CallError;
use crate::mailbox::{Door, Shared};
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::{Home, Thread, contain};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

/// An object of the current thread's apartment, directly; [`Proxy::local`] gives one at home.
///
/// It dereferences to the object and cannot leave the apartment: it is not `Send` (rule MA-1). It counts as a reference,
/// so the object lives at least as long; an object that a `Local` still holds when the apartment ends stays on the
/// thread and is dropped there with the last one (rule LT-2).
///
/// ```
/// use apartment::Sta;
/// use std::cell::Cell;
///
/// let ui = Sta::builder("ui").enter()?;
/// let counter = ui.create(|| Cell::new(1))?;
/// let local = counter.local().unwrap();
/// local.set(local.get() + 1);
/// assert_eq!(local.proxy()?, counter);
/// # drop(local); drop(ui);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias = "interface pointer")]
pub struct Local<T> {
    /// Always there but in `drop`.
    held: Option<Held>,
    stub: Arc<Stub>,
    object: PhantomData<*const T>,
}

#[derive(Clone)]
enum Held {
    Sta(Rc<dyn Any>),
    Mta(Shared),
}

impl<T: 'static> Local<T> {
    pub(super) fn of(proxy: &Proxy<T>) -> Option<Self> {
        let stub = proxy.stub();
        let held = match Thread::current().home()? {
            Home::Sta(home) if Arc::ptr_eq(&home.mailbox, &stub.mailbox) => Held::Sta(home.object(stub.object)?),
            Home::Mta(home) if Arc::ptr_eq(&home.mailbox, &stub.mailbox) && !home.implicit => {
                Held::Mta(home.mailbox.shared(stub.object)?)
            }
            _ => return None,
        };
        Some(Self { held: Some(held), stub: Arc::clone(stub), object: PhantomData })
    }

    /// A proxy to the object, which may go anywhere.
    ///
    /// # Errors
    /// `Disconnected` once the apartment has ended (rule LT-2).
    #[doc(alias("CoMarshalInterface", "marshal"))]
    pub fn proxy(&self) -> Result<Proxy<T>, CallError> {
        match self.stub.mailbox.door() {
            Door::Ended => Err(self.stub.mailbox.disconnected(Door::Ended, Some(self.stub.object))),
            _ => Ok(Proxy::from_stub(Arc::clone(&self.stub))),
        }
    }
}

impl<T: 'static> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let object = match &self.held {
            Some(Held::Sta(object)) => object.downcast_ref(),
            Some(Held::Mta(object)) => object.downcast_ref(),
            None => None,
        };
        object.unwrap_or_else(|| crate::broken("a local reference holds an object of its type"))
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        let thread = Thread::current();
        match self.held.take() {
            Some(Held::Sta(object)) => thread.drop_object(object),
            Some(Held::Mta(object)) => {
                // A thread that has left the MTA is no place to drop one of its objects.
                let mailbox = &self.stub.mailbox;
                let left = !thread.home().is_some_and(|home| home.is_at(mailbox));
                let object = if left { mailbox.release_shared(object) } else { Some(object) };
                contain(mailbox, &thread, "a destructor", || drop(object));
            }
            None => {}
        }
    }
}

impl<T> Clone for Local<T> {
    fn clone(&self) -> Self {
        Self { held: self.held.clone(), stub: Arc::clone(&self.stub), object: PhantomData }
    }
}

impl<T> PartialEq for Local<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stub.mailbox, &other.stub.mailbox) && self.stub.object == other.stub.object
    }
}

impl<T> Eq for Local<T> {}

impl<T: fmt::Debug + 'static> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&**self).finish()
    }
}
