//! What the apartment waits for: calls that are out, and other waits of its threads.

use super::later::Later;
use super::monitor::Monitor;
use super::open::{Out, Waits};
use super::{Mailbox, Who};
use crate::diagnose::{CallMade, CallRef, Route, WaitFor, What};
use crate::id::{ApartmentId, ChainId};
use crate::sync::{Arc, Bell};
use std::time::Duration;

impl Mailbox {
    /// A call of this apartment goes out: callbacks of its chain need no room, and filters are told that it is pending.
    pub(crate) fn out_began(self: &Arc<Self>, out: Out, pool_thread: bool) {
        let mut later = None;
        let mut monitor = self.monitor();
        if pool_thread {
            self.blocks(&mut monitor, true, later.get_or_insert_default());
        }
        if self.common.recorder.is_on() {
            self.push_event(&monitor, out.who, Some(out.call), || out.made(self.name.id));
            self.push_event(&monitor, out.who, Some(out.call), || out.began());
        }
        monitor.out.push(out);
        drop(monitor);
        if let Some(later) = later {
            self.carry_out(later);
        }
    }

    /// The wait for it goes on, for another reason.
    pub(crate) fn out_turned(&self, who: Who, call: CallRef, on: WaitFor, until: Option<u64>) {
        let mut monitor = self.monitor();
        if let Some(out) = monitor.out.iter_mut().rfind(|out| out.call.id == call.id) {
            (out.on, out.until, out.call) = (on, until, call);
        }
        let until = until.map(Duration::from_nanos);
        self.push_event(&monitor, who, Some(call), || What::WaitTurned { on, until });
    }

    /// It came back.
    pub(crate) fn out_ended(
        &self,
        call: CallRef,
        pool_thread: bool,
        who: Who,
        depth: u32,
        what: impl FnOnce() -> What,
    ) {
        let mut monitor = self.monitor();
        let left = self.frames_left_under(&mut monitor, who.0, depth);
        // What it holds the caller has, too: none of it is dropped for good under the lock.
        if let Some(at) = monitor.out.iter().rposition(|out| out.call.id == call.id) {
            monitor.out.remove(at);
        }
        monitor.unblocks(pool_thread);
        self.push_event(&monitor, who, Some(call), what);
        drop(monitor);
        drop(left);
    }

    /// A thread of it waits for something that is no call: one of the pool's serves nobody meanwhile.
    pub(crate) fn wait_began(self: &Arc<Self>, pool_thread: bool, waits: Waits) {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        self.blocks(&mut monitor, pool_thread, &mut later);
        self.push_event(&monitor, waits.who, waits.call, || waits.began());
        monitor.waits.push(waits);
        drop(monitor);
        self.carry_out(later);
    }

    pub(crate) fn wait_ended(&self, pool_thread: bool, who: Who, depth: u32, what: impl FnOnce() -> What) {
        let mut monitor = self.monitor();
        let left = self.frames_left_under(&mut monitor, who.0, depth);
        monitor.unblocks(pool_thread);
        let at = monitor.waits.iter().rposition(|waits| waits.who.0 == who.0);
        let waits = at.map(|at| monitor.waits.remove(at));
        let call = waits.as_ref().and_then(|waits| waits.call);
        self.push_event(&monitor, who, call, what);
        drop(monitor);
        drop(left);
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
        let monitor = self.monitor();
        let out = monitor.out.iter().filter(|out| out.chain() == chain).map(|out| &out.bell);
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
        self.monitor().in_calls.push((chain, Arc::clone(bell)));
    }

    /// The innermost such wait of that bell's thread has ended.
    pub(crate) fn waits_in_no_more(&self, bell: &Arc<Bell>) {
        let mut monitor = self.monitor();
        if let Some(at) = monitor.in_calls.iter().rposition(|(_, waits)| Arc::ptr_eq(waits, bell)) {
            monitor.in_calls.remove(at);
        }
    }

    /// Whether it has a call of that chain out.
    pub(crate) fn waits_for(&self, chain: ChainId) -> bool {
        self.monitor().chain_is_out(chain)
    }

    /// What a thread of it served above that depth has ended.
    pub(crate) fn frames_left(&self, who: Who, depth: u32) {
        let mut monitor = self.monitor();
        let left = self.frames_left_under(&mut monitor, who.0, depth);
        drop(monitor);
        drop(left);
    }
}

impl Out {
    /// Its making, as its apartment tells it.
    pub(super) fn made(&self, from: ApartmentId) -> What {
        What::CallMade(Box::new(CallMade {
            kind: self.kind,
            route: Route::Mailbox,
            from: Some(from),
            to: Some(self.callee.name.id),
            parent: self.parent,
            from_chain: None,
            target: self.target,
            deadline: self.deadline.map(Duration::from_nanos),
            borrows: self.borrows,
        }))
    }

    pub(super) fn began(&self) -> What {
        What::WaitBegan { on: self.on, serves: self.serves, until: self.until.map(Duration::from_nanos) }
    }
}

impl Waits {
    pub(super) fn began(&self) -> What {
        What::WaitBegan { on: self.on, serves: self.serves, until: self.until }
    }
}
