//! The end: the door closes, the objects go, the threads leave.

use super::entry::{Body, Place};
use super::later::{Later, Wake};
use super::monitor::{Door, Monitor};
use super::pool::Shared;
use super::{Mailbox, Who};
use crate::call::Verdict;
use crate::diagnose::What;
use crate::error::CallError;
use crate::id::ObjectId;
use crate::sync::{Arc, Bell};

impl Mailbox {
    /// Closes the door (rule LT-2): new chains, and callers that wait for room, are turned away from here on.
    pub(crate) fn close(self: &Arc<Self>, who: Who, asked: bool) {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if asked {
            self.push_event(&monitor, who, None, || What::QuitAsked);
        }
        self.close_locked(&mut monitor, who, &mut later);
        drop(monitor);
        self.carry_out(later);
    }

    pub(super) fn close_locked(&self, monitor: &mut Monitor, who: Who, later: &mut Later) {
        if monitor.door != Door::Open {
            return;
        }
        monitor.door = Door::Closing;
        self.note_under(monitor, who, What::DoorClosed);
        for mut entry in std::mem::take(&mut monitor.waiting) {
            let error = self.disconnected(Door::Closing, entry.header.target.object);
            if let Some(taken) = entry.taken.take() {
                if let Some(sender) = taken.reject(Verdict::Failed(error)).ticket {
                    monitor.turned_away.push((sender.clone(), entry));
                    later.rest().tickets.push(sender);
                }
            } else if let Body::Call(errand) = entry.take_body() {
                later.rest().unrun.push(errand.reject(Verdict::Failed(error)));
            }
        }
        later.rest().bells.append(&mut monitor.closing);
        match &mut monitor.pool {
            None => later.wake(Wake::Owner),
            Some(pool) => later.rest().bells.append(&mut pool.idle),
        }
    }

    /// The last accepted call has ended: from here on only callbacks of what destructors call. False if there is still
    /// something to serve, or somebody else does it.
    pub(crate) fn begin_end(&self, force: bool) -> Option<Vec<(ObjectId, Shared)>> {
        let mut monitor = self.monitor();
        if !force && !monitor.may_end() {
            return None;
        }
        monitor.door = Door::Ending;
        let objects = monitor.pool.as_mut().map(|pool| std::mem::take(&mut pool.objects));
        Some(objects.unwrap_or_default().into_iter().rev().collect())
    }

    /// Its objects are dropped: nothing comes in any more, and what is left is answered. Gives the closures that never
    /// ran, to be dropped by the caller.
    pub(crate) fn end(self: &Arc<Self>, abnormal: bool, objects_dropped: usize, who: Who) -> Vec<Place> {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        self.close_locked(&mut monitor, who, &mut later);
        monitor.door = Door::Ended;
        monitor.releases.clear();
        self.ring_all_alarms(&mut monitor, &mut later);
        let unrun = self.answer_all(&mut monitor, abnormal, who, &mut later);
        let messages_dropped = unrun.iter().filter(|entry| entry.is_message()).count();
        self.note_under(&mut monitor, who, What::ApartmentEnded { abnormal, messages_dropped, objects_dropped });
        if let Some(pool) = &mut monitor.pool {
            later.rest().bells.append(&mut pool.idle);
        }
        drop(monitor);
        self.carry_out(later);
        unrun
    }

    /// Answers everything that is queued; gives the closures that never ran.
    fn answer_all(&self, monitor: &mut Monitor, abnormal: bool, who: Who, later: &mut Later) -> Vec<Place> {
        monitor.queued = 0;
        let mut unrun = Vec::new();
        for mut entry in std::mem::take(&mut monitor.entries) {
            let call = Some(entry.header.call_ref());
            let error = if abnormal {
                CallError::ServerDiedDne { callee: self.name.clone() }
            } else {
                self.disconnected(Door::Ended, entry.header.target.object)
            };
            match &entry.body {
                Body::Call(_) => {
                    if let Body::Call(errand) = entry.take_body() {
                        later.rest().unrun.push(errand.reject(Verdict::Failed(error)));
                    }
                }
                Body::Taken => {}
                Body::Post(_) => {
                    self.push_event(monitor, who, call, || What::PostDropped { error: (&error).into() });
                    unrun.push(entry);
                }
                Body::Message { class, .. } => {
                    let class = *class;
                    self.push_event(monitor, who, call, || What::MessageDropped { class });
                    unrun.push(entry);
                }
            }
        }
        unrun
    }

