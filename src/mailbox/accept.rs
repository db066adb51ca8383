//! Coming in, waiting for room, and being taken back.

use super::entry::{Body, Entry, Header, NotAccepted, Place};
use super::later::Later;
use super::monitor::{Door, Monitor};
use super::{Mailbox, NoRoom, Who, reason};
use crate::call::Ticket;
use crate::call::record::Why;
use crate::diagnose::{CallRef, CancelReason, What};
use crate::error::CallError;
use crate::sync::Arc;

/// An entry has come in.
pub(crate) struct Accepted {
    /// Whether it stands in the line for room.
    pub(crate) in_line: bool,
    /// A place for the sender's next one, if there is one.
    pub(crate) vacant: Option<Place>,
}

impl Mailbox {
    /// Accepts an entry, lets it wait for room, or gives it back. Never waits.
    #[inline]
    pub(crate) fn accept(
        self: &Arc<Self>,
        entry: Place,
        no_room: NoRoom,
        who: Who,
    ) -> Result<Accepted, Box<NotAccepted>> {
        let mut later = Later::default();
        let accepted = self.accept_now(entry, no_room, who, &mut later);
        self.carry_out(later);
        accepted
    }

    #[inline]
    fn accept_now(
        &self,
        mut entry: Place,
        no_room: NoRoom,
        who: Who,
        later: &mut Later,
    ) -> Result<Accepted, Box<NotAccepted>> {
        let mut monitor = self.monitor.lock();
        // What has room goes to the end of the queue, and need not know of the rest.
        if self.is_full(&mut monitor) || entry.header.is_input_synchronized() || self.common.recorder.is_on() {
            self.call_back(&mut monitor);
            monitor.passed = (0, 0);
        }
        self.tell_made(&monitor, &entry.header);
        if entry.is_cancelled() {
            // On its way here: who cancelled it looks for it in the queue, under this lock, and will not find it.
            if let Body::Call(errand) = entry.take_body() {
                // Its caller asks, and need not be rung.
                later.rest().unrun.push(errand.revoke().unrung());
            }
            entry.vacate();
            return Ok(Accepted { in_line: false, vacant: Some(entry) });
        }
        self.drop_expired(&mut monitor, who, later);
        let callback = !entry.header.kind.is_one_way() && monitor.chain_is_out(entry.header.chain);
        let error = if !monitor.lets_in(callback) {
            let door = if monitor.cut_off { Door::Ended } else { monitor.door };
            Some(self.disconnected(door, entry.header.target.object))
        } else if entry.header.target.object.is_some_and(|object| monitor.disconnected.contains(&object)) {
            Some(self.disconnected(Door::Open, entry.header.target.object))
        } else if callback || entry.header.is_input_synchronized() || no_room == NoRoom::NotNeeded {
            // MB-4: it completes work that this apartment waits for. CK-3: it needs no room.
            None
        } else if monitor.queued < self.capacity && monitor.waiting.is_empty() {
            monitor.queued += 1;
            entry.room = true;
            None
        } else if no_room == NoRoom::Wait {
            monitor.waiting.push_back(entry);
            return Ok(Accepted { in_line: true, vacant: monitor.vacant.pop() });
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
        self.enqueue(&mut monitor, entry, who, later);
        Ok(Accepted { in_line: false, vacant: monitor.vacant.pop() })
    }

    /// A full mailbox makes room: what is past its deadline will not run, though its caller may be too busy to take it
    /// back (rule MB-7).
    #[inline]
    pub(super) fn drop_expired(&self, monitor: &mut Monitor, who: Who, later: &mut Later) {
        if monitor.queued >= self.capacity {
            self.drop_expired_now(monitor, who, later);
        }
    }

    #[cold]
    fn drop_expired_now(&self, monitor: &mut Monitor, who: Who, later: &mut Later) {
        monitor.passed = (0, 0);
        let now = self.common.clock.nanos();
        let expired = |entry: &Place| entry.room && entry.header.deadline.is_some_and(|deadline| deadline <= now);
        while let Some(at) = monitor.entries.iter().position(expired) {
            let Some(mut entry) = monitor.entries.remove(at) else { return };
            self.give_back_room(monitor, &mut entry, who, later);
            Self::ring_line(monitor, later);
            self.revoked(monitor, &entry.header, CancelReason::Deadline, who);
            if let Body::Call(errand) = entry.take_body() {
                errand.expire();
                later.rest().unrun.push(errand.revoke());
            }
            monitor.is_over(entry);
        }
    }

    #[inline]
    pub(super) fn enqueue(&self, monitor: &mut Monitor, entry: Place, who: Who, later: &mut Later) {
        let queued = monitor.queued;
        self.push_event(monitor, who, Some(entry.header.call_ref()), || match &entry.body {
            Body::Message { class, .. } => What::MessageQueued { class: *class, queued, capacity: self.capacity },
            _ => What::Queued { queued, capacity: self.capacity },
        });
        monitor.insert(entry);
        if !monitor.on_desk {
            later.wake(monitor.wake());
        }
    }

    /// Room became free: callers that wait for it get it in the order they came.
    pub(super) fn grant(&self, monitor: &mut Monitor, who: Who, later: &mut Later) {
        while monitor.queued < self.capacity
            && let Some(mut entry) = monitor.waiting.pop_front()
        {
            monitor.queued += 1;
            entry.room = true;
            if let Some(taken) = entry.taken.take() {
                taken.taken().into_iter().for_each(|sender| later.ring(sender));
            } else if let Body::Call(errand) = &entry.body {
                // The caller says that its wait turned, and looks whether it can go on now. A future does neither.
                let caller = errand.ticket().filter(|ticket| !ticket.is_of_a_future());
                caller.into_iter().for_each(|caller| later.ring(caller.clone()));
            }
            self.enqueue(monitor, entry, who, later);
        }
    }

    /// An entry went that nobody served, and its room with it: who still stands in the line may have counted on that, and
    /// looks again whether it can go on.
    pub(super) fn ring_line(monitor: &Monitor, later: &mut Later) {
        let waiting = monitor.waiting.iter().filter_map(|entry| entry.ticket());
        waiting.filter(|ticket| !ticket.is_of_a_future()).for_each(|ticket| later.ring(ticket.clone()));
    }

    #[inline]
    pub(super) fn give_back_room(&self, monitor: &mut Monitor, entry: &mut Entry, who: Who, later: &mut Later) {
        if std::mem::take(&mut entry.room) {
            monitor.queued -= 1;
            if !monitor.waiting.is_empty() {
                self.grant(monitor, who, later);
            }
        }
    }

    /// Whether the caller with that ticket still waits for room.
    pub(crate) fn waits_for_room(&self, ticket: &Ticket) -> bool {
        self.monitor().waiting.iter().any(|entry| entry.is_of(ticket))
    }

    /// Takes a sender's own entry out of the line for room: it stopped waiting, or the line was closed.
    pub(crate) fn leave_line(&self, ticket: &Ticket) -> Option<Place> {
        let mut monitor = self.monitor();
        let monitor = &mut *monitor;
        if let Some(at) = monitor.waiting.iter().position(|entry| entry.is_of(ticket)) {
            ticket.revoke();
            return monitor.waiting.remove(at);
        }
        let at = monitor.turned_away.iter().position(|(sender, _)| sender.is(ticket))?;
        Some(monitor.turned_away.swap_remove(at).1)
    }

    /// Cancels a call (rule CA-2). One that has not started leaves the queue, and the line for room, at once (rule MB-7). One
    /// that runs is asked: `Some(false)`. Nothing if it is over, or was cancelled before.
    pub(crate) fn cancel(self: &Arc<Self>, ticket: &Ticket, call: CallRef, why: Why, who: Who) -> Option<bool> {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if !ticket.ask_cancel(why) {
            return None;
        }
        self.push_event(&monitor, who, Some(call), || What::CancelAsked { why: reason(Some(why)) });
        if !ticket.revoke() {
            return Some(false);
        }
        self.take_out(&mut monitor, ticket, reason(Some(why)), who, &mut later);
        drop(monitor);
        self.carry_out(later);
        Some(true)
    }

    /// A call was revoked: its entry leaves the queue, or the line for room.
    fn take_out(&self, monitor: &mut Monitor, ticket: &Ticket, why: CancelReason, who: Who, later: &mut Later) {
        let found = if let Some(at) = monitor.entries.iter().position(|entry| entry.is_of(ticket)) {
            monitor.entries.remove(at)
        } else if let Some(at) = monitor.waiting.iter().position(|entry| entry.is_of(ticket)) {
            monitor.waiting.remove(at)
        } else {
            None
        };
        if let Some(mut entry) = found {
            self.give_back_room(monitor, &mut entry, who, later);
            Self::ring_line(monitor, later);
            self.revoked(monitor, &entry.header, why, who);
            later.rest().dropped.push(entry);
        }
    }

    /// The future of a call is dropped (rule CK-7): a call that has not started is taken back, as one that is cancelled is;
    /// one that runs goes on without a caller, and is not asked to end.
    pub(crate) fn abandon(self: &Arc<Self>, ticket: &Ticket, call: CallRef, who: Who) {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if ticket.revoke() {
            self.take_out(&mut monitor, ticket, CancelReason::Dropped, who, &mut later);
        } else if ticket.detach() {
            self.push_event(&monitor, who, Some(call), || What::Detached);
        }
        drop(monitor);
        self.carry_out(later);
    }

    pub(super) fn revoked(&self, monitor: &Monitor, header: &Header, why: CancelReason, who: Who) {
        let queued = monitor.queued;
        self.push_event(monitor, who, Some(header.call_ref()), || What::Revoked { why, queued });
    }
}
