//! What a filter is asked about an incoming call, and what it may answer.

use super::imagined_target;
use crate::describe::{CallKind, CallTarget, Caller};
use crate::id::ThreadId;
use std::panic::Location;
use std::time::Duration;

/// An incoming call, as [`MessageFilter::handle_incoming`](super::MessageFilter::handle_incoming) sees it (rule MF-3).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncomingCall {
    /// How it stands to the calls that this apartment has out.
    pub call_type: CallType,
    /// How it is made.
    pub kind: CallKind,
    /// Who makes it.
    pub caller: Caller,
    /// Time since this apartment's innermost pending outgoing call was made; none if none is pending. As
    /// COM's tick counts, it may be 10 ms too long (see [`Clock`](crate::Clock))
    pub elapsed: Option<Duration>,
    /// What it asks for.
    pub target: CallTarget,
}

impl IncomingCall {
    /// A call for the tests of a filter, which no apartment has got: one-way if its type says so and synchronous
    /// otherwise, from a thread in no apartment, made where this is. What else it is to be can be assigned to its fields.
    ///
    /// ```
    /// use apartment::{CallType, IncomingCall, MessageFilter, RejectWhileOut, ServerCall};
    /// use std::time::Duration;
    ///
    /// let filter = RejectWhileOut::new();
    /// let mut call = IncomingCall::new(CallType::TopLevelCallPending).elapsed(Duration::from_secs(1));
    /// assert_eq!(filter.handle_incoming(&call), ServerCall::RetryLater);
    /// call.call_type = CallType::Nested;
    /// assert_eq!(filter.handle_incoming(&call), ServerCall::Handled);
    /// ```
    #[track_caller]
    pub fn new(call_type: CallType) -> Self {
        let kind = match call_type {
            CallType::Async | CallType::AsyncCallPending => CallKind::OneWay,
            CallType::TopLevel | CallType::Nested | CallType::TopLevelCallPending => CallKind::Synchronous,
        };
        let caller = Caller { thread: ThreadId(0), apartment: None };
        Self { call_type, kind, caller, elapsed: None, target: imagined_target(Location::caller()) }
    }

    /// The same call, with the apartment's own innermost pending one made that long ago.
    #[must_use]
    pub fn elapsed(self, elapsed: Duration) -> Self {
        Self { elapsed: Some(elapsed), ..self }
    }
}

/// How an incoming call stands to the calls that its callee has out (rule MF-3).
#[doc(alias = "CALLTYPE")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallType {
    /// No call of this apartment is out.
    #[doc(alias = "CALLTYPE_TOPLEVEL")]
    TopLevel = 1,
    /// It belongs to the chain of a call that is out: a callback.
    #[doc(alias = "CALLTYPE_NESTED")]
    Nested = 2,
    /// One-way; no call of this apartment is out.
    #[doc(alias = "CALLTYPE_ASYNC")]
    Async = 3,
    /// A call is out, and this one belongs to another chain.
    #[doc(alias = "CALLTYPE_TOPLEVEL_CALLPENDING")]
    TopLevelCallPending = 4,
    /// One-way, while a call is out.
    #[doc(alias = "CALLTYPE_ASYNC_CALLPENDING")]
    AsyncCallPending = 5,
}

/// An answer to an incoming call (rule MF-4).
#[doc(alias = "SERVERCALL")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerCall {
    /// Let it run.
    #[doc(alias = "SERVERCALL_ISHANDLED")]
    Handled = 0,
    /// Refuse it.
    #[doc(alias = "SERVERCALL_REJECTED")]
    Rejected = 1,
    /// Refuse it for now.
    #[doc(alias = "SERVERCALL_RETRYLATER")]
    RetryLater = 2,
}

/// The call type of rule MF-3.
pub(crate) fn call_type(one_way: bool, any_out: bool, chain_is_out: bool) -> CallType {
    match (one_way, any_out, chain_is_out) {
        (true, false, _) => CallType::Async,
        (true, true, _) => CallType::AsyncCallPending,
        (false, false, _) => CallType::TopLevel,
        (false, true, true) => CallType::Nested,
        (false, true, false) => CallType::TopLevelCallPending,
    }
}
