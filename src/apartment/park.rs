//! Where a wait sleeps: on the thread's bell, or in the loop that the thread belongs to (rule AP-9).

use super::serve::Situation;
use super::wait::home_serves;
use crate::describe::Serves;
use crate::diagnose::What;
use crate::host::{Parked, Parking};
use crate::sync::{Clock, Ring, Spin, Watch};
use crate::thread::{Adopted, StaHome, Thread, panic_message};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Instant;

/// The one blocking point of a wait or a loop.
pub(super) struct Sleeps<'a> {
    thread: &'a Thread,
    /// The apartment, if the thread belongs to a loop.
    adopted: Option<&'a StaHome>,
    loops: Option<Loops>,
    spin: Spin,
    /// Whether a wait below is parked in the loop that this runs on top of.
    on_top: bool,
    /// Whether it may have consumed a ring.
    slept: Cell<bool>,
}

/// The loop that the wait runs where it would sleep.
struct Loops {
    adopted: Rc<Adopted>,
    home: Rc<StaHome>,
    serves: Serves,
    /// Its host has panicked in this wait, which sleeps on the bell from then on.
    failed: Cell<bool>,
}

impl<'a> Sleeps<'a> {
    #[inline]
    pub(super) fn of(thread: &'a Thread, home: Option<&'a Rc<StaHome>>, situation: Situation<'_>) -> Self {
        let adopted = home.filter(|_| thread.is_adopted());
        let loops = adopted.and_then(|home| Loops::of(thread, home, situation));
        let on_top = adopted.and_then(|home| home.adopted()).is_some_and(|adopted| adopted.parks.get() > 0);
        let spin = if loops.is_some() { Spin::Never } else { spins(thread, home, situation) };
        let adopted = adopted.map(|home| &**home);
        Self { thread, adopted, loops, spin, on_top, slept: Cell::new(false) }
    }

    /// Looks a few times more whether the bell is rung, before it is worth to sleep; consumes the ring.
    pub(super) fn spin(&self) -> Option<Ring> {
        let ring = self.thread.spin(self.spin);
        self.slept.set(self.slept.get() | ring.is_some());
        ring
    }

    /// Whether the thread's loop runs where it sleeps.
    pub(super) fn runs_a_loop(&self) -> bool {
        self.loops.as_ref().is_some_and(|loops| !loops.failed.get())
    }

    /// A wake that its loop swallows is repeated by time; a driven clock has to ring for that.
    pub(super) fn watch(&self) -> Option<Watch<'_>> {
        self.loops.as_ref().map(|loops| loops.clock().watch(self.thread.bell()))
    }

    /// Sleeps until the bell is rung, or until then, and consumes the ring. It may return early.
    pub(super) fn until(&self, until: Option<Instant>) -> Ring {
        let bell = self.thread.bell();
        self.slept.set(true);
        let Some(loops) = self.loops.as_ref().filter(|loops| !loops.failed.get()) else { return bell.wait(until) };
        // Whatever rings from here on wakes the loop.
        if let Some(ring) = bell.take() {
            return ring;
        }
        match loops.park(self.thread, until) {
            Parked::Looped => bell.take().unwrap_or_default(),
            Parked::Cannot => bell.wait(until),
        }
    }
}

/// Whether a wait spins: as the process says in which it waits; not at all if that is none.
pub(super) fn spins(thread: &Thread, home: Option<&Rc<StaHome>>, situation: Situation<'_>) -> Spin {
    match situation {
        Situation::Call(at) => thread.with_outgoing(|calls| calls.get(at).map(|call| call.callee.common.spin)),
        Situation::Plain(_, of, _) => Some(of.spin),
        Situation::Of(_, whom, _) => Some(whom.common.spin),
        Situation::Loop | Situation::Elsewhere { .. } => home.map(|home| home.mailbox.common.spin),
    }
    .unwrap_or(Spin::Never)
}

impl Drop for Sleeps<'_> {
    /// What it has consumed may have been for the wait below, whose loop has heard nothing of it: that one is to look again.
    /// Or it was for a future's alarm, and the loop has to hear of that time.
    fn drop(&mut self) {
        let has_alarm = || self.adopted.is_some_and(|home| home.mailbox.alarm().is_some());
        if self.slept.get() && (self.on_top || has_alarm()) {
            self.thread.bell().ring();
        }
    }
}

impl Loops {
    /// None if the wait must not run it: it lets in no calls, or input-synchronized ones only, and whatever the loop runs
    /// would come in all the same.
    fn of(thread: &Thread, home: &Rc<StaHome>, situation: Situation<'_>) -> Option<Self> {
        let adopted = home.adopted().filter(|adopted| adopted.may_block)?;
        let serves = home_serves(home, thread, situation, thread.waits_open());
        let runs = matches!(serves, Serves::Everything | Serves::Chain);
        runs.then(|| Self { adopted, home: Rc::clone(home), serves, failed: Cell::new(false) })
    }

    fn clock(&self) -> &Clock {
        &self.home.mailbox.common.clock
    }

    fn park(&self, thread: &Thread, until: Option<Instant>) -> Parked {
        let Self { adopted, home, serves, .. } = self;
        // A wake that is swallowed while it is parked costs no more than this.
        let late = self.clock().instant(self.clock().nanos().saturating_add(adopted.late_after));
        let until = until.into_iter().chain(late).min();
        let parking = Parking::new(until, thread.waits_open() as usize, *serves);
        let outer = adopted.until.replace(until);
        adopted.parks.set(adopted.parks.get() + 1);
        let parked = catch_unwind(AssertUnwindSafe(|| adopted.host.park(&parking)));
        adopted.parks.set(adopted.parks.get() - 1);
        adopted.until.set(outer);
        parked.unwrap_or_else(|payload| {
            self.failed.set(true);
            let message = panic_message(payload);
            home.mailbox.tell(thread.who(), None, || What::Contained { place: "a host's park", message });
            Parked::Cannot
        })
    }
}
