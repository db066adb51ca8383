//! One bell per thread: what it sleeps on, whatever it waits for.

use super::{Arc, Condvar, Mutex};
use std::time::Instant;

/// What a ring asked for beyond "look again".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    /// A call was cancelled: look at every wait on the stack, not only at the innermost.
    pub(crate) cancelled: bool,
}

/// A thread's bell.
///
/// Protocol: who changes something that a thread may wait for changes it *first*, under the lock that guards it, and
/// rings *afterwards*, with no lock held. A ring is kept until [`Bell::wait`] or [`Bell::take`] consumes it; the thread
/// then looks at everything again. So a change made before the look is seen by the look, and one made after it leaves a
/// ring that ends the sleep at once: no wake-up is lost, whatever the order. A ring too many costs one look.
///
/// Only the bell's own thread waits on it, and consumes.
///
/// # A thread that sleeps elsewhere
///
/// A thread that is somebody else's sleeps in their loop, and a ring has to wake that: [`Wakes`], set by
/// [`Bell::adopted`]. Whether a wake is *outstanding* is told by `out`, under the bell's lock:
///
/// | ring | `out` | the owner | who rings next |
/// |---|---|---|---|
/// | none | none | has consumed all there was | leaves a ring, sets `out`, wakes |
/// | left | since then | has been woken, and will consume before it looks | leaves it so; but if that is longer ago than the loop may take, wakes again: it has been swallowed |
/// | left | none | was not woken: the wake failed, or the ring is older than the host | sets `out`, wakes |
/// | any | any | is asleep on the bell itself | leaves a ring, wakes that sleep and not the loop |
///
/// So what suppresses a wake is a wake that is outstanding, never an entry that is queued. Who consumes resets both, in
/// one step, *before* it looks: a change that comes after that step leaves a ring and wakes. The user's code that wakes
/// runs when the lock is released.
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

struct Rung {
    ring: Option<Ring>,
    /// Its thread sleeps here, or is about to.
    asleep: bool,
    loops: Option<Loop>,
}

/// The loop in which the bell's thread sleeps.
struct Loop {
    wakes: Arc<dyn Wakes>,
    /// Since when a wake is outstanding.
    out: Option<u64>,
}

/// Wakes a thread that sleeps in a loop of somebody else's.
pub(crate) trait Wakes: Send + Sync {
    /// The time by which a wake is late.
    fn now(&self) -> u64;

    /// After how long a wake that nobody has consumed counts as swallowed.
    fn late_after(&self) -> u64;

    /// Wakes; `again` if one is outstanding. False if it could not. Called with no lock held.
    fn wake(&self, again: bool) -> bool;
}

/// A wake that is due.
struct Due {
    wakes: Arc<dyn Wakes>,
    now: u64,
    again: bool,
}

impl Rung {
    fn take(&mut self) -> Option<Ring> {
        if let Some(loops) = &mut self.loops {
            loops.out = None;
        }
        self.ring.take()
    }

    /// The wake that a ring asks for, which is outstanding from here on.
    fn due(&mut self) -> Option<Due> {
        let asleep = self.asleep;
        let loops = self.loops.as_mut().filter(|_| !asleep)?;
        let now = loops.wakes.now();
        if loops.out.is_some_and(|since| now < since.saturating_add(loops.wakes.late_after())) {
            return None;
        }
        let again = loops.out.replace(now).is_some();
        Some(Due { wakes: Arc::clone(&loops.wakes), now, again })
    }
}

impl Bell {
    pub(crate) fn new() -> Self {
        let rung = Mutex::new(Rung { ring: None, asleep: false, loops: None });
        Self { rung, changed: Condvar::new() }
    }

    /// Something changed: the thread is to look again.
    pub(crate) fn ring(&self) {
        self.leave(Ring::default());
    }

    /// A call was cancelled: the thread is to look at all its waits.
    pub(crate) fn ring_cancelled(&self) {
        self.leave(Ring { cancelled: true });
    }

    fn leave(&self, ring: Ring) {
        let mut rung = self.rung.lock();
        let before = rung.ring;
        rung.ring = Some(Ring { cancelled: ring.cancelled || before.is_some_and(|before| before.cancelled) });
        let due = rung.due();
        drop(rung);
        match due {
            Some(due) => self.wake(due),
            None if before.is_none() => self.changed.notify_all(),
            None => {}
        }
    }

    fn wake(&self, due: Due) {
        if !due.wakes.wake(due.again)
            && let Some(loops) = &mut self.rung.lock().loops
            && loops.out == Some(due.now)
        {
            loops.out = None;
        }
    }

    /// Wakes once more if a wake was swallowed, or has failed. When to ask the next time; never if its thread sleeps
    /// nowhere else.
    pub(crate) fn wake_again(&self) -> Option<u64> {
        let mut rung = self.rung.lock();
        let loops = rung.loops.as_ref()?;
        let (since, late_after) = (loops.out.unwrap_or_else(|| loops.wakes.now()), loops.wakes.late_after());
        let due = if rung.ring.is_some() { rung.due() } else { None };
        drop(rung);
        let since = due.as_ref().map_or(since, |due| due.now);
        if let Some(due) = due {
            self.wake(due);
        }
        Some(since.saturating_add(late_after))
    }

    /// Consumes the ring, if there is one. The thread is to look afterwards.
    pub(crate) fn take(&self) -> Option<Ring> {
        self.rung.lock().take()
    }

    /// Sleeps until the bell is rung, or until then; consumes the ring.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Ring {
        let mut rung = self.rung.lock();
        loop {
            if let Some(ring) = rung.take() {
                return ring;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ring::default();
            }
            rung.asleep = true;
            rung = self.changed.wait(rung, until);
            rung.asleep = false;
        }
    }

    /// From here on its thread sleeps in a loop that is woken so.
    pub(crate) fn adopted(&self, wakes: Arc<dyn Wakes>) {
        self.rung.lock().loops = Some(Loop { wakes, out: None });
    }

    /// No longer. What woke it is dropped by the caller.
    pub(crate) fn left(&self) -> Option<Arc<dyn Wakes>> {
        self.rung.lock().loops.take().map(|loops| loops.wakes)
    }
}
