//! What a filter is asked about an application message that arrives while a call is out, and what it may answer.

use super::imagined;
use crate::describe::ApartmentName;
use crate::id::{CallId, ThreadId};
use std::cmp::min_by_key;
use std::time::Duration;

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

/// An application message that arrived while a call is out, as
/// [`MessageFilter::message_pending`](super::MessageFilter::message_pending) sees it (rule MF-8).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingMessage {
    /// Its class.
    pub class: MessageClass,
    /// The call that is out, the innermost of the apartment's.
    pub call: CallId,
    /// Whom the call is waiting for.
    pub callee: ApartmentName,
    /// Time since the call was made.
    pub elapsed: Duration,
    /// Whether the apartment is serving a call itself.
    pub pending_type: PendingType,
}

impl PendingMessage {
    /// A message for the tests of a filter, which nobody has posted: it has come just after a call to the apartment of that
    /// name was made, at top level. What else it is to be can be assigned to its fields.
    ///
    /// ```
    /// use apartment::{CancelAfter, MessageClass, MessageFilter, PendingAction, PendingMessage};
    /// use std::time::Duration;
    ///
    /// let filter = CancelAfter::new(Duration::from_secs(5));
    /// let click = PendingMessage::new("word", MessageClass::Input);
    /// assert_eq!(filter.message_pending(&click).action(), PendingAction::WaitDefProcess);
    /// let click = click.elapsed(Duration::from_secs(5));
    /// assert_eq!(filter.message_pending(&click).action(), PendingAction::CancelCall);
    /// ```
    pub fn new(callee: &str, class: MessageClass) -> Self {
        let call = CallId { thread: ThreadId(0), count: 1 };
        Self { class, call, callee: imagined(callee), elapsed: Duration::ZERO, pending_type: PendingType::TopLevel }
    }

    /// The same message, looked at that long after the call was made.
    #[must_use]
    pub fn elapsed(self, elapsed: Duration) -> Self {
        Self { elapsed, ..self }
    }
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

    /// After what time it asks to be asked again, if it does.
    pub fn asks_again(self) -> Option<Duration> {
        self.ask_again
    }

    /// The more cautious one of two answers, to be asked again at the earlier of their times: cancelling the call comes
    /// before waiting without processing, and that before the default.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let action = min_by_key(self.action, other.action, |action| *action as u32);
        Self { action, ask_again: self.ask_again.into_iter().chain(other.ask_again).min() }
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
