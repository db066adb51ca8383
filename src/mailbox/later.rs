//! What a change leaves to do once the lock is released.

use super::entry::Place;
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
///
/// Every call and every post makes one and hands it on, so what they need is in place, and what hardly any of them needs is
/// elsewhere.
#[must_use]
#[derive(Default)]
pub(crate) struct Later {
    wake: Wake,
    /// Whoever was next in the line for room.
    granted: Option<Ticket>,
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
pub(super) struct Rest {
    pub(super) tickets: Vec<Ticket>,
    /// Calls that were answered without having run.
    pub(super) unrun: Vec<Unrun>,
    pub(super) bells: Vec<Arc<Bell>>,
    pub(super) dropped: Vec<Place>,
    wakes: Vec<Wake>,
}

impl Later {
    /// All that is left to do but what is in place.
    #[cold]
    pub(super) fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Whether it rings a future: user code, which is not to run while something is in hand.
    pub(super) fn rings_futures(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.rings().any(Ticket::is_of_a_future))
    }

    /// One that waits for room has got it, or may have it soon.
    pub(super) fn ring(&mut self, ticket: Ticket) {
        match &self.granted {
            None => self.granted = Some(ticket),
            Some(_) => self.rest().tickets.push(ticket),
        }
    }

    #[inline]
    pub(super) fn wake(&mut self, wake: Wake) {
        match self.wake {
            Wake::Nobody => self.wake = wake,
            _ => self.rest().wakes.push(wake),
        }
    }
}

impl Rest {
    fn rings(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.iter().chain(self.unrun.iter().filter_map(|unrun| unrun.ticket.as_ref()))
    }
}

impl Mailbox {
    /// With the lock released: drops, rings, starts threads.
    #[inline]
    pub(super) fn carry_out(self: &Arc<Self>, later: Later) {
        let Later { wake, granted, rest } = later;
        if let Some(ticket) = granted {
            ticket.ring();
        }
        match rest {
            None => self.wake(wake),
            Some(rest) => self.carry_out_rest(wake, *rest),
        }
    }

    /// Who sleeps comes before whatever can be user code: an event loop's waker, a thread that cannot be started.
    #[cold]
    fn carry_out_rest(self: &Arc<Self>, wake: Wake, mut rest: Rest) {
        rest.rings().filter(|ticket| !ticket.is_of_a_future()).for_each(Ticket::ring);
        rest.bells.iter().for_each(|bell| bell.ring());
        self.wake(wake);
        rest.wakes.drain(..).for_each(|wake| self.wake(wake));
        // Last, for it is user code, which may wait for any of the others: wakers, and what never ran of owned calls.
        rest.rings().filter(|ticket| ticket.is_of_a_future()).for_each(Ticket::ring);
        drop(rest);
    }

    #[inline]
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
