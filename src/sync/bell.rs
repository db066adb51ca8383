//! One bell per thread: what it sleeps on, whatever it waits for.

use super::{Condvar, Mutex, MutexGuard};
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
/// rings *afterwards*, with no lock held. A ring is kept until [`Bell::wait`] consumes it; the sleeper then looks at
/// everything again. So a change made before the look is seen by the look, and one made after it leaves a ring that ends
/// the sleep at once: no wake-up is lost, whatever the order. A ring too many costs one look.
///
/// Only the bell's own thread waits on it.
pub(crate) struct Bell {
    rung: Mutex<Option<Ring>>,
    host: Host,
}

/// How a thread is woken, and how it sleeps inside a wait. Everything that sleeps or wakes goes through this: the place for
/// threads that are somebody else's, an event loop's say, and sleep in that loop.
enum Host {
    /// The thread is ours to park.
    Parks(Condvar),
}

impl Host {
    /// The ring has been left, and the bell's lock released.
    fn wake(&self) {
        match self {
            Self::Parks(changed) => changed.notify_all(),
        }
    }

    /// Sleeps until woken, or until then; may return early.
    fn park<'a>(&self, rung: MutexGuard<'a, Option<Ring>>, until: Option<Instant>) -> MutexGuard<'a, Option<Ring>> {
        match self {
            Self::Parks(changed) => changed.wait(rung, until),
        }
    }
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self { rung: Mutex::new(None), host: Host::Parks(Condvar::new()) }
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
        let before = *rung;
        *rung = Some(Ring { cancelled: ring.cancelled || before.is_some_and(|before| before.cancelled) });
        drop(rung);
        if before.is_none() {
            self.host.wake();
        }
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
            rung = self.host.park(rung, until);
        }
    }
}
