//! What a filter is asked about a rejected call, and what it may answer.

use super::{ServerCall, imagined, imagined_target};
use crate::describe::{ApartmentName, CallTarget};
use crate::id::{CallId, ThreadId};
use std::panic::Location;
use std::time::Duration;

/// A call made from here that was rejected, as [`MessageFilter::retry_rejected`](super::MessageFilter::retry_rejected) sees it (rule MF-6).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RejectedCall {
    /// Which call it is; all its attempts are one call.
    pub call: CallId,
    /// Who rejected it.
    pub callee: ApartmentName,
    /// What it asked for.
    pub target: CallTarget,
    /// Time since the first attempt; it may be 10 ms too long (see [`Clock`](crate::Clock)).
    pub elapsed: Duration,
    /// What the callee said: `Rejected` or `RetryLater`.
    pub rejected: ServerCall,
    /// How many attempts there were.
    pub attempts: u32,
}

impl RejectedCall {
    /// A rejected call for the tests of a filter, which nobody has made: the callee of that name has just said so about
    /// its first attempt. What else it is to be can be assigned to its fields.
    ///
    /// ```
    /// use apartment::{MessageFilter, RejectedCall, Retry, RetryFor, ServerCall};
    /// use std::time::Duration;
    ///
    /// let filter = RetryFor::new(Duration::from_secs(30));
    /// let call = RejectedCall::new("word", ServerCall::RetryLater);
    /// assert_eq!(MessageFilter::retry_rejected(&filter, &call), Retry::After(Duration::from_millis(100)));
    /// let call = call.attempt(40, Duration::from_secs(31));
    /// assert_eq!(MessageFilter::retry_rejected(&filter, &call), Retry::GiveUp);
    /// ```
    #[track_caller]
    pub fn new(callee: &str, rejected: ServerCall) -> Self {
        Self {
            call: CallId { thread: ThreadId(0), count: 1 },
            callee: imagined(callee),
            target: imagined_target(Location::caller()),
            elapsed: Duration::ZERO,
            rejected,
            attempts: 1,
        }
    }

    /// The same call, rejected that long after its first attempt, for the how manieth time.
    #[must_use]
    pub fn attempt(self, attempts: u32, elapsed: Duration) -> Self {
        Self { attempts, elapsed, ..self }
    }
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
