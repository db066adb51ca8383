//! A waitable event, and how one, or all of several, are taken.
//!
//! # Protocol
//!
//! A signal is one bit under a lock of its own. Under it nothing else is locked, nobody is rung, and nothing of the user's
//! runs. Whoever waits has put its bell on `waiting` under the lock under which it has seen that the bit is not set; who
//! sets it takes the list under the same lock, and rings afterwards. So no wake-up is lost. All on the list are rung: one
//! that is buried, or whose time is up, must not keep the others from looking.
//!
//! *Any* of several: each is looked at in turn, and the first that is set is taken; an auto-reset one is unset in that step.
//!
//! *All* of several are to be taken in one step, and there is no lock over all of them. So who waits for all *claims* each in
//! turn, under its lock, as long as it finds them set, and then takes all that it has claimed by one step of the claim's
//! word. A claim takes nothing. It is an intention that anybody may strike:
//!
//! | the claim's word | moved on by | what a signal that bears it is |
//! |---|---|---|
//! | `OPEN` | | set |
//! | `OPEN → TAKEN` | the claimer, when it has claimed all: this is the step that takes them | unset, if auto-reset |
//! | `OPEN → STRUCK` | who takes, resets or claims the signal, under its lock; the claimer, if one of the others is not set | as if there were no claim |
//!
//! Whoever unsets a signal strikes the open claims on it first, under the same lock. Hence a claim that is still open when it
//! is taken stands on signals that are all set in that moment; and one that is taken is never struck, so nobody else takes
//! what it stands on. A struck claimer looks again at once; it sleeps only after it has seen one that is not set, which has
//! its bell. It need not be on the lists of the others: they do not matter until that one is set. A claim that is settled is
//! taken off by whoever comes to the signal next.
//!
//! Claiming waits for nobody, so nobody is kept waiting by one who claims. Two that claim the same signals may strike each
//! other; the one that goes on to its end wins, and one that was struck yields first.
//!
//! Who sets a signal that is set already changes nothing, but what it did before has to be seen by whoever takes the signal
//! afterwards. The lock sees to that, except for a claim that is open: so setting makes a step of that claim's word, too
//! (`OPEN → OPEN`), which the step to `TAKEN` then comes after.

use crate::sync::{Arc, AtomicU64, Bell, Mutex, Ordering, yield_now};
use std::fmt;

/// A waitable event: it is set or not, anybody sets it, and any number of threads [wait](crate::wait_any) for it.
///
/// One with *manual reset* stays set until it is [reset](Signal::reset): whoever waits goes on. One with *auto reset* lets
/// one waiter go on, which by that resets it; if nobody waits, the next one that comes. Clones are the same signal. It
/// belongs to no process and no apartment; it is set and looked at from any thread, in any state, and neither ever waits.
///
/// ```
/// use apartment::{Signal, Sta, wait_any};
///
/// let (done, failed) = (Signal::manual(), Signal::manual());
/// let sta = Sta::spawn("worker")?;
/// let object = sta.create(|| ())?;
/// let tells = done.clone();
/// object.post(move |()| tells.set())?;
/// assert_eq!(wait_any(&[&failed, &done], None)?, 1);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("event", "CreateEvent"))]
#[derive(Clone)]
pub struct Signal(Arc<Inner>);

struct Inner {
    auto: bool,
    state: Mutex<State>,
}

struct State {
    set: bool,
    claims: Vec<Arc<Claim>>,
    /// Who is rung when it is set.
    waiting: Vec<Arc<Bell>>,
}

/// Who waits for all of several and has found those set at which it has looked so far.
struct Claim(AtomicU64);

const OPEN: u64 = 0;
const STRUCK: u64 = 1;
const TAKEN: u64 = 2;

impl Claim {
    /// Makes a step from `OPEN`; gives what the word is after it.
    fn step(&self, to: u64) -> u64 {
        match self.0.compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => to,
            Err(is) => is,
        }
    }
}

