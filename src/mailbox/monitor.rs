//! The state behind an apartment's one lock, and the pure questions asked of it.

use super::Who;
use super::alarm::Alarm;
use super::entry::{Ask, Body, Brief, Entry, Header, Place};
use super::later::Wake;
use super::open::{Executing, Left, Out, Runs, Waits};
use super::pool::{Pool, Shared};
use super::seen::Standings;
use super::sent::Sent;
use crate::call::{Running, Ticket};
use crate::describe::{CallKind, CallTarget, DROP};
use crate::diagnose::HeldBy;
use crate::filter::{CallType, IncomingCall, MessageClass, call_type};
use crate::id::{CallId, ChainId, ObjectId, ThreadId};
use crate::sync::{Arc, Bell, Clock};
use crate::wait_graph::Scope;
use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

/// How far an apartment's end has come. It only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    /// Asked to quit: what was accepted is served; only callbacks come in.
    Closing,
    /// Its objects are being dropped; only callbacks of what their destructors call come in.
    Ending,
    Ended,
}

pub(crate) struct Monitor {
    pub(crate) door: Door,
    /// Its process has ended without it: nothing comes in any more, though its thread is still in and the door has to move
    /// on by that thread's steps.
    pub(crate) cut_off: bool,
    /// Its thread has a handler to ask before the process ends.
    pub(crate) handles_end: bool,
    /// Accepted: the input-synchronized calls in order, then all else in order. An entry stays here, room held, until it
    /// starts, is rejected, or is revoked: also while a filter is asked about it.
    pub(crate) entries: VecDeque<Place>,
    /// Whether the first of them lie on the owner's desk.
    pub(super) on_desk: bool,
    /// How many at its head one wait of the owner has passed over, and holds until it ends; and which wait. Forgotten whenever
    /// anything but an entry that is taken behind them leaves the queue, and whenever one comes in front.
    pub(super) passed: (u32, usize),
    /// Whether messages may be among them.
    may_have_messages: bool,
    /// Waiting for room, in order.
    pub(crate) waiting: VecDeque<Place>,
    /// Posts that waited for room when the door closed, until their senders fetch them.
    pub(crate) turned_away: Vec<(Ticket, Place)>,
    /// Places for entries to come: who sends one takes one along.
    pub(super) vacant: Vec<Place>,
    /// Objects whose last reference went, to be dropped at home.
    pub(crate) releases: VecDeque<ObjectId>,
    /// How many entries hold room.
    pub(crate) queued: usize,
    /// Calls of this apartment that are out, innermost last.
    pub(crate) out: Vec<Out>,
    /// Waits of its threads that are for no call.
    pub(crate) waits: Vec<Waits>,
    /// Who waits for what is no call, in a call of that chain: rung when that is cancelled.
    pub(crate) in_calls: Vec<(ChainId, Arc<Bell>)>,
    pub(crate) executing: Vec<Executing>,
    /// What has been said of it and still holds.
    pub(super) standing: Standings,
    pub(crate) last_dispatch: u64,
    pub(crate) objects_made: u64,
    /// How many objects an STA has; the MTA's are on their shelf.
    pub(crate) objects: usize,
    /// Objects that were disconnected by themselves and still have references.
    pub(crate) disconnected: Vec<ObjectId>,
    /// Futures that are to be woken at a time.
    pub(crate) alarms: Vec<Alarm>,
    /// Of this apartment's calls whose callers are futures: those that were made in a call, with its chain.
    pub(crate) futures_out: Vec<(ChainId, Ticket)>,
    /// Ended, and every thread of it has left the library.
    pub(crate) gone: bool,
    /// Who is rung when that happens.
    pub(crate) joining: Vec<Arc<Bell>>,
    /// Who is rung when the door closes: threads of it that wait for another apartment's end.
    pub(crate) closing: Vec<Arc<Bell>>,
    /// The MTA's side; an STA has none.
    pub(crate) pool: Option<Box<Pool>>,
}

