//! Whether an object still takes calls, and which run on it: how it is disconnected (rule LT-5).
//!
//! # Protocol
//!
//! Every call on an object, wherever it runs and however it came, begins with [`Connection::begins`] and ends with
//! [`Connection::ended`], both on the thread that runs it and around nothing but the method. So the list of what runs is
//! exact, for direct calls too, which no mailbox sees. It has a lock of its own, one for each object, under which nothing
//! else is locked and no user code runs.
//!
//! | phase | lets in | moved on by |
//! |---|---|---|
//! | `Connected` | every call | who asks for the disconnecting: `Leaving`, or `Cutting` if nothing runs |
//! | `Leaving` | calls made in those that run, known by their chains | whoever ends the last one: `Cutting` |
//! | `Cutting` | nothing | the same thread, when the mailbox has turned away what is queued: `Gone` |
//! | `Gone` | nothing | nobody |
//!
//! It only ever moves on, but for one step back: from `Leaving` to `Connected` when all who asked have given up, because
//! the calls that run wait for them (rule DL-1). Who waits has put its bell on `waiting` under the lock under which it has not seen `Gone`, and
//! is rung after that.
//!
//! Who asks must not wait for a call that waits for it. A chain of calls is a line, and `depth` is a call's place in it:
//! the call that runs here waits for whatever of its chain is as deep as itself, or deeper. If such a call stands on the
//! asking thread, innermost or buried, the asker is *inside* the object, and does not wait.

use crate::error::CallError;
use crate::id::ChainId;
use crate::sync::{Arc, Bell, Mutex};

/// A call that runs on the object: its chain, and its place in that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) chain: ChainId,
    pub(crate) depth: u32,
}

pub(crate) struct Connection(Mutex<State>);

struct State {
    phase: Phase,
    running: Vec<Runs>,
    /// How many have asked for the disconnecting and not given it up.
    askers: usize,
    /// Who waits until it is gone.
    waiting: Vec<Arc<Bell>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connected,
    Leaving,
    Cutting,
    Gone,
}

/// What is left to the one who asks for the disconnecting.
pub(crate) enum Asked {
    /// Nothing runs: it is the asker's to cut it off.
    Cut,
    /// The asker is inside: whoever ends the last call cuts it off. Or it has been cut off.
    Nothing,
    /// To wait.
    Wait,
    /// To wait, and that cannot be: nothing has changed.
    CannotWait(CallError),
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { phase: Phase::Connected, running: Vec::new(), askers: 0, waiting: Vec::new() }))
    }

    /// A call is about to run. False if it does not get in.
    #[inline]
    pub(crate) fn begins(&self, call: Runs) -> bool {
        let mut state = self.0.lock();
        let gets_in = match state.phase {
            Phase::Connected => true,
            Phase::Leaving => state.running.iter().any(|running| running.chain == call.chain),
            Phase::Cutting | Phase::Gone => false,
        };
        if gets_in {
            state.running.push(call);
        }
        gets_in
    }

    /// It has run. True if the object is now to be cut off, by the caller of this.
    #[inline]
    pub(crate) fn ended(&self, call: Runs) -> bool {
        let mut state = self.0.lock();
        if let Some(at) = state.running.iter().rposition(|running| *running == call) {
            state.running.swap_remove(at);
        }
        let last = state.phase == Phase::Leaving && state.running.is_empty();
        if last {
            state.phase = Phase::Cutting;
        }
        last
    }

    /// Somebody wants it disconnected: `waits_for_us` says which of the calls that run wait for the asker.
    pub(crate) fn ask(&self, waits_for_us: impl FnMut(&Runs) -> bool, cannot_wait: Option<CallError>) -> Asked {
        let mut state = self.0.lock();
        if matches!(state.phase, Phase::Cutting | Phase::Gone) {
            return Asked::Nothing;
        }
        if state.running.is_empty() {
            state.phase = Phase::Cutting;
            return Asked::Cut;
        }
        if state.running.iter().any(waits_for_us) {
            state.phase = Phase::Leaving;
            state.askers += 1;
            return Asked::Nothing;
        }
        match cannot_wait {
            Some(why) => Asked::CannotWait(why),
            None => {
                state.phase = Phase::Leaving;
                state.askers += 1;
                Asked::Wait
            }
        }
    }

    /// One who waits could wait for ever, and gives up. If nobody else has asked, it lets calls in again. False if it is
    /// being cut off after all.
    pub(crate) fn gives_up(&self, bell: &Arc<Bell>) -> bool {
        let mut state = self.0.lock();
        if state.phase != Phase::Leaving {
            return false;
        }
        state.waiting.retain(|waiting| !Arc::ptr_eq(waiting, bell));
        state.askers -= 1;
        if state.askers == 0 {
            state.phase = Phase::Connected;
        }
        true
    }

    /// The mailbox knows. Whoever waits is rung.
    pub(crate) fn cut(&self) {
        let mut state = self.0.lock();
        state.phase = Phase::Gone;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for bell in waiting {
            bell.ring();
        }
    }

    /// Whether nothing gets in any more: so it is for everybody who asks for the disconnecting while another carries it out.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.0.lock().phase, Phase::Cutting | Phase::Gone)
    }

    /// Whether it is disconnected; if not, the bell is rung when it is.
    pub(crate) fn is_gone_or_rings(&self, bell: &Arc<Bell>) -> bool {
        let mut state = self.0.lock();
        let gone = state.phase == Phase::Gone;
        if !gone && !state.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, bell)) {
            state.waiting.push(Arc::clone(bell));
        }
        gone
    }
}
