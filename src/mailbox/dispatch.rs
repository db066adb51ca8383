//! Serving: what the owner's thread does next.

use super::entry::{Ask, Body, Entry, Place};
use super::later::Later;
use super::monitor::{Asked, Door, Looker, Messages, Monitor, Next, Offer, Started};
use super::open::{Executing, Runs};
use super::{Mailbox, Who, reason};
use crate::call::{Ticket, Verdict};
use crate::diagnose::{HeldBy, What};
use crate::filter::{IncomingCall, MessageClass, ServerCall};
use crate::id::CallId;
use crate::sync::Arc;

/// An entry has been started.
pub(super) struct Begun {
    /// Of a call.
    pub(super) ticket: Option<Ticket>,
    /// Of a message.
    pub(super) message: Option<MessageClass>,
}

impl Mailbox {
    /// What the owner's thread does next. Under one lock it looks, takes, and starts.
    pub(crate) fn next(self: &Arc<Self>, looker: &Looker<'_>, started: &mut Started) -> Next {
        if let Some(next) = self.next_of_batch(looker, started) {
            return next;
        }
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        self.call_back(&mut monitor);
        let left = self.frames_left_under(&mut monitor, looker.who.0, looker.depth);
        let next = self.look(&mut monitor, looker, started, &mut later);
        drop(monitor);
        drop(left);
        self.carry_out(later);
        next
    }

    /// Whether a look would find something to do.
    pub(crate) fn offers(&self, looker: &Looker<'_>) -> bool {
        self.monitor().offers(looker)
    }

    #[inline(always)]
    pub(super) fn look(
        &self,
        monitor: &mut Monitor,
        looker: &Looker<'_>,
        started: &mut Started,
        later: &mut Later,
    ) -> Next {
        if self.alarms_are_due(monitor, later) {
            // Whoever is woken may be in no hurry to poll, and others may wait for the room.
            self.drop_expired(monitor, looker.who, later);
            return Next::Rung;
        }
        if let Some(object) = monitor.releases.pop_front() {
            monitor.drops(looker, Some(object), self.common.clock.roughly());
            return Next::Release(object);
        }
        if let Some(shared) = monitor.pool.as_mut().and_then(|pool| pool.late.pop()) {
            monitor.drops(looker, None, self.common.clock.roughly());
            return Next::Late(shared);
        }
        let mut at = monitor.passed_by(looker);
        while at < monitor.entries.len() {
            monitor.passed = (looker.wait, at);
            match monitor.offer(at, looker, &self.common.clock) {
                Offer::Pass(held) => {
                    if let Some(by) = held {
                        let call = monitor.entries[at].header.call_ref();
                        self.push_event(monitor, looker.who, Some(call), || What::Held { by });
                    }
                    at += 1;
                }
                Offer::Ask => return Next::Ask(monitor.asked(at, &self.common.clock)),
                Offer::Take => {
                    if self.take(monitor, at, looker, started, later) {
                        self.take_over(monitor, looker);
                        return Next::Run;
                    }
                    if later.rings_futures() {
                        return Next::Rung;
                    }
                }
            }
        }
        monitor.passed = (looker.wait, at);
        if looker.messages == Messages::Pending {
            let now = self.common.clock.nanos();
            if let Some(message) = monitor.message_to_ask_about(now) {
                return message;
            }
        }
        Next::Nothing(monitor.door, monitor.next_alarm())
    }

    /// A wait of the owner that lets in nothing at all passes over everything. Says how the door stands.
    pub(crate) fn holds_all(&self, who: Who, wait: u32, by: HeldBy) -> Door {
        let mut monitor = self.monitor();
        if self.common.recorder.is_on() {
            for at in 0..monitor.entries.len() {
                let entry = &mut monitor.entries[at];
                if std::mem::replace(&mut entry.held_told, wait) != wait {
                    let call = entry.header.call_ref();
                    self.push_event(&monitor, who, Some(call), || What::Held { by });
                }
            }
        }
        monitor.door
    }

