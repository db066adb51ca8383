//! Who plays in the scenarios, and what they do again and again.

use crate::harness::Play;
use crate::stage::{Answers, incoming, like, rejected};
use apartment::__private::{self, Calls};
use apartment::{Apartment, CallError, CallKind, Method, Retry, ServerCall, WaitFor, What};
use std::cell::Cell;
use std::thread::Scope;
use std::time::Duration;

/// Objects of different types, so that pictures tell their calls apart. Letters and invoices live in `word`.
pub(crate) struct Letter;
pub(crate) struct Invoice;
/// In `excel`.
pub(crate) struct Workbook;
pub(crate) struct Chart;
/// In `db`.
pub(crate) struct Table;

static FOCUS: Method = Method::new("Sheet", "focus", 0, CallKind::InputSynchronized);
static CHANGED: Method = Method::new("Sheet", "changed", 1, CallKind::OneWay);

/// An input-synchronized method of an interface.
#[track_caller]
pub(crate) fn focus<T: 'static, R: Send>(to: &impl Calls<T>, run: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
    __private::call(to, &FOCUS, run)
}

/// A one-way method of an interface.
#[track_caller]
pub(crate) fn changed<T: 'static>(to: &impl Calls<T>, run: impl FnOnce(&T) + Send + 'static) -> Result<(), CallError> {
    __private::post(to, &CHANGED, run)
}

/// A filter that refuses that many synchronous calls.
pub(crate) fn refuses(times: u32, with: ServerCall) -> Answers {
    let left = Cell::new(times);
    incoming(move |call| match (call.kind, left.get()) {
        (CallKind::Synchronous, 1..) => {
            left.set(left.get() - 1);
            with
        }
        _ => ServerCall::Handled,
    })
}

/// A filter that answers to refusals with these, one after the other, and then gives up.
pub(crate) fn answers<const N: usize>(retries: [Retry; N]) -> Answers {
    rejected(move |call| retries.get(call.attempts as usize - 1).copied().unwrap_or(Retry::GiveUp))
}

/// Moves the clock by that much as soon as that has happened there.
pub(crate) fn moves<'scope>(
    stage: &'scope Play,
    scope: &'scope Scope<'scope, '_>,
    by: Duration,
    at: &'scope Apartment,
    once: impl Fn(&What) -> bool + Send + 'scope,
) {
    scope.spawn(move || {
        stage.until(at, once);
        stage.clock.advance(by);
    });
}

/// Lets the time of the next attempt come for who waits for it there.
pub(crate) fn lets_retry<'scope>(
    stage: &'scope Play,
    scope: &'scope Scope<'scope, '_>,
    by: Duration,
    at: &'scope Apartment,
) {
    moves(stage, scope, by, at, like!(WaitTurned { on: WaitFor::RetryTime }));
}
