//! Locks, condition variables and barriers; what no model has to see is the system's.

pub(crate) use super::mpsc;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::{Arc, LockResult, RwLock, atomic};

#[derive(Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.0.wait(guard)?;
        }
        Ok(guard)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

pub(crate) struct Barrier {
    many: usize,
    state: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Barrier {
    pub(crate) fn new(many: usize) -> Self {
        Self { many, state: Mutex::new((0, 0)), changed: Condvar::new() }
    }

    pub(crate) fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        let round = state.1;
        state.0 += 1;
        if state.0 == self.many {
            *state = (0, round + 1);
            self.changed.notify_all();
            return;
        }
        drop(self.changed.wait_while(state, |state| state.1 == round).unwrap());
    }
}
