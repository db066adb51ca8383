//! When a real clock began, and how long ago that is: by the system's clock, or by its last tick.

use super::clock::saturating_nanos;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(super) struct Epoch {
    began: Instant,
    /// When that was by the clock whose last tick can be had.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    by_ticks: u64,
}

impl Epoch {
    pub(super) fn now() -> Self {
        Self {
            began: Instant::now(),
            // Read after it: what is counted in ticks is never ahead of the clock.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            by_ticks: ticks::nanos(rustix::time::ClockId::Monotonic),
        }
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
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return ticks::nanos(rustix::time::ClockId::MonotonicCoarse).saturating_sub(self.by_ticks);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return self.nanos();
    }
}

/// A moment as of the system's last tick, where that can be had for less than the time.
#[derive(Clone, Copy)]
pub(super) struct Tick(
    #[cfg(any(target_os = "linux", target_os = "android"))] u64,
    #[cfg(not(any(target_os = "linux", target_os = "android")))] Instant,
);

impl Tick {
    #[inline]
    pub(super) fn now() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return Self(ticks::nanos(rustix::time::ClockId::MonotonicCoarse));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return Self(Instant::now());
    }

    #[inline]
    pub(super) fn elapsed(self) -> Duration {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return Duration::from_nanos(Self::now().0.saturating_sub(self.0));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return self.0.elapsed();
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod ticks {
    use rustix::time::{ClockId, clock_gettime};

    #[inline]
    pub(super) fn nanos(clock: ClockId) -> u64 {
        let now = clock_gettime(clock);
        // Neither is ever negative, nor too large by centuries.
        (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
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
