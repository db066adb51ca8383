//! The MTA's side of a monitor: its threads, its objects, and who keeps it alive.

use super::entry::Body;
use super::later::{Later, Wake};
use super::monitor::Door;
use super::{Mailbox, Who};
use crate::call::Verdict;
use crate::error::CallError;
use crate::id::{ObjectId, ThreadId};
use crate::sync::{Arc, Bell};
use std::any::Any;
use std::collections::BTreeMap;

/// An MTA's object: shared by all its threads.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// Guarded by the mailbox' lock like everything in the monitor.
pub(crate) struct Pool {
    /// Pool threads that look for work; each waits on its own bell and is taken off the list by whoever rings it.
    pub(crate) idle: Vec<Arc<Bell>>,
    /// Pool threads there are, those being started included.
    pub(crate) threads: usize,
    /// How many of them are blocked in an outgoing call, a wait or a join.
    pub(crate) blocked: usize,
    /// Up to how many that are not blocked it grows.
    pub(crate) target: usize,
    /// How many there may be, blocked ones included.
    pub(crate) maximum: usize,
    /// Handles, usage guards, threads that entered, and direct calls of threads that are in no apartment.
    pub(crate) usages: usize,
    /// Threads among them that are not the pool's: those that entered, and those in no apartment for the length of a direct
    /// call. Its end waits until they have left.
    pub(crate) inside: usize,
    pub(crate) objects: BTreeMap<ObjectId, Shared>,
    /// Pool threads whose call has ended, as was told, and who still drop what came of it: its end waits for them.
    pub(crate) letting_go: Vec<ThreadId>,
    /// Direct references that threads held which have left: dropped by a thread of the pool.
    pub(crate) late: Vec<Shared>,
}

/// What keeps an MTA alive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A thread that is in it.
    Thread,
    /// A handle, or a usage guard.
    Guard,
}

impl Pool {
    pub(crate) fn new(target: usize, maximum: usize) -> Self {
        Self {
            idle: Vec::new(),
            threads: 0,
            blocked: 0,
            target,
            maximum,
            usages: 0,
            inside: 0,
            objects: BTreeMap::new(),
            letting_go: Vec::new(),
            late: Vec::new(),
        }
    }

    /// Who is to look at a new entry: an idle thread, or a new one if fewer than the target run.
    pub(crate) fn wake(&mut self) -> Wake {
        if let Some(bell) = self.idle.pop() {
            Wake::Worker(bell)
        } else if self.threads - self.blocked < self.target && self.threads < self.maximum {
            self.threads += 1;
            Wake::Grow
        } else {
            Wake::Nobody
        }
    }

    /// Whether some thread will come to look at the queue by itself.
    pub(crate) fn is_served(&self) -> bool {
        self.threads > self.blocked
    }
}

impl Mailbox {
    /// One more reason for the MTA to be there: a thread that is in it, or something that keeps it. False if it is already
    /// ending.
    pub(crate) fn use_begins(&self, by: Use) -> bool {
        let mut monitor = self.monitor();
        let open = monitor.door == Door::Open;
        if let (true, Some(pool)) = (open, &mut monitor.pool) {
            pool.usages += 1;
            pool.inside += usize::from(by == Use::Thread);
        }
        open
    }

    /// One fewer; with the last one the MTA ends (rule DI-14). True if that was it.
    pub(crate) fn use_ends(self: &Arc<Self>, by: Use, who: Who) -> bool {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        let last = monitor.pool.as_mut().is_some_and(|pool| {
            pool.usages -= 1;
            pool.inside -= usize::from(by == Use::Thread);
            pool.usages == 0
        });
        if last {
            self.close_locked(&mut monitor, who, &mut later);
        }
        if monitor.may_end() {
            // Asked to quit before: its end has waited for this thread.
            later.rest().bells.extend(monitor.pool.as_mut().and_then(|pool| pool.idle.pop()));
        }
        drop(monitor);
        self.carry_out(later);
        last
    }

    /// A pool thread found nothing, with the door as it says: it goes on the list before it sleeps. Until when, if a future
    /// is to be woken; nothing if there is something to do after all.
    pub(crate) fn goes_idle(&self, bell: &Arc<Bell>, door: Door) -> Option<Option<u64>> {
        let mut monitor = self.monitor();
        // A closing pool waits for its running calls, whose threads look again when they are done, and for the threads
        // that are in it, who wake it when they leave.
        let nothing = !monitor.has_work() && monitor.door == door && !monitor.may_end();
        if let (true, Some(pool)) = (nothing, &mut monitor.pool) {
            pool.idle.push(Arc::clone(bell));
        }
        nothing.then(|| monitor.next_alarm())
    }

    /// It woke: off the list, if nobody took it off to ring it.
    pub(crate) fn no_longer_idle(&self, bell: &Arc<Bell>) {
        if let Some(pool) = &mut self.monitor().pool {
            pool.idle.retain(|idle| !Arc::ptr_eq(idle, bell));
        }
    }

    /// A thread of the pool could not be started (rule AP-10). If no other will look at the queue, the callers in it
    /// are answered.
    pub(crate) fn growth_failed(self: &Arc<Self>, error: &CallError) {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        let Some(pool) = &mut monitor.pool else { return };
        pool.threads -= 1;
        let served = pool.is_served();
        later.rest().bells.extend(monitor.last_thread_gone());
        if !served {
            let (calls, rest) = std::mem::take(&mut monitor.entries)
                .into_iter()
                .partition::<std::collections::VecDeque<_>, _>(|entry| matches!(entry.body, Body::Call(_)));
            monitor.entries = rest;
            for mut entry in calls {
                self.give_back_room(&mut monitor, &mut entry, (ThreadId(0), 0), &mut later);
                if let Body::Call(errand) = entry.body {
                    later.rest().unrun.push(errand.reject(Verdict::Failed(error.clone())));
                }
            }
        }
        drop(monitor);
        self.carry_out(later);
    }
}
