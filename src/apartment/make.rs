//! Making an object in an apartment.

use super::invoke::invoke;
use super::making::{Terms, tell_refused};
use crate::call::record::{Attempt, Load};
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::What;
use crate::error::CallError;
use crate::id::ObjectId;
use crate::mailbox::{Door, Mailbox};
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::{Going, Thread, contain, panic_message};
use crate::view::Held;
use std::any::{Any, type_name};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

/// Runs `make` in the apartment and keeps what it made there. `E` is the maker's own error.
#[track_caller]
pub(crate) fn make<T: 'static, E: Send>(
    mailbox: &Arc<Mailbox>,
    make: impl FnOnce() -> Result<Held<T>, E> + Send,
    keep: fn(&Arc<Mailbox>, Held<T>) -> Option<ObjectId>,
) -> Result<Result<Arc<Stub>, E>, CallError> {
    make_from(Location::caller(), mailbox, make, keep)
}

/// The same, asked for at that place in the source.
pub(crate) fn make_from<T: 'static, E: Send>(
    location: &'static Location<'static>,
    mailbox: &Arc<Mailbox>,
    make: impl FnOnce() -> Result<Held<T>, E> + Send,
    keep: fn(&Arc<Mailbox>, Held<T>) -> Option<ObjectId>,
) -> Result<Result<Arc<Stub>, E>, CallError> {
    let thread = Thread::current();
    let makes = thread.is_initialized(&mailbox.common).and_then(|()| mailbox.common.makes());
    makes.inspect_err(|error| tell_refused(&thread, &mailbox.common, error))?;
    let target = CallTarget { object: None, type_name: type_name::<T>(), method: None, location };
    let mut make = Some(make);
    let mut made = None;
    let mut job = |_: &dyn Any| {
        let Some(make) = make.take() else { return Attempt::Ran(None) };
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(Ok(object)) => made = Some(Ok(keep(mailbox, object).map(|object| Stub::new(mailbox, object)))),
            Ok(Err(error)) => made = Some(Err(error)),
            Err(payload) => return Attempt::Ran(Some(panic_message(payload))),
        }
        Attempt::Ran(None)
    };
    invoke(mailbox, CallKind::Create, target, Terms::default(), Load::Lent(&mut job))?;
    match made {
        Some(Ok(Some(stub))) => Ok(Ok(stub)),
        // Made by a thread that was still there when the apartment had ended.
        Some(Ok(None)) => Err(mailbox.disconnected(Door::Ended, None)),
        Some(Err(error)) => Ok(Err(error)),
        None => crate::broken("a constructor that ran made something, failed or panicked"),
    }
}

/// On the STA's thread: its table keeps the object.
pub(crate) fn keep_at_home<T: 'static>(mailbox: &Arc<Mailbox>, object: Held<T>) -> Option<ObjectId> {
    let thread = Thread::current();
    match thread.sta() {
        Some(home) if Arc::ptr_eq(&home.mailbox, mailbox) => home.keep(&thread, Rc::new(object), type_name::<T>()),
        _ if mailbox.door() == Door::Ended => {
            thread.drop_object(Going::Own(Rc::new(object)));
            None
        }
        _ => crate::broken("an STA's object is made on its thread"),
    }
}

/// On a thread of the MTA: its shelf keeps the object.
pub(crate) fn keep_shared<T: Send + Sync + 'static>(mailbox: &Arc<Mailbox>, object: Held<T>) -> Option<ObjectId> {
    let thread = Thread::current();
    match mailbox.shelve(Arc::new(object)) {
        Ok(object) => {
            mailbox.tell(thread.who(), None, || What::ObjectMade { object, type_name: type_name::<T>() });
            Some(object)
        }
        Err(object) => {
            contain(mailbox, &thread, "a destructor", || drop(object));
            None
        }
    }
}
