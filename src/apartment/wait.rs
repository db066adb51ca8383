//! The modal wait: where a thread that waits for something sleeps, and what it serves meanwhile.
//!
//! It reads like the specification. A wait looks, in this order: is what it waits for there? has a call of this stack
//! been cancelled, or reached its deadline? is there something to serve that may come in now? If nothing of that, it
//! sleeps on the thread's bell, and looks again when that is rung. Everything that could change an answer rings the bell
//! *after* it has changed it, so nothing is missed between the look and the sleep (see the [bell](crate::sync::Bell)).
//!
//! Waits nest as the calls that they serve do, on the Rust stack: an outer one goes on when the inner one has ended
//! (rule DI-6). The inner ones look after the deadlines and cancels of the outer ones.

use super::asleep::{Depends, Wait};
use super::park::{Sleeps, spins};
use super::serve::{Served, Situation, asks_about_messages, scope, serve_one, target_of};
use crate::call::record::Why;
use crate::common::Common;
use crate::cycle::Deadlock;
use crate::diagnose::{CallRef, Serves, WaitEnd, What};
use crate::error::CallError;
use crate::mailbox::{Door, Mailbox, Waits};
use crate::sync::{Arc, Clock, Watch};
use crate::thread::{Home, Outgoing, StaHome, Thread};
use crate::wait_graph::Scope;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Waits until `done` says so, or until then. On an STA it pumps, as the apartment's policy and filter allow; on every
/// other thread it blocks.
pub(crate) fn wait(
    thread: &Rc<Thread>,
    situation: Situation<'_>,
    until: Option<(&Clock, u64)>,
    done: impl FnMut() -> bool,
) {
    // A call that nobody could ever serve is taken back, which ends its wait.
    let _done = wait_on(thread, situation, Depends::Unknown, until, done);
}

/// Waits for a call that is out.
#[inline]
pub(super) fn wait_for_call(thread: &Rc<Thread>, place: usize, mut done: impl FnMut() -> bool) {
    if !blocks(thread, place, &mut done) {
        wait(thread, Situation::Call(place), None, done);
    }
}

/// A thread in no apartment serves nobody, and while its calls end by their answers alone, and nobody joins it, nothing is
/// left to do but to look and to sleep. False if there is.
#[inline]
fn blocks(thread: &Thread, place: usize, done: &mut impl FnMut() -> bool) -> bool {
    // Asked at each attempt: a retry policy may have entered an apartment.
    let is_in_one = thread.with_home(|home| home.is_some());
    if is_in_one || thread.has_something_to_drop() || !thread.looks_after().is_nothing() {
        return false;
    }
    let spin = spins(thread, None, Situation::Call(place));
    let _wait = thread.waits();
    let _open = thread.opened();
    while !done() {
        if thread.is_awaited() {
            return false;
        }
        if thread.spin(spin).is_none() {
            thread.bell().wait(None);
        }
    }
    true
}

/// As [`wait`], for one of which it is known on whom it depends. Fails if none of these could ever go on (rule DL-1); a post
/// is taken back instead, like a call.
pub(crate) fn wait_on(
    thread: &Rc<Thread>,
    situation: Situation<'_>,
    depends: Depends<'_>,
    until: Option<(&Clock, u64)>,
    mut done: impl FnMut() -> bool,
) -> Result<(), CallError> {
    let plain = match situation {
        // That has begun already.
        Situation::Loop | Situation::Call(_) => None,
        _ => Some(PlainWait::begin(thread, situation, until)),
    };
    let wait = Wait::new(thread, situation, depends, until);
    let stuck = wait_for(&wait, &mut done);
    if let Some(plain) = plain {
        if let Err(deadlock) = &stuck {
            let told = || What::Deadlock(Arc::clone(deadlock));
            match (&plain.home, plain.of) {
                (Some(home), _) => home.mailbox().tell(thread.who(), None, told),
                (None, of) => of.into_iter().for_each(|of| of.tell(thread.who(), None, told)),
            }
        }
        plain.end(thread, situation, stuck.is_err() || wait.is_taken_back.get(), done());
        // A wait for a call is not the end of it; the others may be the outermost thing on the stack.
        thread.leave_if_due();
    }
    stuck.map_err(CallError::Deadlock)
}

/// A wait for something that is no call, as its apartment sees it. (One for a call begins when that goes out.)
struct PlainWait<'a> {
    /// None for a thread in no apartment.
    home: Option<Home>,
    /// The process in which it waits for something, if it is of one.
    of: Option<&'a Common>,
    /// The call that waits, if one does.
    call: Option<CallRef>,
    /// Whether a thread of the pool blocks by this: one that is in another wait does so already.
    blocks: bool,
}

