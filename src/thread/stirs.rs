//! A thread that sleeps in a wait, as the graph of waits knows it; and what runs on top of that all the same, in an event
//! loop in which it sleeps.

use super::Thread;
use crate::cycle::Deadlock;
use crate::sync::Arc;
use crate::wait_graph::{Asleep, Graph};

impl Thread {
    /// It goes to sleep, and the graph knows.
    pub(crate) fn asleep(&self, slot: Asleep) {
        self.asleep.set(Some(slot));
    }

    /// It has woken. Gives what it was told meanwhile.
    pub(crate) fn awake(&self, graph: &Graph) -> Option<Arc<Deadlock>> {
        match self.asleep.take() {
            Some(slot) => graph.wakes(slot),
            // Something ran meanwhile.
            None => self.told.take(),
        }
    }

    /// Something is about to run on it. If it sleeps, in an event loop then, it is awake as long as the guard lives, and
    /// looks again afterwards.
    #[inline]
    pub(crate) fn stirs(&self) -> Option<Stirred<'_>> {
        let slot = self.asleep.take()?;
        let told = self.home().and_then(|home| home.mailbox().common.graph.wakes(slot));
        Some(Stirred { thread: self, told })
    }
}

/// See [`Thread::stirs`].
pub(crate) struct Stirred<'a> {
    thread: &'a Thread,
    told: Option<Arc<Deadlock>>,
}

impl Drop for Stirred<'_> {
    fn drop(&mut self) {
        self.thread.told.replace(self.told.take());
        self.thread.bell.ring();
    }
}
