//! Making a call: directly at home, through the callee's mailbox from everywhere else; asking what to do when it is
//! rejected; and making a post.

use super::entered::leave_if_due;
use super::options::Room;
use super::serve::{Situation, busy_directly, target_of};
use super::wait::{serve_some, serves, wait};
use crate::call::record::{Attempt, Job, Look, Why};
use crate::call::{Ticket, Verdict};
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::{CallMade, CallRef, ErrorSeen, Route, WaitEnd, WaitFor, What};
use crate::error::{CallError, CantCallOut, Outcome};
use crate::filter::{RejectedCall, Retry, RetryPolicy, ServerCall};
use crate::id::ChainId;
use crate::mailbox::{Body, Closure, Entry, Header, Mailbox, NoRoom, Out, cancelled};
use crate::sync::{Arc, Clock, yield_now};
use crate::thread::{Borrow, CancelHandle, Frame, Home, Outgoing, Thread, panic_message};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// What a caller said about its call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) within: Option<Duration>,
    pub(crate) room: Room,
    pub(crate) retry: Option<&'a dyn RetryPolicy>,
    pub(crate) cancel: Option<&'a CancelHandle>,
}

/// A call that is about to be made.
struct Making<'a> {
    callee: &'a Arc<Mailbox>,
    header: Header,
    /// When it was made, on the callee's clock.
    made: u64,
    terms: Terms<'a>,
    /// The call it is made in.
    parent: Option<Ticket>,
}

/// Makes a call and waits for it: an STA pumps, every other thread blocks. At home it is direct and waits for nothing.
/// `Ok` means that `job` has run to its end; it tells itself what came of it.
pub(crate) fn invoke(
    callee: &Arc<Mailbox>,
    kind: CallKind,
    target: CallTarget,
    terms: Terms<'_>,
    job: &mut Job<'_>,
) -> Result<(), CallError> {
    let thread = Thread::current();
    let home = thread.home();
    let direct = home.as_ref().is_some_and(|home| home.is_at(callee));
    // A thread in no apartment counts as one of the MTA's (rule AP-5): it calls the MTA's objects itself.
    let visit = if home.is_none() && !callee.is_sta() { Visit::begin(&thread, callee)? } else { None };
    let making = making(&thread, callee, kind, target, terms);
    let route = if direct || visit.is_some() { Route::Direct } else { Route::Mailbox };
    made(&thread, &home, &making, route);
    let result = match route {
        Route::Direct => call_directly(&thread, &making, job),
        Route::Mailbox => call_out(&thread, &home, &making, job),
    };
    let call = making.header.call_ref();
    tell(&thread, &home, callee, call, || What::Returned { error: result.as_ref().err().map(ErrorSeen::from) });
    drop(visit);
    leave_if_due(&thread);
    result
}

/// A step of the caller's: of its apartment, if it is in one.
fn tell(thread: &Thread, home: &Option<Home>, callee: &Mailbox, call: CallRef, what: impl FnOnce() -> What) {
    match home {
        Some(home) => home.mailbox().tell(thread.who(), Some(call), what),
        None if callee.recorder.is_on() => callee.recorder.push(None, thread.who(), Some(call), what()),
        None => {}
    }
}

/// Chain, depth and deadline come from the call that is being served (rules CA-1, CA-3).
fn making<'a>(
    thread: &Thread,
    callee: &'a Arc<Mailbox>,
    kind: CallKind,
    target: CallTarget,
    terms: Terms<'a>,
) -> Making<'a> {
    let id = thread.new_call();
    let made = callee.clock.nanos();
    let own = terms.within.map(|within| callee.clock.after(within));
    thread.with_frame(|frame| {
        let serving = frame.filter(|frame| frame.chain.is_some());
        let chain = serving.and_then(|frame| frame.chain).unwrap_or(ChainId(id));
        let inherited =
            serving.and_then(|frame| frame.deadline.as_ref()).map(|deadline| on_clock(deadline, &callee.clock));
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
        };
        let parent = serving.and_then(|frame| frame.ticket.clone());
        Making { callee, header, made, terms, parent }
    })
}

