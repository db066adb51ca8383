//! The MTA's side of a monitor: its threads, its objects, and who keeps it alive.

use super::Wake;
use crate::id::ObjectId;
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
    /// How many are to run at once.
    pub(crate) target: usize,
    /// How many there may be, blocked ones included.
    pub(crate) maximum: usize,
    /// Handles, usage guards, threads that entered, and direct calls of threads that are in no apartment.
    pub(crate) usages: usize,
    pub(crate) objects: BTreeMap<ObjectId, Shared>,
    /// Direct references that threads held which have left: dropped by a thread of the pool.
    pub(crate) late: Vec<Shared>,
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
            objects: BTreeMap::new(),
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
