//! Cancelling: by a handle, by the clock, and by the cancelling of what a call is made in.

use super::words::*;
use super::{Model, Phase};

/// What a cancelled caller is told (rules CA-2, CA-4).
pub(super) fn cancelled(why: Why, may_have_run: bool) -> Failure {
    match why {
        Why::Deadline => Failure::TimedOut { may_have_run },
        Why::Handle => Failure::Canceled { may_have_run },
        Why::Deadlock => Failure::Deadlock,
    }
}

impl Model {
    /// Whether a call can still be cancelled: it is not over, and nobody has done so.
    pub(crate) fn is_open(&self, call: Call) -> bool {
        let state = &self.calls[&call];
        let over = matches!(state.phase, Phase::Done { .. } | Phase::Revoked);
        !over && state.why.is_none()
    }

    /// Cancels a call (rule CA-2): one that has not started never runs, and leaves queue or line at once (rule MB-7); one that
    /// runs is asked. The first to cancel decides why.
    pub(super) fn cancel(&mut self, call: Call, why: Why, by: Thread) -> bool {
        if !self.is_open(call) {
            return false;
        }
        self.call_mut(call).why = Some(why);
        self.tells_there(call, by, What::CancelAsked { why });
        // A handle names the call as it was made, its caller by the attempt.
        if by != self.calls[&call].thread {
            self.names_as_made();
        }
        let to = self.calls[&call].to;
        match self.calls[&call].phase {
            Phase::Queued => {
                let at = self.apartments[to].entries.iter().position(|entry| entry.call == call);
                self.revoke_queued(to, at.expect("it is queued"), why, by);
            }
            Phase::InLine => {
                self.apartments[to].line.retain(|waiting| *waiting != call);
                self.call_mut(call).phase = Phase::Revoked;
                let queued = self.queued(to);
                self.tells_there(call, by, What::Revoked { why, queued });
            }
            _ => {}
        }
        true
    }

    /// What a thread that waits does for the calls that it has out, one at a time, the outermost first: those past their
    /// deadline are cancelled (rule CA-3), and those made in a call that was cancelled; who has waited for room long enough
    /// leaves the line (rule MB-3). Buried ones, too (rule DI-6). False if there is nothing to do for them.
    pub(super) fn attends(&mut self, thread: Thread) -> bool {
        let out: Vec<Call> = self.out(thread).collect();
        if let Some((call, why)) = out.iter().find_map(|call| Some((*call, self.to_be_cancelled(*call)?))) {
            return self.cancel(call, why, thread);
        }
        let over = |call: &&Call| {
            let state = &self.calls[call];
            state.phase == Phase::InLine && state.room_until.is_some_and(|until| until <= self.now)
        };
        let Some(&call) = out.iter().find(over) else { return false };
        let to = self.calls[&call].to;
        self.apartments[to].line.retain(|waiting| *waiting != call);
        self.call_mut(call).phase = Phase::Revoked;
        true
    }

    /// Why its caller is to cancel a call, if it has not done so.
    pub(super) fn to_be_cancelled(&self, call: Call) -> Option<Why> {
        let state = &self.calls[&call];
        let around = state.around.and_then(|around| self.calls[&around].why);
        let past = state.deadline.is_some_and(|deadline| deadline <= self.now).then_some(Why::Deadline);
        around.or(past).filter(|_| self.is_open(call))
    }

    /// Why what is served in that call is cancelled, if it is.
    pub(super) fn served_why(&self, call: Call) -> Option<Why> {
        let state = &self.calls[&call];
        let ticket = if state.direct { state.around } else { Some(call) };
        let why = ticket.and_then(|ticket| self.calls[&ticket].why);
        why.or(state.deadline.is_some_and(|deadline| deadline <= self.now).then_some(Why::Deadline))
    }
}