impl<'a> PlainWait<'a> {
    fn begin(thread: &Thread, situation: Situation<'a>, until: Option<(&Clock, u64)>) -> Self {
        let (on, of, whom, call) = match situation {
            Situation::Plain(on, of, _) => (on, Some(of), None, None),
            Situation::Of(on, whom, call) => (on, Some(&*whom.common), Some(whom), call.copied()),
            Situation::Elsewhere { on, .. } => (on, None, None, None),
            Situation::Loop | Situation::Call(_) => crate::broken("a wait for a call begins when that goes out"),
        };
        let home = thread.home();
        let serves = serves(thread, home.as_ref(), situation);
        let until = until.map(|(_, at)| Duration::from_nanos(at));
        let blocked = thread.waits_open() > 0 || thread.with_outgoing(|calls| !calls.is_empty());
        let blocks = home.as_ref().is_some_and(Home::is_pool_thread) && !blocked;
        match &home {
            Some(home) => {
                let (whom, since) = (whom.map(|whom| whom.name.clone()), home.mailbox().common.clock.nanos());
                let waits = Waits { who: thread.who(), on, call, whom, serves, until, since };
                home.mailbox().wait_began(blocks, waits);
            }
            None => {
                let began = || What::WaitBegan { on, serves, until };
                of.into_iter().for_each(|of| of.tell(thread.who(), call, began));
            }
        }
        Self { home, of, call, blocks }
    }

    fn end(self, thread: &Thread, situation: Situation<'_>, stuck: bool, done: bool) {
        let by = match done {
            _ if stuck => WaitEnd::Deadlock,
            true => WaitEnd::Done,
            false => match situation.ends_with_its_call().then(|| thread.served_is_cancelled()).flatten() {
                Some(Why::Handle | Why::Filter) => WaitEnd::Cancelled,
                Some(Why::Deadline) | None => WaitEnd::TimedOut,
            },
        };
        let ended = || What::WaitEnded { by };
        match self.home {
            Some(home) => home.mailbox().wait_ended(self.blocks, thread.who(), thread.depth(), ended),
            None => self.of.into_iter().for_each(|of| of.tell(thread.who(), self.call, ended)),
        }
    }
}

/// What a wait that is about to begin will serve, as an event tells it.
pub(super) fn serves(thread: &Thread, home: Option<&Home>, situation: Situation<'_>) -> Serves {
    match home {
        Some(Home::Sta(home)) => home_serves(home, thread, situation, thread.waits_open() + 1),
        _ => Serves::Nothing,
    }
}

/// What a wait serves on an STA's thread, that many waits deep.
pub(super) fn home_serves(home: &StaHome, thread: &Thread, situation: Situation<'_>, waits: u32) -> Serves {
    if !situation.pumps() || thread.dispatches_nothing() {
        return Serves::Nothing;
    }
    match scope(home, thread, situation, waits) {
        Scope::Everything => Serves::Everything,
        Scope::Chains(_) => Serves::Chain,
        Scope::InputSynchronized | Scope::Nothing => Serves::InputSynchronized,
    }
}

fn wait_for(wait: &Wait<'_>, done: &mut impl FnMut() -> bool) -> Result<(), Arc<Deadlock>> {
    let mut heard = false;
    let result = look_and_rest(wait, &mut heard, done);
    if heard && wait.thread.waits_open() > 0 {
        // It has consumed the ring of a cancel, and was over before it looked: that may be of a call below.
        wait.thread.bell().ring_cancelled();
    }
    result
}

