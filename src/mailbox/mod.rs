#![doc = include_str!("README.md")]

mod accept;
mod alarm;
mod desk;
mod discard;
mod dispatch;
mod end;
mod entry;
mod later;
mod monitor;
mod objects;
mod open;
mod out;
mod pool;
mod seen;
mod sent;
mod waits;

pub(crate) use accept::Accepted;
pub(crate) use entry::{Ask, Body, Brief, Entry, Header, NotAccepted, Place, ToldBy};
pub(crate) use monitor::{Asked, Door, Looker, Messages, Next, Started};
pub(crate) use open::{Out, Waits};
pub(crate) use pool::{Pool, Shared, Use};
pub(crate) use sent::{Closure, Sent};

use crate::call::record::Why;
use crate::common::Common;
use crate::describe::ApartmentName;
use crate::diagnose::{ApartmentHow, CallRef, CancelReason, What};
use crate::error::{CallError, Disconnected, MailboxFull, Outcome, WhyDisconnected};
use crate::id::{ObjectId, ThreadId};
use crate::sync::{Arc, Bell, Mutex};
use crate::wait_graph::Seat;
use desk::{Batch, Desk};
use monitor::Monitor;

/// How many entries have room where nothing else is said: Windows' own limit for a thread's posted messages.
pub(crate) const DEFAULT_CAPACITY: usize = 10_000;

/// Who does a step, for the events: the thread, and how deep it stands.
pub(crate) type Who = (ThreadId, u16);

/// An apartment as everybody else sees it: its name and its monitor.
///
/// Apart from its count, which every caller changes while its thread looks here.
#[repr(align(64))]
pub(crate) struct Mailbox {
    pub(crate) name: ApartmentName,
    pub(crate) capacity: usize,
    pub(crate) common: Arc<Common>,
    /// How it came about.
    pub(crate) how: ApartmentHow,
    owner: Owner,
    /// Which of its threads sleep, as the graph of waits knows it.
    seat: Seat,
    monitor: Mutex<Monitor>,
    /// What its thread has taken over from the queue; taken inside the monitor's lock.
    desk: Desk,
}

/// Who is rung.
pub(crate) enum Owner {
    /// An STA: its one thread.
    Sta(Arc<Bell>),
    /// The MTA: an idle thread of the pool, or a new one, which this starts.
    Pool(Box<Grow>),
}

/// Starts one more thread of the pool, which has been counted already.
pub(crate) type Grow = dyn Fn(&Arc<Mailbox>) -> Result<(), CallError> + Send + Sync;

/// What a caller that finds no room wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Refuse,
    Wait,
    /// It needs none: the library's own, for the end of the process.
    NotNeeded,
}

impl Mailbox {
    pub(crate) fn new(
        name: ApartmentName,
        capacity: usize,
        common: Arc<Common>,
        how: ApartmentHow,
        owner: Owner,
        pool: Option<Pool>,
    ) -> Arc<Self> {
        let now = common.clock.roughly();
        let seat = Seat::new(pool.as_ref().map(|pool| pool.maximum));
        Arc::new(Self {
            name,
            capacity,
            common,
            how,
            owner,
            seat,
            monitor: Mutex::new(Monitor::new(now, pool)),
            desk: Mutex::new(Batch::default()),
        })
    }

    /// Whether it was made for objects rather than by anybody (rule CL-3).
    pub(crate) fn is_host(&self) -> bool {
        self.how == ApartmentHow::Host
    }

    /// Whether its thread belongs to an event loop, which has to be woken (rule AP-9).
    pub(crate) fn is_adopted(&self) -> bool {
        self.how == ApartmentHow::Adopted
    }

    /// Wakes that loop once more if it swallowed a wake. When to ask again.
    pub(crate) fn wake_again(&self) -> Option<u64> {
        match &self.owner {
            Owner::Sta(bell) => bell.wake_again(),
            Owner::Pool(_) => None,
        }
    }

    pub(crate) fn is_sta(&self) -> bool {
        matches!(self.owner, Owner::Sta(_))
    }

    /// A step of this apartment that changes nothing in the monitor, told under its lock like all its steps.
    pub(crate) fn tell(&self, who: Who, call: Option<CallRef>, what: impl FnOnce() -> What) {
        if self.common.recorder.is_on() {
            let what = what();
            let _order = self.monitor();
            self.common.recorder.push(Some(self.name.id), who, call, what);
        }
    }

    pub(super) fn push_event(&self, _under: &Monitor, who: Who, call: Option<CallRef>, what: impl FnOnce() -> What) {
        if self.common.recorder.is_on() {
            self.common.recorder.push(Some(self.name.id), who, call, what());
        }
    }

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
        self.disconnected(if self.has_ended() { Door::Ended } else { Door::Open }, object)
    }

    /// Whether its objects can still be had: `Disconnected` once it has ended.
    pub(crate) fn is_there(&self, object: ObjectId) -> Result<(), CallError> {
        match self.has_ended() {
            true => Err(self.disconnected(Door::Ended, Some(object))),
            false => Ok(()),
        }
    }

    pub(super) fn full(&self, monitor: &Monitor) -> MailboxFull {
        use std::time::Duration;
        let now = self.common.clock.nanos();
        let since = |then: u64| Duration::from_nanos(now.saturating_sub(then));
        MailboxFull {
            callee: self.name.clone(),
            queued: monitor.queued,
            capacity: self.capacity,
            waiting: monitor.waiting.len(),
            executing: monitor.executing.last().map(|executing| (executing.target(), since(executing.since))),
            idle_for: since(monitor.last_dispatch),
        }
    }

    /// The diagnosis, now.
    pub(crate) fn mailbox_full(&self) -> CallError {
        CallError::MailboxFull(Arc::new(self.full(&self.monitor())))
    }

    pub(crate) fn door(&self) -> Door {
        self.monitor().door
    }

    /// Whether it takes no calls at all any more: it has ended, or was left behind by its process' end.
    pub(crate) fn has_ended(&self) -> bool {
        self.monitor().has_ended()
    }

    pub(crate) fn queued(&self) -> usize {
        self.monitor().queued
    }

    /// How many entries and releases there are to serve.
    pub(crate) fn waiting_entries(&self) -> usize {
        let monitor = self.monitor();
        monitor.entries.len() + monitor.releases.len()
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
