//! Message filters: who may come in, what becomes of a refused call, and which application messages run while a call
//! is out.

mod retry_for;

pub use retry_for::RetryFor;

use crate::describe::{ApartmentName, CallKind, CallTarget, Caller};
use std::time::Duration;

/// An STA's say over what reaches it and what becomes of its own refused calls.
///
/// One per STA, made on its thread and called there only, with no lock held. While one of its methods runs, nothing is
/// dispatched in the apartment and no synchronous call can leave it (`CantCallOut`, rule CK-4): direct calls and posts
/// can. A panic in a method counts as its most cautious answer — rejected, give up, wait without processing — and is
/// recorded (rule MF-9). Every method has COM's behaviour without a filter as its default.
///
/// ```
/// use apartment::{IncomingCall, MessageFilter, ServerCall, Sta};
/// use std::cell::Cell;
///
/// /// Lets in two calls and then closes shop.
/// struct Two(Cell<u32>);
///
/// impl MessageFilter for Two {
///     fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
///         self.0.set(self.0.get() + 1);
///         if self.0.get() <= 2 { ServerCall::Handled } else { ServerCall::Rejected }
///     }
/// }
///
/// let shop = Sta::builder("shop").filter(|| Two(Cell::new(0))).spawn()?;
/// let till = shop.create(|| 12)?;                    // the first
/// assert_eq!(till.call(|euros| *euros)?, 12);        // the second
/// assert_eq!(till.call(|euros| *euros).unwrap_err().hresult(), 0x8001_0001);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias = "IMessageFilter")]
pub trait MessageFilter {
    /// Asked once per offer before a call from another apartment runs here (rules MF-2 to MF-4). The answer is ignored
    /// for one-way and input-synchronized calls, which always run.
    #[doc(alias = "HandleInComingCall")]
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        let _ = call;
        ServerCall::Handled
    }

    /// Asked when a call made from here was rejected (rule MF-6), unless the call has a retry policy of its own.
    #[doc(alias = "RetryRejectedCall")]
    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        let _ = call;
        Retry::GiveUp
    }

    /// Asked when an application message arrives while a call made from here is out (rule MF-8).
    #[doc(alias = "MessagePending")]
    fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
        let _ = message;
        PendingAnswer::wait_def_process()
    }
}

/// A call's own answer to being rejected: asked instead of the caller's filter, on any thread (rule MF-6). It is a
/// filter's method in every respect: no synchronous call can leave the apartment from it, and its panic means giving up.
pub trait RetryPolicy {
    /// What to do about the rejected call.
    fn retry_rejected(&self, call: &RejectedCall) -> Retry;
}

impl<F: Fn(&RejectedCall) -> Retry> RetryPolicy for F {
    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        self(call)
    }
}

/// An incoming call, as [`MessageFilter::handle_incoming`] sees it (rule MF-3).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncomingCall {
    /// How it stands to the calls that this apartment has out.
    pub call_type: CallType,
    /// How it is made.
    pub kind: CallKind,
    /// Who makes it.
    pub caller: Caller,
    /// Time since this apartment's innermost pending outgoing call was made; none if none is pending.
    pub elapsed: Option<Duration>,
    /// What it asks for.
    pub target: CallTarget,
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

/// A call made from here that was rejected, as [`MessageFilter::retry_rejected`] sees it (rule MF-6).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RejectedCall {
    /// Who rejected it.
    pub callee: ApartmentName,
    /// What it asked for.
    pub target: CallTarget,
    /// Time since the first attempt.
    pub elapsed: Duration,
    /// What the callee said: `Rejected` or `RetryLater`.
    pub rejected: ServerCall,
    /// How many attempts there were.
    pub attempts: u32,
}

/// What to do about a rejected call (rule MF-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The call fails.
    GiveUp,
    /// Try again at once, after serving what is already waiting.
    Now,
    /// Try again after a time, serving meanwhile as the call's wait does. Less than 100 ms is at once, as in COM.
    After(Duration),
}