/// `heard`: whether it leaves a cancel to be looked after.
fn look_and_rest(wait: &Wait<'_>, heard: &mut bool, done: &mut impl FnMut() -> bool) -> Result<(), Arc<Deadlock>> {
    let Wait { thread, situation, until, .. } = *wait;
    let _stirred = thread.stirs();
    let home = wait.sta();
    let serial = thread.new_wait();
    let _wait = thread.waits();
    let _open = thread.opened();
    let _drops = thread.drops_afresh();
    let _until = until.map(|(clock, _)| clock.watch(thread.bell()));
    // A filter, one that is set meanwhile too, may name a time on the apartment's own clock.
    let asks = home.filter(|_| asks_about_messages(thread, situation));
    let _asks = asks.map(|home| home.mailbox.common.clock.watch(thread.bell()));
    let sleeps = Sleeps::of(thread, home, situation);
    let _late = sleeps.watch();
    let adopted = adopted_to_wake(situation).next();
    let _swallowed = adopted.map(|mailbox| mailbox.common.clock.watch(thread.bell()));
    let after = thread.looks_after();
    // What was cancelled before the call went out rang nobody.
    let mut cancelled = true;
    while !done() {
        let cancelled_now = std::mem::take(&mut cancelled);
        *heard = false;
        if (after.timed || (after.nested && cancelled_now)) && attend(thread, cancelled_now) {
            continue;
        }
        if situation.pumps() && thread.drop_what_is_left() {
            continue;
        }
        if until.is_some_and(|(clock, at)| at <= clock.nanos()) {
            return Ok(());
        }
        if situation.ends_with_its_call() && thread.served_is_cancelled().is_some() {
            return Ok(());
        }
        let mut alarm = None;
        if let Some(home) = home.filter(|_| situation.pumps()) {
            match serve_one(thread, home, situation, serial) {
                Served::One => {
                    // That may have lasted, and the ring of a cancel is only taken when there is nothing left to serve.
                    cancelled = true;
                    continue;
                }
                Served::Nothing(_, at) => alarm = at,
            }
        }
        if let Some(ring) = sleeps.spin() {
            (cancelled, *heard) = (ring.cancelled, ring.cancelled);
            continue;
        }
        let alarm = Alarm::of(thread, home, alarm);
        if alarm.is_due {
            continue;
        }
        let own = earliest_of_wait(asks.map(|home| &**home), until);
        let calls = if after.timed { earliest(thread) } else { None };
        let late = if after.adopted || adopted.is_some() { wake_again(thread, situation) } else { None };
        let times = [own, calls, late, alarm.at];
        cancelled = match wait.rest(&sleeps, times.into_iter().flatten().min()) {
            Ok(cancelled) => cancelled,
            Err(_) if done() => break,
            Err(deadlock) => return Err(deadlock),
        };
        *heard = cancelled;
    }
    Ok(())
}

/// When a thread that is about to sleep has to wake a future that has called its apartment (see `mailbox/alarm.rs`).
pub(super) struct Alarm<'a> {
    /// From before the time is read.
    _watch: Option<Watch<'a>>,
    pub(super) is_due: bool,
    /// On a real clock; whoever advances a driven one rings.
    pub(super) at: Option<Instant>,
}

impl<'a> Alarm<'a> {
    pub(super) fn new(thread: &'a Thread, mailbox: &'a Mailbox, at: Option<u64>) -> Self {
        let clock = &mailbox.common.clock;
        let _watch = at.map(|_| clock.watch(thread.bell()));
        Self { _watch, is_due: at.is_some_and(|at| at <= clock.nanos()), at: at.and_then(|at| clock.instant(at)) }
    }

    fn of(thread: &'a Thread, home: Option<&'a Rc<StaHome>>, at: Option<u64>) -> Self {
        match (home, at) {
            (Some(home), Some(_)) => Self::new(thread, &home.mailbox, at),
            _ => Self { _watch: None, is_due: false, at: None },
        }
    }
}

/// Cancels those calls of this thread's stack that are past their deadline and, if asked to look, those whose own call
/// was cancelled; takes those out of the line for room whose time there is up. Buried ones too: they leave their queues at once, though they return only when their turn comes.
pub(super) fn attend(thread: &Thread, cancelled: bool) -> bool {
    let mut any = false;
    while let Some((at, why)) = thread.with_outgoing(|calls| {
        calls.iter().enumerate().find_map(|(at, call)| {
            let past = call.deadline.is_some_and(|deadline| deadline <= call.callee.common.clock.nanos());
            let parent = if cancelled { call.parent.as_ref().and_then(|parent| parent.why()) } else { None };
            let why = parent.or(past.then_some(Why::Deadline))?;
            call.ticket.is_open().then_some((at, why))
        })
    }) {
        let Some(call) = thread.outgoing(at) else { break };
        target_of(&call).cancel(why, thread.who());
        any = true;
    }
    while let Some(at) = thread.with_outgoing(|calls| {
        calls.iter().position(|call| call.room_until.is_some_and(|until| until <= call.callee.common.clock.nanos()))
    }) {
        let Some(call) = thread.outgoing(at) else { break };
        thread.room_is_over(at);
        any |= call.callee.leave_line(&call.ticket).is_some();
    }
    any
}

