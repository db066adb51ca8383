//! What the apartment waits for: calls that are out, and other waits of its threads.

use super::later::Later;
use super::monitor::{Monitor, Out};
use super::{Mailbox, Who};
use crate::diagnose::{CallRef, What};
use crate::id::{CallId, ChainId};
use crate::sync::{Arc, Bell};

impl Mailbox {
    /// A call of this apartment goes out: callbacks of its chain need no room, and filters are told that it is pending.
    pub(crate) fn out_began(self: &Arc<Self>, out: Out, pool_thread: bool, event: Option<(Who, CallRef, What)>) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        monitor.out.push(out);
        self.blocks(&mut monitor, pool_thread, &mut later);
        if let Some((who, call, what)) = event {
            self.push_event(&monitor, who, Some(call), || what);
        }
        drop(monitor);
        self.carry_out(later);
    }

    /// It came back.
    pub(crate) fn out_ended(&self, id: CallId, pool_thread: bool, depth: u32, event: (Who, CallRef, What)) {
        let mut monitor = self.monitor.lock();
        monitor.frames_left(event.0.0, depth);
        if let Some(at) = monitor.out.iter().rposition(|out| out.id == id) {
            monitor.out.remove(at);
        }
        monitor.unblocks(pool_thread);
        let (who, call, what) = event;
        self.push_event(&monitor, who, Some(call), || what);
    }

    /// A thread of it waits for something that is no call: one of the pool's serves nobody meanwhile.
    pub(crate) fn wait_began(self: &Arc<Self>, pool_thread: bool, who: Who, what: impl FnOnce() -> What) {
        let mut later = Later::default();
        let mut monitor = self.monitor.lock();
        self.blocks(&mut monitor, pool_thread, &mut later);
        self.push_event(&monitor, who, None, what);
        drop(monitor);
        self.carry_out(later);
    }

    pub(crate) fn wait_ended(&self, pool_thread: bool, who: Who, depth: u32, what: impl FnOnce() -> What) {
        let mut monitor = self.monitor.lock();
        monitor.frames_left(who.0, depth);
        monitor.unblocks(pool_thread);
        self.push_event(&monitor, who, None, what);
    }

    pub(super) fn blocks(&self, monitor: &mut Monitor, pool_thread: bool, later: &mut Later) {
        let has_work = monitor.has_work();
        if let (true, Some(pool)) = (pool_thread, &mut monitor.pool) {
            pool.blocked += 1;
            if has_work {
                later.wake(pool.wake());
            }
        }
    }

    /// Wakes the threads that have a call of that chain out, or wait in one, and the futures of such calls: it was
    /// cancelled, and so is what they wait for.
    pub(crate) fn ring_out(&self, chain: ChainId) {
        let monitor = self.monitor.lock();
        let out = monitor.out.iter().filter(|out| out.chain == chain).map(|out| &out.bell);
        let waits = monitor.in_calls.iter().filter(|waits| waits.0 == chain).map(|waits| &waits.1);
        let bells: Vec<_> = out.chain(waits).cloned().collect();
        let futures: Vec<_> =
            monitor.futures_out.iter().filter(|(of, _)| *of == chain).map(|(_, ticket)| ticket.clone()).collect();
        drop(monitor);
        for bell in bells {
            bell.ring_cancelled();
        }
        for future in futures {
            future.ring();
        }
    }

    /// A thread of it waits for what is no call, in a call of that chain: it is rung when that is cancelled, until it
    /// `waits_in_no_more`. Must come before it is asked whether the call is cancelled.
    pub(crate) fn waits_in(&self, chain: ChainId, bell: &Arc<Bell>) {
        self.monitor.lock().in_calls.push((chain, Arc::clone(bell)));
    }

    pub(crate) fn waits_in_no_more(&self, chain: ChainId, bell: &Arc<Bell>) {
        let mut monitor = self.monitor.lock();
        let is_it = |waits: &(ChainId, Arc<Bell>)| waits.0 == chain && Arc::ptr_eq(&waits.1, bell);
        if let Some(at) = monitor.in_calls.iter().rposition(is_it) {
            monitor.in_calls.swap_remove(at);
        }
    }

    /// Whether it has a call of that chain out.
    pub(crate) fn waits_for(&self, chain: ChainId) -> bool {
        self.monitor.lock().chain_is_out(chain)
    }

    /// What a thread of it served above that depth has ended.
    pub(crate) fn frames_left(&self, who: Who, depth: u32) {
        self.monitor.lock().frames_left(who.0, depth);
    }
}
