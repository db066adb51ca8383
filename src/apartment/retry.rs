//! Asking what to do about a rejected call, and waiting as long as the answer says.

use super::making::{Making, tell};
use super::outgoing::turned;
use super::serve::{Situation, drop_filter};
use super::wait::{serve_some, wait};
use crate::call::Ticket;
use crate::call::record::Why;
use crate::diagnose::{CallRef, WaitFor, What};
use crate::filter::{RejectedCall, Retry, ServerCall};
use crate::mailbox::Mailbox;
use crate::sync::yield_now;
use crate::thread::{Home, Thread, panic_message};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

pub(super) enum Again {
    Now,
    GivenUp,
    NobodyToAsk,
    Cancelled(Why),
}

/// Asks the call's own policy, or the apartment's filter, and waits as long as it says (rule MF-6).
pub(super) fn ask_again(
    thread: &Rc<Thread>,
    home: &Option<Home>,
    making: &Making<'_>,
    attempts: u32,
    rejected: ServerCall,
    place: usize,
    ticket: &Ticket,
) -> Again {
    let Making { callee, header, terms, .. } = making;
    let filter = match home {
        Some(Home::Sta(home)) => home.filter.borrow().clone(),
        _ => None,
    };
    let elapsed = Duration::from_nanos(callee.common.clock.nanos().saturating_sub(header.made));
    let target = header.target;
    let call = RejectedCall { call: header.id, callee: callee.name.clone(), target, elapsed, rejected, attempts };
    let answer = match (terms.retry, &filter) {
        (Some(policy), _) => ask(thread, callee, || policy.retry_rejected(&call)),
        (None, Some(filter)) => ask(thread, callee, || filter.retry_rejected(&call)),
        (None, None) => return Again::NobodyToAsk,
    };
    if let (Some(filter), Some(Home::Sta(home))) = (filter, home) {
        drop_filter(thread, home, filter);
    }
    // From the answer on, which is told after it: who has seen the question may count on the time.
    let until = answer.delay().map(|delay| callee.common.clock.after(delay));
    let own_policy = terms.retry.is_some();
    let call_ref = CallRef { attempt: attempts, ..header.call_ref() };
    tell(thread, home, callee, call_ref, || What::RetryAsked { rejected, elapsed, answer, own_policy });
    let Some(until) = until else { return Again::GivenUp };
    if answer.delay() == Some(Duration::ZERO) {
        // At once, after serving what is already waiting.
        if let Some(Home::Sta(home)) = home {
            let _wait = (thread.waits(), thread.opened());
            serve_some(thread, Situation::Call(place), home.mailbox.waiting_entries());
        }
        yield_now();
    } else {
        // Told at the depth of what the wait serves, like its other turns.
        let depth = thread.opened();
        turned(thread, home, callee, call_ref, WaitFor::RetryTime, Some(until));
        drop(depth);
        wait(thread, Situation::Call(place), Some((&callee.common.clock, until)), || ticket.why().is_some());
        let _depth = thread.opened();
        turned(thread, home, callee, call_ref, WaitFor::Reply, header.deadline);
    }
    // A deadline is a cancel by clock: nothing goes out once it has passed, though nobody may have looked since.
    let past = header.deadline.is_some_and(|deadline| deadline <= callee.common.clock.nanos());
    ticket.why().or(past.then_some(Why::Deadline)).map_or(Again::Now, Again::Cancelled)
}

/// Runs a retry policy or a filter's method; a panic in it is contained, and gives up (rule MF-9).
pub(super) fn ask(thread: &Thread, callee: &Mailbox, question: impl FnOnce() -> Retry) -> Retry {
    match thread.filtering(|| catch_unwind(AssertUnwindSafe(question))) {
        Ok(answer) => answer,
        Err(payload) => {
            let message = panic_message(payload);
            thread.tell(&callee.common, None, || What::Contained { place: "retry_rejected", message });
            Retry::GiveUp
        }
    }
}
