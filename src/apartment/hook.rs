//! Around a thread's life: a guard that is made on the thread before anything runs there and dropped after everything.

use crate::error::CallError;
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::{Thread, panic_message};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) use crate::process::{Hook, hook};

/// Makes the guard on the calling thread; a panic in the hook fails the start like an error. With its first thread the
/// apartment begins: what the hook does cannot wait for that.
pub(super) fn enter(
    hook: Option<&Hook>,
    mailbox: &Arc<Mailbox>,
    begins: bool,
) -> Result<Option<Box<dyn Any>>, CallError> {
    let Some(hook) = hook else { return Ok(None) };
    let name = &mailbox.name;
    let failed = |source| CallError::sys_call_failed(format!("{name}: the hook around its thread failed"), source);
    let thread = Thread::current();
    let outer = thread.set_begins(begins.then(|| Arc::clone(mailbox)));
    let made = catch_unwind(AssertUnwindSafe(|| hook()));
    thread.set_begins(outer);
    match made {
        Ok(Ok(guard)) => match Thread::current().home() {
            None => Ok(Some(guard)),
            // Its guard leaves again.
            Some(_) => Err(failed("it entered an apartment, and the thread is about to be another's".into())),
        },
        Ok(Err(error)) => Err(failed(error)),
        Err(payload) => Err(failed(format!("it panicked: {}", panic_message(payload)).into())),
    }
}
