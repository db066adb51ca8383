//! Busy while a guard is held.

use crate::describe::CallKind;
use crate::filter::{CallType, IncomingCall, MessageFilter, ServerCall};
use crate::sync::{Arc, AtomicU64, Ordering};
use std::fmt;

/// Sends callers away while somebody holds a guard (rule MF-10). For an apartment that now and then is in the middle of
/// something of its own, with a modal dialogue, a print run, a file half read: its callers are to come back later.
///
/// [`begin`](BusyState::begin) begins it and the guard's drop ends it; guards nest. What is refused is what comes at top
/// level, creations too. Callbacks of the apartment's own calls come in, so a guard may be held across calls; so does
/// what no filter can refuse. Clones are the same state, the filter itself being one of them; they and the guards
/// can be sent to other threads, for what the apartment is busy with may be somebody else's work.
///
/// ```
/// use apartment::{BusyState, Sta};
///
/// let busy = BusyState::new();
/// let filter = busy.clone();
/// let word = Sta::builder("word").filter(|| filter).spawn()?;
/// let text = word.create(|| String::from("text"))?;
/// let dialogue = busy.begin();
/// assert_eq!(text.call(|text| text.len()).unwrap_err().hresult(), 0x8001_010A); // RPC_E_SERVERCALL_RETRYLATER
/// drop(dialogue);
/// assert_eq!(text.call(|text| text.len())?, 4);
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone)]
pub struct BusyState {
    guards: Arc<AtomicU64>,
    answer: ServerCall,
}

impl BusyState {
    /// Not busy yet. Callers are answered `RetryLater` when it is.
    pub fn new() -> Self {
        Self { guards: Arc::new(AtomicU64::new(0)), answer: ServerCall::RetryLater }
    }

    /// The same state, with another answer to callers, by this filter and the clones made from it.
    #[doc(alias = "SetBusyReply")]
    #[must_use]
    pub fn answer(self, answer: ServerCall) -> Self {
        Self { answer, ..self }
    }

    /// Busy as long as the guard lives. Waits for nobody: what is being served goes on.
    #[doc(alias = "BeginBusyState")]
    pub fn begin(&self) -> BusyGuard {
        self.guards.fetch_add(1, Ordering::AcqRel);
        BusyGuard(Arc::clone(&self.guards))
    }

    /// Whether there is a guard.
    pub fn is_busy(&self) -> bool {
        self.guards.load(Ordering::Acquire) > 0
    }
}

impl Default for BusyState {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BusyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusyState").field("is_busy", &self.is_busy()).field("answer", &self.answer).finish()
    }
}

impl MessageFilter for BusyState {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        match call.call_type {
            CallType::TopLevel | CallType::TopLevelCallPending
                if call.kind != CallKind::InputSynchronized && self.is_busy() =>
            {
                self.answer
            }
            _ => ServerCall::Handled,
        }
    }
}

/// Its [`BusyState`] is busy as long as this lives.
#[doc(alias = "EndBusyState")]
#[must_use = "it is busy until the guard is dropped"]
pub struct BusyGuard(Arc<AtomicU64>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for BusyGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusyGuard")
    }
}
