//! A call that is about to be made: what is known of it before it goes anywhere, and who tells of it.

use super::options::Room;
use crate::call::Ticket;
use crate::call::record::{Attempt, Job, Work};
use crate::common::Common;
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::{CallRef, Route, What};
use crate::error::CallError;
use crate::filter::RetryPolicy;
use crate::id::ChainId;
use crate::mailbox::{Header, Mailbox, ToldBy};
use crate::sync::{Arc, Clock};
use crate::thread::{CancelHandle, Home, Thread};
use std::any::Any;
use std::time::Duration;

/// What a caller said about its call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) within: Option<Duration>,
    pub(crate) room: Room,
    pub(crate) retry: Option<&'a dyn RetryPolicy>,
    pub(crate) cancel: Option<&'a CancelHandle>,
    /// The library's own question to an apartment: no filter is asked, and every thread may make it input-synchronized.
    pub(crate) internal: bool,
}

/// What a call hands over to its callee.
pub(crate) enum Load<'a> {
    /// A closure in the caller's frame, which is lent until the callee lets go.
    Lent(&'a mut Job<'a>),
    /// What both sides share: the caller need not wait until the callee lets go.
    Owned(&'a Arc<dyn Work>),
}

impl Load<'_> {
    pub(super) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent(_))
    }

    /// For a callee on the caller's own thread.
    pub(super) fn run(&mut self, object: &dyn Any) -> Attempt {
        match self {
            Self::Lent(job) => job(object),
            Self::Owned(work) => work.run(object),
        }
    }
}

/// A call that is about to be made.
pub(super) struct Making<'a> {
    pub(super) callee: &'a Arc<Mailbox>,
    pub(super) header: Header,
    /// When it was made, on the callee's clock.
    pub(super) made: u64,
    pub(super) terms: Terms<'a>,
    /// The call it is made in.
    pub(super) parent: Option<Ticket>,
    /// What cancels it besides its own handle: those of the direct calls it is made in.
    pub(super) around: Vec<CancelHandle>,
}

/// What cancels a call because it cancels the calls around it.
#[derive(Default)]
pub(super) struct Around {
    /// Of the call that it is made in.
    pub(super) ticket: Option<Ticket>,
    /// Of the direct calls that it is made in.
    pub(super) cancels: Vec<CancelHandle>,
}

/// A step of the caller's: of its apartment, if it is in one.
pub(super) fn tell(thread: &Thread, home: &Option<Home>, callee: &Mailbox, call: CallRef, what: impl FnOnce() -> What) {
    tell_caller(thread, home, &callee.common, call, what);
}

/// The same, of a call into that process.
pub(super) fn tell_caller(
    thread: &Thread,
    home: &Option<Home>,
    callee: &Common,
    call: CallRef,
    what: impl FnOnce() -> What,
) {
    match home {
        Some(home) => home.mailbox().tell(thread.who(), Some(call), what),
        None => callee.tell(thread.who(), Some(call), what),
    }
}

/// A call that was refused before it became one.
pub(crate) fn tell_refused(thread: &Thread, process: &Common, error: &CallError) {
    thread.tell(process, None, || What::Refused { error: error.into() });
}

pub(super) fn making<'a>(
    thread: &Thread,
    callee: &'a Arc<Mailbox>,
    kind: CallKind,
    target: CallTarget,
    terms: Terms<'a>,
) -> Making<'a> {
    let (mut header, made, mut around) = header(thread, &callee.common, kind, target, terms.within);
    header.internal = terms.internal;
    if terms.internal {
        // It is no part of what is being served, and does not end with that.
        header.deadline = terms.within.map(|within| Clock::later(made, within));
        around = Around::default();
    }
    Making { callee, header, made, terms, parent: around.ticket, around: around.cancels }
}

/// Chain, depth and deadline come from the call that is being served (rules CA-1, CA-3), and so does what cancels it. With
/// the time, on the callee's clock.
pub(super) fn header(
    thread: &Thread,
    process: &Common,
    kind: CallKind,
    target: CallTarget,
    within: Option<Duration>,
) -> (Header, u64, Around) {
    let clock = &process.clock;
    let id = thread.new_call();
    let made = clock.nanos();
    let own = within.map(|within| Clock::later(made, within));
    thread.with_frame(|frame| {
        let serving = frame.filter(|frame| frame.chain.is_some());
        let chain = serving.and_then(|frame| frame.chain).unwrap_or(ChainId(id));
        let inherited = serving.and_then(|frame| frame.deadline.as_ref()).map(|deadline| on_clock(deadline, clock));
        let header = Header {
            id,
            chain,
            attempt: 1,
            kind,
            caller: thread.caller(),
            target,
            from_chain: None,
            depth: serving.map_or(1, |frame| frame.depth.saturating_add(1)),
            deadline: own.into_iter().chain(inherited).min(),
            internal: false,
            sender: None,
            made,
            parent: serving.map(|frame| frame.id),
            borrows: !kind.is_one_way(),
            frame: thread.who().1,
            told_by: told_by(thread, process, kind),
        };
        let around = Around {
            ticket: serving.and_then(|frame| frame.ticket.clone()),
            cancels: serving.map_or_else(Vec::new, |frame| frame.cancels().cloned().collect()),
        };
        (header, made, around)
    })
}

/// Under whose lock the making of a call into that process is told.
fn told_by(thread: &Thread, process: &Common, kind: CallKind) -> ToldBy {
    match thread.home() {
        Some(home) if !std::ptr::eq(&*home.mailbox().common, process) => ToldBy::Elsewhere,
        _ if kind.is_one_way() => ToldBy::Callee,
        Some(_) => ToldBy::Caller,
        None => ToldBy::CalleeWithWait,
    }
}

/// A deadline of one process' clock on another's: what is left of it.
pub(super) fn on_clock((clock, at): &(Clock, u64), other: &Clock) -> u64 {
    if clock.is(other) { *at } else { other.after(Duration::from_nanos(at.saturating_sub(clock.nanos()))) }
}

/// Tells of a call that goes through no mailbox, or does not get as far.
pub(super) fn made(thread: &Thread, home: &Option<Home>, making: &Making<'_>, route: Route) {
    let Making { callee, header, .. } = making;
    tell(thread, home, callee, header.call_ref(), || header.call_made(Some(callee.name.id), route));
}
