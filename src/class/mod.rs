#![doc = include_str!("README.md")]

mod create;
mod factory;
mod model;
mod place;
mod server;

pub use factory::{ClassFactory, ServerLock};
pub use model::Class;
pub use server::Server;

use crate::apartment::{Situation, wait};
use crate::diagnose::{WaitFor, What};
use crate::error::CallError;
use crate::process::{Coming, Process};
use crate::sync::Arc;
use crate::thread::{Home, Thread, panic_message};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

fn is_of(home: &Home, process: &Process) -> bool {
    Arc::ptr_eq(&home.mailbox().common, process.common())
}

/// Runs something of the user's; a panic in it is contained and recorded, and gives nothing.
fn contained<R>(process: &Process, place: &'static str, run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(payload) => {
            let message = panic_message(payload);
            Thread::current().tell_in(process.common(), None, || What::Contained { place, message });
            None
        }
    }
}

/// Waits for what somebody brings about. Pumps on an STA, blocks elsewhere.
fn wait_for(process: &Process, thread: &Rc<Thread>, on: WaitFor, coming: &Coming) -> Result<(), CallError> {
    let mut outcome = coming.look(thread.bell());
    if outcome.is_none() {
        wait(thread, Situation::Plain(on, process.common()), None, || {
            outcome = coming.look(thread.bell());
            outcome.is_some()
        });
    }
    outcome.unwrap_or_else(|| crate::broken("a wait without an end has what it waited for"))
}