/// Who looks for something to do, and what it may find.
pub(crate) struct Looker<'a> {
    pub(crate) who: Who,
    /// How many calls and messages are open on the thread.
    pub(crate) depth: u32,
    /// Which wait of the owner this is, for telling once per wait what it holds.
    pub(crate) wait: u32,
    pub(crate) scope: Scope,
    pub(crate) messages: Messages,
    /// Whether there is a filter to ask.
    pub(crate) filter: bool,
    /// Of an STA's top loop: whether it has a batch on its desk.
    pub(crate) batch: Option<&'a Cell<bool>>,
}

/// What becomes of application messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Messages {
    /// They run in their order with the calls: the top loop.
    InOrder,
    /// `message_pending` is asked: an outgoing call's wait.
    Pending,
    /// They stay.
    Held,
}

/// What a look found to do.
pub(crate) enum Next {
    Release(ObjectId),
    /// A direct reference to an object of the MTA is to be dropped.
    Late(Shared),
    /// The filter is to be asked; the entry is still queued.
    Ask(Asked),
    /// `message_pending` is to be asked; the message is still queued.
    AskMessage {
        id: CallId,
        class: MessageClass,
    },
    /// What was taken to run is in the looker's hands.
    Run,
    /// Futures were woken, and may have done anything: look again.
    Rung,
    /// How the door stands, and when to look again for a future that is to be woken.
    Nothing(Door, Option<u64>),
}

/// An incoming call as it was when it was offered.
pub(crate) struct Asked {
    pub(crate) incoming_id: CallId,
    pub(crate) call: IncomingCall,
}

/// An entry that was taken to run. It stays with the apartment, as what its thread executes; this is what the thread needs,
/// filled in where the thread has it.
#[derive(Default)]
pub(crate) struct Started {
    pub(crate) brief: Option<Brief>,
    /// Of a call.
    pub(crate) running: Option<Running>,
    /// Of a post, or a message.
    pub(crate) sent: Option<Sent>,
    pub(crate) is_message: bool,
    /// An object of the MTA; an STA's thread has its objects itself.
    pub(crate) object: Option<Shared>,
}

/// Whether an entry may come in now.
enum Admits {
    Yes,
    No,
    Held(HeldBy),
}

pub(super) enum Offer {
    /// Not in this wait; by what it is held, if that is to be told.
    Pass(Option<HeldBy>),
    /// To be asked about.
    Ask,
    Take,
}

impl Monitor {
    pub(crate) fn new(now: u64, pool: Option<Pool>) -> Self {
        Self {
            door: Door::Open,
            cut_off: false,
            handles_end: false,
            entries: VecDeque::new(),
            on_desk: false,
            passed: (0, 0),
            may_have_messages: false,
            waiting: VecDeque::new(),
            turned_away: Vec::new(),
            vacant: Vec::new(),
            releases: VecDeque::new(),
            queued: 0,
            out: Vec::new(),
            waits: Vec::new(),
            in_calls: Vec::new(),
            // Mostly one at a time, and they are not small: a vector's own first step would be to four.
            executing: Vec::with_capacity(1),
            standing: Standings::default(),
            last_dispatch: now,
            objects_made: 0,
            objects: 0,
            disconnected: Vec::new(),
            alarms: Vec::new(),
            futures_out: Vec::new(),
            gone: false,
            joining: Vec::new(),
            closing: Vec::new(),
            pool: pool.map(Box::new),
        }
    }

    /// An entry is over: its place is free.
    #[inline]
    pub(super) fn is_over(&mut self, mut entry: Place) {
        entry.vacate();
        self.vacant.push(entry);
    }

    /// How many entries at the head of the queue this wait is known to hold: it has passed over them, and since then others
    /// have only been put behind.
    #[inline]
    pub(super) fn passed_by(&self, looker: &Looker<'_>) -> usize {
        if self.passed.0 == looker.wait { self.passed.1 } else { 0 }
    }

