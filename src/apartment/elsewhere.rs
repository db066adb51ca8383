//! Waiting for what anybody may bring about: signals, and threads that are in no apartment (rules WA-1, WA-3).

use super::asleep::Depends;
use super::making::on_clock;
use super::serve::Situation;
use super::wait::wait_on;
use crate::cycle::Awaited;
use crate::diagnose::WaitFor;
use crate::error::{CallError, Outcome};
use crate::id::ChainId;
use crate::mailbox::{Mailbox, cancelled};
use crate::sync::{Arc, Clock};
use crate::thread::{CancelHandle, Thread};
use crate::wait_graph::Doer;
use std::rc::Rc;
use std::time::Duration;

/// Waits until `take` has something to give. On an STA it pumps, if it is to; on every other thread it blocks. A wait for
/// signals ends with the call that is being served, too. One for what a thread brings about fails if that could never go on
/// (rule DL-1).
pub(crate) fn wait_elsewhere<T>(
    thread: &Rc<Thread>,
    on: WaitFor,
    by: Option<(&Arc<Doer>, &Awaited)>,
    within: Option<Duration>,
    pumps: bool,
    mut take: impl FnMut() -> Option<T>,
) -> Result<T, CallError> {
    let situation = Situation::Elsewhere { on, pumps };
    // A thread in no apartment is of no process, and takes the system's time.
    let clock = thread.home().map_or_else(Clock::real, |home| home.mailbox().common.clock.clone());
    let own = within.map(|within| clock.after(within));
    let around = situation.ends_with_its_call().then(|| Around::of(thread));
    let deadline = around.as_ref().and_then(|around| around.deadline.as_ref());
    let _rung = around.as_ref().map(|around| around.ring(thread));
    let _watched = deadline.map(|(clock, _)| clock.watch(thread.bell()));
    let until = own.into_iter().chain(deadline.map(|deadline| on_clock(deadline, &clock))).min();
    let mut taken = take();
    if taken.is_none() && within != Some(Duration::ZERO) {
        thread.may_block()?;
    }
    let depends = by.map_or(Depends::Unknown, |(doer, awaits)| Depends::Doer(doer, awaits));
    wait_on(thread, situation, depends, until.map(|at| (&clock, at)), || {
        if taken.is_none() {
            taken = take();
        }
        taken.is_some()
    })?;
    taken.ok_or_else(|| match thread.served_is_cancelled() {
        // Only one that ends with its call, or at a time, ends without what it waits for.
        Some(why) => cancelled(why, Outcome::NotStarted),
        _ if own.is_some_and(|own| own <= clock.nanos()) => CallError::CallPending,
        // The call's deadline, on the clock of the wait.
        _ => CallError::TimedOut { outcome: Outcome::NotStarted },
    })
}

/// The call that is being served, as a wait in it that ends with it sees it.
struct Around {
    deadline: Option<(Clock, u64)>,
    /// The apartment that serves it, and its chain: it may be cancelled in the apartment's mailbox.
    served: Option<(Arc<Mailbox>, ChainId)>,
    /// The handles of the direct calls around.
    cancels: Vec<CancelHandle>,
}

impl Around {
    fn of(thread: &Thread) -> Self {
        let home = thread.home();
        thread.with_frame(|frame| {
            let chain = frame.filter(|frame| frame.ticket.is_some()).and_then(|frame| frame.chain);
            Self {
                deadline: frame.and_then(|frame| frame.deadline.clone()),
                served: home.zip(chain).map(|(home, chain)| (Arc::clone(home.mailbox()), chain)),
                cancels: frame.map_or_else(Vec::new, |frame| frame.cancels().cloned().collect()),
            }
        })
    }

    /// The thread is rung when the call is cancelled, as long as the guard lives.
    fn ring<'a>(&'a self, thread: &'a Thread) -> Rung<'a> {
        if let Some((mailbox, chain)) = &self.served {
            mailbox.waits_in(*chain, thread.bell());
        }
        self.cancels.iter().for_each(|handle| handle.rings(thread.bell()));
        Rung { around: self, thread }
    }
}

struct Rung<'a> {
    around: &'a Around,
    thread: &'a Thread,
}

impl Drop for Rung<'_> {
    fn drop(&mut self) {
        let bell = self.thread.bell();
        if let Some((mailbox, _)) = &self.around.served {
            mailbox.waits_in_no_more(bell);
        }
        self.around.cancels.iter().for_each(|handle| handle.rings_no_more(bell));
    }
}
