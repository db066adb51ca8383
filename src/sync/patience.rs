//! How long a thread looks before it sleeps: learnt, for each thread.

use super::epoch::Tick;
use super::{Spin, yield_now};
use std::cell::Cell;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// Above what it takes to wake a thread that sleeps on another core, so that two threads that wake each other come to see
/// each other awake.
const LONGEST: Duration = Duration::from_micros(50);
/// Below this a budget is none.
const SHORTEST: Duration = Duration::from_micros(1);
/// Looks between two looks at the clock.
const LOOKS: u32 = 16;
/// How many waits go by, at first and at most, before a thread that has stopped to spin tries again.
const RARELY: (u32, u32) = (16, 4096);
/// How many waits a thread begins with before it first tries: one that is soon over has nothing to learn it for.
const FIRST: u32 = 4;
/// How often a wait gives its core to whoever else wants it.
const YIELDS: u32 = 2;
/// A yield that takes as long has given the core to somebody's work rather than to who is waited for. Whoever has work keeps
/// the core until a tick takes it away: so ticks, which cost next to nothing to read, measure it well enough. A short one, too,
/// can meet a tick by chance; two in a row hardly do.
const LONG_YIELD: Duration = Duration::from_millis(1);

/// A thread's patience; nobody else reads or writes it.
///
/// A budget of time for looking doubles whenever what was waited for came within it, and halves whenever it did not, down
/// to none: where the other side shares the core it cannot come while this looks. Once it is none the whole of it is tried
/// again after some waits; with each attempt that fails, after twice as many.
///
/// Whatever the budget, the core is then yielded: on a shared core that is what the other side needs, and cheaper for both
/// than to sleep and be woken. Yields that take long cost more than they can give: after two in a row they are left out for
/// some waits, and after each further one for twice as many.
pub(crate) struct Patience {
    budget: Cell<Duration>,
    spin: Rarely,
    yields: Rarely,
    /// Whether the last yield seemed as long.
    was_long: Cell<bool>,
}

/// Something that has not paid off, and is tried again after some waits.
struct Rarely {
    left_out: Cell<u32>,
    every: Cell<u32>,
}

impl Rarely {
    const fn after(waits: u32) -> Self {
        Self { left_out: Cell::new(waits), every: Cell::new(0) }
    }

    /// Whether it is this wait's turn.
    fn is_due(&self) -> bool {
        match self.left_out.get() {
            0 => true,
            left => {
                self.left_out.set(left - 1);
                false
            }
        }
    }

    fn failed(&self) {
        let every = (self.every.get() * 2).clamp(RARELY.0, RARELY.1);
        self.every.set(every);
        self.left_out.set(every);
    }

    fn paid(&self) {
        self.every.set(0);
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            budget: Cell::new(Duration::ZERO),
            spin: Rarely::after(FIRST),
            yields: Rarely::after(0),
            was_long: Cell::new(false),
        }
    }
}

impl Patience {
    /// Looks once at least, and until something is there, but not for long: who also waits for a time may be late by that.
    pub(crate) fn look<T>(&self, spin: Spin, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let seen = look();
        if seen.is_some() || spin == Spin::Never {
            return seen;
        }
        self.spin(&mut look).or_else(|| self.yields(&mut look))
    }

    fn spin<T>(&self, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        let none = self.budget.get() < SHORTEST;
        if none && !self.spin.is_due() {
            return None;
        }
        let budget = if none { LONGEST } else { self.budget.get() };
        let began = Instant::now();
        loop {
            for _ in 0..LOOKS {
                spin_loop();
                if let Some(seen) = look() {
                    self.budget.set((budget * 2).min(LONGEST));
                    self.spin.paid();
                    return Some(seen);
                }
            }
            if began.elapsed() >= budget {
                break;
            }
        }
        if none {
            self.spin.failed();
        } else {
            self.budget.set(budget / 2);
        }
        None
    }

    fn yields<T>(&self, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        if !self.yields.is_due() {
            return None;
        }
        for _ in 0..YIELDS {
            let began = Tick::now();
            yield_now();
            let seems_long = began.elapsed() >= LONG_YIELD;
            let long = self.was_long.replace(seems_long) && seems_long;
            if long {
                self.yields.failed();
            }
            if let Some(seen) = look() {
                if !long {
                    self.yields.paid();
                }
                return Some(seen);
            }
            if long {
                break;
            }
        }
        None
    }
}