/// Those whom a wait that is for no call waits for, and whose threads sleep in loops of their own; all are of one process.
fn adopted_to_wake(situation: Situation<'_>) -> impl Iterator<Item = &Mailbox> {
    let (one, several): (Option<&Mailbox>, &[Arc<Mailbox>]) = match situation {
        Situation::Of(_, mailbox, _) => (Some(mailbox), &[]),
        Situation::Plain(_, _, mailboxes) => (None, mailboxes),
        _ => (None, &[]),
    };
    one.into_iter().chain(several.iter().map(|mailbox| &**mailbox)).filter(|mailbox| mailbox.is_adopted())
}

/// A callee whose thread sleeps in a loop of its own may have slept through what it was woken for: then it is woken again.
/// When to look the next time.
pub(super) fn wake_again(thread: &Thread, situation: Situation<'_>) -> Option<Instant> {
    let repeats = |mailbox: &Mailbox| mailbox.common.clock.instant(mailbox.wake_again()?);
    let mut next = adopted_to_wake(situation).filter_map(repeats).min();
    let waits = |call: &Outgoing| call.callee.is_adopted() && !call.ticket.is_settled();
    let any = thread.with_outgoing(|calls| if calls.iter().any(waits) { calls.len() } else { 0 });
    // Not with the calls borrowed: the waker is the user's.
    for at in 0..any {
        let callee =
            thread.with_outgoing(|calls| calls.get(at).filter(|call| waits(call)).map(|c| Arc::clone(&c.callee)));
        next = next.into_iter().chain(callee.and_then(|callee| repeats(&callee))).min();
    }
    next
}

/// When the sleep has to end for the wait itself, on a real clock; whoever advances a driven one rings.
fn earliest_of_wait(asks: Option<&StaHome>, until: Option<(&Clock, u64)>) -> Option<Instant> {
    let own = until.and_then(|(clock, at)| clock.instant(at));
    // Another kind of wait asks nobody about messages: a time that has come would keep it awake for nothing.
    let ask = asks
        .filter(|home| home.filter.borrow().is_some())
        .and_then(|home| home.mailbox.next_ask().and_then(|at| home.mailbox.common.clock.instant(at)));
    own.into_iter().chain(ask).min()
}

/// When it has to end for a call that is out.
pub(super) fn earliest(thread: &Thread) -> Option<Instant> {
    let ends = |call: &Outgoing| {
        let deadline = call.deadline.filter(|_| call.ticket.is_open());
        call.callee.common.clock.instant(deadline.into_iter().chain(call.room_until).min()?)
    };
    thread.with_outgoing(|calls| calls.iter().filter_map(ends).min())
}

/// The loop: serves until the door is closing, nothing is left, and `over` agrees. On top of a wait, where a method runs a
/// loop of its own, it looks after the calls below it as every wait does.
pub(super) fn serve_until(thread: &Rc<Thread>, home: &Rc<StaHome>, mut over: impl FnMut() -> bool) {
    let serial = thread.new_wait();
    let sleeps = Sleeps::of(thread, Some(home), Situation::Loop);
    let _late = sleeps.watch();
    let after = thread.looks_after();
    let mut cancelled = false;
    loop {
        let cancelled_now = std::mem::take(&mut cancelled);
        if after.timed || (after.nested && cancelled_now) {
            attend(thread, cancelled_now);
        }
        match serve_one(thread, home, Situation::Loop, serial) {
            Served::One => cancelled = true,
            Served::Nothing(Door::Open, _) if thread.may_block().is_err() => return,
            Served::Nothing(Door::Open, alarm) => {
                if let Some(ring) = sleeps.spin() {
                    cancelled = ring.cancelled;
                    continue;
                }
                let alarm = Alarm::new(thread, &home.mailbox, alarm);
                if !alarm.is_due {
                    let times = [earliest(thread), wake_again(thread, Situation::Loop), alarm.at];
                    cancelled = sleeps.until(times.into_iter().flatten().min()).cancelled;
                }
            }
            Served::Nothing(..) if over() => return,
            Served::Nothing(..) => {}
        }
    }
}

/// Serves what is there now, at most `limit` entries; gives how many.
pub(crate) fn serve_some(thread: &Rc<Thread>, situation: Situation<'_>, limit: usize) -> usize {
    let Some(home) = thread.sta() else { return 0 };
    let serial = thread.new_wait();
    let served = |_: &usize| matches!(serve_one(thread, &home, situation, serial), Served::One);
    (0..limit).take_while(served).count()
}
