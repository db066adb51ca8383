//! What a process does at a moment: plain owned data (rule DG-1). How it reads is in `table.rs`.

use super::event::{ApartmentHow, CallRef, WaitFor};
use crate::describe::{ApartmentName, CallKind, CallTarget, Caller, Reentrancy, Serves};
use crate::filter::MessageClass;
use crate::id::ThreadId;
use crate::sync::Arc;
use std::time::Duration;

/// What the apartments of a process do, taken with [`Process::snapshot`](crate::Process::snapshot). All times in it are on
/// the process' clock. It prints as a table, with who waits for whom at its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The process' name.
    pub process: Arc<str>,
    /// When it was taken.
    pub at: Duration,
    /// Its apartments in the order of their making, hosts too; those that are gone are not among them.
    pub apartments: Vec<ApartmentSeen>,
}

/// An apartment in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApartmentSeen {
    /// Its id and name.
    pub name: ApartmentName,
    /// Whether it is an STA; the MTA otherwise.
    pub sta: bool,
    /// How it came about.
    pub how: ApartmentHow,
    /// Whether it is its process' main STA.
    pub main: bool,
    /// How far its end has come.
    pub door: DoorSeen,
    /// Whether its process has ended and left it behind.
    pub left_behind: bool,
    /// What it lets in while it waits; the MTA has no such policy.
    pub reentrancy: Option<Reentrancy>,
    /// Whether it has a message filter.
    pub filter: bool,
    /// The threads that are in it: an STA's one, the MTA's pool and those that entered. (Not those that only count as the
    /// MTA's while they call one of its objects.)
    pub threads: Vec<ThreadSeen>,
    /// The MTA's pool.
    pub pool: Option<PoolSeen>,
    /// How many objects it has.
    pub objects: usize,
    /// How many entries hold room in its mailbox.
    pub queued: usize,
    /// How many can.
    pub capacity: usize,
    /// What is queued, and behind it the line for room; each in order.
    pub entries: Vec<EntrySeen>,
    /// Since when it has dispatched nothing: the time of its last dispatch, or of its making.
    pub last_dispatch: Duration,
    /// What its threads execute: the calls and messages that they serve and have not finished. Those of one thread in the
    /// order of their beginning, the innermost last. Direct calls are not among them.
    pub executing: Vec<FrameSeen>,
    /// What its threads wait for; those of one thread in the order of their beginning, the innermost last.
    pub waits: Vec<WaitSeen>,
}

/// How far an apartment's end has come, in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DoorSeen {
    /// It takes new calls.
    Open,
    /// It was asked to quit: it serves what it has, and takes only callbacks.
    Closing,
    /// It drops its objects.
    Ending,
    /// It has ended, and its thread is still in.
    Ended,
}

/// A thread in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadSeen {
    /// Its number.
    pub thread: ThreadId,
    /// Since when it is in the apartment.
    pub since: Duration,
}

/// The MTA's pool in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolSeen {
    /// How many threads it has, those being started included.
    pub threads: usize,
    /// How many of them are blocked in calls of their own or in other waits.
    pub blocked: usize,
    /// How many of them wait for work.
    pub idle: usize,
    /// Up to how many that are not blocked it grows.
    pub target: usize,
    /// How many it can have.
    pub maximum: usize,
    /// How many threads are in it that are not the pool's.
    pub inside: usize,
}

/// An entry of a mailbox in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntrySeen {
    /// The call, or the message counted like one.
    pub call: CallRef,
    /// How the call is made.
    pub kind: CallKind,
    /// The class of an application message.
    pub message: Option<MessageClass>,
    /// Who sent it.
    pub caller: Caller,
    /// Whether a thread waits for it, or for its room: not for a post that has come, nor for a future's call.
    pub waited_for: bool,
    /// What it asks for.
    pub target: CallTarget,
    /// Since when it is here, the line included.
    pub since: Duration,
    /// Where it stands.
    pub at: EntryAt,
}

/// Where an entry stands, in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryAt {
    /// In the queue, and holds room.
    Room,
    /// In the queue, and needs no room.
    NoRoom,
    /// In the line for room.
    Line,
}

/// What a thread executes, in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FrameSeen {
    /// The thread.
    pub thread: ThreadId,
    /// The call or message, how it is made, and by whom; none for a destructor.
    pub call: Option<CallRef>,
    /// How the call is made.
    pub kind: CallKind,
    /// The class of an application message.
    pub message: Option<MessageClass>,
    /// Who sent it; none for a destructor.
    pub caller: Option<Caller>,
    /// Whether a thread waits for it: not for a post, nor for a future's call, nor for one whose caller has left.
    pub waited_for: bool,
    /// What it asks for.
    pub target: CallTarget,
    /// Since when.
    pub since: Duration,
}

/// A wait in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitSeen {
    /// The thread that waits.
    pub thread: ThreadId,
    /// For what.
    pub on: WaitFor,
    /// The call it waits for, or that waits for room.
    pub call: Option<CallRef>,
    /// Which apartment has to do something to end it, where one has.
    pub whom: Option<ApartmentName>,
    /// What is asked of it.
    pub target: Option<CallTarget>,
    /// What the wait serves.
    pub serves: Serves,
    /// Since when.
    pub since: Duration,
    /// When it ends by itself.
    pub until: Option<Duration>,
}

/// Who waits for whom, in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitsForWhom {
    /// The thread that waits.
    pub thread: ThreadId,
    /// The apartment it is in.
    pub from: Option<ApartmentName>,
    /// The apartment it waits for.
    pub to: ApartmentName,
    /// What for.
    pub on: WaitFor,
    /// The call.
    pub call: Option<CallRef>,
    /// What is asked.
    pub target: Option<CallTarget>,
    /// What the wait serves.
    pub serves: Serves,
    /// Since when.
    pub since: Duration,
}

impl Snapshot {
    /// Who waits for whom, the oldest wait first: what the waits say, and the calls by threads in no apartment, which
    /// are seen where they are queued or run. (A caller in an apartment of another process is seen in that process.)
    pub fn waits_for_whom(&self) -> Vec<WaitsForWhom> {
        let mut all: Vec<_> = self.apartments.iter().flat_map(ApartmentSeen::who_waits).collect();
        all.sort_by_key(|wait| wait.since);
        all
    }
}

impl ApartmentSeen {
    fn who_waits(&self) -> Vec<WaitsForWhom> {
        let own = self.waits.iter().filter_map(|wait| {
            let WaitSeen { thread, on, call, target, serves, since, .. } = *wait;
            let (from, to) = (Some(self.name.clone()), wait.whom.clone()?);
            Some(WaitsForWhom { thread, from, to, on, call, target, serves, since })
        });
        // Threads in no apartment pump nothing.
        let outside = |thread, on, call, target, since| {
            let (from, to, serves) = (None, self.name.clone(), Serves::Nothing);
            WaitsForWhom { thread, from, to, on, call, target: Some(target), serves, since }
        };
        let queued = self.entries.iter().filter_map(|entry| {
            let in_line = entry.at == EntryAt::Line;
            let waits = entry.caller.apartment.is_none() && entry.waited_for;
            let on = if in_line { WaitFor::Room } else { WaitFor::Reply };
            waits.then(|| outside(entry.caller.thread, on, Some(entry.call), entry.target, entry.since))
        });
        let runs = self.executing.iter().filter_map(|frame| {
            let caller = frame.caller.as_ref().filter(|caller| caller.apartment.is_none() && frame.waited_for)?;
            Some(outside(caller.thread, WaitFor::Reply, frame.call, frame.target, frame.since))
        });
        queued.chain(runs).chain(own).collect()
    }
}
