//! One bell per thread: what it sleeps on, whatever it waits for.

use super::{Arc, AtomicU64, Mutex, Ordering, Parker};
use std::time::Instant;

/// Something has changed since its thread consumed the last ring.
const RUNG: u64 = 1;
/// Among that, a call was cancelled.
const CANCELLED: u64 = 1 << 1;
/// Its thread sleeps here, or is about to. Set and cleared by that thread.
const ASLEEP: u64 = 1 << 2;
/// Its thread may sleep in a loop of somebody else's. Set and cleared by that thread.
const LOOPS: u64 = 1 << 3;

/// What a ring asked for beyond "look again".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    /// A call was cancelled: look at every wait on the stack, not only at the innermost.
    pub(crate) cancelled: bool,
}

/// A thread's bell.
///
/// Protocol: who changes something that a thread may wait for changes it *first*, under the lock that guards it or by a
/// step that releases it, and rings *afterwards*, with no lock held. A ring is kept until [`Bell::wait`] or [`Bell::take`]
/// consumes it; the thread then looks at everything again. So a change made before the look is seen by the look, and one
/// made after it leaves a ring that ends the sleep at once: no wake-up is lost, whatever the order. A ring too many costs
/// one look.
///
/// Only the bell's own thread waits on it, and consumes.
///
/// All of that is one word. A ring sets `RUNG` in it and sees in the same step whether the thread sleeps; the thread sets
/// `ASLEEP` and sees in the same step whether it has been rung. Of two such steps on one word one is the first: either the
/// thread sees the ring and stays awake, or the ringer sees it asleep and lets it go. So who rings a thread that is awake
/// touches this word and nothing else, and makes no call of the system's. Rings release and consuming acquires: what was
/// changed before a ring is seen after it, also by looks that take no lock.
///
/// # A thread that sleeps elsewhere
///
/// A thread that is somebody else's sleeps in their loop, and a ring has to wake that: [`Wakes`], set by
/// [`Bell::adopted`]. Whether a wake is *outstanding* is told by `out`, under the lock of `loops`, which everybody takes who
/// then rings or consumes:
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
    word: AtomicU64,
    sleeper: Parker,
    /// Rings and consuming take this lock while `LOOPS` is set.
    loops: Mutex<Option<Loop>>,
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

impl Loop {
    /// The wake that a ring asks for, which is outstanding from here on.
    fn due(&mut self) -> Option<Due> {
        let now = self.wakes.now();
        if self.out.is_some_and(|since| now < since.saturating_add(self.wakes.late_after())) {
            return None;
        }
        let again = self.out.replace(now).is_some();
        Some(Due { wakes: Arc::clone(&self.wakes), now, again })
    }
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0), sleeper: Parker::new(), loops: Mutex::new(None) }
    }

    /// Something changed: the thread is to look again.
    pub(crate) fn ring(&self) {
        self.leave(RUNG);
    }

    /// A call was cancelled: the thread is to look at all its waits.
    pub(crate) fn ring_cancelled(&self) {
        self.leave(RUNG | CANCELLED);
    }

    fn leave(&self, ring: u64) {
        let before = self.word.fetch_or(ring, Ordering::AcqRel);
        if before & (ASLEEP | RUNG) == ASLEEP {
            // With `RUNG` before, whoever set that lets it go.
            self.sleeper.unpark();
        } else if before & LOOPS != 0 {
            self.ring_loop();
        }
    }

    /// A ring has been left for a thread that may sleep in a loop.
    #[cold]
    fn ring_loop(&self) {
        let mut loops = self.loops.lock();
        // If it was consumed since, a look comes after that; and who is asleep here has seen it on the way.
        let left = self.word.load(Ordering::Acquire) & (RUNG | ASLEEP) == RUNG;
        let due = if left { loops.as_mut().and_then(Loop::due) } else { None };
        drop(loops);
        if let Some(due) = due {
            self.wake(due);
        }
    }

    fn wake(&self, due: Due) {
        if !due.wakes.wake(due.again)
            && let Some(loops) = &mut *self.loops.lock()
            && loops.out == Some(due.now)
        {
            loops.out = None;
        }
    }

    /// Wakes once more if a wake was swallowed, or has failed. When to ask the next time; never if its thread sleeps
    /// nowhere else.
    pub(crate) fn wake_again(&self) -> Option<u64> {
        let mut guard = self.loops.lock();
        let loops = guard.as_mut()?;
        let (since, late_after) = (loops.out.unwrap_or_else(|| loops.wakes.now()), loops.wakes.late_after());
        let left = self.word.load(Ordering::Acquire) & (RUNG | ASLEEP) == RUNG;
        let due = if left { loops.due() } else { None };
        drop(guard);
        let since = due.as_ref().map_or(since, |due| due.now);
        if let Some(due) = due {
            self.wake(due);
        }
        Some(since.saturating_add(late_after))
    }

    /// Consumes the ring, if there is one. The thread is to look afterwards.
    pub(crate) fn take(&self) -> Option<Ring> {
        match self.word.load(Ordering::Acquire) {
            0 => None,
            word => self.consume(word, RUNG | CANCELLED),
        }
    }

    /// Sleeps until the bell is rung, or until then; consumes the ring.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Ring {
        self.sleeper.is_mine();
        loop {
            let before = self.word.fetch_or(ASLEEP, Ordering::AcqRel);
            let over = until.is_some_and(|until| Instant::now() >= until);
            if before & RUNG == 0 && !over {
                self.sleeper.park(until);
            }
            let ring = self.consume(before, RUNG | CANCELLED | ASLEEP);
            if over || ring.is_some() {
                return ring.unwrap_or_default();
            }
        }
    }

    /// Clears that much of the word, by its own thread, which knows whether it loops.
    fn consume(&self, word: u64, what: u64) -> Option<Ring> {
        let mut loops = if word & LOOPS != 0 { Some(self.loops.lock()) } else { None };
        if let Some(loops) = loops.as_mut().and_then(|loops| loops.as_mut()) {
            loops.out = None;
        }
        let before = self.word.fetch_and(!what, Ordering::AcqRel);
        (before & RUNG != 0).then_some(Ring { cancelled: before & CANCELLED != 0 })
    }

    /// From here on its thread sleeps in a loop that is woken so.
    pub(crate) fn adopted(&self, wakes: Arc<dyn Wakes>) {
        *self.loops.lock() = Some(Loop { wakes, out: None });
        self.word.fetch_or(LOOPS, Ordering::AcqRel);
    }

    /// No longer. What woke it is dropped by the caller.
    pub(crate) fn left(&self) -> Option<Arc<dyn Wakes>> {
        self.word.fetch_and(!LOOPS, Ordering::AcqRel);
        self.loops.lock().take().map(|loops| loops.wakes)
    }
}
