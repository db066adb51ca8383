//! A process' clock: the system's, or one that a test or a model drives.

use super::primitives::Epoch;
use super::{Arc, AtomicU64, Bell, Mutex, Ordering};
use std::fmt;
use std::time::{Duration, Instant};

/// Where a process takes its time from. Deadlines, retry delays and the times of a recording are all read off it.
///
/// A *real* clock is the system's monotonic one. A *driven* clock stands still until [`advance`](Clock::advance) moves it:
/// tests and models use it, so that none of them sleeps. Clones are the same clock.
///
/// What a snapshot or a full mailbox says of since when something is so, or for how long, is read off a real clock where that
/// costs next to nothing, and may be too early, or too long, by the 10 milliseconds of the system's tick (rule DG-1). All else
/// is exact.
///
/// ```
/// use apartment::Clock;
/// use std::time::Duration;
///
/// let clock = Clock::driven();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Duration::from_secs(3));
/// ```
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    Real(Epoch),
    Driven(Arc<Driven>),
}

struct Driven {
    now: AtomicU64,
    /// Who sleeps until some time. A waiter puts its bell here *before* it reads the time, and [`Clock::advance`] moves
    /// the time before it reads the list: either the waiter sees the new time or its bell is rung.
    waiting: Mutex<Vec<Arc<Bell>>>,
}

impl Clock {
    /// The system's monotonic clock, with its epoch now. In a model, where real time means nothing, it stands still.
    pub fn real() -> Self {
        Self(Kind::Real(Epoch::now()))
    }

    /// A clock that stands at its epoch until it is advanced.
    pub fn driven() -> Self {
        Self(Kind::Driven(Arc::new(Driven { now: AtomicU64::new(0), waiting: Mutex::new(Vec::new()) })))
    }

    /// The time since the clock's epoch.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// Moves a driven clock on, and wakes whoever waits for a time. Does not wait for what they then do.
    ///
    /// # Panics
    /// On a real clock, which nobody can move.
    pub fn advance(&self, by: Duration) {
        let Kind::Driven(driven) = &self.0 else {
            panic!("a real clock cannot be advanced; make it with Clock::driven()")
        };
        let later = |now| Some(Self::later(now, by));
        let moved = driven.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        debug_assert!(moved.is_ok());
        let waiting = driven.waiting.lock().clone();
        for bell in waiting {
            bell.ring();
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Real(own), Kind::Real(other)) => own.is(other),
            (Kind::Driven(own), Kind::Driven(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    pub(crate) fn nanos(&self) -> u64 {
        match &self.0 {
            Kind::Real(epoch) => epoch.nanos(),
            Kind::Driven(driven) => driven.now.load(Ordering::Acquire),
        }
    }

    /// The time, for what says since when something is so: at most 10 ms ago, and never later than what is read next.
    #[inline]
    pub(crate) fn roughly(&self) -> u64 {
        match &self.0 {
            Kind::Real(epoch) => epoch.roughly(),
            _ => self.nanos(),
        }
    }

    /// The time that far from now; one beyond the clock's reach is never.
    pub(crate) fn after(&self, delay: Duration) -> u64 {
        Self::later(self.nanos(), delay)
    }

    /// The time that far from another.
    pub(crate) fn later(from: u64, delay: Duration) -> u64 {
        from.saturating_add(saturating_nanos(delay))
    }

    /// What the bell's wait needs to end at `at`: for a driven clock nothing, whoever advances it rings.
    pub(crate) fn instant(&self, at: u64) -> Option<Instant> {
        match &self.0 {
            Kind::Real(epoch) => epoch.instant(at),
            Kind::Driven(_) => None,
        }
    }

    /// Registers a bell for as long as the guard lives: it is rung when the clock is advanced. Must come before the time
    /// is read.
    pub(crate) fn watch<'a>(&'a self, bell: &'a Arc<Bell>) -> Watch<'a> {
        if let Kind::Driven(driven) = &self.0 {
            driven.waiting.lock().push(Arc::clone(bell));
        }
        Watch { clock: self, bell }
    }
}

/// A bell is on the clock's list.
pub(crate) struct Watch<'a> {
    clock: &'a Clock,
    bell: &'a Arc<Bell>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Kind::Driven(driven) = &self.clock.0 {
            let mut waiting = driven.waiting.lock();
            if let Some(at) = waiting.iter().rposition(|bell| Arc::ptr_eq(bell, self.bell)) {
                waiting.swap_remove(at);
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.0, Kind::Driven(_)) { "driven" } else { "real" };
        write!(f, "Clock({kind}, {:?})", self.now())
    }
}

pub(super) fn saturating_nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// How long it is until then; nothing once it is over.
pub(crate) fn time_left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
