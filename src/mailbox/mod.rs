#![doc = include_str!("README.md")]

mod entry;
mod monitor;
mod pool;

pub(crate) use entry::{Ask, Body, Closure, Entry, Header, NotAccepted};
pub(crate) use monitor::{Asked, Door, Looker, Messages, Next, Out, Scope, Started, StartedBody};
pub(crate) use pool::{Pool, Shared};

use crate::call::record::Why;
use crate::call::{Ticket, Verdict};
use crate::describe::ApartmentName;
use crate::diagnose::{CallRef, CancelReason, Recorder, What};
use crate::error::{CallError, Disconnected, MailboxFull, Outcome, WhyDisconnected};
use crate::filter::{IncomingCall, ServerCall};
use crate::id::{CallId, ChainId, ObjectId, ThreadId};
use crate::sync::{Arc, Bell, Clock, Mutex};
use monitor::{Monitor, Offer};

/// Who does a step, for the events: the thread, and how deep it stands.
pub(crate) type Who = (ThreadId, u16);

/// An apartment as everybody else sees it: its name and its monitor.
pub(crate) struct Mailbox {
    pub(crate) name: ApartmentName,
    pub(crate) capacity: usize,
    pub(crate) clock: Clock,
    pub(crate) recorder: Recorder,
    owner: Owner,
    monitor: Mutex<Monitor>,
}

/// Who is rung.
pub(crate) enum Owner {
    /// An STA: its one thread.
    Sta(Arc<Bell>),
    /// The MTA: an idle thread of the pool, or a new one, which this starts.
    Pool(Box<dyn Fn(&Arc<Mailbox>) -> Result<(), CallError> + Send + Sync>),
}

/// Whom a change concerns. Decided under the lock, carried out after it.
#[derive(Default)]
pub(crate) enum Wake {
    #[default]
    Nobody,
    Owner,
    Worker(Arc<Bell>),
    Grow,
}

/// What is left to do once the lock is released: rings, threads to start, and things whose drop is user code.
#[must_use]
#[derive(Default)]
pub(crate) struct Later {
    tickets: Vec<Ticket>,
    bells: Vec<Arc<Bell>>,
    /// The first in place, for a call allocates nothing.
    wake: Wake,
    wakes: Vec<Wake>,
    dropped: Vec<Entry>,
}

impl Later {
    fn wake(&mut self, wake: Wake) {
        match self.wake {
            Wake::Nobody => self.wake = wake,
            _ => self.wakes.push(wake),
        }
    }
}

/// What a caller that finds no room wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Refuse,
    Wait,
}

impl Mailbox {
    pub(crate) fn new(
        name: ApartmentName,
        capacity: usize,
        clock: Clock,
        recorder: Recorder,
        owner: Owner,
        pool: Option<Pool>,
    ) -> Arc<Self> {
        let now = clock.nanos();
        Arc::new(Self { name, capacity, clock, recorder, owner, monitor: Mutex::new(Monitor::new(now, pool)) })
    }

    pub(crate) fn is_sta(&self) -> bool {
        matches!(self.owner, Owner::Sta(_))
    }

    /// A step of this apartment that changes nothing in the monitor, told under its lock like all its steps.
    pub(crate) fn tell(&self, who: Who, call: Option<CallRef>, what: impl FnOnce() -> What) {
        if self.recorder.is_on() {
            let what = what();
            let _order = self.monitor.lock();
            self.recorder.push(Some(self.name.id), who, call, what);
        }
    }

    fn push_event(&self, _under: &Monitor, who: Who, call: Option<CallRef>, what: impl FnOnce() -> What) {
        if self.recorder.is_on() {
            self.recorder.push(Some(self.name.id), who, call, what());
        }
    }

    // ---- coming in

