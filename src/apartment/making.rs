//! A call that is about to be made: what is known of it before it goes anywhere, and who tells of it.

use super::options::Room;
use crate::call::Ticket;
use crate::call::record::{Attempt, Job, Work};
use crate::common::Common;
use crate::describe::{CallKind, CallTarget, Caller};
use crate::diagnose::{CallRef, Route, What};
use crate::error::CallError;
use crate::filter::RetryPolicy;
use crate::id::{CallId, ChainId};
use crate::mailbox::{Header, Mailbox, ToldBy};
use crate::sync::{Arc, Clock};
use crate::thread::{CancelHandle, Frame, Home, Thread};
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
    pub(super) terms: Terms<'a>,
    /// What cancels it besides its own handle.
    pub(super) around: Around,
}

/// What cancels a call because it cancels the calls around it.
#[derive(Clone, Default)]
pub(super) struct Around {
    /// Of the call that it is made in.
    pub(super) ticket: Option<Ticket>,
    /// Of the direct calls that it is made in.
    pub(super) cancels: Vec<CancelHandle>,
}

/// A step of the caller's: of its apartment, if it is in one.
#[inline]
pub(super) fn tell(thread: &Thread, home: &Option<Home>, callee: &Mailbox, call: CallRef, what: impl FnOnce() -> What) {
    tell_caller(thread, home, &callee.common, call, what);
}

/// The same, of a call into that process.
#[inline]
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
    let (mut header, mut around) = header(thread, &callee.common, kind, target, terms.within);
    header.internal = terms.internal;
    if terms.internal {
        // It is no part of what is being served, and does not end with that.
        header.deadline = terms.within.map(|within| Clock::later(header.made, within));
        around = Around::default();
    }
    Making { callee, header, terms, around }
}

/// What a call takes over from the call that is being served.
struct Serving {
    id: CallId,
    chain: ChainId,
    depth: u32,
    /// On the callee's clock.
    deadline: Option<u64>,
    around: Around,
}

impl Serving {
    fn of(frame: &Frame, clock: &Clock) -> Option<Self> {
        Some(Self {
            id: frame.id,
            chain: frame.chain?,
            depth: frame.depth,
            deadline: frame.deadline.as_ref().map(|deadline| on_clock(deadline, clock)),
            around: Around { ticket: frame.ticket.clone(), cancels: frame.cancels().cloned().collect() },
        })
    }
}

/// Chain, depth and deadline come from the call that is being served (rules CA-1, CA-3), and so does what cancels it.
#[inline]
pub(super) fn header(
    thread: &Thread,
    process: &Common,
    kind: CallKind,
    target: CallTarget,
    within: Option<Duration>,
) -> (Header, Around) {
    let clock = &process.clock;
    let id = thread.new_call();
    let made = clock.nanos();
    let serving = thread.with_frame(|frame| frame.and_then(|frame| Serving::of(frame, clock)));
    let (caller, told_by) = thread.with_home(|home| {
        let apartment = home.map(|home| home.mailbox().name.clone());
        (Caller { thread: id.thread, apartment }, told_by(home, process, kind))
    });
    let own = within.map(|within| Clock::later(made, within));
    let mut header = Header {
        id,
        chain: ChainId(id),
        attempt: 1,
        kind,
        caller,
        target,
        from_chain: None,
        depth: 1,
        deadline: own,
        internal: false,
        sender: None,
        made,
        parent: None,
        borrows: !kind.is_one_way(),
        frame: thread.who().1,
        told_by,
    };
    let Some(serving) = serving else { return (header, Around::default()) };
    header.chain = serving.chain;
    header.depth = serving.depth.saturating_add(1);
    header.deadline = own.into_iter().chain(serving.deadline).min();
    header.parent = Some(serving.id);
    (header, serving.around)
}

/// Under whose lock the making of a call into that process is told.
pub(super) fn told_by(home: Option<&Home>, process: &Common, kind: CallKind) -> ToldBy {
    match home {
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