    /// The process has ended, and its thread is still in (rule LT-8): nothing comes in from here on, and what is queued is
    /// answered. The door stays as it is: the thread, when it leaves, drops the objects and ends as ever. Gives the closures
    /// that never ran, to be dropped by the caller; nothing if it is gone.
    pub(crate) fn cut_off(self: &Arc<Self>, who: Who) -> Option<Vec<Place>> {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        if monitor.gone {
            return None;
        }
        self.close_locked(&mut monitor, who, &mut later);
        if !monitor.cut_off {
            monitor.cut_off = true;
            self.ring_all_alarms(&mut monitor, &mut later);
            self.note_under(&mut monitor, who, What::LeftBehind);
        }
        let unrun = self.answer_all(&mut monitor, false, who, &mut later);
        drop(monitor);
        self.carry_out(later);
        Some(unrun)
    }

    /// It is not made after all, before anything but the list of its process knew of it: that need not wait for it.
    pub(crate) fn never_began(&self) {
        let mut monitor = self.monitor();
        monitor.door = Door::Ended;
        monitor.gone = true;
        let joining = std::mem::take(&mut monitor.joining);
        drop(monitor);
        for bell in joining {
            bell.ring();
        }
    }

    /// Whether it is to end; if not, the bell is rung when it is, until it `rings_no_more`.
    pub(crate) fn closes_or_rings(&self, bell: &Arc<Bell>) -> bool {
        let mut monitor = self.monitor();
        if monitor.door != Door::Open {
            return true;
        }
        rings(&mut monitor.closing, bell);
        false
    }

    pub(crate) fn rings_no_more(&self, bell: &Arc<Bell>) {
        self.monitor().closing.retain(|closing| !Arc::ptr_eq(closing, bell));
    }

    /// Whether it has ended and all its threads are gone.
    pub(crate) fn has_gone(&self) -> bool {
        self.monitor().gone
    }

    /// Its process has ended and did not wait for it any longer: nor does the drop of a handle.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.monitor().cut_off
    }

    /// Its thread has an end handler, or none any more.
    pub(crate) fn handles_end(&self, handles: bool) {
        self.monitor().handles_end = handles;
    }

    /// Whether there is one to ask: an apartment that leaves has nothing against the end.
    pub(crate) fn is_to_be_asked(&self) -> bool {
        let monitor = self.monitor();
        monitor.handles_end && monitor.door == Door::Open
    }

    /// A thread of it is gone for good. With the last one, whoever joins is rung.
    pub(crate) fn thread_gone(&self) {
        let mut monitor = self.monitor();
        if let Some(pool) = &mut monitor.pool {
            pool.threads -= 1;
        }
        let joining = monitor.last_thread_gone();
        drop(monitor);
        for bell in joining {
            bell.ring();
        }
    }

    /// Whether the apartment has ended and all its threads are gone; if not, the bell is rung when that changes.
    pub(crate) fn is_gone(&self, bell: &Arc<Bell>) -> bool {
        let mut monitor = self.monitor();
        if monitor.gone {
            return true;
        }
        rings(&mut monitor.joining, bell);
        false
    }
}

/// Puts a bell on a list, once: its thread may have looked before.
fn rings(bells: &mut Vec<Arc<Bell>>, bell: &Arc<Bell>) {
    if bells.iter().all(|known| !Arc::ptr_eq(known, bell)) {
        bells.push(Arc::clone(bell));
    }
}