    /// Takes the entry out and starts it. False if it was cancelled or is past its deadline.
    #[inline(always)]
    pub(super) fn take(
        &self,
        monitor: &mut Monitor,
        at: usize,
        looker: &Looker<'_>,
        started: &mut Started,
        later: &mut Later,
    ) -> bool {
        let entry = if at == 0 { monitor.entries.pop_front() } else { monitor.entries.remove(at) };
        let Some(mut entry) = entry else { return false };
        self.give_back_room(monitor, &mut entry, looker.who, later);
        // Read for each: nothing else bounds how long the one before has run, or the thread has slept (rule DG-1).
        let now = self.common.clock.roughly();
        let Some(Begun { ticket, message }) = self.begin(&mut entry, started, later) else {
            let unrun = later.rest().unrun.last();
            let why = unrun.and_then(|unrun| unrun.ticket.as_ref()).and_then(Ticket::why);
            self.revoked(monitor, &entry.header, reason(why), looker.who);
            monitor.is_over(entry);
            return false;
        };
        let call_type = monitor.call_type(&entry.header, self.is_sta());
        if self.common.recorder.is_on() {
            let (call, queued) = (Some(entry.header.call_ref()), monitor.queued);
            self.push_event(monitor, looker.who, call, || match message {
                Some(class) => What::MessageBegan { class, queued },
                None => What::Began { call_type, queued },
            });
        }
        monitor.last_dispatch = now;
        started.object = entry.header.target.object.and_then(|id| monitor.shared(id));
        let Looker { who, depth, .. } = *looker;
        let runs = match message {
            Some(class) => Runs::Message(entry, class),
            None => Runs::Call(entry, call_type),
        };
        monitor.executing.push(Executing { who, depth, runs, since: now, ticket, told_late: false });
        true
    }

    /// Starts an entry that has been taken out of the queue, or off the desk, under that lock. None if it was cancelled or
    /// is past its deadline.
    #[inline(always)]
    pub(super) fn begin(&self, entry: &mut Entry, started: &mut Started, later: &mut Later) -> Option<Begun> {
        let mut begun = Begun { ticket: None, message: None };
        match entry.take_body() {
            Body::Message { class, run, .. } => {
                begun.message = Some(class);
                (started.is_message, started.sent) = (true, Some(run));
            }
            Body::Post(closure) => started.sent = Some(closure),
            Body::Call(errand) => {
                if entry.header.deadline.is_some_and(|deadline| deadline <= self.common.clock.nanos()) {
                    errand.expire();
                }
                match errand.start() {
                    Ok(running) => {
                        begun.ticket = running.ticket().cloned();
                        started.running = Some(running);
                    }
                    Err(revoked) => {
                        later.rest().unrun.push(revoked);
                        return None;
                    }
                }
            }
            Body::Taken => crate::broken("what is queued has not been taken"),
        }
        started.brief = Some(entry.brief());
        Some(begun)
    }

    /// Carries out the filter's answer about an offered entry, unless it was revoked meanwhile.
    pub(crate) fn answered(
        self: &Arc<Self>,
        asked: &Asked,
        answer: ServerCall,
        looker: &Looker<'_>,
        started: &mut Started,
    ) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        self.call_back(&mut monitor);
        let asked_about = |entry: &Place| entry.header.id == asked.incoming_id;
        // Where it was, as a rule.
        let passed = monitor.passed_by(looker);
        let is_there = monitor.entries.get(passed).is_some_and(asked_about);
        let at = is_there.then_some(passed).or_else(|| monitor.entries.iter().position(asked_about));
        let Some(at) = at else { return false };
        if self.common.recorder.is_on() {
            let IncomingCall { call_type, elapsed, .. } = asked.call;
            let call = Some(monitor.entries[at].header.call_ref());
            self.push_event(&monitor, looker.who, call, || What::Filtered { call_type, elapsed, answer });
        }
        // The errand that is rejected here is answered under the lock; its caller is rung after it.
        let runs = if answer == ServerCall::Handled || !asked.call.kind.can_be_rejected() {
            self.take(&mut monitor, at, looker, started, &mut later)
        } else {
            let entry = monitor.entries.remove(at);
            if let Some(mut entry) = entry {
                self.give_back_room(&mut monitor, &mut entry, looker.who, &mut later);
                if let Body::Call(errand) = entry.take_body() {
                    later.rest().unrun.push(errand.reject(Verdict::Refused(answer)));
                }
                monitor.is_over(entry);
            }
            false
        };
        drop(monitor);
        self.carry_out(later);
        runs
    }

    /// Takes a message that `message_pending` let through.
    pub(crate) fn take_message(self: &Arc<Self>, id: CallId, looker: &Looker<'_>, started: &mut Started) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        let Some(at) = monitor.entries.iter().position(|entry| entry.header.id == id) else { return false };
        let runs = self.take(&mut monitor, at, looker, started, &mut later);
        drop(monitor);
        self.carry_out(later);
        runs
    }

    /// When a filter wants to be asked again about a message that is still queued.
    pub(crate) fn ask_again(&self, id: CallId, at: Option<u64>) {
        let mut monitor = self.monitor();
        for entry in &mut monitor.entries {
            if let (true, Body::Message { ask, .. }) = (entry.header.id == id, &mut entry.body) {
                *ask = Ask::Asked { again: at };
            }
        }
    }

    /// The earliest time at which a filter is to be asked again about a message.
    pub(crate) fn next_ask(&self) -> Option<u64> {
        let again = |entry: &Place| match entry.body {
            Body::Message { ask: Ask::Asked { again }, .. } => again,
            _ => None,
        };
        self.monitor().entries.iter().filter_map(again).min()
    }
}
