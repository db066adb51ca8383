//! What the driver and the players speak over.
//!
//! A channel of the libraries' yields its core some times before it sleeps. There is always just one thread that has
//! something to do here, and on a machine with other work each yield is that other work's time: so this one sleeps at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

pub(crate) struct Wire<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    left: VecDeque<T>,
    closed: bool,
}

impl<T> Wire<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { left: VecDeque::new(), closed: false }), changed: Condvar::new() }
    }

    pub(crate) fn put(&self, it: T) {
        self.state.lock().unwrap().left.push_back(it);
        self.changed.notify_one();
    }

    /// The next; none once it is closed, or then.
    pub(crate) fn take(&self, until: Option<Instant>) -> Option<T> {
        let mut state = self.state.lock().unwrap();
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if let Some(next) = state.left.pop_front() {
                return Some(next);
            }
            if state.closed || left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            state = match left {
                Some(left) => self.changed.wait_timeout(state, left).unwrap().0,
                None => self.changed.wait(state).unwrap(),
            };
        }
    }

    pub(crate) fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.changed.notify_all();
    }
}
