//! Nobody but callbacks while a call is out.

use crate::describe::CallKind;
use crate::filter::{CallType, IncomingCall, MessageFilter, ServerCall};

/// Sends third parties away while a call of the apartment is out (rule MF-10). For objects that call out in the middle of a
/// change and must not be seen then by anybody but their callee, whose callbacks come in.
///
/// [`Reentrancy::SameCausality`](crate::Reentrancy::SameCausality) does much the same and keeps the others queued, which
/// fills the mailbox while the call takes long, and is nothing that the callers hear of. This lets them decide: they are told
/// `RetryLater`, or as [`answer`](RejectWhileOut::answer) says.
///
/// ```
/// use apartment::{RejectWhileOut, Sta};
///
/// let (bank, audit) = (Sta::builder("bank").filter(RejectWhileOut::new).spawn()?, Sta::spawn("audit")?);
/// let (account, auditor) = (bank.create(|| 10)?, audit.create(|| ())?);
/// let (mut third, mut callback) = (Ok(0), Ok(0));
/// account.call(|_| {
///     auditor.call(|()| {
///         callback = account.call(|euros| *euros);
///         // Somebody else: a thread of its own begins a chain of its own.
///         third = std::thread::scope(|s| s.spawn(|| account.call(|euros| *euros)).join().unwrap());
///     })
/// })??;
/// assert_eq!(callback?, 10);
/// assert_eq!(third.unwrap_err().hresult(), 0x8001_010A); // RPC_E_SERVERCALL_RETRYLATER
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RejectWhileOut {
    answer: ServerCall,
}

impl RejectWhileOut {
    /// Third parties are answered `RetryLater`.
    pub fn new() -> Self {
        Self { answer: ServerCall::RetryLater }
    }

    /// What third parties are answered instead.
    #[must_use]
    pub fn answer(self, answer: ServerCall) -> Self {
        Self { answer }
    }
}

impl Default for RejectWhileOut {
    fn default() -> Self {
        Self::new()
    }
}

impl MessageFilter for RejectWhileOut {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        match call.call_type {
            CallType::TopLevelCallPending if call.kind != CallKind::InputSynchronized => self.answer,
            _ => ServerCall::Handled,
        }
    }
}
