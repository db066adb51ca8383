//! When a real clock began, and how long ago that is: by the system's clock, or by its last tick.

use super::clock::saturating_nanos;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(super) struct Epoch {
    began: Instant,
    /// When that was by the clock whose last tick can be had.
    by_ticks: u64,
}

impl Epoch {
    pub(super) fn now() -> Self {
        // The ticks' clock is read after the other: what is counted in ticks is never ahead.
        Self { began: Instant::now(), by_ticks: ticks::now() }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.began == other.began
    }

    pub(super) fn instant(&self, at: u64) -> Option<Instant> {
        self.began.checked_add(Duration::from_nanos(at))
    }

    pub(super) fn nanos(&self) -> u64 {
        saturating_nanos(self.began.elapsed())
    }

    /// As of the system's last tick, where that can be had for less than the time.
    #[inline]
    pub(super) fn roughly(&self) -> u64 {
        ticks::last().saturating_sub(self.by_ticks)
    }
}

/// A moment as of the system's last tick, where that can be had for less than the time.
#[derive(Clone, Copy)]
pub(super) struct Tick(u64);

impl Tick {
    #[inline]
    pub(super) fn now() -> Self {
        Self(ticks::last())
    }

    #[inline]
    pub(super) fn elapsed(self) -> Duration {
        Duration::from_nanos(ticks::last().saturating_sub(self.0))
    }
}

/// The system's monotonic clock in nanoseconds, from some time on.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod ticks {
    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn now() -> u64 {
        nanos(ClockId::Monotonic)
    }

    /// As it was at the last tick.
    #[inline]
    pub(super) fn last() -> u64 {
        nanos(ClockId::MonotonicCoarse)
    }

    #[inline]
    fn nanos(clock: ClockId) -> u64 {
        let now = clock_gettime(clock);
        // Neither is ever negative, nor too large by centuries.
        (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
    }
}

/// Its ticks are not in reach of safe code: the time itself.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod ticks {
    use super::saturating_nanos;
    use std::sync::OnceLock;
    use std::time::Instant;

    static FROM: OnceLock<Instant> = OnceLock::new();

    pub(super) fn now() -> u64 {
        saturating_nanos(FROM.get_or_init(Instant::now).elapsed())
    }

    pub(super) fn last() -> u64 {
        now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dg_1_a_time_by_ticks_is_never_ahead_of_the_clock() {
        let epoch = Epoch::now();
        let mut last = 0;
        // Until a tick has come.
        while last == 0 || epoch.roughly() == last {
            last = epoch.roughly();
            let after = epoch.nanos();
            assert!(last <= after, "{last} is ahead of {after}");
        }
    }

    #[test]
    fn dg_1_a_time_by_ticks_comes_within_ten_milliseconds_of_the_clock() {
        let epoch = Epoch::now();
        // Not each time: nobody says when a machine that others use, too, gets round to its tick.
        while epoch.nanos() - epoch.roughly() > 10_000_000 {}
    }
}
