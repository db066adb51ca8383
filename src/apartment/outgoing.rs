//! A call to another apartment: attempts, until it has run, failed, or been given up.

use super::ban::ban;
use super::making::{Making, made, tell};
use super::options::Room;
use super::retry::{Again, ask_again};
use super::serve::Situation;
use super::wait::{serves, wait_for_call};
use crate::call::record::{Attempt, Load, Look, Why};
use crate::call::{Ticket, Verdict};
use crate::diagnose::{CallRef, Route, WaitEnd, WaitFor, What};
use crate::error::{CallError, Outcome};
use crate::filter::ServerCall;
use crate::mailbox::{Body, Entry, Header, Mailbox, NoRoom, Out, cancelled};
use crate::sync::Arc;
use crate::thread::{CancelHandle, Home, Outgoing, Target, Thread, Watched};
use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

/// What came of a call; boxed, for it comes up several frames, and is seldom an error.
pub(super) type Answer = Result<(), Box<CallError>>;

pub(super) fn call_out(thread: &Rc<Thread>, home: &Option<Home>, making: &Making<'_>, load: Load<'_>) -> Answer {
    if let Some(why) = ban(thread, home, making) {
        return refused_at_once(thread, home, making, CallError::CantCallOut(why));
    }
    if let Err(error) = thread.may_block() {
        return refused(thread, home, making, error);
    }
    let why = making.around.ticket.as_ref().and_then(Ticket::why).or(making.past.then_some(Why::Deadline));
    if let Some(why) = why {
        return refused_at_once(thread, home, making, cancelled(why, Outcome::NotStarted));
    }
    // Job and result stay in the caller's frame; what comes of a run is told here, across the callee's last step.
    let mut ran = None;
    let mut job;
    let (load, owned) = match load {
        Load::Lent(lent) => {
            job = |object: &dyn Any| {
                let attempt = lent(object);
                if let Attempt::Ran(panicked) = &attempt {
                    ran = Some(panicked.clone());
                }
                attempt
            };
            (Load::Lent(&mut job), None)
        }
        Load::Owned(work) => (Load::Owned(work), Some(work)),
    };
    thread.with_ticket(|ticket| go_out(thread, home, making, ticket, load))?;
    let ran = owned.map_or(ran, |work| work.ran());
    match ran {
        Some(None) => Ok(()),
        Some(Some(message)) => Err(CallError::ServerFault { target: making.header.target, message }.into()),
        // Answered, and not run: the callee's own frames unwound.
        None => Err(CallError::ServerDied { callee: making.callee.name.clone() }.into()),
    }
}

/// It is made, and that is all.
pub(super) fn refused_at_once(thread: &Thread, home: &Option<Home>, making: &Making<'_>, error: CallError) -> Answer {
    made(thread, home, making, Route::Mailbox);
    refused(thread, home, making, error)
}

/// Nothing of it reaches a queue.
fn refused(thread: &Thread, home: &Option<Home>, making: &Making<'_>, error: CallError) -> Answer {
    tell(thread, home, making.callee, making.header.call_ref(), || What::Refused { error: (&error).into() });
    Err(error.into())
}

/// Attempts the call until it has run, failed, or been given up.
fn go_out(
    thread: &Rc<Thread>,
    home: &Option<Home>,
    making: &Making<'_>,
    ticket: &Ticket,
    mut load: Load<'_>,
) -> Answer {
    let callee = making.callee;
    let Some(_watched) = Watching::begin(making, ticket) else {
        return refused_at_once(thread, home, making, cancelled(Why::Handle, Outcome::NotStarted));
    };
    // A callee that may sleep through a wake is woken again by the clock.
    let timed = making.header.deadline.is_some() || callee.is_adopted();
    let _deadline = timed.then(|| callee.common.clock.watch(thread.bell()));
    let out = OutCall::begin(thread, home, making, ticket);
    let mut attempts = 1;
    let result = loop {
        match attempt(thread, home, making, attempts, out.place, ticket, &mut load) {
            Attempted::Ended(result) => break result,
            Attempted::NoRoom => break refused(thread, home, making, callee.mailbox_full()),
            Attempted::Rejected(rejected, error) => {
                match ask_again(thread, home, making, attempts, rejected, out.place, ticket) {
                    Again::Now => attempts += 1,
                    Again::GivenUp => break Err(CallError::CallRejected { callee: callee.name.clone() }.into()),
                    Again::NobodyToAsk => break Err(error.unwrap_or_else(|| no_filter(callee, rejected).into())),
                    Again::Cancelled(why) => break Err(cancelled(why, Outcome::NotStarted).into()),
                }
            }
        }
    };
    out.end(thread, home, making, result.as_ref().err().map(|error| &**error));
    result
}

