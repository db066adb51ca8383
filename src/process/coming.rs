//! Something that one thread brings about and any number of others wait for: an apartment's thread, a host apartment, a
//! server, a handler that is told.

use crate::error::CallError;
use crate::sync::{Arc, Bell, Mutex};

/// What came of it, once that is known.
///
/// Its lock is a leaf of its own: it is taken with no other held, and nothing runs under it. Whoever waits puts its bell on
/// the list under the lock under which it has seen that nothing is known yet; who knows writes it down under the same lock
/// and rings afterwards. So nobody sleeps through it, and whoever comes later reads it.
///
/// It belongs to one attempt. It is made when that begins, in the same step of the process' state that says so, and
/// settled *after* the step that says how it ended: who waited finds the new state when it looks again.
pub(crate) struct Coming(Mutex<Come>);

struct Come {
    outcome: Option<Result<(), CallError>>,
    waiting: Vec<Arc<Bell>>,
}

impl Coming {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Come { outcome: None, waiting: Vec::new() })))
    }

    /// What came of it; if nothing is known yet, the bell is rung when that changes.
    pub(crate) fn look(&self, bell: &Arc<Bell>) -> Option<Result<(), CallError>> {
        let mut come = self.0.lock();
        if come.outcome.is_none() && !come.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, bell)) {
            come.waiting.push(Arc::clone(bell));
        }
        come.outcome.clone()
    }

    /// It is known now.
    pub(crate) fn settle(&self, outcome: Result<(), CallError>) {
        let mut come = self.0.lock();
        come.outcome = Some(outcome);
        let waiting = std::mem::take(&mut come.waiting);
        drop(come);
        for bell in waiting {
            bell.ring();
        }
    }
}
