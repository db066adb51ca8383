//! A call whose caller is a future (rule CK-7): polled by whoever likes, on any thread.
//!
//! It is an owned call with another waiter. What a thread does in its wait is done here, look by look, when the future is
//! polled: has the call been cancelled, or reached a time; is it settled; was it rejected, and is it to be tried again?
//! In between nothing of the caller's is anywhere but in the future. What could change an answer wakes it: a reply, a
//! rejection, a cancel by ringing its record; a time by an alarm of the callee's (`mailbox/alarm.rs`).
//!
//! The call is out for nobody's thread: it is no call that its maker's apartment has pending, and its maker waits for
//! nothing. So nothing that forbids waiting forbids it (rules CK-2 to CK-4), it is no edge of a deadlock, and a callback
//! of its chain needs room like any call.

use super::invoke::invoke;
use super::making::{Terms, made, making, tell, tell_refused};
use super::options::{AsyncOptions, Room};
use super::outgoing::{Attempted, no_filter, refused_at_once, settled, target_to};
use super::retry::ask;
use super::waker::WakerSlot;
use crate::call::record::{Load, Waiter, Why, Work};
use crate::call::{Record, Ticket};
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::{ErrorSeen, Route, What};
use crate::error::{CallError, CantCallOut, Outcome};
use crate::filter::{RejectedCall, RetryPolicy, ServerCall};
use crate::mailbox::{Body, Entry, Header, Mailbox, NoRoom, ToldBy, cancelled};
use crate::sync::{Arc, Weak};
use crate::thread::{Target, Thread, Watched};
use std::task::{Context, Poll};
use std::time::Duration;

/// A retry policy that a future takes along.
pub(crate) type SharedPolicy = Arc<dyn RetryPolicy + Send + Sync>;

pub(crate) struct AsyncCall {
    callee: Arc<Mailbox>,
    header: Header,
    ticket: Ticket,
    waker: Arc<WakerSlot>,
    work: Arc<dyn Work>,
    room: Room,
    retry: Option<SharedPolicy>,
    /// The call it was made in, and by whom that is served: it is cancelled with it.
    parent: Option<(Ticket, Weak<Mailbox>)>,
    /// With the handles that cancel it.
    watched: Vec<Watched>,
    stage: Stage,
    /// The alarm that is set.
    alarm: Option<u64>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// An attempt is with the callee; it may stand in the line for room until then.
    Sent {
        room_until: Option<u64>,
    },
    /// Rejected: tried again then.
    Rests {
        until: u64,
    },
    Over,
}

/// Makes a call without waiting for it. At home it is direct, and has run when this returns: nothing then.
pub(crate) fn invoke_async(
    callee: &Arc<Mailbox>,
    target: CallTarget,
    options: &AsyncOptions,
    work: &Arc<dyn Work>,
) -> Result<Option<AsyncCall>, CallError> {
    let AsyncOptions { within, room, retry, cancel } = options;
    let retry_here = retry.as_deref().map(|policy| policy as &dyn RetryPolicy);
    // Room and retries are what its future is about.
    let terms = Terms { within: *within, retry: retry_here, cancel: cancel.as_ref(), ..Terms::default() };
    let thread = Thread::current();
    let home = thread.home();
    let kind = CallKind::Synchronous;
    if home.as_ref().is_some_and(|home| home.is_at(callee)) {
        return invoke(callee, kind, target, terms, Load::Owned(work)).map(|()| None);
    }
    if callee.common.strict && thread.in_filter() {
        // As a post there (rule CK-4).
        let error = CallError::CantCallOut(CantCallOut::InFilter);
        tell_refused(&thread, &callee.common, &error);
        return Err(error);
    }
    let mut making = making(&thread, callee, kind, target, &terms);
    making.header.borrows = false;
    let told_by = std::mem::replace(&mut making.header.told_by, ToldBy::Callee);
    let returned = |error: &CallError| {
        let error = Some(ErrorSeen::from(error));
        tell(&thread, &home, callee, making.header.call_ref(), || What::Returned { error });
    };
    let refuse = |error| match refused_at_once(&thread, &home, &making, error) {
        Ok(()) => Ok(None),
        Err(error) => Err(*error).inspect_err(returned),
    };
    let why = making.around.ticket.as_ref().and_then(Ticket::why).or(making.past.then_some(Why::Deadline));
    if let Some(why) = why {
        return refuse(cancelled(why, Outcome::NotStarted));
    }
    let waker = WakerSlot::new(&callee.common);
    let ticket = Record::new(Waiter::Future(Arc::clone(&waker) as _)).unused().next();
    let target = || target_to(&ticket, callee, &making.header);
    let handles = making.around.cancels.iter().chain(cancel);
    let Some(watched) = handles.map(|handle| handle.watch(target())).collect() else {
        return refuse(cancelled(Why::Handle, Outcome::NotStarted));
    };
    let parent = making.around.ticket.as_ref().zip(home.as_ref());
    let parent = parent.map(|(parent, home)| (parent.clone(), Arc::downgrade(home.mailbox())));
    let mut call = AsyncCall {
        callee: Arc::clone(callee),
        header: making.header.clone(),
        ticket,
        waker,
        work: Arc::clone(work),
        room: *room,
        retry: retry.clone(),
        parent,
        watched,
        stage: Stage::Over,
        alarm: None,
    };
    if let Some((_, served_by)) = &call.parent
        && let Some(served_by) = served_by.upgrade()
    {
        served_by.future_out(call.header.chain, &call.ticket);
    }
    if told_by == ToldBy::Elsewhere {
        call.header.told_by = told_by;
        made(&thread, &home, &making, Route::Mailbox);
    }
    if let Err(error) = call.send(&thread) {
        call.over();
        tell(&thread, &home, callee, making.header.call_ref(), || What::Refused { error: (&error).into() });
        returned(&error);
        return Err(error);
    }
    call.set_alarm();
    Ok(Some(call))
}

