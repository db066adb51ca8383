//! One sleeper, and what it waits for.

use super::doer::Doer;
use super::scope::Lets;
use crate::call::Ticket;
use crate::cycle::{Awaited, Deadlock};
use crate::describe::{ApartmentName, CallKind, CallTarget};
use crate::id::{CallId, ChainId, ObjectId, ThreadId};
use crate::sync::{Arc, AtomicU64, Bell, Ordering};
use std::panic::Location;

/// An apartment as the graph knows it.
pub(crate) trait Place: Send + Sync {
    fn name(&self) -> &ApartmentName;
    fn capacity(&self) -> usize;
    fn seat(&self) -> &Seat;
    /// How an entry stands there now, while the owner sleeps in a wait that serves so much. Under that apartment's lock.
    fn stands(&self, ticket: &Ticket, lets: &Lets) -> Stands;
}

/// How an entry stands in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It comes in, or gets its room, without anybody's end; or it is not there any more.
    Moves,
    /// It stays in the queue until the owner's wait has ended.
    Held,
    /// It stands in the line for room, and none will come before the owner's wait has ended.
    InLine { queued: usize },
}

/// An apartment's own place in the graph: which of its threads sleep, and whether they have to be seen there.
pub(crate) struct Seat {
    /// How many threads may serve it; none for an STA, which has one.
    pool: Option<usize>,
    /// An STA's thread sleeps in this slot, counted from 1; 0 if it does not sleep in a wait. Written and read under the
    /// graph's lock alone.
    owner: AtomicU64,
    /// How many wait for its end, or for calls on its objects.
    awaited: AtomicU64,
}

impl Seat {
    /// An STA's, or that of a pool of so many threads at most.
    pub(crate) fn new(pool: Option<usize>) -> Self {
        Self { pool, owner: AtomicU64::new(0), awaited: AtomicU64::new(0) }
    }

    /// Whether somebody waits for its end, or for calls on its objects. Whoever does has said so before, and then rung its
    /// thread: that looks here before it sleeps, and so sees this, or the ring.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > 0
    }

    pub(crate) fn begins_to_be_awaited(&self) {
        self.awaited.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn is_awaited_no_more(&self) {
        self.awaited.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn pool(&self) -> Option<usize> {
        self.pool
    }

    pub(super) fn owner(&self) -> Option<usize> {
        let slot = self.owner.load(Ordering::Relaxed);
        usize::try_from(slot).ok().and_then(|slot| slot.checked_sub(1))
    }

    pub(super) fn set_owner(&self, slot: Option<usize>) {
        self.owner.store(slot.map_or(0, |slot| slot as u64 + 1), Ordering::Relaxed);
    }
}

/// What a sleeper waits for.
pub(crate) enum On {
    Entry(Entry),
    /// The end of an apartment: of all its threads.
    End {
        of: Arc<dyn Place>,
        location: Option<&'static Location<'static>>,
    },
    /// The end of all calls that run on an object.
    Disconnect {
        of: Arc<dyn Place>,
        object: ObjectId,
        location: &'static Location<'static>,
    },
    /// What somebody's thread brings about.
    Doer {
        doer: Arc<Doer>,
        awaits: Awaited,
    },
}

/// An entry that its sender waits for: a call's, for its reply; a one-way call's, for room.
pub(crate) struct Entry {
    pub(crate) ticket: Ticket,
    pub(crate) callee: Arc<dyn Place>,
    pub(crate) id: CallId,
    pub(crate) chain: ChainId,
    pub(crate) kind: CallKind,
    pub(crate) target: CallTarget,
    /// Whether it may stand in the line for room.
    pub(crate) waits_for_room: bool,
}

/// A call or message that stands on a sleeper's stack.
pub(crate) struct Serving {
    pub(crate) id: CallId,
    /// None for a message, and for a destructor.
    pub(crate) chain: Option<ChainId>,
    pub(crate) target: CallTarget,
}

/// A thread that sleeps in a wait. What it holds stays as it is until the thread has woken and taken it back.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) thread: Option<ThreadId>,
    pub(crate) bell: Option<Arc<Bell>>,
    pub(crate) home: Option<Arc<dyn Place>>,
    /// Whether it is one of the pool's.
    pub(crate) is_pool_thread: bool,
    pub(crate) lets: Lets,
    /// None: the slot is free.
    pub(crate) on: Option<On>,
    pub(crate) serving: Vec<Serving>,
    /// Since when, on the process' clock.
    pub(crate) since: u64,
    /// Another one with each sleep.
    pub(super) generation: u64,
    /// It is to end its wait with this; so it goes on.
    pub(super) told: Option<Arc<Deadlock>>,
    /// What a look found out: it goes on for a reason that its mailbox knows.
    pub(super) released: bool,
    /// Marks of the look that goes on.
    pub(super) seen: bool,
    pub(super) moves: bool,
}

impl Node {
    pub(super) fn is_at(&self, place: &Arc<dyn Place>) -> bool {
        self.on.is_some() && self.home.as_ref().is_some_and(|home| home.name().id == place.name().id)
    }

    pub(super) fn is_of(&self, doer: &Doer) -> bool {
        self.on.is_some() && self.thread.is_some_and(|thread| doer.is(thread))
    }

    /// Whether a call on that object runs on its stack.
    pub(super) fn is_in(&self, object: ObjectId) -> bool {
        self.serving.iter().any(|serving| serving.chain.is_some() && serving.target.object == Some(object))
    }

    /// Whether its wait can fail as one that has not started anything: all can but that for a call that runs.
    pub(super) fn can_fail(&self) -> bool {
        match &self.on {
            Some(On::Entry(entry)) => entry.ticket.is_queued(),
            Some(On::End { .. } | On::Disconnect { .. } | On::Doer { .. }) => true,
            None => false,
        }
    }

    /// How late its wait began: who sleeps last need not be who began last, for sleepers wake now and then. Where the clock
    /// does not tell, it is a call that was there before a join or a disconnecting, and else who went to sleep first.
    pub(super) fn youth(&self) -> (u64, bool, u64) {
        (self.since, !matches!(self.on, Some(On::Entry(_))), self.generation)
    }

    /// Whether what it waits for has come, and it has only to wake.
    pub(super) fn has_ended(&self) -> bool {
        matches!(&self.on, Some(On::Entry(entry)) if entry.ticket.is_settled())
    }
}
