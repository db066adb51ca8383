//! A call that is about to be made: what is known of it before it goes anywhere, and who tells of it.

use super::options::Room;
use crate::call::Ticket;
use crate::common::Common;
use crate::describe::{CallKind, CallTarget, Caller};
use crate::diagnose::{CallRef, Route, What};
use crate::error::CallError;
use crate::filter::RetryPolicy;
use crate::id::ChainId;
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
    /// The library's own question to an apartment: no filter is asked, and every thread may make it input-synchronized.
    pub(crate) internal: bool,
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
    let mut making =
        Making { callee, header: header(thread, &callee.common, kind, target), terms, around: Around::default() };
    let header = &mut making.header;
    let own = terms.within.map(|within| Clock::later(header.made, within));
    header.deadline = own;
    making.around = thread.with_frame(|frame| join(header, frame, &callee.common.clock));
    if terms.internal {
        // It is no part of what is being served, and does not end with that.
        (header.internal, header.deadline) = (true, own);
        making.around = Around::default();
    }
    making
}

/// A call as a thread makes it that serves nothing.
#[inline]
pub(super) fn header(thread: &Thread, process: &Common, kind: CallKind, target: CallTarget) -> Header {
    let id = thread.new_call();
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
        made: process.clock.nanos(),
        parent: None,
        borrows: !kind.is_one_way(),
        frame: thread.who().1,
        told_by,
    }
}

/// Chain, depth and deadline come from the call that is being served (rules CA-1, CA-3), and so does what cancels it.
#[inline]
pub(super) fn join(header: &mut Header, serving: Option<&Frame>, clock: &Clock) -> Around {
    match serving {
        Some(frame) => frame.chain.map(|chain| join_chain(header, frame, chain, clock)).unwrap_or_default(),
        None => Around::default(),
    }
}

fn join_chain(header: &mut Header, serving: &Frame, chain: ChainId, clock: &Clock) -> Around {
    header.chain = chain;
    header.depth = serving.depth.saturating_add(1);
    header.parent = Some(serving.id);
    let inherited = serving.deadline.as_ref().map(|deadline| on_clock(deadline, clock));
    header.deadline = header.deadline.into_iter().chain(inherited).min();
    Around { ticket: serving.ticket.clone(), cancels: serving.cancels().cloned().collect() }
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
