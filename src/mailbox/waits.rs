//! What the mailbox knows of those who wait for what is in it: whether they can go on, and that they cannot.

use super::entry::{Ask, Body, Entry};
use super::later::{Later, Wake};
use super::monitor::Monitor;
use super::{Mailbox, Who};
use crate::call::{Ticket, Verdict};
use crate::describe::ApartmentName;
use crate::diagnose::{CancelReason, What};
use crate::error::CallError;
use crate::sync::Arc;
use crate::wait_graph::{Lets, Place, Seat, Stands};

impl Place for Mailbox {
    fn name(&self) -> &ApartmentName {
        &self.name
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn seat(&self) -> &Seat {
        &self.seat
    }

    fn stands(&self, ticket: &Ticket, lets: &Lets) -> Stands {
        let monitor = self.monitor();
        if let Some(entry) = monitor.entries.iter().find(|entry| entry.is_of(ticket)) {
            return if monitor.stays(entry, lets) { Stands::Held } else { Stands::Moves };
        }
        let Some(entry) = monitor.waiting.iter().find(|entry| entry.is_of(ticket)) else { return Stands::Moves };
        // A call that would then be held is no better off in the queue.
        let is_call = matches!(entry.body, Body::Call(_));
        let room_comes = || monitor.entries.iter().any(|holder| holder.room && monitor.goes(holder, lets));
        if is_call && monitor.stays(entry, lets) || !room_comes() {
            Stands::InLine { queued: monitor.queued }
        } else {
            Stands::Moves
        }
    }
}

impl Monitor {
    /// Whether an entry stays queued as long as those who serve the apartment sleep.
    fn stays(&self, entry: &Entry, lets: &Lets) -> bool {
        match &entry.body {
            Body::Message { .. } if lets.loops => false,
            Body::Message { .. } if !lets.messages => true,
            Body::Message { ask, .. } => matches!(ask, Ask::Asked { again: None }),
            _ => self.pool.is_some() || lets.nothing || self.holds(entry, lets.scope).is_some(),
        }
    }

    /// Whether an entry gives its room back though they sleep on.
    fn goes(&self, entry: &Entry, lets: &Lets) -> bool {
        entry.header.deadline.is_some() || !self.stays(entry, lets)
    }
}

impl Mailbox {
    /// An STA's thread is to look again.
    pub(crate) fn ring_owner(self: &Arc<Self>) {
        if self.is_sta() {
            self.wake(Wake::Owner);
        }
    }

    /// Nobody can go on if a sender waits for this entry of its own: it is taken back, and fails so. False if it is not
    /// there any more.
    pub(crate) fn fail(self: &Arc<Self>, ticket: &Ticket, error: CallError, who: Who) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        let failed = self.fail_now(&mut monitor, ticket, error, who, &mut later);
        drop(monitor);
        self.carry_out(later);
        failed
    }

    fn fail_now(&self, monitor: &mut Monitor, ticket: &Ticket, error: CallError, who: Who, later: &mut Later) -> bool {
        let entry = if let Some(at) = monitor.entries.iter().position(|entry| entry.is_of(ticket)) {
            monitor.entries.remove(at)
        } else if let Some(at) = monitor.waiting.iter().position(|entry| entry.is_of(ticket)) {
            monitor.waiting.remove(at)
        } else {
            None
        };
        let Some(mut entry) = entry else { return false };
        self.give_back_room(monitor, &mut entry, who, later);
        Self::ring_line(monitor, later);
        let (verdict, call) = (Verdict::Failed(error), entry.header.call_ref());
        if let Some(taken) = entry.taken.take() {
            // Its sender fetches it.
            if let Some(sender) = taken.reject(verdict).ticket {
                monitor.turned_away.push((sender, entry));
            }
        } else if let Body::Call(errand) = entry.body {
            let queued = monitor.queued;
            self.push_event(monitor, who, Some(call), || What::Revoked { why: CancelReason::Deadlock, queued });
            later.rest().unrun.push(errand.reject(verdict).unrung());
        }
        true
    }
}