    /// Accepts an entry, lets it wait for room, or gives it back. Never waits.
    pub(crate) fn accept(
        self: &Arc<Self>,
        mut entry: Entry,
        no_room: NoRoom,
        who: Who,
    ) -> Result<(), Box<NotAccepted>> {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        if entry.is_cancelled() {
            // On its way here: who cancelled it looks for it in the queue, under this lock, and will not find it.
            if let Body::Call(errand) = entry.body {
                errand.revoke();
            }
            return Ok(());
        }
        let callback = !entry.header.kind.is_one_way() && monitor.chain_is_out(entry.header.chain);
        let error = if !monitor.lets_in(callback) {
            Some(self.disconnected(monitor.door, entry.header.target.object))
        } else if callback {
            // MB-4: it completes work that this apartment waits for.
            None
        } else if monitor.queued < self.capacity && monitor.waiting.is_empty() {
            monitor.queued += 1;
            entry.room = true;
            None
        } else if no_room == NoRoom::Wait {
            monitor.waiting.push_back(entry);
            return Ok(());
        } else {
            Some(CallError::MailboxFull(Arc::new(self.full(&monitor))))
        };
        if let Some(error) = error {
            drop(monitor);
            return Err(Box::new(NotAccepted { error, entry }));
        }
        if let Some(taken) = entry.taken.take() {
            // Its sender is the caller of this: it need not be rung.
            let _sender = taken.taken();
        }
        self.enqueue(&mut monitor, entry, who, &mut later);
        drop(monitor);
        self.carry_out(later);
        Ok(())
    }

    fn enqueue(&self, monitor: &mut Monitor, entry: Entry, who: Who, later: &mut Later) {
        let queued = monitor.queued;
        self.push_event(monitor, who, Some(entry.header.call_ref()), || match &entry.body {
            Body::Message { class, .. } => What::MessageQueued { class: *class, queued, capacity: self.capacity },
            _ => What::Queued { queued, capacity: self.capacity },
        });
        monitor.entries.push_back(entry);
        later.wake(monitor.wake());
    }

    /// Room became free: callers that wait for it get it in the order they came.
    fn grant(&self, monitor: &mut Monitor, who: Who, later: &mut Later) {
        while monitor.queued < self.capacity
            && let Some(mut entry) = monitor.waiting.pop_front()
        {
            monitor.queued += 1;
            entry.room = true;
            if let Some(taken) = entry.taken.take() {
                later.tickets.extend(taken.taken());
            } else if let (true, Body::Call(errand)) = (self.recorder.is_on(), &entry.body) {
                // The caller tells that its wait turned.
                later.tickets.extend(errand.ticket().cloned());
            }
            self.enqueue(monitor, entry, who, later);
        }
    }

    fn give_back_room(&self, monitor: &mut Monitor, entry: &mut Entry, who: Who, later: &mut Later) {
        if std::mem::take(&mut entry.room) {
            monitor.queued -= 1;
            self.grant(monitor, who, later);
        }
    }

    /// Whether the caller with that ticket still waits for room.
    pub(crate) fn waits_for_room(&self, ticket: &Ticket) -> bool {
        self.monitor.lock().waiting.iter().any(|entry| entry.is_of(ticket))
    }

    /// Takes a sender's own entry out of the line for room: it stopped waiting, or the line was closed.
    pub(crate) fn leave_line(&self, ticket: &Ticket) -> Option<Entry> {
        let mut monitor = self.monitor.lock();
        let monitor = &mut *monitor;
        if let Some(at) = monitor.waiting.iter().position(|entry| entry.is_of(ticket)) {
            ticket.revoke();
            return monitor.waiting.remove(at);
        }
        let at = monitor.turned_away.iter().position(|(sender, _)| sender.is(ticket))?;
        Some(monitor.turned_away.swap_remove(at).1)
    }

    // ---- calls that are out

