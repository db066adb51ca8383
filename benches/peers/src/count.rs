//! What is counted besides time: how often memory is asked for and how much is held, how often threads fall asleep, and
//! how long processors work.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The system's allocator, which counts while it is asked to. Threads that count share a cache line and so disturb each
/// other: no time is taken then.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);

fn counts(allocations: u64, bytes: i64) {
    if COUNTS.load(Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Relaxed);
        HELD.fetch_add(bytes, Relaxed);
    }
}

/// No object is larger than that.
fn signed(size: usize) -> i64 {
    size as i64
}

// SAFETY: everything is the system's allocator's work; the counting does not allocate, and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counts(1, signed(layout.size()));
        // SAFETY: the caller promises to us what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        counts(1, signed(layout.size()));
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        counts(1, signed(size) - signed(layout.size()));
        // SAFETY: as in `alloc`; the memory is the system's, as all that we give is.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        counts(0, -signed(layout.size()));
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Runs it while allocations are counted.
pub(crate) fn counting<R>(run: impl FnOnce() -> R) -> R {
    COUNTS.store(true, Relaxed);
    let result = run();
    COUNTS.store(false, Relaxed);
    result
}

/// How often memory was asked for so far, while that was counted.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// How many bytes more are held than at the first count.
pub(crate) fn held() -> i64 {
    HELD.load(Relaxed)
}

/// What this process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// How often its threads have waited, voluntarily.
    pub(crate) switches: u64,
    /// The processors' time, in its own code and the system's. Of the threads that run at the moment, the time of the one
    /// that asks is up to date, and of any other one may be missing what it took since the system's last tick.
    pub(crate) cpu: Duration,
}

/// Nothing where that is not counted.
#[cfg(unix)]
pub(crate) fn usage() -> Option<Usage> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let switches = usage.voluntary_context_switches().try_into().ok()?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Some(Usage { switches, cpu: Duration::from_micros(micros.try_into().ok()?) })
}

#[cfg(not(unix))]
pub(crate) fn usage() -> Option<Usage> {
    None
}