/// A rejected caller that has nobody to ask (rule MF-5).
pub(super) fn no_filter(callee: &Mailbox, rejected: ServerCall) -> CallError {
    let callee = callee.name.clone();
    match rejected {
        ServerCall::RetryLater => CallError::RetryLater { callee },
        _ => CallError::CallRejected { callee },
    }
}

/// The handles that cancel a call know it for as long as this lives: its own, and those of the direct calls around it.
struct Watching {
    _own: Option<Watched>,
    _around: Vec<Watched>,
}

impl Watching {
    /// None if it is cancelled already.
    fn begin(making: &Making<'_>, ticket: &Ticket) -> Option<Self> {
        let Making { callee, header, terms, around, .. } = making;
        let watch = |handle: &CancelHandle| handle.watch(target_to(ticket, callee, header));
        let _own = match terms.cancel {
            Some(handle) => Some(watch(handle)?),
            None => None,
        };
        let _around = match &around.cancels[..] {
            [] => Vec::new(),
            handles => handles.iter().map(watch).collect::<Option<_>>()?,
        };
        Some(Self { _own, _around })
    }
}

/// The call is out: its chain may call back without needing room, filters are told, a pool thread counts as blocked.
struct OutCall {
    /// Its place among those that the thread has out.
    place: usize,
    /// Whether a thread of the pool blocks by this: one that is in another wait does so already.
    blocks: bool,
}

impl OutCall {
    fn begin(thread: &Thread, home: &Option<Home>, making: &Making<'_>, ticket: &Ticket) -> Self {
        let Making { callee, header, terms, around, .. } = making;
        let place = thread.push_outgoing(|| Outgoing {
            id: header.id,
            chain: header.chain,
            kind: header.kind,
            target: header.target,
            attempt: header.attempt,
            ticket: ticket.clone(),
            callee: Arc::clone(callee),
            made: header.made,
            deadline: header.deadline,
            waits_for_room: terms.room != Room::Refuse,
            room_until: None,
            parent: around.ticket.clone(),
        });
        // One by a thread in no apartment is told as it comes in at its callee.
        let Some(home) = home else { return Self { place, blocks: false } };
        // A call below it may not wait yet: a waker that it has rung on its way out may call, too.
        let blocks = home.is_pool_thread() && place == 0 && thread.waits_open() == 0;
        // On its own apartment's clock, whose filter is told the time since.
        let clock = &home.mailbox().common.clock;
        let out = Out {
            call: header.call_ref(),
            who: header.who(),
            kind: header.kind,
            target: header.target,
            parent: header.parent,
            deadline: header.deadline,
            borrows: header.borrows,
            made: if clock.is(&callee.common.clock) { header.made } else { clock.nanos() },
            bell: Arc::clone(thread.bell()),
            callee: Arc::clone(callee),
            on: WaitFor::Reply,
            until: header.deadline,
            serves: serves(thread, Some(home), Situation::Call(place)),
        };
        home.mailbox().out_began(out, blocks);
        Self { place, blocks }
    }

    fn end(self, thread: &Thread, home: &Option<Home>, making: &Making<'_>, error: Option<&CallError>) {
        thread.pop_outgoing();
        let by = || match error {
            Some(CallError::TimedOut { .. }) => WaitEnd::TimedOut,
            Some(CallError::CallCanceled { .. }) => WaitEnd::Cancelled,
            Some(CallError::ServerFault { .. }) | None => WaitEnd::Done,
            Some(CallError::Deadlock(_)) => WaitEnd::Deadlock,
            Some(_) => WaitEnd::Rejected,
        };
        let (call, event) = (making.header.call_ref(), || What::WaitEnded { by: by() });
        match home {
            Some(home) => home.mailbox().out_ended(call, self.blocks, thread.who(), thread.depth(), event),
            None => tell(thread, &None, making.callee, call, event),
        }
    }
}

pub(super) enum Attempted {
    Ended(Answer),
    /// It left the line for room.
    NoRoom,
    /// With the error to report if it cannot be tried again, where the rejection has one of its own.
    Rejected(ServerCall, Option<Box<CallError>>),
}

