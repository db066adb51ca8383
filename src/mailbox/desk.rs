//! The desk: what an STA's thread has taken over from the queue all at once, to run it without asking for the monitor again.
//!
//! # Protocol
//!
//! The thread's top loop, when its look has found something to run, takes what is queued behind it, too: the *batch*. From
//! then on it takes one entry after another from the desk, under the desk's lock alone, which those who post do not touch.
//! They go on filling the queue, and need not ring: who has a batch looks into the queue before it sleeps.
//!
//! It does so where nothing but the end of the queue can change meanwhile: not while a filter is set or somebody listens, a
//! sender stands in the line for room, a future is to be woken or an object to be dropped, and not in a loop of somebody
//! else's, which is woken for each entry.
//!
//! A batch is the apartment's all the same, the first part of its queue that happens to lie elsewhere. Whoever takes the
//! monitor for anything but to put an entry at the queue's end — to cancel, to disconnect, to close, to look from a nested
//! wait, to show or to listen, to let an input-synchronized call in front — first calls the batch back
//! ([`Mailbox::monitor`]), and finds everything where it has always been.
//!
//! | `on_desk` | the desk | changed by |
//! |---|---|---|
//! | false | nothing is on it, and nothing is put there | the owner, under both locks: true |
//! | true | a part of the queue, and what runs of it | the owner takes from it, under the desk's lock; anybody, under both: false |
//!
//! `on_desk` is guarded by the monitor's lock; the desk's is taken inside it, never the other way round. Started entries
//! have given their room back: that is counted on the desk, and carried over when the batch is called back, as it is by a
//! sender that finds no room. So the bound is exact, and nobody is refused who would have room.

use super::Mailbox;
use super::dispatch::Begun;
use super::entry::Place;
use super::later::Later;
use super::monitor::{Door, Looker, Monitor, Next, Started};
use super::open::{Executing, Runs};
use crate::call::Ticket;
use crate::filter::call_type;
use crate::sync::{Arc, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::mem;

/// See the module's documentation.
pub(super) type Desk = Mutex<Batch>;

#[derive(Default)]
pub(super) struct Batch {
    entries: VecDeque<Place>,
    /// What runs of it, or has just run.
    executing: Option<Executing>,
    /// Places of what has run.
    over: Vec<Place>,
    /// How many have given their room back.
    room: usize,
    last_dispatch: u64,
}

impl Mailbox {
    /// The monitor, with everything in it, to be changed in any way.
    #[inline]
    pub(super) fn monitor(&self) -> MutexGuard<'_, Monitor> {
        let mut monitor = self.monitor.lock();
        self.call_back(&mut monitor);
        monitor.passed = (0, 0);
        monitor
    }

    /// What is on the desk is put back where it was.
    #[inline]
    pub(super) fn call_back(&self, monitor: &mut Monitor) {
        if mem::take(&mut monitor.on_desk) {
            self.call_back_now(monitor);
        }
    }

    #[cold]
    fn call_back_now(&self, monitor: &mut Monitor) {
        let mut batch = self.desk.lock();
        let batch = &mut *batch;
        // What has come since is moved behind it, once: the next batch takes all of it over in one step.
        batch.entries.append(&mut monitor.entries);
        mem::swap(&mut batch.entries, &mut monitor.entries);
        monitor.vacant.append(&mut batch.over);
        monitor.queued -= mem::take(&mut batch.room);
        monitor.last_dispatch = monitor.last_dispatch.max(batch.last_dispatch);
        monitor.executing.extend(batch.executing.take());
    }

    /// Whether there is no room, that of what has been started off the desk counted in.
    #[inline]
    pub(super) fn is_full(&self, monitor: &mut Monitor) -> bool {
        if monitor.queued >= self.capacity && monitor.on_desk {
            monitor.queued -= mem::take(&mut self.desk.lock().room);
        }
        monitor.queued >= self.capacity
    }

    /// What is queued is taken over, behind what has just been started. Only where nothing but the end of the queue can
    /// change without calling it back: see the module's documentation.
    pub(super) fn take_over(&self, monitor: &mut Monitor, looker: &Looker<'_>) {
        let quiet = monitor.waiting.is_empty() && monitor.alarms.is_empty() && monitor.releases.is_empty();
        // Nothing is passed over in the top loop while the door is open: what was started was the first.
        let plain = quiet && monitor.door == Door::Open;
        let Some(has_batch) = looker.batch.filter(|_| plain && !monitor.entries.is_empty()) else { return };
        if self.common.recorder.is_on() || looker.filter {
            return;
        }
        let mut batch = self.desk.lock();
        mem::swap(&mut batch.entries, &mut monitor.entries);
        batch.executing = monitor.executing.pop();
        batch.last_dispatch = monitor.last_dispatch;
        monitor.on_desk = true;
        has_batch.set(true);
    }

    /// What the owner's thread does next, if it is on the desk.
    pub(super) fn next_of_batch(self: &Arc<Self>, looker: &Looker<'_>, started: &mut Started) -> Option<Next> {
        // Who sets a filter, or comes to listen, has called it back.
        let has_batch = looker.batch.filter(|has| has.get())?;
        let mut later = Later::default();
        let mut batch = self.desk.lock();
        let left = batch.frame_left();
        let next = loop {
            let Some(mut entry) = batch.entries.pop_front() else {
                has_batch.set(false);
                break None;
            };
            batch.room += usize::from(mem::take(&mut entry.room));
            let now = self.common.clock.roughly();
            let Some(Begun { ticket, message }) = self.begin(&mut entry, started, &mut later) else {
                entry.vacate();
                batch.over.push(entry);
                if later.rings_futures() {
                    break Some(Next::Rung);
                }
                continue;
            };
            batch.last_dispatch = now;
            let runs = match message {
                Some(class) => Runs::Message(entry, class),
                // Nothing is out while the top loop looks.
                None => {
                    let call_type = call_type(entry.header.kind.is_one_way(), false, false);
                    Runs::Call(entry, Some(call_type))
                }
            };
            let Looker { who, depth, .. } = *looker;
            batch.executing = Some(Executing { who, depth, runs, since: now, ticket, told_late: false });
            break Some(Next::Run);
        };
        drop(batch);
        drop(left);
        self.carry_out(later);
        next
    }
}

impl Batch {
    /// What ran of it has ended. Its ticket is to be dropped with no lock held.
    #[inline]
    fn frame_left(&mut self) -> Option<Ticket> {
        let last = self.executing.take()?;
        if let Runs::Call(mut entry, _) | Runs::Message(mut entry, _) = last.runs {
            entry.vacate();
            self.over.push(entry);
        }
        last.ticket
    }
}
