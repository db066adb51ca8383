//! Whether a thread looks again before it sleeps.

/// Whether a thread that has nothing to do looks a few times more before it sleeps; set for a process with
/// [`ProcessBuilder::spin`](crate::ProcessBuilder::spin).
///
/// It concerns every place in which the library waits for what threads of the process do: calls, loops, the MTA's pool,
/// joins. Waits that belong to no process (for [signals](crate::Signal), on a thread in no apartment) never spin, nor does
/// a thread that sleeps in an event loop of its own.
///
/// To wake a thread that sleeps on another core takes microseconds, on a virtual machine tens of them; to be seen by one
/// that still looks takes a tenth of one. What it costs is a core that is busy in the meantime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spin {
    /// Each thread learns how long it pays to look: up to 50 microseconds where what it waits for mostly comes in that
    /// time, hardly ever where it does not, as between threads that share a core. Then it yields its core at most twice. An
    /// apartment that has nothing to do sleeps, and uses no core, after that.
    #[default]
    Adaptive,
    /// It sleeps at once: for machines on batteries, and for hosts whose cores others pay for. A call to another apartment
    /// then takes two wake-ups, whatever the machine needs for these.
    Never,
}
