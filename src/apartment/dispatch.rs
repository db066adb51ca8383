//! Serving a bounded part of the mailbox, for event loops.

use super::adopt::offers;
use super::serve::{Served, Situation, serve_one};
use super::wait::{attend, earliest};
use crate::error::CallError;
use crate::mailbox::Door;
use crate::thread::{StaHome, Thread};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How much one [`dispatch`] may serve, so that a loop gets to its other events in between.
///
/// ```
/// use apartment::Budget;
/// use std::time::Duration;
///
/// let frame = Budget { time: Duration::from_millis(4), ..Budget::default() };
/// assert_eq!(frame.entries, 64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many entries and releases at most.
    pub entries: usize,
    /// After what time, on the process' clock, none is begun any more. It is looked at after each entry: at least one is
    /// served, and none is interrupted.
    pub time: Duration,
}

impl Budget {
    /// No bounds: serves until nothing is left.
    pub const ALL: Self = Self { entries: usize::MAX, time: Duration::MAX };
}

impl Default for Budget {
    /// 64 entries, 5 milliseconds.
    fn default() -> Self {
        Self { entries: 64, time: Duration::from_millis(5) }
    }
}

/// What came of a [`dispatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says whether the apartment was asked to quit"]
#[non_exhaustive]
pub struct Dispatched {
    /// How many entries and releases it served.
    pub served: usize,
    /// Whether it left something that can be served now: the budget was used up. On a thread with a host the loop has been
    /// woken for it.
    pub more: bool,
    /// Whether the apartment was asked to quit. It ends when the loop's code drops its guard.
    pub quits: bool,
    /// When a call that this thread has out reaches its deadline, or the wait that it parks in ends, or a future that has
    /// called it is to be woken: then a dispatch is due without a wake. None on a clock that a test drives: who moves it wakes.
    pub next_deadline: Option<Instant>,
}

/// Serves the mailbox of the STA that this thread is, as far as the budget goes; as
/// [`Entered::dispatch`](crate::Entered::dispatch), where the guard is out of reach: in a loop's callback.
///
/// # Errors
/// `NotSupported` on a thread that is no STA.
///
/// ```
/// use apartment::{Budget, Sta, dispatch};
///
/// assert!(dispatch(Budget::ALL).is_err());
/// let ui = Sta::builder("ui").enter()?;
/// let label = ui.create(|| std::cell::Cell::new(1))?;
/// label.post(|label| label.set(2))?;
/// label.post(|label| label.set(3))?;
/// let first = dispatch(Budget { entries: 1, ..Budget::ALL })?;
/// assert_eq!((first.served, first.more), (1, true));
/// assert_eq!(dispatch(Budget::ALL)?.served, 1);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("PeekMessage", "DispatchMessage"))]
pub fn dispatch(budget: Budget) -> Result<Dispatched, CallError> {
    let thread = Thread::current();
    let Some(home) = thread.sta() else {
        return Err(CallError::NotSupported { what: "dispatching on a thread that is no STA: it has no mailbox" });
    };
    Ok(dispatch_on(&thread, &home, budget))
}

pub(super) fn dispatch_on(thread: &Rc<Thread>, home: &Rc<StaHome>, budget: Budget) -> Dispatched {
    let clock = &home.mailbox.common.clock;
    let mut served = 0;
    // Where nothing is dispatched nothing is looked at, and so nothing consumed.
    if !thread.dispatches_nothing() && !home.has_left(thread) {
        let until = clock.after(budget.time);
        let serial = thread.new_wait();
        // Before any look: what comes from here on rings anew.
        let cancelled = thread.bell().take().is_some_and(|ring| ring.cancelled);
        attend(thread, cancelled);
        while served < budget.entries
            && (served == 0 || clock.nanos() < until)
            && matches!(serve_one(thread, home, Situation::Loop, serial), Served::One)
        {
            served += 1;
        }
        home.mailbox.frames_left(thread.who(), thread.depth());
        if let Some(adopted) = home.adopted() {
            adopted.told_to_quit.set(home.mailbox.door() != Door::Open);
        }
        // Wakes the loop for what is left.
        thread.leave_if_due();
    }
    let quits = home.mailbox.door() != Door::Open;
    let more = !home.has_left(thread) && offers(thread, home);
    let parked = home.adopted().and_then(|adopted| adopted.until.get());
    let alarm = home.mailbox.alarm().and_then(|at| clock.instant(at));
    let next_deadline = [parked, alarm, earliest(thread)].into_iter().flatten().min();
    Dispatched { served, more, quits, next_deadline }
}