/// A deadline of one process' clock on another's: what is left of it.
fn on_clock((clock, at): &(Clock, u64), other: &Clock) -> u64 {
    if clock.is(other) { *at } else { other.after(Duration::from_nanos(at.saturating_sub(clock.nanos()))) }
}

fn made(thread: &Thread, home: &Option<Home>, making: &Making<'_>, route: Route) {
    let header = &making.header;
    tell(thread, home, making.callee, header.call_ref(), || {
        What::CallMade(Box::new(CallMade {
            kind: header.kind,
            route,
            from: header.caller.apartment.as_ref().map(|name| name.id),
            to: making.callee.name.id,
            parent: thread.with_frame(|frame| frame.and_then(|frame| frame.chain.map(|_| frame.id))),
            from_chain: header.from_chain,
            target: header.target,
            deadline: header.deadline.map(Duration::from_nanos),
            borrows: !header.kind.is_one_way(),
        }))
    });
}

// ---- at home

/// A thread in no apartment is in the MTA for as long as this lives.
struct Visit {
    thread: Rc<Thread>,
    callee: Arc<Mailbox>,
}

impl Visit {
    fn begin(thread: &Rc<Thread>, callee: &Arc<Mailbox>) -> Result<Option<Self>, CallError> {
        if !callee.use_begins() {
            return Err(callee.disconnected(callee.door(), None));
        }
        thread.set_home(Some(Home::Mta(thread.visitor(callee))));
        let entered = || What::ThreadEntered { name: Arc::clone(&callee.name.name), implicit: true };
        callee.tell(thread.who(), None, entered);
        Ok(Some(Self { thread: Rc::clone(thread), callee: Arc::clone(callee) }))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.callee.tell(self.thread.who(), None, || What::ThreadLeft);
        self.thread.set_home(None);
        self.callee.use_ends(self.thread.who());
    }
}

/// Direct: no queue, no filter, no other thread (rule DI-2).
fn call_directly(thread: &Rc<Thread>, making: &Making<'_>, job: &mut Job<'_>) -> Result<(), CallError> {
    let Making { callee, header, terms, .. } = making;
    let id = header.target.object;
    let frame = Frame {
        id: header.id,
        chain: Some(header.chain),
        from_chain: None,
        depth: header.depth,
        kind: header.kind,
        caller: header.caller.clone(),
        target: header.target,
        deadline: header.deadline.map(|at| (callee.clock.clone(), at)),
        ticket: making.parent.clone(),
        cancel: terms.cancel.cloned(),
        borrow: Cell::new(Borrow::Nothing),
    };
    if let Some(why) = frame.cancelled() {
        return Err(cancelled(why, Outcome::NotStarted));
    }
    let own = id.and_then(|id| thread.sta().and_then(|home| home.object(id)));
    let shared = id.and_then(|id| callee.shared(id));
    let target: &dyn Any = match (&own, &shared, id) {
        (Some(own), ..) => &**own,
        (_, Some(shared), _) => &**shared,
        (None, None, None) => &(),
        (None, None, Some(_)) => return Err(callee.object_gone(id)),
    };
    let call = header.call_ref();
    callee.tell(thread.who(), Some(call), || What::Began { call_type: None, queued: 0 });
    let opened = thread.opened();
    thread.push_frame(frame);
    let attempt = job(target);
    let why = thread.with_frame(|frame| frame.and_then(Frame::cancelled));
    thread.pop_frame();
    drop(opened);
    let result = match attempt {
        Attempt::Busy => Err(busy_directly(thread, id, header.chain)),
        Attempt::Ran(panicked) => {
            let fault = panicked.clone();
            callee.tell(thread.who(), Some(call), || What::Ended { panicked });
            match (why, fault) {
                (Some(why), _) => Err(cancelled(why, Outcome::MayHaveRun)),
                (None, Some(message)) => Err(CallError::ServerFault { target: header.target, message }),
                (None, None) => Ok(()),
            }
        }
    };
    if let Some(own) = own {
        thread.drop_object(own);
    }
    if let Some(shared) = shared {
        crate::thread::contain(callee, thread, "a destructor", || drop(shared));
    }
    result
}

