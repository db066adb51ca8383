//! The direct reference at home.

use super::proxy::Proxy;
use super::reference::Reference;
use crate::error::CallError;
use crate::mailbox::{Door, Shared};
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::{Home, Thread, contain};
use crate::view::View;
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
pub struct Local<T: ?Sized> {
    /// Always there but in `drop`.
    kept: Option<Kept>,
    reference: Reference,
    view: View<T>,
    not_send: PhantomData<*const ()>,
}

#[derive(Clone)]
enum Kept {
    Sta(Rc<dyn Any>),
    Mta(Shared),
}

impl<T: ?Sized + 'static> Local<T> {
    pub(super) fn of(proxy: &Proxy<T>) -> Option<Self> {
        let reference = proxy.reference();
        let stub = &reference.stub;
        reference.usable().ok()?;
        let kept = match Thread::current().home()? {
            Home::Sta(home) if Arc::ptr_eq(&home.mailbox, &stub.mailbox) => Kept::Sta(home.object(stub.object)?),
            Home::Mta(home) if Arc::ptr_eq(&home.mailbox, &stub.mailbox) && !home.implicit => {
                Kept::Mta(home.mailbox.shared(stub.object)?)
            }
            _ => return None,
        };
        Some(Self { kept: Some(kept), reference: reference.clone(), view: proxy.view(), not_send: PhantomData })
    }

    /// A proxy to the object, which may go anywhere.
    ///
    /// # Errors
    /// `Disconnected` once the apartment has ended (rule LT-2).
    #[doc(alias("CoMarshalInterface", "marshal"))]
    pub fn proxy(&self) -> Result<Proxy<T>, CallError> {
        let Stub { mailbox, object } = &*self.reference.stub;
        match mailbox.door() {
            Door::Ended => Err(mailbox.disconnected(Door::Ended, Some(*object))),
            _ => Ok(Proxy::of(self.reference.clone(), self.view)),
        }
    }
}

impl<T: ?Sized + 'static> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.kept {
            Some(Kept::Sta(object)) => self.view.of(&**object),
            Some(Kept::Mta(object)) => self.view.of(&**object),
            None => crate::broken("a local reference that is not being dropped holds its object"),
        }
    }
}

impl<T: ?Sized> Drop for Local<T> {
    fn drop(&mut self) {
        let thread = Thread::current();
        match self.kept.take() {
            Some(Kept::Sta(object)) => thread.drop_object(object),
            Some(Kept::Mta(object)) => {
                // A thread that has left the MTA is no place to drop one of its objects.
                let mailbox = &self.reference.stub.mailbox;
                let left = !thread.home().is_some_and(|home| home.is_at(mailbox));
                let object = if left { mailbox.release_shared(object) } else { Some(object) };
                contain(mailbox, &thread, "a destructor", || drop(object));
            }
            None => {}
        }
    }
}

impl<T: ?Sized> Clone for Local<T> {
    fn clone(&self) -> Self {
        let reference = self.reference.clone();
        Self { kept: self.kept.clone(), reference, view: self.view, not_send: PhantomData }
    }
}

/// Equal exactly if both mean the same object, whatever they see it as (rule LT-7).
impl<T: ?Sized, U: ?Sized> PartialEq<Local<U>> for Local<T> {
    fn eq(&self, other: &Local<U>) -> bool {
        self.reference.same_object(&other.reference)
    }
}

impl<T: ?Sized> Eq for Local<T> {}

impl<T: ?Sized + fmt::Debug + 'static> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&&**self).finish()
    }
}
