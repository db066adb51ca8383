//! What a change leaves to do once the lock is released.

use super::entry::Entry;
use super::{Mailbox, Owner};
use crate::call::{Ticket, Unrun};
use crate::sync::{Arc, Bell};

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
    pub(super) tickets: Vec<Ticket>,
    /// Calls that were answered without having run.
    pub(super) unrun: Vec<Unrun>,
    pub(super) bells: Vec<Arc<Bell>>,
    /// The first in place, for a call allocates nothing.
    wake: Wake,
    wakes: Vec<Wake>,
    pub(super) dropped: Vec<Entry>,
}

impl Later {
    /// Whether it rings a future: user code, which is not to run while something is in hand.
    pub(super) fn rings_futures(&self) -> bool {
        let answered = self.unrun.iter().filter_map(|unrun| unrun.ticket.as_ref());
        self.tickets.iter().chain(answered).any(Ticket::is_of_a_future)
    }

    pub(super) fn wake(&mut self, wake: Wake) {
        match self.wake {
            Wake::Nobody => self.wake = wake,
            _ => self.wakes.push(wake),
        }
    }
}

impl Mailbox {
    /// With the lock released: drops, rings, starts threads.
    pub(super) fn carry_out(self: &Arc<Self>, later: Later) {
        let Later { tickets, unrun, bells, wake, wakes, dropped } = later;
        let tickets = || tickets.iter().chain(unrun.iter().filter_map(|unrun| unrun.ticket.as_ref()));
        tickets().filter(|ticket| !ticket.is_of_a_future()).for_each(Ticket::ring);
        for bell in bells {
            bell.ring();
        }
        self.wake(wake);
        for wake in wakes {
            self.wake(wake);
        }
        // Last, for it is user code, which may wait for any of the others: wakers, and what never ran of owned calls.
        tickets().filter(|ticket| ticket.is_of_a_future()).for_each(Ticket::ring);
        drop((unrun, dropped));
    }

    pub(super) fn wake(self: &Arc<Self>, wake: Wake) {
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