// ---- to another apartment

fn call_out(thread: &Rc<Thread>, home: &Option<Home>, making: &Making<'_>, job: &mut Job<'_>) -> Result<(), CallError> {
    if thread.in_filter() {
        return refused(thread, home, making, CallError::CantCallOut(CantCallOut::InFilter));
    }
    let past = making.header.deadline.is_some_and(|deadline| deadline <= making.made);
    let why = making.parent.as_ref().and_then(Ticket::why).or(past.then_some(Why::Deadline));
    if let Some(why) = why {
        return refused(thread, home, making, cancelled(why, Outcome::NotStarted));
    }
    // Job and result stay in this frame; what comes of a run is told here, across the callee's last step.
    let mut ran = None;
    let mut job = |object: &dyn Any| {
        let attempt = job(object);
        if let Attempt::Ran(panicked) = &attempt {
            ran = Some(panicked.clone());
        }
        attempt
    };
    let settled = thread.with_ticket(|ticket| go_out(thread, home, making, ticket, &mut job));
    settled?;
    match ran {
        Some(None) => Ok(()),
        Some(Some(message)) => Err(CallError::ServerFault { target: making.header.target, message }),
        // Answered, and not run: the callee's own frames unwound.
        None => Err(CallError::ServerDied { callee: making.callee.name.clone() }),
    }
}

fn refused(thread: &Thread, home: &Option<Home>, making: &Making<'_>, error: CallError) -> Result<(), CallError> {
    tell(thread, home, making.callee, making.header.call_ref(), || What::Refused { error: (&error).into() });
    Err(error)
}

/// Attempts the call until it has run, failed, or been given up.
fn go_out(
    thread: &Rc<Thread>,
    home: &Option<Home>,
    making: &Making<'_>,
    ticket: &Ticket,
    job: &mut Job<'_>,
) -> Result<(), CallError> {
    let Making { callee, header, made, terms, parent } = making;
    let outgoing = Outgoing {
        id: header.id,
        chain: header.chain,
        attempt: header.attempt,
        ticket: ticket.clone(),
        callee: Arc::clone(callee),
        made: *made,
        deadline: header.deadline,
        parent: parent.clone(),
    };
    let watched = terms.cancel.map(|handle| handle.watch(target_of(&outgoing)));
    if matches!(watched, Some(None)) {
        return refused(thread, home, making, cancelled(Why::Handle, Outcome::NotStarted));
    }
    let _deadline = header.deadline.map(|_| callee.clock.watch(thread.bell()));
    let place = thread.with_outgoing(<[Outgoing]>::len);
    thread.push_outgoing(outgoing);
    let out = OutCall::begin(thread, home, making, place);
    let mut header = header.clone();
    let result = loop {
        match attempt(thread, home, making, &header, place, ticket, job) {
            Attempted::Ended(result) => break result,
            Attempted::Rejected(rejected, error) => {
                match ask_again(thread, home, making, header.attempt, rejected, place, ticket) {
                    Again::Now => header.attempt += 1,
                    Again::GivenUp => {
                        break Err(match error {
                            Some(busy) => busy,
                            None => CallError::CallRejected { callee: callee.name.clone() },
                        });
                    }
                    Again::NobodyToAsk => {
                        break Err(error.unwrap_or_else(|| no_filter(callee, rejected)));
                    }
                    Again::Cancelled(why) => break Err(cancelled(why, Outcome::NotStarted)),
                }
            }
        }
    };
    out.end(result.as_ref().err());
    result
}

/// A rejected caller that has nobody to ask (rule MF-5).
fn no_filter(callee: &Mailbox, rejected: ServerCall) -> CallError {
    let callee = callee.name.clone();
    match rejected {
        ServerCall::RetryLater => CallError::RetryLater { callee },
        _ => CallError::CallRejected { callee },
    }
}

/// The call is out: its chain may call back without needing room, filters are told, a pool thread counts as blocked.
struct OutCall<'a> {
    thread: &'a Rc<Thread>,
    home: &'a Option<Home>,
    making: &'a Making<'a>,
}

