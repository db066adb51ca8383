//! The words in which pictures speak of events.

use super::event::{CallMade, CancelReason, ErrorSeen, HeldBy, WaitFor, What};
use crate::cycle::{Awaited, Deadlock, Waiter};
use crate::describe::{CallKind, CallTarget, Serves, short};
use crate::error::Outcome;
use crate::filter::Retry;
use std::time::Duration;

/// A call, by its method or by its object's type.
pub(super) fn call(made: &CallMade) -> String {
    let target = &made.target;
    match (target.method, made.kind) {
        (Some(method), _) => format!("{}::{}", method.interface, method.name),
        (None, CallKind::OneWay) => format!("post {}", short(target.type_name)),
        (None, CallKind::Create) => format!("create {}", short(target.type_name)),
        (None, _) => format!("call {}", short(target.type_name)),
    }
}

/// An error: its name, and whether the call may have run.
pub(super) fn error(error: &ErrorSeen) -> String {
    let outcome = match error.outcome {
        Outcome::NotStarted => "not started",
        Outcome::MayHaveRun => "may have run",
    };
    format!("{}, {outcome}", error.name)
}

pub(super) fn held(by: HeldBy) -> &'static str {
    match by {
        HeldBy::Policy => "held by the re-entrancy policy",
        HeldBy::InputSynchronized => "held while an input-synchronized call is out",
        HeldBy::Filter => "held while a filter is asked",
        HeldBy::Ending => "held while the apartment drops its objects",
    }
}

pub(super) fn cancel(why: CancelReason) -> &'static str {
    match why {
        CancelReason::Handle => "cancel",
        CancelReason::Deadline => "deadline",
        CancelReason::Filter => "filter cancels",
        CancelReason::Dropped => "future dropped",
        CancelReason::Deadlock => "deadlock",
    }
}

pub(super) fn wait(on: WaitFor) -> &'static str {
    match on {
        WaitFor::Reply => "waits for the reply",
        WaitFor::Room => "waits for room",
        WaitFor::RetryTime => "waits for the time of the next attempt",
        WaitFor::Thread => "waits for a thread",
        WaitFor::Disconnect => "waits for the calls on an object to end",
        WaitFor::EndHandlers => "waits for the end handlers",
        WaitFor::Host => "waits for a host apartment",
        WaitFor::Server => "waits for a server",
        WaitFor::Events => "waits for events",
    }
}

pub(super) fn retry(answer: Retry) -> String {
    match answer.delay() {
        None => "give up".to_owned(),
        Some(Duration::ZERO) => "retry now".to_owned(),
        Some(delay) => format!("retry in {}", time(delay)),
    }
}

/// The how manieth attempt, where it is not the first.
pub(super) fn attempt(attempt: u32) -> String {
    if attempt > 1 { format!(" #{attempt}") } else { String::new() }
}

/// A time in milliseconds, with what is below them if there is anything.
pub(super) fn time(time: Duration) -> String {
    let (millis, micros) = (time.as_millis(), time.subsec_micros() % 1_000);
    match micros {
        0 => format!("{millis} ms"),
        _ => format!("{millis}.{micros:03} ms"),
    }
}

pub(super) fn panicked(message: &str) -> String {
    format!("panicked: {message}")
}

/// How many, and of what.
pub(super) fn count(many: usize, one: &str, more: &str) -> String {
    if many == 1 { format!("1 {one}") } else { format!("{many} {more}") }
}

/// A cycle as a ring, a line for each who waits in it: for whom, and what it serves. Without the places in the source,
/// which the error names.
pub(super) fn ring(deadlock: &Deadlock) -> Vec<String> {
    let last = deadlock.cycle.len().saturating_sub(1);
    let edge = |at: usize| match at {
        0 => "╭─▶",
        at if at == last => "╰──",
        _ => "│  ",
    };
    let line = |(at, waiter): (usize, &Waiter)| {
        let name = match &waiter.apartment {
            Some(name) => name.name.to_string(),
            None => waiter.thread.to_string(),
        };
        let serves = match waiter.serves {
            Serves::Everything => "everything",
            Serves::Chain => "its own chain only",
            Serves::InputSynchronized => "input-synchronized calls only",
            Serves::Nothing => "nothing",
        };
        format!("{} {name} waits for {}, serves {serves}", edge(at), awaited(&waiter.awaits))
    };
    deadlock.cycle.iter().enumerate().map(line).collect()
}

fn awaited(awaits: &Awaited) -> String {
    match awaits {
        Awaited::Call { callee, target, .. } => format!("{} in {}", callee.name, called(target)),
        Awaited::Room { callee, target, queued, capacity } => {
            format!("room in {} ({queued} of {capacity} queued) for {}", callee.name, called(target))
        }
        Awaited::End { of, .. } => format!("the end of {}", of.name),
        Awaited::Disconnect { of, object, .. } => format!("the calls on {object} of {}", of.name),
        other => other.to_string(),
    }
}

fn called(target: &CallTarget) -> String {
    match target.method {
        Some(method) => format!("{}::{}", method.interface, method.name),
        None => format!("call {}", short(target.type_name)),
    }
}

/// An event in the words of the program, for what has no words of its own.
pub(super) fn any(what: &What) -> String {
    format!("{what:?}")
}
