//! A call that is about to be made: what is known of it before it goes anywhere, and who tells of it.

use super::options::Room;
use crate::call::Ticket;
use crate::common::Common;
use crate::describe::{CallKind, CallTarget, Caller};
use crate::diagnose::{CallRef, Route, What};
use crate::error::CallError;
use crate::filter::RetryPolicy;
use crate::id::{CallId, ChainId};
use crate::mailbox::{Header, Mailbox, ToldBy};
use crate::sync::{Arc, Clock};
use crate::thread::{CancelHandle, Frame, Home, Thread};
use std::time::Duration;

/// What a caller said about its call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) within: Option<Duration>,
    pub(crate) room: Room,
    pub(crate) retry: Option<&'a dyn RetryPolicy>,
    pub(crate) cancel: Option<&'a CancelHandle>,
    /// The library's own question to an apartment: no filter is asked.
    pub(crate) internal: bool,
}

/// A call that is about to be made.
pub(super) struct Making<'a> {
    pub(super) callee: &'a Arc<Mailbox>,
    pub(super) header: Header,
    pub(super) terms: &'a Terms<'a>,
    /// Whether it is past its deadline already.
    pub(super) past: bool,
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

#[inline]
pub(super) fn making<'a>(
    thread: &Thread,
    callee: &'a Arc<Mailbox>,
    kind: CallKind,
    target: CallTarget,
    terms: &'a Terms<'a>,
) -> Making<'a> {
    let process = &*callee.common;
    let exact = terms.retry.is_some() || thread.counts_exactly(callee);
    let mut start = Start::new(thread, process, terms.within, exact);
    if terms.internal {
        // It is no part of what is being served, and does not end with that.
        (start.deadline, start.around) = (Start::own(terms.within, &process.clock), Around::default());
        start.past = terms.within.is_some_and(|within| within.is_zero());
    }
    let header = Header { internal: terms.internal, ..start.header(thread, process, kind, target) };
    Making { callee, header, terms, past: start.past, around: start.around }
}

/// Where and when a call begins: chain, depth and deadline come from the call that is being served (rules CA-1, CA-3), and so
/// does what cancels it.
pub(super) struct Start {
    id: CallId,
    /// On the callee's clock, as all times here are.
    made: u64,
    chain: ChainId,
    depth: u32,
    parent: Option<CallId>,
    deadline: Option<u64>,
    past: bool,
    pub(super) around: Around,
}

impl Start {
    #[inline]
    pub(super) fn new(thread: &Thread, process: &Common, within: Option<Duration>, exact: bool) -> Self {
        let made = if exact { process.clock.nanos() } else { process.clock.roughly() };
        let id = thread.new_call();
        let (chain, around) = (ChainId(id), Around::default());
        let mut start = Self { id, made, chain, depth: 1, parent: None, deadline: None, past: false, around };
        start.deadline = Self::own(within, &process.clock);
        start.past = within.is_some_and(|within| within.is_zero());
        thread.with_frame(|serving| {
            if let Some(serving) = serving {
                start.joins(serving, &process.clock);
            }
        });
        start
    }

    fn own(within: Option<Duration>, clock: &Clock) -> Option<u64> {
        within.map(|within| clock.after(within))
    }

    /// It is made in what is being served; messages and destructors are of no chain.
    fn joins(&mut self, serving: &Frame, clock: &Clock) {
        let Some(chain) = serving.chain else { return };
        self.chain = chain;
        self.depth = serving.depth.saturating_add(1);
        self.parent = Some(serving.id);
        let inherited = serving.deadline.as_ref().map(|deadline| on_clock(deadline, clock));
        self.deadline = self.deadline.into_iter().chain(inherited).min();
        self.past |= inherited.is_some_and(|inherited| inherited <= clock.nanos());
        self.around = Around { ticket: serving.ticket.clone(), cancels: serving.cancels().cloned().collect() };
    }

    #[inline]
    pub(super) fn header(&self, thread: &Thread, process: &Common, kind: CallKind, target: CallTarget) -> Header {
        let Self { chain, depth, deadline, parent, .. } = *self;
        Header { chain, depth, deadline, parent, ..header(thread, process, self.id, self.made, kind, target) }
    }
}

/// The header of a call that begins a chain of its own, and ends by itself alone.
#[inline(always)]
fn header(thread: &Thread, process: &Common, id: CallId, made: u64, kind: CallKind, target: CallTarget) -> Header {
    let (apartment, told_by) =
        thread.with_home(|home| (home.map(|home| home.mailbox().name.clone()), told_by(home, process, kind)));
    Header {
        id,
        chain: ChainId(id),
        attempt: 1,
        kind,
        caller: Caller { thread: id.thread, apartment },
        target,
        from_chain: None,
        depth: 1,
        deadline: None,
        internal: false,
        sender: None,
        made,
        parent: None,
        borrows: !kind.is_one_way(),
        frame: thread.who().1,
        told_by,
    }
}

/// The header of a one-way call: that begins a chain of its own and inherits neither deadline nor cancelling (rule CA-1).
#[inline(always)]
pub(super) fn one_way(thread: &Thread, process: &Common, target: CallTarget) -> Header {
    let (id, made) = (thread.new_call(), process.clock.roughly());
    let served = thread.with_frame(|frame| frame.and_then(|frame| Some((frame.id, frame.chain?))));
    let (parent, from_chain) = served.unzip();
    Header { parent, from_chain, ..header(thread, process, id, made, CallKind::OneWay, target) }
}

/// Under whose lock the making of a call into that process is told.
fn told_by(home: Option<&Home>, process: &Common, kind: CallKind) -> ToldBy {
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