impl<'a> OutCall<'a> {
    fn begin(thread: &'a Rc<Thread>, home: &'a Option<Home>, making: &'a Making<'a>, place: usize) -> Self {
        let Making { callee, header, made, .. } = making;
        let on = callee.recorder.is_on() || home.as_ref().is_some_and(|home| home.mailbox().recorder.is_on());
        let event = || What::WaitBegan {
            on: WaitFor::Reply,
            serves: serves(thread, home.as_ref(), Situation::Call(place)),
            until: header.deadline.map(Duration::from_nanos),
        };
        let call = header.call_ref();
        match home {
            Some(home) => {
                let bell = Arc::clone(thread.bell());
                let out = Out { id: header.id, chain: header.chain, made: *made, bell };
                let event = on.then(|| (thread.who(), call, event()));
                home.mailbox().out_began(out, home.is_pool_thread(), event);
            }
            None => tell(thread, &None, callee, call, event),
        }
        Self { thread, home, making }
    }

    fn end(self, error: Option<&CallError>) {
        let Making { callee, header, .. } = self.making;
        self.thread.pop_outgoing();
        let by = match error {
            Some(CallError::TimedOut { .. }) => WaitEnd::TimedOut,
            Some(CallError::CallCanceled { .. }) => WaitEnd::Cancelled,
            Some(CallError::ServerFault { .. }) | None => WaitEnd::Done,
            Some(_) => WaitEnd::Rejected,
        };
        let event = What::WaitEnded { by };
        match self.home {
            Some(home) => {
                let event = (self.thread.who(), header.call_ref(), event);
                home.mailbox().out_ended(header.id, home.is_pool_thread(), self.thread.depth(), event);
            }
            None => tell(self.thread, &None, callee, header.call_ref(), || event),
        }
    }
}

enum Attempted {
    Ended(Result<(), CallError>),
    /// With the error to report if it cannot be tried again, where the rejection has one of its own.
    Rejected(ServerCall, Option<CallError>),
}

/// One attempt: hand the errand over, wait until it is settled.
fn attempt(
    thread: &Rc<Thread>,
    home: &Option<Home>,
    making: &Making<'_>,
    header: &Header,
    place: usize,
    ticket: &Ticket,
    job: &mut Job<'_>,
) -> Attempted {
    let Making { callee, terms, .. } = making;
    let no_room = if terms.room == Room::Refuse { NoRoom::Refuse } else { NoRoom::Wait };
    let until = room_until(callee, terms.room);
    let accepted = ticket.lend(job, |errand| {
        let entry = Entry::new(header.clone(), Body::Call(errand));
        callee.accept(entry, no_room, thread.who()).map_err(|refused| refused.withdraw())?;
        let told = no_room == NoRoom::Refuse || !callee.recorder.is_on();
        let mut room = Line { thread, home, callee, header, ticket, until, told, waits: false };
        let _room = until.map(|_| callee.clock.watch(thread.bell()));
        wait(thread, Situation::Call(place), None, || room.settled());
        Ok(())
    });
    if let Err(error) = accepted {
        return Attempted::Ended(refused(thread, home, making, error));
    }
    match ticket.look() {
        (Look::Done, None) => Attempted::Ended(Ok(())),
        (Look::Done, Some(why)) => Attempted::Ended(Err(cancelled(why, Outcome::MayHaveRun))),
        (Look::Revoked | Look::Rejected, Some(why)) => {
            drop(ticket.take_verdict());
            Attempted::Ended(Err(cancelled(why, Outcome::NotStarted)))
        }
        // Nobody cancelled it: it left the line for room.
        (Look::Revoked, None) => Attempted::Ended(refused(thread, home, making, callee.mailbox_full())),
        (Look::Rejected, None) => match ticket.take_verdict() {
            Some(Verdict::Refused(answer)) => Attempted::Rejected(answer, None),
            Some(Verdict::Busy(busy)) if busy.retryable => {
                Attempted::Rejected(ServerCall::RetryLater, Some(CallError::Reentrant(busy)))
            }
            Some(Verdict::Busy(busy)) => Attempted::Ended(Err(CallError::Reentrant(busy))),
            Some(Verdict::Failed(error)) => Attempted::Ended(Err(error)),
            None => Attempted::Ended(Err(CallError::ServerDiedDne { callee: callee.name.clone() })),
        },
        (Look::Pending, _) => crate::broken("a wait ended before its call was settled"),
    }
}