/// One attempt: hand the errand over, wait until it is settled.
fn attempt(
    thread: &Rc<Thread>,
    home: &Option<Home>,
    making: &Making<'_>,
    attempts: u32,
    place: usize,
    ticket: &Ticket,
    load: &mut Load<'_>,
) -> Attempted {
    let Making { callee, header, terms, .. } = making;
    let no_room = if terms.room == Room::Refuse { NoRoom::Refuse } else { NoRoom::Wait };
    let until = room_until(callee, terms.room);
    let _room = until.map(|_| callee.common.clock.watch(thread.bell()));
    if until.is_some() || attempts > 1 {
        thread.attempts(place, attempts, until);
    }
    let leaves = !load.is_lent();
    let attend = |errand| {
        let mut entry = Entry::new(header.clone(), Body::Call(errand));
        if attempts > 1 {
            entry.header.attempt = attempts;
            entry.since = callee.common.clock.roughly();
        }
        let in_line = thread.sends(callee, entry, no_room).map_err(|refused| refused.withdraw())?;
        let mut line = in_line.then(|| Line { thread, home, making, attempts, ticket, until, waits: false });
        // What lends nothing need not wait for the callee to let go, if it is cancelled.
        wait_for_call(thread, place, || {
            line.take_if(|line| line.is_left());
            ticket.is_settled() || (leaves && ticket.leave_if_cancelled())
        });
        Ok(())
    };
    let accepted = ticket.hand_over(load, attend);
    if let Err(error) = accepted {
        return Attempted::Ended(refused(thread, home, making, error));
    }
    settled(callee, ticket).unwrap_or_else(|| crate::broken("a wait ended before its call was settled"))
}

/// What has become of an attempt; nothing if it is not settled.
pub(super) fn settled(callee: &Mailbox, ticket: &Ticket) -> Option<Attempted> {
    Some(match ticket.look() {
        (Look::Pending, _) => return None,
        (Look::Done, None) => Attempted::Ended(Ok(())),
        (Look::Done | Look::Detached, Some(why)) => Attempted::Ended(Err(cancelled(why, Outcome::MayHaveRun).into())),
        (Look::Detached, None) => crate::broken("a call that nobody waits for is looked at"),
        (Look::Revoked | Look::Rejected, Some(why)) => {
            drop(ticket.take_verdict());
            Attempted::Ended(Err(cancelled(why, Outcome::NotStarted).into()))
        }
        // Nobody cancelled it.
        (Look::Revoked, None) => Attempted::NoRoom,
        (Look::Rejected, None) => match ticket.take_verdict() {
            Some(Verdict::Refused(answer)) => Attempted::Rejected(answer, None),
            Some(Verdict::Busy(busy)) if busy.retryable => {
                Attempted::Rejected(ServerCall::RetryLater, Some(CallError::Reentrant(busy).into()))
            }
            Some(Verdict::Busy(busy)) => Attempted::Ended(Err(CallError::Reentrant(busy).into())),
            Some(Verdict::Failed(error)) => Attempted::Ended(Err(error.into())),
            None => Attempted::Ended(Err(CallError::ServerDiedDne { callee: callee.name.clone() }.into())),
        },
    })
}

/// A call as whoever cancels it finds it.
pub(super) fn target_to(ticket: &Ticket, callee: &Arc<Mailbox>, header: &Header) -> Target {
    Target { ticket: ticket.clone(), callee: Arc::clone(callee), call: header.call_ref() }
}

/// When the wait for room ends by itself, on the callee's clock.
fn room_until(callee: &Mailbox, room: Room) -> Option<u64> {
    match room {
        Room::Within(time) => Some(callee.common.clock.after(time)),
        Room::Refuse | Room::Wait => None,
    }
}

/// The wait for a call that is out goes on, for another reason.
pub(super) fn turned(
    thread: &Thread,
    home: &Option<Home>,
    callee: &Mailbox,
    call: CallRef,
    on: WaitFor,
    until: Option<u64>,
) {
    match home {
        Some(home) => home.mailbox().out_turned(thread.who(), call, on, until),
        None => {
            let until = until.map(Duration::from_nanos);
            callee.common.tell(thread.who(), Some(call), || What::WaitTurned { on, until });
        }
    }
}

/// A caller that may be waiting for room.
struct Line<'a> {
    thread: &'a Thread,
    home: &'a Option<Home>,
    making: &'a Making<'a>,
    attempts: u32,
    ticket: &'a Ticket,
    until: Option<u64>,
    /// Whether it has been told that the wait is for room.
    waits: bool,
}

impl Line<'_> {
    /// Whether it does not stand in the line any more. Says when the wait turns from one for a reply into one for room, and
    /// back.
    fn is_left(&mut self) -> bool {
        let waits = self.making.callee.waits_for_room(self.ticket);
        if waits != self.waits {
            self.waits = waits;
            let (on, until) = match waits {
                true => (WaitFor::Room, self.until),
                false => (WaitFor::Reply, self.making.header.deadline),
            };
            let call = CallRef { attempt: self.attempts, ..self.making.header.call_ref() };
            turned(self.thread, self.home, self.making.callee, call, on, until);
        }
        !waits
    }
}
