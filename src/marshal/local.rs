//! The direct reference at home.

use super::proxy::Proxy;
use super::reference::Reference;
use crate::error::CallError;
use crate::mailbox::Shared;
use crate::stub::Site;
use crate::thread::{Going, Home, Thread, contain};
use crate::view::View;
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

/// An object of the current thread's apartment, or a free-threaded one, directly; [`Proxy::local`] gives one at home.
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
    /// The reference keeps a free-threaded object.
    Free,
}

impl<T: ?Sized + 'static> Local<T> {
    pub(super) fn of(proxy: &Proxy<T>) -> Option<Self> {
        let reference = proxy.reference();
        let stub = &reference.stub;
        reference.usable().ok()?;
        if stub.is_disconnected() {
            return None;
        }
        let kept = match (&stub.site, Thread::current().home()) {
            (Site::Free(_), _) => Kept::Free,
            (Site::Apartment(there), Some(home)) if home.is_at(there) => match home {
                Home::Sta(home) => Kept::Sta(home.object(stub.object)?),
                Home::Mta(home) if !home.implicit => Kept::Mta(there.shared(stub.object)?),
                Home::Mta(_) => return None,
            },
            _ => return None,
        };
        Some(Self { kept: Some(kept), reference: reference.clone(), view: proxy.view(), not_send: PhantomData })
    }

    /// A proxy to the object, which may go anywhere.
    ///
    /// # Errors
    /// `Disconnected` once the apartment has ended, or the object was disconnected (rules LT-2, LT-5). Under strict rules
    /// `NotInitialized` on a thread that has left its apartment, while there is no MTA.
    #[doc(alias("CoMarshalInterface", "marshal"))]
    pub fn proxy(&self) -> Result<Proxy<T>, CallError> {
        self.reference.stub.is_connected()?;
        self.reference.usable()?;
        Ok(Proxy::of(self.reference.clone(), self.view))
    }
}

impl<T: ?Sized + 'static> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match (&self.kept, &self.reference.stub.site) {
            (Some(Kept::Sta(object)), _) => self.view.of(&**object),
            (Some(Kept::Mta(object)), _) => self.view.of(&**object),
            (Some(Kept::Free), Site::Free(free)) => self.view.of(free.object()),
            _ => crate::broken("a local reference that is not being dropped holds its object"),
        }
    }
}

impl<T: ?Sized> Drop for Local<T> {
    fn drop(&mut self) {
        let thread = Thread::current();
        match (self.kept.take(), &self.reference.stub.site) {
            (Some(Kept::Sta(object)), _) => thread.drop_object(Going::Own(object)),
            (Some(Kept::Mta(object)), Site::Apartment(mailbox)) => {
                // A thread that has left the MTA is no place to drop one of its objects.
                let left = !thread.home().is_some_and(|home| home.is_at(mailbox));
                let object = if left { mailbox.release_shared(object) } else { Some(object) };
                contain(mailbox, &thread, "a destructor", || drop(object));
            }
            _ => {}
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
