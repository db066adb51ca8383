#![doc = include_str!("README.md")]

mod create;
mod factory;
mod model;
mod place;
mod server;

pub use factory::{ClassFactory, ServerLock};
pub use model::Class;
pub use server::Server;

use crate::diagnose::What;
use crate::process::Process;
use crate::sync::Arc;
use crate::thread::{Home, Thread, panic_message};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