    /// At its place in the queue: an input-synchronized call goes in front, behind others of its kind (rule CK-3).
    #[inline]
    pub(super) fn insert(&mut self, entry: Place) {
        self.may_have_messages |= entry.is_message();
        if entry.header.is_input_synchronized() {
            let behind = self.entries.partition_point(|queued| queued.header.is_input_synchronized());
            self.entries.insert(behind, entry);
        } else {
            self.entries.push_back(entry);
        }
    }

    pub(crate) fn wake(&mut self) -> Wake {
        self.pool.as_mut().map_or(Wake::Owner, |pool| pool.wake())
    }

    pub(crate) fn chain_is_out(&self, chain: ChainId) -> bool {
        self.out.iter().any(|out| out.chain() == chain)
    }

    /// Whether the door lets in: an open one everybody, a closing one callbacks (rule LT-2).
    pub(crate) fn lets_in(&self, callback: bool) -> bool {
        match self.door {
            Door::Open => true,
            Door::Closing | Door::Ending => callback && !self.cut_off,
            Door::Ended => false,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.cut_off || self.door == Door::Ended
    }

    /// Whether there is something for a thread of it to do.
    pub(crate) fn has_work(&self) -> bool {
        let late = self.pool.as_ref().is_some_and(|pool| !pool.late.is_empty());
        late || !self.entries.is_empty() || !self.releases.is_empty()
    }

    /// Whether all that it was asked to serve has been served, and nobody is in it any more who counts on it.
    pub(super) fn may_end(&self) -> bool {
        let served = self.entries.iter().all(|entry| entry.is_message()) && self.releases.is_empty();
        let is_left = |pool: &Pool| pool.late.is_empty() && pool.inside == 0 && pool.letting_go.is_empty();
        let left = self.pool.as_ref().is_none_or(|pool| is_left(pool) && self.executing.is_empty());
        self.door == Door::Closing && served && left
    }

    /// If the apartment has ended and its last thread is gone: who is to be rung.
    pub(crate) fn last_thread_gone(&mut self) -> Vec<Arc<Bell>> {
        let last = self.pool.as_ref().is_none_or(|pool| pool.threads == 0);
        self.gone = last && self.door == Door::Ended;
        if self.gone { std::mem::take(&mut self.joining) } else { Vec::new() }
    }

    pub(crate) fn unblocks(&mut self, pool_thread: bool) {
        if let (true, Some(pool)) = (pool_thread, &mut self.pool) {
            pool.blocked -= 1;
        }
    }

    /// The thread's calls and messages above that depth have ended.
    #[inline(always)]
    pub(super) fn frames_left(&mut self, thread: ThreadId, depth: u32) -> Left {
        let mut left = Left::default();
        let ended = |executing: &Executing| executing.who.0 == thread && executing.depth >= depth;
        if self.pool.is_none() {
            // One thread: the innermost is the last.
            while self.executing.last().is_some_and(ended)
                && let Some(last) = self.executing.pop()
            {
                self.frame_left(last, &mut left);
            }
            return left;
        }
        if let (0, Some(pool)) = (depth, &mut self.pool) {
            pool.letting_go.retain(|going| *going != thread);
        }
        while let Some(at) = self.executing.iter().rposition(ended) {
            let last = self.executing.remove(at);
            self.frame_left(last, &mut left);
        }
        left
    }

    #[inline(always)]
    fn frame_left(&mut self, last: Executing, left: &mut Left) {
        if let Some(ticket) = last.ticket {
            left.add(ticket);
        }
        match last.runs {
            Runs::Call(entry, _) | Runs::Message(entry, _) => self.is_over(entry),
            Runs::Drop(_) => {}
        }
    }

    /// A thread runs a destructor: the MTA's end waits for it as for a call.
    pub(super) fn drops(&mut self, looker: &Looker<'_>, object: Option<ObjectId>, now: u64) {
        let location = std::panic::Location::caller();
        let runs = Runs::Drop(CallTarget { object, type_name: "object", method: Some(&DROP), location });
        let Looker { who, depth, .. } = *looker;
        self.executing.push(Executing { who, depth, runs, since: now, ticket: None, told_late: false });
    }

    pub(crate) fn shared(&self, object: ObjectId) -> Option<Shared> {
        self.pool.as_ref().and_then(|pool| pool.objects.get(&object)).cloned()
    }

    /// The call type of rule MF-3; the MTA has none.
    pub(crate) fn call_type(&self, header: &Header, sta: bool) -> Option<CallType> {
        sta.then(|| call_type(header.kind.is_one_way(), !self.out.is_empty(), self.chain_is_out(header.chain)))
    }

    /// Whether a look would find something.
    pub(super) fn offers(&self, looker: &Looker<'_>) -> bool {
        !self.releases.is_empty() || self.entries.iter().any(|entry| matches!(self.admits(entry, looker), Admits::Yes))
    }

    #[inline]
    fn admits(&self, entry: &Entry, looker: &Looker<'_>) -> Admits {
        if entry.is_message() {
            // Once the apartment is asked to quit, messages are dropped unrun (rule LT-2).
            let runs = looker.messages == Messages::InOrder && self.door == Door::Open;
            return if runs { Admits::Yes } else { Admits::No };
        }
        self.holds(entry, looker.scope).map_or(Admits::Yes, Admits::Held)
    }

    /// What is to become of an entry now.
    #[inline]
    pub(super) fn offer(&mut self, at: usize, looker: &Looker<'_>, clock: &Clock) -> Offer {
        let entry = &self.entries[at];
        let admits = self.admits(entry, looker);
        if let Admits::Held(by) = admits {
            let told = std::mem::replace(&mut self.entries[at].held_told, looker.wait);
            return Offer::Pass((told != looker.wait).then_some(by));
        }
        match admits {
            Admits::Yes if entry.is_message() => return Offer::Take,
            Admits::Yes => {}
            _ => return Offer::Pass(None),
        }
        // What is past its deadline is taken without asking, and revoked.
        let asks = looker.filter && !entry.header.internal;
        if asks && entry.header.deadline.is_none_or(|deadline| deadline > clock.nanos()) {
            return Offer::Ask;
        }
        Offer::Take
    }

    /// By what a call or post is held.
    #[inline]
    pub(super) fn holds(&self, entry: &Entry, scope: Scope) -> Option<HeldBy> {
        let Header { kind, chain, .. } = entry.header;
        let is_callback = !kind.is_one_way() && self.chain_is_out(chain);
        match self.door {
            Door::Ending if !is_callback => Some(HeldBy::Ending),
            _ => scope.holds(kind, chain, is_callback),
        }
    }

    /// What the filter is told. The time is read here, under the lock: who sent the entry has not seen a later one.
    pub(super) fn asked(&self, at: usize, clock: &Clock) -> Asked {
        let header = &self.entries[at].header;
        let kind: CallKind = header.kind;
        let any = !self.out.is_empty();
        let call = IncomingCall {
            call_type: call_type(kind.is_one_way(), any, self.chain_is_out(header.chain)),
            kind,
            caller: header.caller.clone(),
            elapsed: self.out.last().map(|out| Duration::from_nanos(clock.nanos().saturating_sub(out.made))),
            target: header.target,
        };
        Asked { incoming_id: header.id, call }
    }

    pub(super) fn message_to_ask_about(&mut self, now: u64) -> Option<Next> {
        if !self.may_have_messages {
            return None;
        }
        let mut any = false;
        for entry in &self.entries {
            let Body::Message { class, ask, .. } = &entry.body else { continue };
            any = true;
            let is_due = match ask {
                Ask::NotYet => true,
                Ask::Asked { again } => again.is_some_and(|again| again <= now),
            };
            if is_due {
                return Some(Next::AskMessage { id: entry.header.id, class: *class });
            }
        }
        self.may_have_messages = any;
        None
    }
}
