//! The filter everybody writes: try again for a time, with back-off.

use crate::filter::{MessageFilter, RejectedCall, Retry, RetryPolicy, ServerCall};
use std::time::Duration;

/// Tries a busy callee again for a time, waiting longer each time (rule MF-10). For every apartment, and every call, whose
/// callee may be busy for a moment.
///
/// As a filter ([`StaBuilder::filter`](crate::StaBuilder::filter)) it serves all calls of an apartment; as a policy
/// ([`CallOptions::retry`](crate::CallOptions::retry)) one call. It answers `RetryLater`; a call that was `Rejected`
/// outright fails, unless [`rejected_too`](RetryFor::rejected_too) says otherwise. Everything else is as without a filter.
///
/// The delays double from 100 ms, COM's shortest, to one second; both ends can be chosen. The last delay is cut to what
/// is left, and what is left gives up once it is below the shortest.
///
/// ```
/// use apartment::{CallOptions, RetryFor, Sta};
/// use std::time::Duration;
///
/// let word = Sta::builder("word").filter(|| RetryFor::new(Duration::from_secs(30))).spawn()?;
/// let options = CallOptions::new().retry(RetryFor::new(Duration::from_secs(2)));
/// let text = word.create(String::new)?;
/// assert_eq!(text.with(&options).call(|text| text.len())?, 0);
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RetryFor {
    limit: Duration,
    first: Duration,
    longest: Duration,
    rejected_too: bool,
}

impl RetryFor {
    /// Tries again until that much time has passed since the first attempt.
    pub fn new(limit: Duration) -> Self {
        Self { limit, first: Retry::SHORTEST, longest: Duration::from_secs(1), rejected_too: false }
    }

    /// The first delay; at least 100 ms, for below that COM tries again at once and the caller would spin.
    #[must_use]
    pub fn first_delay(self, first: Duration) -> Self {
        Self { first: first.max(Retry::SHORTEST), ..self }
    }

    /// The longest delay; at least 100 ms.
    #[must_use]
    pub fn max_delay(self, longest: Duration) -> Self {
        Self { longest: longest.max(Retry::SHORTEST), ..self }
    }

    /// Tries calls again that were `Rejected` outright, too.
    #[must_use]
    pub fn rejected_too(self) -> Self {
        Self { rejected_too: true, ..self }
    }

    fn answer(&self, call: &RejectedCall) -> Retry {
        let left = self.limit.saturating_sub(call.elapsed);
        if left < Retry::SHORTEST || (call.rejected == ServerCall::Rejected && !self.rejected_too) {
            return Retry::GiveUp;
        }
        let doublings = call.attempts.saturating_sub(1).min(31);
        let delay = self.first.saturating_mul(1 << doublings).min(self.longest);
        Retry::After(delay.min(left))
    }
}

impl MessageFilter for RetryFor {
    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        self.answer(call)
    }
}

impl RetryPolicy for RetryFor {
    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        self.answer(call)
    }
}