impl State {
    /// Makes a step of all claims, and takes off those that are settled by then.
    fn claims_step(&mut self, auto: bool, to: u64) {
        let mut taken = false;
        self.claims.retain(|claim| {
            let is = claim.step(to);
            taken |= is == TAKEN;
            is == OPEN
        });
        if taken && auto {
            self.set = false;
        }
    }

    /// Whether it is set; if not, the bell is rung when it is.
    fn is_set_or_rings(&mut self, bell: &Arc<Bell>) -> bool {
        if !self.set && !self.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, bell)) {
            self.waiting.push(Arc::clone(bell));
        }
        self.set
    }
}

impl Signal {
    /// One that is not set, and stays set once it is until it is reset.
    pub fn manual() -> Self {
        Self::new(false)
    }

    /// One that is not set, and is reset by the waiter that it lets go on.
    pub fn auto() -> Self {
        Self::new(true)
    }

    fn new(auto: bool) -> Self {
        let state = State { set: false, claims: Vec::new(), waiting: Vec::new() };
        Self(Arc::new(Inner { auto, state: Mutex::new(state) }))
    }

    /// Sets it. Setting one that is set changes nothing. Never waits and never fails.
    #[doc(alias = "SetEvent")]
    pub fn set(&self) {
        let mut state = self.0.state.lock();
        state.claims_step(self.0.auto, OPEN);
        state.set = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for bell in waiting {
            bell.ring();
        }
    }

    /// Resets it: it is not set until it is set again. Never waits and never fails.
    #[doc(alias = "ResetEvent")]
    pub fn reset(&self) {
        let mut state = self.0.state.lock();
        state.claims_step(self.0.auto, STRUCK);
        state.set = false;
    }

    /// Whether it is set now; takes nothing. Never waits.
    pub fn is_set(&self) -> bool {
        let mut state = self.0.state.lock();
        state.claims_step(self.0.auto, OPEN);
        state.set
    }

    /// Whether it was set, and is taken by this; if not, the bell is rung when it is.
    fn take_or_rings(&self, bell: &Arc<Bell>) -> bool {
        let mut state = self.0.state.lock();
        if !self.0.auto {
            return state.is_set_or_rings(bell);
        }
        state.claims_step(true, STRUCK);
        let took = state.is_set_or_rings(bell);
        state.set = false;
        took
    }

    /// Whether it is set, and bears the claim now; if not, the bell is rung when it is.
    fn claim_or_rings(&self, claim: &Arc<Claim>, bell: &Arc<Bell>) -> bool {
        let mut state = self.0.state.lock();
        if state.claims.iter().any(|known| Arc::ptr_eq(known, claim)) {
            // It was named twice.
            return true;
        }
        // One with manual reset may be claimed by many.
        state.claims_step(self.0.auto, if self.0.auto { STRUCK } else { OPEN });
        let set = state.is_set_or_rings(bell);
        if set {
            state.claims.push(Arc::clone(claim));
        }
        set
    }

    /// The bell is rung when it is set next.
    pub(super) fn rings(&self, bell: &Arc<Bell>) {
        let mut state = self.0.state.lock();
        if !state.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, bell)) {
            state.waiting.push(Arc::clone(bell));
        }
    }

    pub(super) fn rings_no_more(&self, bell: &Arc<Bell>) {
        self.0.state.lock().waiting.retain(|waiting| !Arc::ptr_eq(waiting, bell));
    }
}

/// Takes the first that is set, and says which that is; if none is, the bell is rung when one is.
pub(super) fn take_any(signals: &[&Signal], bell: &Arc<Bell>) -> Option<usize> {
    signals.iter().position(|signal| signal.take_or_rings(bell))
}

/// Takes all, if all are set at once; if not, the bell is rung when one that is missing is set.
pub(super) fn take_all(signals: &[&Signal], bell: &Arc<Bell>) -> bool {
    loop {
        let claim = Arc::new(Claim(AtomicU64::new(OPEN)));
        if !signals.iter().all(|signal| signal.claim_or_rings(&claim, bell)) {
            claim.step(STRUCK);
            return false;
        }
        if claim.step(TAKEN) == TAKEN {
            return true;
        }
        yield_now();
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("auto", &self.0.auto).field("set", &self.is_set()).finish()
    }
}
