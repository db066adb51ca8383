//! Cancels what somebody waits for too long.

use crate::filter::{MessageClass, MessageFilter, PendingAnswer, PendingMessage};
use std::time::Duration;

/// Cancels a call that has been out for a time, once an application message waits for its end (rule MF-10). For an
/// apartment whose input must not wait for others for long, and whose calls may be cancelled without harm.
///
/// A filter is asked when a message arrives; this one then looks again when the time is over. The messages that count are
/// those that a call keeps waiting, of class Input and User. So nobody's call is cancelled while nobody is kept waiting; a call
/// that is to end in any case has a deadline ([`Proxy::within`](crate::Proxy::within)). The call fails with `CallCanceled`;
/// a callee that runs is asked to end, and the caller waits until it does (rule CA-2).
///
/// ```
/// use apartment::{CallError, CancelAfter, MessageClass, Process, Clock, is_cancelled};
/// use std::time::Duration;
///
/// let clock = Clock::driven();                                      // so that nobody has to wait here
/// let process = Process::builder().clock(clock.clone()).build();
/// let ui = process.sta("ui").filter(|| CancelAfter::new(Duration::from_secs(5))).enter()?;
/// let worker = process.sta("worker").spawn()?;
/// let job = worker.create(|| ())?;
/// let window = ui.apartment().clone();
/// let cancelled = job.call(|()| {
///     window.post_message(MessageClass::Input, || ()).unwrap();     // a click
///     while !is_cancelled() {
///         clock.advance(Duration::from_secs(1));
///     }
/// });
/// assert!(matches!(cancelled, Err(CallError::CallCanceled { .. })));
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CancelAfter {
    limit: Duration,
}

impl CancelAfter {
    /// A call may be out for that long while a message waits.
    pub fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl MessageFilter for CancelAfter {
    fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
        let left = self.limit.saturating_sub(message.elapsed);
        match message.class {
            MessageClass::Paint | MessageClass::Activation => PendingAnswer::wait_def_process(),
            MessageClass::Input | MessageClass::User if left > Duration::ZERO => {
                PendingAnswer::wait_def_process().ask_again_after(left)
            }
            MessageClass::Input | MessageClass::User => PendingAnswer::cancel_call(),
        }
    }
}