impl AsyncCall {
    /// The call has ended: how; or whoever polls is woken when it may have.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), CallError>> {
        // Before the look.
        self.waker.set(context.waker());
        let thread = Thread::current();
        let ended = self.look(&thread);
        // A waker, or the policy, may have dropped the guard of this thread's apartment.
        thread.leave_if_due();
        ended
    }

    fn look(&mut self, thread: &Thread) -> Poll<Result<(), CallError>> {
        loop {
            self.attend(thread);
            let ended = match self.stage {
                Stage::Rests { until } => self.rests(thread, until),
                Stage::Sent { .. } => self.is_sent(thread),
                Stage::Over => crate::broken("a call that is over is looked at once more"),
            };
            match ended {
                Look::Ended(result) => {
                    self.over();
                    let result = result.and_then(|()| self.ran());
                    let home = thread.home();
                    let error = || result.as_ref().err().map(ErrorSeen::from);
                    tell(thread, &home, &self.callee, self.header.call_ref(), || What::Returned { error: error() });
                    return Poll::Ready(result);
                }
                Look::Waits => {
                    if self.set_alarm() {
                        return Poll::Pending;
                    }
                }
                Look::Again => {}
            }
        }
    }

    /// Cancels it if its deadline has passed, or the call it was made in was cancelled.
    fn attend(&mut self, thread: &Thread) {
        let past = self.header.deadline.is_some_and(|deadline| deadline <= self.callee.common.clock.nanos());
        let parent = self.parent.as_ref().and_then(|(parent, _)| parent.why());
        if let Some(why) = parent.or(past.then_some(Why::Deadline))
            && self.ticket.is_open()
        {
            self.target().ask(why, thread.who());
        }
    }

    fn target(&self) -> Target {
        target_to(&self.ticket, &self.callee, &self.header)
    }

    fn rests(&mut self, thread: &Thread, until: u64) -> Look {
        if let Some(why) = self.ticket.why() {
            return Look::Ended(Err(cancelled(why, Outcome::NotStarted)));
        }
        if until > self.callee.common.clock.nanos() && !self.callee.has_ended() {
            return Look::Waits;
        }
        self.again(thread)
    }

    fn again(&mut self, thread: &Thread) -> Look {
        self.header.attempt += 1;
        match self.send(thread) {
            Ok(()) => Look::Again,
            Err(error) => self.is_refused(thread, error),
        }
    }

    /// It reached no queue.
    fn is_refused(&self, thread: &Thread, error: CallError) -> Look {
        let seen = || What::Refused { error: (&error).into() };
        tell(thread, &thread.home(), &self.callee, self.header.call_ref(), seen);
        Look::Ended(Err(error))
    }

    /// One attempt.
    fn send(&mut self, thread: &Thread) -> Result<(), CallError> {
        let callee = &self.callee;
        let (no_room, room_until) = match self.room {
            Room::Refuse => (NoRoom::Refuse, None),
            Room::Wait => (NoRoom::Wait, None),
            Room::Within(time) => (NoRoom::Wait, Some(callee.common.clock.after(time))),
        };
        self.stage = Stage::Sent { room_until };
        let mut entry = Entry::new(self.header.clone(), Body::Call(self.ticket.give(Arc::clone(&self.work))));
        // A later attempt comes later than the call was made.
        entry.since = entry.since.max(callee.common.clock.roughly());
        thread.sends(callee, entry, no_room).map(drop).map_err(|refused| refused.withdraw())
    }

    fn is_sent(&mut self, thread: &Thread) -> Look {
        if let Stage::Sent { room_until: Some(until) } = self.stage
            && until <= self.callee.common.clock.nanos()
        {
            self.stage = Stage::Sent { room_until: None };
            let unsent = self.callee.leave_line(&self.ticket);
            drop(unsent);
        }
        self.ticket.leave_if_cancelled();
        match settled(&self.callee, &self.ticket) {
            None => Look::Waits,
            Some(Attempted::Ended(result)) => Look::Ended(result.map_err(|error| *error)),
            Some(Attempted::NoRoom) => self.is_refused(thread, self.callee.mailbox_full()),
            Some(Attempted::Rejected(rejected, error)) => self.is_rejected(thread, rejected, error.map(|error| *error)),
        }
    }

    /// Its own policy is asked, for a future has no filter (rule MF-6); on the thread that polls.
    fn is_rejected(&mut self, thread: &Thread, rejected: ServerCall, error: Option<CallError>) -> Look {
        let Self { callee, header, .. } = self;
        let Some(policy) = self.retry.clone() else {
            return Look::Ended(Err(error.unwrap_or_else(|| no_filter(callee, rejected))));
        };
        let elapsed = Duration::from_nanos(callee.common.clock.nanos().saturating_sub(header.made));
        let (target, attempts) = (header.target, header.attempt);
        let question =
            RejectedCall { call: header.id, callee: callee.name.clone(), target, elapsed, rejected, attempts };
        let answer = ask(thread, callee, || policy.retry_rejected(&question));
        let until = answer.delay().map(|delay| callee.common.clock.after(delay));
        tell(thread, &thread.home(), callee, header.call_ref(), || What::RetryAsked {
            rejected,
            elapsed,
            answer,
            own_policy: true,
        });
        match until {
            None => Look::Ended(Err(CallError::CallRejected { callee: callee.name.clone() })),
            Some(until) => {
                self.stage = Stage::Rests { until };
                Look::Again
            }
        }
    }

    /// The earliest time at which it has to look by itself. False if it has to look now.
    fn set_alarm(&mut self) -> bool {
        let deadline = self.header.deadline.filter(|_| self.ticket.is_open());
        let own = match self.stage {
            Stage::Sent { room_until } => room_until,
            Stage::Rests { until } => Some(until),
            Stage::Over => None,
        };
        let at = deadline.into_iter().chain(own).min();
        if at == self.alarm {
            return true;
        }
        self.alarm = at;
        match at {
            // An apartment that has ended has answered, or is about to; and what rests is with nobody.
            Some(at) => self.callee.set_alarm(&self.ticket, at),
            None => {
                self.callee.clear_alarm(&self.ticket);
                true
            }
        }
    }

    /// What came of a call that is done.
    fn ran(&self) -> Result<(), CallError> {
        match self.work.ran() {
            Some(None) => Ok(()),
            Some(Some(message)) => Err(CallError::ServerFault { target: self.header.target, message }),
            None => Err(CallError::ServerDied { callee: self.callee.name.clone() }),
        }
    }

    /// Nobody waits for it any more, and nothing is to be told of it.
    fn over(&mut self) {
        self.stage = Stage::Over;
        self.watched.clear();
        if self.alarm.take().is_some() {
            self.callee.clear_alarm(&self.ticket);
        }
        if let Some((_, served_by)) = self.parent.take()
            && let Some(served_by) = served_by.upgrade()
        {
            served_by.future_back(&self.ticket);
        }
        if let Some(policy) = self.retry.take() {
            self.waker.contain("a retry policy's destructor", || drop(policy));
        }
        self.waker.clear();
    }
}

/// What came of a look.
enum Look {
    Ended(Result<(), CallError>),
    Waits,
    Again,
}

impl Drop for AsyncCall {
    /// Never waits. What has not started is taken back; what runs goes on alone.
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            let thread = Thread::current();
            self.callee.abandon(&self.ticket, self.header.call_ref(), thread.who());
            self.over();
            thread.leave_if_due();
        }
    }
}