impl Retry {
    /// COM's shortest wait: what is below is "at once".
    pub(crate) const SHORTEST: Duration = Duration::from_millis(100);

    /// The delay before the next attempt; none to give up.
    pub(crate) fn delay(self) -> Option<Duration> {
        match self {
            Self::GiveUp => None,
            Self::Now => Some(Duration::ZERO),
            Self::After(delay) if delay < Self::SHORTEST => Some(Duration::ZERO),
            Self::After(delay) => Some(delay),
        }
    }
}

/// COM's numbers: −1 and below give up, 0 to 99 try again at once, 100 and above wait that many milliseconds.
impl From<i32> for Retry {
    fn from(answer: i32) -> Self {
        match u64::try_from(answer) {
            Err(_) => Self::GiveUp,
            Ok(0..=99) => Self::Now,
            Ok(millis) => Self::After(Duration::from_millis(millis)),
        }
    }
}

/// The class of an application message (rule MB-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// Keys, pointers.
    Input,
    /// Something is to be drawn.
    #[doc(alias = "WM_PAINT")]
    Paint,
    /// A window or task is switched to.
    Activation,
    /// The application's own.
    User,
}

/// An application message that arrived while a call is out, as [`MessageFilter::message_pending`] sees it (rule MF-8).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingMessage {
    /// Its class.
    pub class: MessageClass,
    /// Whom the call is waiting for.
    pub callee: ApartmentName,
    /// Time since the call was made.
    pub elapsed: Duration,
    /// Whether the apartment is serving a call itself.
    pub pending_type: PendingType,
}

/// Whether the call that is out was made while serving another (rule MF-8).
#[doc(alias = "PENDINGTYPE")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingType {
    /// It was not.
    #[doc(alias = "PENDINGTYPE_TOPLEVEL")]
    TopLevel = 1,
    /// The apartment is itself serving a call.
    #[doc(alias = "PENDINGTYPE_NESTED")]
    Nested = 2,
}

/// What to do about an application message, and when to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PendingAnswer {
    pub(crate) action: PendingAction,
    pub(crate) ask_again: Option<Duration>,
}

/// COM's three answers to a pending message.
#[doc(alias = "PENDINGMSG")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingAction {
    /// Cancel the call that is out.
    #[doc(alias = "PENDINGMSG_CANCELCALL")]
    CancelCall = 0,
    /// Go on waiting; of all messages only those of class Activation are dispatched.
    #[doc(alias = "PENDINGMSG_WAITNOPROCESS")]
    WaitNoProcess = 1,
    /// Go on waiting; Paint and Activation are dispatched, Input and User stay queued.
    #[doc(alias = "PENDINGMSG_WAITDEFPROCESS")]
    WaitDefProcess = 2,
}

impl PendingAnswer {
    /// Cancel the call that is out, as rule CA-2 says.
    pub fn cancel_call() -> Self {
        Self { action: PendingAction::CancelCall, ask_again: None }
    }

    /// Go on waiting; the message is dispatched only if it is of class Activation.
    pub fn wait_no_process() -> Self {
        Self { action: PendingAction::WaitNoProcess, ask_again: None }
    }

    /// Go on waiting; the message is dispatched if it is of class Paint or Activation, and stays queued otherwise.
    pub fn wait_def_process() -> Self {
        Self { action: PendingAction::WaitDefProcess, ask_again: None }
    }

    /// What it says about the message and the call.
    pub fn action(self) -> PendingAction {
        self.action
    }

    /// To be asked once more about the message, if it is still queued then and the call still out.
    #[must_use]
    pub fn ask_again_after(self, delay: Duration) -> Self {
        Self { ask_again: Some(delay), ..self }
    }
}

/// Whether the answer lets a message of that class run.
pub(crate) fn lets_run(action: PendingAction, class: MessageClass) -> bool {
    match action {
        PendingAction::WaitDefProcess => matches!(class, MessageClass::Paint | MessageClass::Activation),
        PendingAction::WaitNoProcess | PendingAction::CancelCall => class == MessageClass::Activation,
    }
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
