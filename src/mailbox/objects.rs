//! References that went, and the MTA's objects.

use super::entry::{Body, Place};
use super::later::Later;
use super::monitor::Door;
use super::pool::Shared;
use super::{Mailbox, Who};
use crate::call::Verdict;
use crate::diagnose::What;
use crate::id::ObjectId;
use crate::sync::Arc;

impl Mailbox {
    /// A reference to an object went: it is dropped at home. Never waits, never fails.
    pub(crate) fn release(self: &Arc<Self>, object: ObjectId) {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if monitor.door != Door::Ended {
            monitor.releases.push_back(object);
            later.wake(monitor.wake());
        }
        drop(monitor);
        self.carry_out(later);
    }

    /// An object is disconnected: calls on it that are queued, or wait for room, are answered, and none comes in any more.
    /// Posts keep their places, and are dropped at home when their turn comes.
    pub(crate) fn disconnect(self: &Arc<Self>, object: ObjectId, who: Who) {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if monitor.door == Door::Ended {
            return;
        }
        monitor.disconnected.push(object);
        self.push_event(&monitor, who, None, || What::ObjectDisconnected { object });
        let calls_it =
            |entry: &Place| matches!(entry.body, Body::Call(_)) && entry.header.target.object == Some(object);
        let gone = || Verdict::Failed(self.disconnected(Door::Open, Some(object)));
        while let Some(at) = monitor.waiting.iter().position(calls_it) {
            if let Some(Body::Call(errand)) = monitor.waiting.remove(at).map(|entry| entry.body) {
                later.rest().unrun.push(errand.reject(gone()));
            }
        }
        while let Some(at) = monitor.entries.iter().position(calls_it) {
            let Some(mut entry) = monitor.entries.remove(at) else { break };
            self.give_back_room(&mut monitor, &mut entry, who, &mut later);
            if let Body::Call(errand) = entry.body {
                later.rest().unrun.push(errand.reject(gone()));
            }
        }
        Self::ring_line(&monitor, &mut later);
        drop(monitor);
        self.carry_out(later);
    }

    /// A disconnected object has no reference left that could be called through.
    pub(crate) fn forget(&self, object: ObjectId) {
        self.monitor().disconnected.retain(|gone| *gone != object);
    }

    /// A direct reference to an object of the MTA, held by a thread that has left it: dropped at home. Given back if
    /// there is no home any more.
    pub(crate) fn release_shared(self: &Arc<Self>, object: Shared) -> Option<Shared> {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        let ended = monitor.door == Door::Ended;
        let Some(pool) = monitor.pool.as_mut().filter(|_| !ended) else { return Some(object) };
        pool.late.push(object);
        later.wake(pool.wake());
        drop(monitor);
        self.carry_out(later);
        None
    }

    /// A number for a new object; none once the apartment has ended.
    pub(crate) fn new_object(&self) -> Option<ObjectId> {
        let mut monitor = self.monitor();
        if monitor.door == Door::Ended {
            return None;
        }
        monitor.objects_made += 1;
        monitor.objects += 1;
        Some(ObjectId(monitor.objects_made))
    }

    /// An STA gives up its reference to an object.
    pub(crate) fn object_dropped(&self, object: ObjectId, who: Who) {
        let mut monitor = self.monitor();
        monitor.objects = monitor.objects.saturating_sub(1);
        self.push_event(&monitor, who, None, || What::ObjectDropped { object });
    }

    /// Puts an object of the MTA on its shelf; gives it back if that has been cleared for good.
    pub(crate) fn shelve(&self, object: Shared) -> Result<ObjectId, Shared> {
        let mut monitor = self.monitor();
        if matches!(monitor.door, Door::Ending | Door::Ended) {
            return Err(object);
        }
        monitor.objects_made += 1;
        let id = ObjectId(monitor.objects_made);
        match &mut monitor.pool {
            Some(pool) => pool.objects.insert(id, object),
            None => crate::broken("an STA's objects stay with its thread"),
        };
        Ok(id)
    }

    /// An object of the MTA, for a thread of it.
    pub(crate) fn shared(&self, object: ObjectId) -> Option<Shared> {
        self.monitor().shared(object)
    }

    /// Takes an object of the MTA off its shelf, to be dropped by the caller.
    pub(crate) fn unshelve(&self, object: ObjectId) -> Option<Shared> {
        self.monitor().pool.as_mut().and_then(|pool| pool.objects.remove(&object))
    }
}
