//! What threads of an apartment have open: calls that are out, other waits, and what they run.

use super::entry::Place;
use super::{Mailbox, Who};
use crate::call::Ticket;
use crate::describe::{ApartmentName, CallKind, CallTarget};
use crate::diagnose::{CallRef, Serves, WaitFor};
use crate::filter::{CallType, MessageClass};
use crate::id::{CallId, ChainId};
use crate::sync::{Arc, Bell};
use std::time::Duration;

/// A call of this apartment that is out.
pub(crate) struct Out {
    /// Of its last attempt.
    pub(crate) call: CallRef,
    pub(crate) who: Who,
    pub(crate) kind: CallKind,
    pub(crate) target: CallTarget,
    /// The call that it was made in.
    pub(crate) parent: Option<CallId>,
    /// When it ends by itself, on the callee's clock.
    pub(crate) deadline: Option<u64>,
    pub(crate) borrows: bool,
    /// When it was made, on this apartment's clock.
    pub(crate) made: u64,
    /// The bell of the thread that waits for it.
    pub(crate) bell: Arc<Bell>,
    pub(crate) callee: Arc<Mailbox>,
    /// What the wait for it is for just now, and until when.
    pub(crate) on: WaitFor,
    pub(crate) until: Option<u64>,
    pub(crate) serves: Serves,
}

impl Out {
    pub(crate) fn chain(&self) -> ChainId {
        self.call.chain
    }
}

/// A wait of the apartment's threads that is for no call.
pub(crate) struct Waits {
    pub(crate) who: Who,
    pub(crate) on: WaitFor,
    /// What waits for room.
    pub(crate) call: Option<CallRef>,
    pub(crate) whom: Option<ApartmentName>,
    pub(crate) serves: Serves,
    pub(crate) until: Option<Duration>,
    pub(crate) since: u64,
}

/// What a thread of the apartment runs.
pub(crate) struct Executing {
    pub(crate) who: Who,
    /// How many calls and messages are open on that thread below it.
    pub(crate) depth: u32,
    pub(crate) runs: Runs,
    pub(crate) since: u64,
    /// Shows whether a call still runs: its frame is taken off later, with the lock that its thread takes next.
    pub(crate) ticket: Option<Ticket>,
    /// Somebody was told late that it runs, and is to be told that it has ended.
    pub(crate) told_late: bool,
}

/// What frames that are taken off leave, to be dropped when the lock is released: the last of a call's record may hold
/// what is the user's.
#[must_use]
#[derive(Default)]
pub(crate) struct Left {
    /// The first in place, for a call allocates nothing.
    first: Option<Ticket>,
    more: Vec<Ticket>,
}

impl Left {
    pub(super) fn add(&mut self, ticket: Ticket) {
        match &self.first {
            None => self.first = Some(ticket),
            Some(_) => self.more.push(ticket),
        }
    }
}

/// What it is that runs.
pub(crate) enum Runs {
    Call(Place, Option<CallType>),
    Message(Place, MessageClass),
    /// A destructor.
    Drop(CallTarget),
}

impl Executing {
    /// Whether it has not ended, as far as can be seen from elsewhere.
    pub(crate) fn is_open(&self) -> bool {
        self.ticket.as_ref().is_none_or(Ticket::runs)
    }

    pub(crate) fn target(&self) -> CallTarget {
        match &self.runs {
            Runs::Call(entry, _) | Runs::Message(entry, _) => entry.header.target,
            Runs::Drop(target) => *target,
        }
    }
}
