//! The busy dialogue: asks somebody whether to go on waiting.

use super::RetryFor;
use crate::apartment::discard_messages;
use crate::describe::ApartmentName;
use crate::filter::{
    MessageClass, MessageFilter, PendingAnswer, PendingMessage, RejectedCall, Retry, RetryPolicy, ServerCall,
};
use crate::id::CallId;
use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

/// Asks somebody what to do about a call that takes too long: go on, switch to the callee, or give up (rule MF-10). For an
/// apartment before which somebody sits. The library shows nothing: the dialogue is the closure that this is made with.
///
/// It is run in two cases, which are COM's.
///
/// - *The callee does not answer, and there is input.* What is typed ahead stays queued for three seconds, or as
///   [`input_delay`](BusyDialogue::input_delay) says. If the call is still out then, that was somebody who wants attention.
/// - *The callee is busy*, and says `RetryLater`. It is tried again without a word for thirty seconds, or as
///   [`retry_delay`](BusyDialogue::retry_delay) says, with the delays of [`RetryFor`]. What is `Rejected` outright is given
///   up, and nobody asked.
///
/// Before the dialogue is shown, the queued messages of class Input are thrown away, unrun
/// ([`discard_messages`]): they were not meant for it. Whoever goes on is asked
/// about the same call once more only after the whole delay has passed again, from the first question after the answer.
///
/// The dialogue runs as a filter's method: meanwhile nothing is dispatched in the apartment, no synchronous call can leave it
/// (posts and messages can), and its panic is contained: it counts as giving up a call that was rejected, and as going on
/// with one that is out.
///
/// ```
/// use apartment::{BusyAnswer, BusyCall, BusyDialogue, MessageFilter, RejectedCall, Retry, ServerCall, Sta};
/// use std::time::Duration;
///
/// let dialogue = |busy: &BusyCall| {
///     println!("{busy}. Go on, switch to it, or give up?");
///     if busy.elapsed < Duration::from_secs(60) { BusyAnswer::GoOn } else { BusyAnswer::GiveUp }
/// };
/// let word = Sta::builder("word").filter(move || BusyDialogue::new(dialogue)).spawn()?;
///
/// let filter = BusyDialogue::new(dialogue).retry_delay(Duration::from_secs(10));
/// let call = RejectedCall::new("excel", ServerCall::RetryLater);
/// assert_eq!(filter.retry_rejected(&call), Retry::After(Duration::from_millis(100)));
/// let call = call.attempt(15, Duration::from_secs(10));
/// assert_eq!(filter.retry_rejected(&call), Retry::Now);                 // it was asked, and goes on
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("OLEUIBUSY", "OleUIBusy", "COleMessageFilter"))]
pub struct BusyDialogue<A> {
    ask: A,
    switch: Option<Switch>,
    input_delay: Duration,
    retry_delay: Duration,
    /// About which calls somebody was asked. Calls nest, and each has a delay of its own: those that were made after the one
    /// in question are over, and the oldest are forgotten.
    asked: RefCell<Vec<Asked>>,
}

type Switch = Box<dyn Fn(&BusyCall)>;

/// More calls than somebody goes on with at a time.
const REMEMBERED: usize = 16;

struct Asked {
    call: CallId,
    /// From when on the next delay counts, as time since the call was made: from the first question after the answer, for how
    /// long that took is not known. None before it.
    from: Option<Duration>,
}

/// A call that takes too long, as a [`BusyDialogue`] shows it: `excel has been busy for 31 s`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BusyCall {
    /// Which call.
    pub call: CallId,
    /// Whom it calls.
    pub callee: ApartmentName,
    /// Time since it was made.
    pub elapsed: Duration,
    /// What is the matter with it.
    pub why: WhyBusy,
}

/// Why somebody is asked about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhyBusy {
    /// The callee has not answered, and there is input that waits.
    NoAnswer,
    /// The callee has answered so.
    Rejected(ServerCall),
}

/// What to do about a call that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BusyAnswer {
    /// Wait on, or try again.
    GoOn,
    /// As [`BusyDialogue::on_switch`] says, and go on.
    SwitchTo,
    /// Cancel the call that is out, or give up the one that was rejected.
    GiveUp,
}

impl<A: Fn(&BusyCall) -> BusyAnswer> BusyDialogue<A> {
    /// A filter that asks so.
    pub fn new(ask: A) -> Self {
        let (input_delay, retry_delay) = (Duration::from_secs(3), Duration::from_secs(30));
        Self { ask, switch: None, input_delay, retry_delay, asked: RefCell::default() }
    }

