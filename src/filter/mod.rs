//! Message filters: who may come in, what becomes of a refused call, and which application messages run while a call
//! is out. What filters are asked and may answer; those that come with the library are in `filters`.

mod incoming;
mod pending;
mod rejected;
mod together;

pub(crate) use incoming::call_type;
pub use incoming::{CallType, IncomingCall, ServerCall};
pub(crate) use pending::lets_run;
pub use pending::{MessageClass, PendingAction, PendingAnswer, PendingMessage, PendingType};
pub use rejected::{RejectedCall, Retry};

use crate::describe::{ApartmentName, CallTarget};
use crate::id::ApartmentId;
use crate::sync::Arc;
use std::panic::Location;

/// An STA's say over what reaches it and what becomes of its own refused calls.
///
/// One per STA, made on its thread and called there only, with no lock held. While one of its methods runs, nothing is
/// dispatched in the apartment and no synchronous call can leave it (`CantCallOut`, rule CK-4): direct calls and posts
/// can. A panic in a method counts as its most cautious answer — rejected, give up, wait without processing — and is
/// recorded (rule MF-9). Every method has COM's behaviour without a filter as its default.
///
/// Those that everybody writes come with the library (rule MF-10):
///
/// | filter | when |
/// |---|---|
/// | [`RetryFor`](crate::RetryFor) | a callee may be busy for a moment: its callers' calls are tried again for a time |
/// | [`BusyState`](crate::BusyState) | this apartment is busy for a moment, with a modal dialogue say: callers are sent away while a guard is held |
/// | [`RejectWhileOut`](crate::RejectWhileOut) | what its objects do while they wait for a call must not be seen by others than the callee |
/// | [`CancelAfter`](crate::CancelAfter) | input is not to wait for a call any longer than that |
/// | [`BusyDialogue`](crate::BusyDialogue) | somebody sits before it who can say whether to go on waiting |
///
/// # Several filters as one
///
/// A tuple of two to four filters is a filter. A filter has no opinion where it answers as no filter would, and so
/// each of the tuple's has its say where the others have none:
///
/// - an incoming call is let in unless one of them refuses it, and the first that does is heard;
/// - a rejected call is given up unless one of them tries again, and the first that does is heard: `RetryFor` before
///   `BusyDialogue` tries for a time before anybody is asked;
/// - about a pending message all are asked, and [the most cautious](PendingAnswer::and) answer holds, with the earliest
///   time to be asked again.
///
/// ```
/// use apartment::{BusyState, RejectWhileOut, RetryFor, Sta};
/// use std::time::Duration;
///
/// let busy = BusyState::new();
/// let filter = (busy.clone(), RejectWhileOut::new(), RetryFor::new(Duration::from_secs(30)));
/// let word = Sta::builder("word").filter(|| filter).spawn()?;
/// let text = word.create(|| String::from("text"))?;
/// let printing = busy.begin();
/// assert_eq!(text.call(|text| text.len()).unwrap_err().hresult(), 0x8001_010A);
/// drop(printing);
/// assert_eq!(text.call(|text| text.len())?, 4);
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// # A filter of one's own
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

/// The callee of a question that no call has led to: it has the number 0, which no apartment has.
fn imagined(callee: &str) -> ApartmentName {
    ApartmentName { id: ApartmentId(0), name: Arc::from(callee) }
}

/// What such a question's call asks for.
fn imagined_target(location: &'static Location<'static>) -> CallTarget {
    CallTarget { object: None, type_name: "()", method: None, location }
}