/// When the wait for room ends by itself, on the callee's clock.
fn room_until(callee: &Mailbox, room: Room) -> Option<u64> {
    match room {
        Room::Within(time) => Some(callee.clock.after(time)),
        Room::Refuse | Room::Wait => None,
    }
}

/// A caller that may be waiting for room.
struct Line<'a> {
    thread: &'a Thread,
    home: &'a Option<Home>,
    callee: &'a Arc<Mailbox>,
    header: &'a Header,
    ticket: &'a Ticket,
    until: Option<u64>,
    /// Whether nothing is left to tell about room.
    told: bool,
    /// Whether it has been told that the wait is for room.
    waits: bool,
}

impl Line<'_> {
    /// Whether the attempt is settled; if the time for room is up, it is settled by leaving the line.
    fn settled(&mut self) -> bool {
        if !self.told {
            self.tell();
        }
        if self.ticket.is_settled() {
            return true;
        }
        if self.until.is_some_and(|until| until <= self.callee.clock.nanos()) {
            self.until = None;
            return self.callee.leave_line(self.ticket).is_some();
        }
        false
    }
}

impl Line<'_> {
    /// Says when the wait turns from one for a reply into one for room, and back.
    fn tell(&mut self) {
        let waits = self.callee.waits_for_room(self.ticket);
        self.told = !waits;
        if waits != self.waits {
            self.waits = waits;
            let (on, until) = match waits {
                true => (WaitFor::Room, self.until),
                false => (WaitFor::Reply, self.header.deadline),
            };
            let until = until.map(Duration::from_nanos);
            tell(self.thread, self.home, self.callee, self.header.call_ref(), || What::WaitTurned { on, until });
        }
    }
}

enum Again {
    Now,
    GivenUp,
    NobodyToAsk,
    Cancelled(Why),
}

/// Asks the call's own policy, or the apartment's filter, and waits as long as it says (rule MF-6).
fn ask_again(
    thread: &Rc<Thread>,
    home: &Option<Home>,
    making: &Making<'_>,
    attempts: u32,
    rejected: ServerCall,
    place: usize,
    ticket: &Ticket,
) -> Again {
    let Making { callee, header, made, terms, .. } = making;
    let filter = match home {
        Some(Home::Sta(home)) => home.filter.borrow().clone(),
        _ => None,
    };
    let elapsed = Duration::from_nanos(callee.clock.nanos().saturating_sub(*made));
    let target = header.target;
    let call = RejectedCall { callee: callee.name.clone(), target, elapsed, rejected, attempts };
    let answer = match (terms.retry, &filter) {
        (Some(policy), _) => ask(thread, home, callee, || policy.retry_rejected(&call)),
        (None, Some(filter)) => ask(thread, home, callee, || filter.retry_rejected(&call)),
        (None, None) => return Again::NobodyToAsk,
    };
    let own_policy = terms.retry.is_some();
    let call_ref = CallRef { attempt: attempts, ..header.call_ref() };
    tell(thread, home, callee, call_ref, || What::RetryAsked { rejected, elapsed, answer, own_policy });
    let Some(delay) = answer.delay() else { return Again::GivenUp };
    if delay.is_zero() {
        // At once, after serving what is already waiting.
        if let Some(Home::Sta(home)) = home {
            serve_some(thread, Situation::Call(place), home.mailbox.waiting_entries());
        }
        yield_now();
    } else {
        let until = callee.clock.after(delay);
        let turned = |on, until: Option<u64>| What::WaitTurned { on, until: until.map(Duration::from_nanos) };
        tell(thread, home, callee, call_ref, || turned(WaitFor::RetryTime, Some(until)));
        wait(thread, Situation::Call(place), Some((&callee.clock, until)), || ticket.why().is_some());
        tell(thread, home, callee, call_ref, || turned(WaitFor::Reply, header.deadline));
    }
    ticket.why().map_or(Again::Now, Again::Cancelled)
}