    /// What to do to switch to the callee: without it, `SwitchTo` is as `GoOn`. It runs as a part of the filter's method: no
    /// call can leave from it, but a message of class Activation can be posted to the callee.
    #[must_use]
    pub fn on_switch(self, switch: impl Fn(&BusyCall) + 'static) -> Self {
        Self { switch: Some(Box::new(switch)), ..self }
    }

    /// How long a call may be out before input leads to the dialogue; `Duration::MAX` for ever.
    #[doc(alias("EnableNotRespondingDialog", "SetMessagePendingDelay"))]
    #[must_use]
    pub fn input_delay(self, input_delay: Duration) -> Self {
        Self { input_delay, ..self }
    }

    /// How long a rejected call is tried again before that leads to the dialogue; `Duration::MAX` for ever.
    #[doc(alias = "EnableBusyDialog")]
    #[must_use]
    pub fn retry_delay(self, retry_delay: Duration) -> Self {
        Self { retry_delay, ..self }
    }

    /// How much of the delay has passed, since the call was made or somebody was asked about it.
    fn passed(&self, call: CallId, elapsed: Duration) -> Duration {
        let mut all = self.asked.borrow_mut();
        all.retain(|asked| asked.call.thread != call.thread || asked.call.count <= call.count);
        let Some(asked) = all.iter_mut().find(|asked| asked.call == call) else { return elapsed };
        elapsed.saturating_sub(*asked.from.get_or_insert(elapsed))
    }

    fn ask(&self, busy: &BusyCall) -> BusyAnswer {
        // Before it is asked: a panic is an answer, too.
        let mut all = self.asked.borrow_mut();
        all.retain(|asked| asked.call != busy.call);
        if all.len() == REMEMBERED {
            all.remove(0);
        }
        all.push(Asked { call: busy.call, from: None });
        drop(all);
        // In no STA there are no messages; it is somebody's test then.
        let _discarded = discard_messages(MessageClass::Input);
        let answer = (self.ask)(busy);
        if let (BusyAnswer::SwitchTo, Some(switch)) = (answer, &self.switch) {
            switch(busy);
        }
        answer
    }
}

impl<A: Fn(&BusyCall) -> BusyAnswer> MessageFilter for BusyDialogue<A> {
    fn retry_rejected(&self, rejected: &RejectedCall) -> Retry {
        if rejected.rejected == ServerCall::Rejected {
            return Retry::GiveUp;
        }
        let mut lately = rejected.clone();
        lately.elapsed = self.passed(rejected.call, rejected.elapsed);
        if lately.elapsed < self.retry_delay {
            // The last delay ends when the dialogue is due, and not after it.
            let left = (self.retry_delay - lately.elapsed).max(Retry::SHORTEST);
            let pace = RetryFor::new(Duration::MAX);
            return match RetryPolicy::retry_rejected(&pace, &lately) {
                Retry::After(delay) => Retry::After(delay.min(left)),
                other => other,
            };
        }
        let RejectedCall { call, callee, rejected: why, .. } = lately;
        let elapsed = rejected.elapsed;
        match self.ask(&BusyCall { call, callee, elapsed, why: WhyBusy::Rejected(why) }) {
            BusyAnswer::GoOn | BusyAnswer::SwitchTo => Retry::Now,
            BusyAnswer::GiveUp => Retry::GiveUp,
        }
    }

    fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
        if message.class != MessageClass::Input {
            return PendingAnswer::wait_def_process();
        }
        let passed = self.passed(message.call, message.elapsed);
        if passed < self.input_delay {
            return PendingAnswer::wait_def_process().ask_again_after(self.input_delay - passed);
        }
        let (callee, elapsed) = (message.callee.clone(), message.elapsed);
        match self.ask(&BusyCall { call: message.call, callee, elapsed, why: WhyBusy::NoAnswer }) {
            BusyAnswer::GoOn | BusyAnswer::SwitchTo => PendingAnswer::wait_def_process(),
            BusyAnswer::GiveUp => PendingAnswer::cancel_call(),
        }
    }
}

impl fmt::Display for BusyCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self.why {
            WhyBusy::NoAnswer => "has not answered",
            WhyBusy::Rejected(_) => "has been busy",
        };
        write!(f, "{} {said} for {} s", self.callee.name, self.elapsed.as_secs())
    }
}

impl<A> fmt::Debug for BusyDialogue<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusyDialogue")
            .field("input_delay", &self.input_delay)
            .field("retry_delay", &self.retry_delay)
            .finish_non_exhaustive()
    }
}
