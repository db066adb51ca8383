//! Making an object in an apartment.

use super::invoke::{Terms, invoke};
use crate::call::record::Attempt;
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::What;
use crate::error::CallError;
use crate::id::ObjectId;
use crate::mailbox::Mailbox;
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::{Thread, panic_message};
use std::any::{Any, type_name};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

/// Runs `make` in the apartment and keeps what it made there. `E` is the maker's own error.
#[track_caller]
pub(super) fn make<T: 'static, E: Send>(
    mailbox: &Arc<Mailbox>,
    make: impl FnOnce() -> Result<T, E> + Send,
    keep: fn(&Arc<Mailbox>, T) -> ObjectId,
) -> Result<Result<Arc<Stub>, E>, CallError> {
    let target = CallTarget { object: None, type_name: type_name::<T>(), method: None, location: Location::caller() };
    let mut make = Some(make);
    let mut made = None;
    let mut job = |_: &dyn Any| {
        let Some(make) = make.take() else { return Attempt::Ran(None) };
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(Ok(object)) => made = Some(Ok(Stub::new(mailbox, keep(mailbox, object)))),
            Ok(Err(error)) => made = Some(Err(error)),
            Err(payload) => return Attempt::Ran(Some(panic_message(payload))),
        }
        Attempt::Ran(None)
    };
    invoke(mailbox, CallKind::Create, target, Terms::default(), &mut job)?;
    match made {
        Some(made) => Ok(made),
        None => crate::broken("a constructor that ran made something, failed or panicked"),
    }
}

/// On the STA's thread: its table keeps the object.
pub(super) fn keep_at_home<T: 'static>(mailbox: &Arc<Mailbox>, object: T) -> ObjectId {
    let thread = Thread::current();
    match thread.sta() {
        Some(home) if Arc::ptr_eq(&home.mailbox, mailbox) => home.keep(&thread, Rc::new(object), type_name::<T>()),
        _ => crate::broken("an STA's object is made on its thread"),
    }
}

/// On a thread of the MTA: its shelf keeps the object.
pub(super) fn keep_shared<T: Send + Sync + 'static>(mailbox: &Arc<Mailbox>, object: T) -> ObjectId {
    let object = mailbox.shelve(Arc::new(object));
    mailbox.tell(Thread::current().who(), None, || What::ObjectMade { object, type_name: type_name::<T>() });
    object
}
