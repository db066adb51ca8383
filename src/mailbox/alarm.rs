//! Alarms: times at which the apartment that a future has called wakes it.
//!
//! A thread that waits for its own call looks after that call's deadline itself. A future has no thread, and this library
//! has none that sleeps for others. So the deadline of a future's call, its time in the line for room, and the time of
//! its next attempt are alarms of the callee: its owner, which looks at its queue anyway, wakes the future when it finds
//! that the time has come, and what is to be done then is the future's when it is polled. An alarm decides nothing; but nobody
//! may poll, and so a full mailbox drops what is past its deadline on that occasion (rule MB-7).
//!
//! * Set, moved and cleared under the lock. Whoever sets one rings the owner afterwards, and of a pool every idle thread:
//!   whoever sleeps knows of the earliest alarm, as it was when it fell asleep or later.
//! * Taken off by the owner's look once it is due, and rung with the lock released and nothing in hand.
//! * An apartment that has ended, or was cut off, rings all it has left and takes none: a future that finds that goes on
//!   without waiting for the time.
//!
//! An owner that is busy looks late, when it is done: a future learns of its deadline then, at the latest, or when
//! something else polls it.

use super::Mailbox;
use super::later::{Later, Wake};
use super::monitor::Monitor;
use crate::call::Ticket;
use crate::id::ChainId;
use crate::sync::Arc;

/// See the module's documentation.
pub(crate) struct Alarm {
    /// On the apartment's clock.
    at: u64,
    ticket: Ticket,
}

impl Monitor {
    /// When the owner has to look, for the earliest of them.
    pub(super) fn next_alarm(&self) -> Option<u64> {
        self.alarms.iter().map(|alarm| alarm.at).min()
    }
}

impl Mailbox {
    /// The call's future is to be woken at that time, and at no other that was said before. False if nobody is left to do
    /// so.
    pub(crate) fn set_alarm(self: &Arc<Self>, ticket: &Ticket, at: u64) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if monitor.has_ended() {
            return false;
        }
        monitor.alarms.retain(|alarm| !alarm.ticket.is(ticket));
        monitor.alarms.push(Alarm { at, ticket: ticket.clone() });
        match &mut monitor.pool {
            Some(pool) => {
                later.wake(pool.wake());
                later.rest().bells.append(&mut pool.idle);
            }
            None => later.wake(Wake::Owner),
        }
        drop(monitor);
        self.carry_out(later);
        true
    }

    /// When its owner has to look, for a future that is to be woken: for an owner that sleeps elsewhere.
    pub(crate) fn alarm(&self) -> Option<u64> {
        self.monitor().next_alarm()
    }

    /// The call's future need not be woken any more.
    pub(crate) fn clear_alarm(&self, ticket: &Ticket) {
        let mut monitor = self.monitor();
        let at = monitor.alarms.iter().position(|alarm| alarm.ticket.is(ticket));
        let cleared = at.map(|at| monitor.alarms.swap_remove(at));
        drop(monitor);
        // With the lock released: it may be the last to know the future's waker.
        drop(cleared);
    }

    /// Takes off those whose time has come.
    pub(super) fn alarms_are_due(&self, monitor: &mut Monitor, later: &mut Later) -> bool {
        if monitor.alarms.is_empty() {
            return false;
        }
        let now = self.common.clock.nanos();
        let due = monitor.alarms.extract_if(.., |alarm| alarm.at <= now).map(|alarm| alarm.ticket);
        let mut any = false;
        for ticket in due {
            later.rest().tickets.push(ticket);
            any = true;
        }
        any
    }

    /// Nobody will look at them any more.
    pub(super) fn ring_all_alarms(&self, monitor: &mut Monitor, later: &mut Later) {
        monitor.alarms.drain(..).for_each(|alarm| later.rest().tickets.push(alarm.ticket));
    }

    /// A future's call was made in a call that this apartment serves: it is rung when that is cancelled.
    pub(crate) fn future_out(&self, chain: ChainId, ticket: &Ticket) {
        self.monitor().futures_out.push((chain, ticket.clone()));
    }

    /// It is over.
    pub(crate) fn future_back(&self, ticket: &Ticket) {
        let mut monitor = self.monitor();
        let at = monitor.futures_out.iter().position(|(_, out)| out.is(ticket));
        let back = at.map(|at| monitor.futures_out.swap_remove(at));
        drop(monitor);
        drop(back);
    }
}
