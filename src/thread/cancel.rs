//! Cancelling a call from outside (rule CA-2).

use crate::call::Ticket;
use crate::call::record::Why;
use crate::diagnose::CallRef;
use crate::mailbox::{Mailbox, Who};
use crate::sync::{Arc, Bell, Mutex};
use std::fmt;

/// Cancels calls, from any thread.
///
/// Clones are the same handle. It is given to calls with [`CallOptions::cancel`](crate::CallOptions::cancel) and stays
/// cancelled: calls made with it afterwards fail at once with `CallCanceled`, `NotStarted`.
///
/// ```
/// use apartment::{CallOptions, CancelHandle, Sta};
///
/// let sta = Sta::spawn("worker")?;
/// let number = sta.create(|| 1)?;
/// let cancel = CancelHandle::new();
/// let options = CallOptions::new().cancel(&cancel);
/// assert_eq!(number.with(&options).call(|n| *n)?, 1);
/// cancel.cancel();
/// assert_eq!(number.with(&options).call(|n| *n).unwrap_err().hresult(), 0x8001_0002);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("ICancelMethodCalls", "CoCancelCall"))]
#[derive(Clone)]
pub struct CancelHandle(Arc<Mutex<State>>);

struct State {
    cancelled: bool,
    calls: Vec<Target>,
    /// Waits that end with the direct calls that they are made in.
    waits: Vec<Arc<Bell>>,
}

/// A call that somebody may cancel.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) ticket: Ticket,
    pub(crate) callee: Arc<Mailbox>,
    pub(crate) call: CallRef,
}

impl Target {
    /// Cancels the call: one that has not started leaves the queue at once; one that runs is asked, and what it has out
    /// is cancelled in turn. Whoever comes late changes nothing.
    pub(crate) fn cancel(&self, why: Why, who: Who) {
        if self.ask(why, who) {
            self.ticket.ring();
        }
    }

    /// The same by its caller, who need not be rung. Whether it is cancelled by this.
    pub(crate) fn ask(&self, why: Why, who: Who) -> bool {
        let asked = self.callee.cancel(&self.ticket, self.call, why, who);
        if asked == Some(false) {
            self.callee.ring_out(self.call.chain);
        }
        asked.is_some()
    }
}

impl CancelHandle {
    /// A handle that nobody has used.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { cancelled: false, calls: Vec::new(), waits: Vec::new() })))
    }

    /// Cancels every call made with this handle, now and later. Never waits: a call that runs is asked
    /// ([`is_cancelled`](crate::is_cancelled)) and its caller is answered when it lets go.
    pub fn cancel(&self) {
        let thread = super::Thread::current();
        let who = thread.who();
        let mut state = self.0.lock();
        state.cancelled = true;
        let (calls, waits) = (state.calls.clone(), state.waits.clone());
        drop(state);
        for call in calls {
            call.cancel(Why::Handle, who);
        }
        for bell in waits {
            bell.ring_cancelled();
        }
        // A waker may have dropped the guard of this thread's apartment.
        thread.leave_if_due();
    }

    /// Whether it has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// Adds a call for as long as the guard lives. `None`: cancelled already.
    pub(crate) fn watch(&self, target: Target) -> Option<Watched> {
        let mut state = self.0.lock();
        if state.cancelled {
            return None;
        }
        let ticket = target.ticket.clone();
        state.calls.push(target);
        Some(Watched { handle: self.clone(), ticket })
    }

    /// The bell is rung when it is cancelled, until it `rings_no_more`. Must come before it is asked whether it is.
    pub(crate) fn rings(&self, bell: &Arc<Bell>) {
        self.0.lock().waits.push(Arc::clone(bell));
    }

    pub(crate) fn rings_no_more(&self, bell: &Arc<Bell>) {
        let mut state = self.0.lock();
        if let Some(at) = state.waits.iter().rposition(|waits| Arc::ptr_eq(waits, bell)) {
            state.waits.swap_remove(at);
        }
    }
}

/// See [`CancelHandle::watch`].
pub(crate) struct Watched {
    handle: CancelHandle,
    ticket: Ticket,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.handle.0.lock();
        let at = state.calls.iter().position(|call| call.ticket.is(&self.ticket));
        let gone = at.map(|at| state.calls.swap_remove(at));
        drop(state);
        drop(gone);
    }
}

impl Default for CancelHandle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").field("cancelled", &self.is_cancelled()).finish()
    }
}
