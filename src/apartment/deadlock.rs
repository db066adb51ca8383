//! What is told to a thread whose wait would close a cycle (rule DL-1).

use crate::common::Common;
use crate::cycle::{Awaited, Deadlock, Waiter};
use crate::describe::Serves;
use crate::diagnose::What;
use crate::error::CallError;
use crate::sync::Arc;
use crate::thread::{Home, Thread};
use std::time::Duration;

/// A wait that could only be for what this thread itself is to bring about: it is refused before it begins.
pub(crate) fn waits_for_itself(thread: &Thread, process: &Common, awaits: Awaited) -> CallError {
    let deadlock = alone(thread, awaits);
    thread.tell_in(process, None, || What::Deadlock(Arc::clone(&deadlock)));
    CallError::Deadlock(deadlock)
}

/// The same, of what is of no process.
pub(crate) fn waits_for_itself_elsewhere(thread: &Thread, awaits: Awaited) -> CallError {
    match thread.home() {
        Some(home) => waits_for_itself(thread, &home.mailbox().common, awaits),
        None => CallError::Deadlock(alone(thread, awaits)),
    }
}

/// A cycle of one.
fn alone(thread: &Thread, awaits: Awaited) -> Arc<Deadlock> {
    let home = thread.home();
    let itself = Waiter {
        thread: thread.who().0,
        apartment: home.as_ref().map(|home| home.mailbox().name.clone()),
        in_mta: matches!(home, Some(Home::Mta(_))),
        awaits,
        serves: Serves::Nothing,
        serving: thread.with_frames(|frames| frames.iter().map(|frame| frame.target).collect()),
        waited: Duration::ZERO,
    };
    Arc::new(Deadlock { cycle: vec![itself] })
}