/// Runs a retry policy or a filter's method; a panic in it is contained, and gives up (rule MF-9).
fn ask(thread: &Thread, home: &Option<Home>, callee: &Mailbox, question: impl FnOnce() -> Retry) -> Retry {
    match thread.filtering(|| catch_unwind(AssertUnwindSafe(question))) {
        Ok(answer) => answer,
        Err(payload) => {
            let message = panic_message(payload);
            let what = What::Contained { place: "retry_rejected", message };
            match home {
                Some(home) => home.mailbox().tell(thread.who(), None, || what),
                None => callee.recorder.push(None, thread.who(), None, what),
            }
            Retry::GiveUp
        }
    }
}

// ---- one-way

/// Puts a one-way entry into the callee's queue: a post, or an application message. Waits only for room, if asked to:
/// an STA pumps then, every other thread blocks.
pub(crate) fn send(
    callee: &Arc<Mailbox>,
    target: CallTarget,
    terms: Terms<'_>,
    body: impl FnOnce(Box<dyn Closure>) -> Body,
    closure: Box<dyn Closure>,
) -> Result<(), (CallError, Box<dyn Closure>)> {
    let thread = Thread::current();
    let home = thread.home();
    let mut making = making(&thread, callee, CallKind::OneWay, target, terms);
    // A one-way call begins a chain of its own and inherits neither deadline nor cancelling (rule CA-1).
    making.header.from_chain = thread.with_frame(|frame| frame.and_then(|frame| frame.chain));
    making.header.chain = ChainId(making.header.id);
    making.header.depth = 1;
    making.header.deadline = None;
    making.header.internal = home.as_ref().is_some_and(|home| home.is_at(callee));
    made(&thread, &home, &making, Route::Mailbox);
    let mut entry = Entry::new(making.header.clone(), body(closure));
    let call = making.header.call_ref();
    let result = if terms.room == Room::Refuse {
        callee.accept(entry, NoRoom::Refuse, thread.who()).map_err(|refused| refused.into_parts())
    } else {
        thread.with_ticket(|ticket| {
            entry.taken = Some(ticket.queue_without_loan());
            let line = PostLine::of(&making);
            callee.accept(entry, NoRoom::Wait, thread.who()).map_err(|refused| refused.into_parts())?;
            line.wait(&thread, callee, ticket)
        })
    };
    result.map_err(|(error, entry)| {
        tell(&thread, &home, callee, call, || What::Refused { error: (&error).into() });
        (error, entry)
    })
}

/// How long a post waits for room, from its making.
struct PostLine {
    deadline: Option<u64>,
    until: Option<u64>,
}

impl PostLine {
    fn of(making: &Making<'_>) -> Self {
        let after = |time: Duration| making.made.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let deadline = making.terms.within.map(after);
        let room = match making.terms.room {
            Room::Within(time) => Some(after(time)),
            Room::Refuse | Room::Wait => None,
        };
        Self { deadline, until: room.into_iter().chain(deadline).min() }
    }

    /// The entry is in the queue already, or stands in the line for room.
    fn wait(
        self,
        thread: &Rc<Thread>,
        callee: &Arc<Mailbox>,
        ticket: &Ticket,
    ) -> Result<(), (CallError, Box<dyn Closure>)> {
        let until = self.until.map(|at| (&callee.clock, at));
        if !ticket.is_settled() {
            wait(thread, Situation::Plain(WaitFor::Room), until, || ticket.is_settled());
        }
        if ticket.look().0 == Look::Done {
            return Ok(());
        }
        let Some(entry) = callee.leave_line(ticket) else {
            // It was taken between the look and this.
            return Ok(());
        };
        let error = match ticket.take_verdict() {
            Some(Verdict::Failed(error)) => error,
            _ if self.deadline.is_some_and(|deadline| deadline <= callee.clock.nanos()) => {
                CallError::TimedOut { outcome: Outcome::NotStarted }
            }
            _ => callee.mailbox_full(),
        };
        Err((error, entry.into_closure()))
    }
}