    /// A call of this apartment goes out: callbacks of its chain need no room, and filters are told that it is pending.
    pub(crate) fn out_began(self: &Arc<Self>, out: Out, pool_thread: bool, event: Option<(Who, CallRef, What)>) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        monitor.out.push(out);
        self.blocks(&mut monitor, pool_thread, &mut later);
        if let Some((who, call, what)) = event {
            self.push_event(&monitor, who, Some(call), || what);
        }
        drop(monitor);
        self.carry_out(later);
    }

    /// It came back.
    pub(crate) fn out_ended(&self, id: CallId, pool_thread: bool, depth: u32, event: (Who, CallRef, What)) {
        let mut monitor = self.monitor.lock();
        monitor.frames_left(event.0.0, depth);
        if let Some(at) = monitor.out.iter().rposition(|out| out.id == id) {
            monitor.out.remove(at);
        }
        monitor.unblocks(pool_thread);
        let (who, call, what) = event;
        self.push_event(&monitor, who, Some(call), || what);
    }

    /// A thread of it waits for something that is no call: one of the pool's serves nobody meanwhile.
    pub(crate) fn wait_began(self: &Arc<Self>, pool_thread: bool, who: Who, what: impl FnOnce() -> What) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        self.blocks(&mut monitor, pool_thread, &mut later);
        self.push_event(&monitor, who, None, what);
        drop(monitor);
        self.carry_out(later);
    }

    pub(crate) fn wait_ended(&self, pool_thread: bool, who: Who, depth: u32, what: impl FnOnce() -> What) {
        let mut monitor = self.monitor.lock();
        monitor.frames_left(who.0, depth);
        monitor.unblocks(pool_thread);
        self.push_event(&monitor, who, None, what);
    }

    fn blocks(&self, monitor: &mut Monitor, pool_thread: bool, later: &mut Later) {
        if let (true, Some(pool)) = (pool_thread, &mut monitor.pool) {
            pool.blocked += 1;
            if !monitor.entries.is_empty() {
                later.wake(pool.wake());
            }
        }
    }

    /// Wakes the threads that have a call of that chain out: it was cancelled, and so is what they wait for.
    pub(crate) fn ring_out(&self, chain: ChainId) {
        let bells: Vec<_> =
            self.monitor.lock().out.iter().filter(|out| out.chain == chain).map(|out| Arc::clone(&out.bell)).collect();
        for bell in bells {
            bell.ring_cancelled();
        }
    }

    /// What a thread of it served above that depth has ended.
    pub(crate) fn frames_left(&self, who: Who, depth: u32) {
        self.monitor.lock().frames_left(who.0, depth);
    }

    // ---- taking back

    /// Takes a call back that has not started (rule MB-7): it leaves the queue, and the line for room, at once.
    pub(crate) fn revoke(self: &Arc<Self>, ticket: &Ticket, who: Who) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        if !ticket.revoke() {
            return false;
        }
        let found = if let Some(at) = monitor.entries.iter().position(|entry| entry.is_of(ticket)) {
            monitor.entries.remove(at)
        } else if let Some(at) = monitor.waiting.iter().position(|entry| entry.is_of(ticket)) {
            monitor.waiting.remove(at)
        } else {
            None
        };
        if let Some(mut entry) = found {
            self.give_back_room(&mut monitor, &mut entry, who, &mut later);
            let why = ticket.why();
            self.revoked(&monitor, &entry.header, why, who);
            later.dropped.push(entry);
        }
        drop(monitor);
        self.carry_out(later);
        true
    }

    fn revoked(&self, monitor: &Monitor, header: &Header, why: Option<Why>, who: Who) {
        let queued = monitor.queued;
        self.push_event(monitor, who, Some(header.call_ref()), || What::Revoked { why: reason(why), queued });
    }

    // ---- serving

    /// What the owner's thread does next. Under one lock it looks, takes, and starts.
    pub(crate) fn next(self: &Arc<Self>, looker: &Looker) -> Next {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        monitor.frames_left(looker.who.0, looker.depth);
        let next = self.look(&mut monitor, looker, &mut later);
        drop(monitor);
        self.carry_out(later);
        next
    }

    fn look(&self, monitor: &mut Monitor, looker: &Looker, later: &mut Later) -> Next {
        if let Some(object) = monitor.releases.pop_front() {
            return Next::Release(object);
        }
        if let Some(shared) = monitor.pool.as_mut().and_then(|pool| pool.late.pop()) {
            return Next::Late(shared);
        }
        let mut at = 0;
        while at < monitor.entries.len() {
            match monitor.offer(at, looker) {
                Offer::Pass => at += 1,
                Offer::Held(by) => {
                    let header = monitor.entries[at].header.clone();
                    self.push_event(monitor, looker.who, Some(header.call_ref()), || What::Held { by });
                    at += 1;
                }
                Offer::Ask(asked) => return Next::Ask(asked),
                Offer::Take => {
                    if let Some(started) = self.take(monitor, at, looker, later) {
                        return Next::Run(started);
                    }
                }
            }
        }
        if looker.messages == Messages::Pending {
            let now = self.clock.nanos();
            if let Some(message) = monitor.message_to_ask_about(now) {
                return message;
            }
        }
        Next::Nothing(monitor.door)
    }

    /// Takes the entry out and starts it; nothing if it was cancelled or is past its deadline.
    fn take(&self, monitor: &mut Monitor, at: usize, looker: &Looker, later: &mut Later) -> Option<Started> {
        let mut entry = monitor.entries.remove(at)?;
        let now = self.clock.nanos();
        let call_type = monitor.call_type(&entry.header, self.is_sta());
        self.give_back_room(monitor, &mut entry, looker.who, later);
        let Entry { header, body, .. } = entry;
        let body = match body {
            Body::Call(errand) => {
                if header.deadline.is_some_and(|deadline| deadline <= now) {
                    errand.expire();
                }
                match errand.start() {
                    Ok(running) => StartedBody::Call(running),
                    Err(revoked) => {
                        self.revoked(monitor, &header, revoked.0.why(), looker.who);
                        later.tickets.push(revoked.0);
                        return None;
                    }
                }
            }
            Body::Post(closure) => StartedBody::Post(closure),
            Body::Message { class, run, .. } => StartedBody::Message { class, run },
        };
        monitor.dispatched(looker, header.target, now);
        let queued = monitor.queued;
        self.push_event(monitor, looker.who, Some(header.call_ref()), || match &body {
            StartedBody::Message { class, .. } => What::MessageBegan { class: *class, queued },
            _ => What::Began { call_type, queued },
        });
        let object = header.target.object.and_then(|id| monitor.shared(id));
        Some(Started { header, body, object })
    }

    /// Carries out the filter's answer about an offered entry, unless it was revoked meanwhile.
    pub(crate) fn answered(self: &Arc<Self>, asked: &Asked, answer: ServerCall, looker: &Looker) -> Option<Started> {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        let at = monitor.entries.iter().position(|entry| entry.header.id == asked.incoming_id)?;
        let IncomingCall { call_type, elapsed, .. } = asked.call;
        let call = Some(monitor.entries[at].header.call_ref());
        self.push_event(&monitor, looker.who, call, || What::Filtered { call_type, elapsed, answer });
        // The errand that is rejected here is answered under the lock; its caller is rung after it.
        let started = if answer == ServerCall::Handled || asked.call.kind.is_one_way() {
            self.take(&mut monitor, at, looker, &mut later)
        } else {
            let entry = monitor.entries.remove(at);
            if let Some(mut entry) = entry {
                self.give_back_room(&mut monitor, &mut entry, looker.who, &mut later);
                if let Body::Call(errand) = entry.body {
                    later.tickets.extend(errand.reject(Verdict::Refused(answer)));
                }
            }
            None
        };
        drop(monitor);
        self.carry_out(later);
        started
    }

    /// Takes a message that `message_pending` let through.
    pub(crate) fn take_message(self: &Arc<Self>, id: CallId, looker: &Looker) -> Option<Started> {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        let at = monitor.entries.iter().position(|entry| entry.header.id == id)?;
        let started = self.take(&mut monitor, at, looker, &mut later);
        drop(monitor);
        self.carry_out(later);
        started
    }

    /// When a filter wants to be asked again about a message that is still queued.
    pub(crate) fn ask_again(&self, id: CallId, at: Option<u64>) {
        let mut monitor = self.monitor.lock();
        for entry in &mut monitor.entries {
            if let (true, Body::Message { ask, .. }) = (entry.header.id == id, &mut entry.body) {
                *ask = Ask::Asked { again: at };
            }
        }
    }

    /// The earliest time at which a filter is to be asked again about a message.
    pub(crate) fn next_ask(&self) -> Option<u64> {
        self.monitor.lock().entries.iter().filter_map(Entry::asks_again).min()
    }

    // ---- references

    /// A reference to an object went: it is dropped at home. Never waits, never fails.
    pub(crate) fn release(self: &Arc<Self>, object: ObjectId) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        if monitor.door != Door::Ended {
            monitor.releases.push_back(object);
            later.wake(monitor.wake());
        }
        drop(monitor);
        self.carry_out(later);
    }

    /// A direct reference to an object of the MTA, held by a thread that has left it: dropped at home. Given back if
    /// there is no home any more.
    pub(crate) fn release_shared(self: &Arc<Self>, object: Shared) -> Option<Shared> {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        let ended = monitor.door == Door::Ended;
        let Some(pool) = monitor.pool.as_mut().filter(|_| !ended) else { return Some(object) };
        pool.late.push(object);
        later.wake(pool.wake());
        drop(monitor);
        self.carry_out(later);
        None
    }

    pub(crate) fn new_object(&self) -> ObjectId {
        let mut monitor = self.monitor.lock();
        monitor.objects_made += 1;
        ObjectId(monitor.objects_made)
    }

    /// Puts an object of the MTA on its shelf.
    pub(crate) fn shelve(&self, object: Shared) -> ObjectId {
        let mut monitor = self.monitor.lock();
        monitor.objects_made += 1;
        let id = ObjectId(monitor.objects_made);
        match &mut monitor.pool {
            Some(pool) => pool.objects.insert(id, object),
            None => crate::broken("an STA's objects stay with its thread"),
        };
        id
    }

    /// An object of the MTA, for a thread of it.
    pub(crate) fn shared(&self, object: ObjectId) -> Option<Shared> {
        self.monitor.lock().shared(object)
    }

    /// Takes an object of the MTA off its shelf, to be dropped by the caller.
    pub(crate) fn unshelve(&self, object: ObjectId) -> Option<Shared> {
        self.monitor.lock().pool.as_mut().and_then(|pool| pool.objects.remove(&object))
    }

    // ---- errors

    pub(crate) fn disconnected(&self, door: Door, object: Option<ObjectId>) -> CallError {
        let why = match door {
            Door::Ended => WhyDisconnected::Ended,
            Door::Closing | Door::Ending => WhyDisconnected::Quitting,
            Door::Open => WhyDisconnected::ObjectGone,
        };
        CallError::Disconnected(Arc::new(Disconnected { callee: self.name.clone(), why, object }))
    }

    /// The error of a call whose object its apartment does not have.
    pub(crate) fn object_gone(&self, object: Option<ObjectId>) -> CallError {
        let door = self.door();
        self.disconnected(if door == Door::Ended { door } else { Door::Open }, object)
    }

    fn full(&self, monitor: &Monitor) -> MailboxFull {
        use std::time::Duration;
        let now = self.clock.nanos();
        let since = |then: u64| Duration::from_nanos(now.saturating_sub(then));
        MailboxFull {
            callee: self.name.clone(),
            queued: monitor.queued,
            capacity: self.capacity,
            waiting: monitor.waiting.len(),
            executing: monitor.executing.last().map(|executing| (executing.target, since(executing.since))),
            idle_for: since(monitor.last_dispatch),
        }
    }

    /// The diagnosis, now.
    pub(crate) fn mailbox_full(&self) -> CallError {
        CallError::MailboxFull(Arc::new(self.full(&self.monitor.lock())))
    }

    pub(crate) fn door(&self) -> Door {
        self.monitor.lock().door
    }

    pub(crate) fn queued(&self) -> usize {
        self.monitor.lock().queued
    }

    /// How many entries and releases there are to serve.
    pub(crate) fn waiting_entries(&self) -> usize {
        let monitor = self.monitor.lock();
        monitor.entries.len() + monitor.releases.len()
    }

    // ---- the end

    /// Closes the door (rule LT-2): new chains, and callers that wait for room, are turned away from here on.
    pub(crate) fn close(self: &Arc<Self>, who: Who, asked: bool) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        if asked {
            self.push_event(&monitor, who, None, || What::QuitAsked);
        }
        self.close_locked(&mut monitor, who, &mut later);
        drop(monitor);
        self.carry_out(later);
    }

    fn close_locked(&self, monitor: &mut Monitor, who: Who, later: &mut Later) {
        if monitor.door != Door::Open {
            return;
        }
        monitor.door = Door::Closing;
        self.push_event(monitor, who, None, || What::DoorClosed);
        for mut entry in std::mem::take(&mut monitor.waiting) {
            let error = self.disconnected(Door::Closing, entry.header.target.object);
            if let Some(taken) = entry.taken.take() {
                if let Some(sender) = taken.reject(Verdict::Failed(error)) {
                    monitor.turned_away.push((sender.clone(), entry));
                    later.tickets.push(sender);
                }
            } else if let Body::Call(errand) = entry.body {
                later.tickets.extend(errand.reject(Verdict::Failed(error)));
            }
        }
        match &mut monitor.pool {
            None => later.wake(Wake::Owner),
            Some(pool) => later.bells.append(&mut pool.idle),
        }
    }

    /// The last accepted call has ended: from here on only callbacks of what destructors call. False if there is still
    /// something to serve, or somebody else does it.
    pub(crate) fn begin_end(&self, force: bool) -> Option<Vec<(ObjectId, Shared)>> {
        let mut monitor = self.monitor.lock();
        let late = monitor.pool.as_ref().is_some_and(|pool| !pool.late.is_empty());
        let served = monitor.entries.iter().all(Entry::is_message) && monitor.releases.is_empty() && !late;
        let idle = monitor.pool.is_none() || monitor.executing.is_empty();
        if !force && (monitor.door != Door::Closing || !served || !idle) {
            return None;
        }
        monitor.door = Door::Ending;
        let objects = monitor.pool.as_mut().map(|pool| std::mem::take(&mut pool.objects));
        Some(objects.unwrap_or_default().into_iter().rev().collect())
    }

    /// Its objects are dropped: nothing comes in any more, and what is left is answered. Gives the closures that never
    /// ran, to be dropped by the caller.
    pub(crate) fn end(self: &Arc<Self>, abnormal: bool, objects_dropped: usize, who: Who) -> Vec<Entry> {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        self.close_locked(&mut monitor, who, &mut later);
        monitor.door = Door::Ended;
        monitor.releases.clear();
        monitor.queued = 0;
        let mut unrun = Vec::new();
        let mut messages_dropped = 0;
        for entry in std::mem::take(&mut monitor.entries) {
            let call = Some(entry.header.call_ref());
            let error = if abnormal {
                CallError::ServerDiedDne { callee: self.name.clone() }
            } else {
                self.disconnected(Door::Ended, entry.header.target.object)
            };
            match entry.body {
                Body::Call(errand) => later.tickets.extend(errand.reject(Verdict::Failed(error))),
                Body::Post(_) => {
                    self.push_event(&monitor, who, call, || What::PostDropped { error: (&error).into() });
                    unrun.push(entry);
                }
                Body::Message { class, .. } => {
                    messages_dropped += 1;
                    self.push_event(&monitor, who, call, || What::MessageDropped { class });
                    unrun.push(entry);
                }
            }
        }
        self.push_event(&monitor, who, None, || What::ApartmentEnded { abnormal, messages_dropped, objects_dropped });
        later.bells.extend(monitor.pool.iter_mut().flat_map(|pool| pool.idle.drain(..)));
        drop(monitor);
        self.carry_out(later);
        unrun
    }

    /// A thread of it is gone for good. With the last one, whoever joins is rung.
    pub(crate) fn thread_gone(&self) {
        let mut monitor = self.monitor.lock();
        if let Some(pool) = &mut monitor.pool {
            pool.threads -= 1;
        }
        let joining = monitor.last_thread_gone();
        drop(monitor);
        for bell in joining {
            bell.ring();
        }
    }

    /// Whether the apartment has ended and all its threads are gone; if not, the bell is rung when that changes.
    pub(crate) fn is_gone(&self, bell: &Arc<Bell>) -> bool {
        let mut monitor = self.monitor.lock();
        if !monitor.gone && !monitor.joining.iter().any(|joining| Arc::ptr_eq(joining, bell)) {
            monitor.joining.push(Arc::clone(bell));
        }
        monitor.gone
    }

    // ---- the pool

    /// One more reason for the MTA to be there. False if it is already ending.
    pub(crate) fn use_begins(&self) -> bool {
        let mut monitor = self.monitor.lock();
        let open = monitor.door == Door::Open;
        if let (true, Some(pool)) = (open, &mut monitor.pool) {
            pool.usages += 1;
        }
        open
    }

    /// One fewer; with the last one the MTA ends (rule DI-14). True if that was it.
    pub(crate) fn use_ends(self: &Arc<Self>, who: Who) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        let last = monitor.pool.as_mut().is_some_and(|pool| {
            pool.usages -= 1;
            pool.usages == 0
        });
        if last {
            self.close_locked(&mut monitor, who, &mut later);
        }
        drop(monitor);
        self.carry_out(later);
        last
    }

    /// A pool thread found nothing, with the door as it says: it goes on the list before it sleeps. False if there is
    /// something after all.
    pub(crate) fn goes_idle(&self, bell: &Arc<Bell>, door: Door) -> bool {
        let mut monitor = self.monitor.lock();
        let late = monitor.pool.as_ref().is_some_and(|pool| !pool.late.is_empty());
        let served = monitor.entries.is_empty() && monitor.releases.is_empty() && !late;
        let nothing = served && monitor.door == door;
        // A closing pool has no end to wait for but its running calls': their threads look again when they are done.
        if let (true, Some(pool)) = (nothing, &mut monitor.pool) {
            pool.idle.push(Arc::clone(bell));
        }
        nothing
    }

    /// It woke: off the list, if nobody took it off to ring it.
    pub(crate) fn no_longer_idle(&self, bell: &Arc<Bell>) {
        if let Some(pool) = &mut self.monitor.lock().pool {
            pool.idle.retain(|idle| !Arc::ptr_eq(idle, bell));
        }
    }

    /// A thread of the pool could not be started (rule AP-10). If no other will look at the queue, the callers in it
    /// are answered.
    pub(crate) fn growth_failed(self: &Arc<Self>, error: &CallError) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        let Some(pool) = &mut monitor.pool else { return };
        pool.threads -= 1;
        let served = pool.is_served();
        later.bells.extend(monitor.last_thread_gone());
        if !served {
            let (calls, rest) = std::mem::take(&mut monitor.entries)
                .into_iter()
                .partition::<std::collections::VecDeque<_>, _>(|entry| matches!(entry.body, Body::Call(_)));
            monitor.entries = rest;
            for mut entry in calls {
                self.give_back_room(&mut monitor, &mut entry, (ThreadId(0), 0), &mut later);
                if let Body::Call(errand) = entry.body {
                    later.tickets.extend(errand.reject(Verdict::Failed(error.clone())));
                }
            }
        }
        drop(monitor);
        self.carry_out(later);
    }

    /// With the lock released: drops, rings, starts threads.
    fn carry_out(self: &Arc<Self>, later: Later) {
        let Later { tickets, bells, wake, wakes, dropped } = later;
        drop(dropped);
        for ticket in tickets {
            ticket.ring();
        }
        for bell in bells {
            bell.ring();
        }
        self.wake(wake);
        for wake in wakes {
            self.wake(wake);
        }
    }

    fn wake(self: &Arc<Self>, wake: Wake) {
        match (wake, &self.owner) {
            (Wake::Owner, Owner::Sta(bell)) => bell.ring(),
            (Wake::Worker(bell), _) => bell.ring(),
            (Wake::Grow, Owner::Pool(grow)) => {
                if let Err(error) = grow(self) {
                    self.growth_failed(&error);
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn reason(why: Option<Why>) -> CancelReason {
    match why {
        Some(Why::Deadline) => CancelReason::Deadline,
        Some(Why::Filter) => CancelReason::Filter,
        Some(Why::Handle) | None => CancelReason::Handle,
    }
}

/// The error of a call that was cancelled.
pub(crate) fn cancelled(why: Why, outcome: Outcome) -> CallError {
    match why {
        Why::Deadline => CallError::TimedOut { outcome },
        Why::Handle | Why::Filter => CallError::CallCanceled { outcome },
    }
}
