//! Making an event loop's own thread an apartment (rule AP-9): the builder, the waker that stands between the loop's and
//! the bell, and the wake on the way out.

use super::entered::Entered;
use super::serve::{Situation, looker};
use super::sta_builder::StaBuilder;
use crate::diagnose::What;
use crate::error::CallError;
use crate::host::{Host, Wake};
use crate::mailbox::{Door, Mailbox};
use crate::sync::{Arc, Clock, Wakes, Weak};
use crate::thread::{Adopted, StaHome, Thread, panic_message};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// After how long a wake counts as swallowed where nothing else is said.
const LATE_AFTER: Duration = Duration::from_millis(100);

/// And at the least: one that is repeated at once is repeated for ever, by a caller that does nothing else.
const LATE_AFTER_LEAST: Duration = Duration::from_millis(1);

/// Makes an event loop's own thread an STA; made by [`StaBuilder::host`].
#[must_use = "the thread becomes an apartment when it enters"]
pub struct AdoptedBuilder {
    builder: StaBuilder,
    adopting: Adopting,
}

/// A host, and what it said when it was asked.
pub(super) struct Adopting {
    host: Rc<dyn Host>,
    wake: Box<dyn Wake>,
    may_block: bool,
    late_after: Duration,
}

impl StaBuilder {
    /// The loop to which the current thread belongs: how it is woken, and how it parks inside a wait (rule AP-9). Such an
    /// apartment is entered, never spawned. The host's half for others is asked for here.
    ///
    /// ```
    /// use apartment::{Budget, Doorbell, Sta};
    ///
    /// let (doorbell, rings) = Doorbell::new();
    /// let ui = Sta::builder("ui").host(doorbell).enter()?;
    /// let label = ui.create(|| std::cell::Cell::new(1))?;
    /// label.post(|label| label.set(2))?;
    /// rings.recv().unwrap();                                          // as a loop's `select!` would
    /// assert_eq!(ui.dispatch(Budget::default()).served, 1);
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn host(self, host: impl Host) -> AdoptedBuilder {
        let (wake, may_block) = (host.waker(), host.may_block());
        AdoptedBuilder {
            builder: self,
            adopting: Adopting { host: Rc::new(host), wake, may_block, late_after: LATE_AFTER },
        }
    }
}

impl AdoptedBuilder {
    /// After how long, on the process' clock, a wake that nothing has come of counts as swallowed and is repeated; 100 ms
    /// otherwise, and 1 ms at the least.
    pub fn wake_again_after(mut self, time: Duration) -> Self {
        self.adopting.late_after = time.max(LATE_AFTER_LEAST);
        self
    }

    /// Makes the current thread the apartment, until the guard is dropped; as [`StaBuilder::enter`]. Does not wait. What
    /// came for it by then has woken the loop.
    ///
    /// A thread that is an STA of the same process already stays what it is: the host is dropped.
    ///
    /// # Errors
    /// As [`StaBuilder::enter`].
    pub fn enter(self) -> Result<Entered, CallError> {
        self.builder.enter_as(Some(self.adopting))
    }
}

impl Adopting {
    /// From here on, whoever changes something wakes the loop.
    pub(super) fn begin(self, thread: &Thread, mailbox: &Arc<Mailbox>) -> Adopted {
        let Self { host, wake, may_block, late_after } = self;
        let late_after = Clock::later(0, late_after);
        let clock = mailbox.common.clock.clone();
        thread.bell().adopted(Arc::new(Waker { of: Arc::downgrade(mailbox), clock, late_after, wake: Some(wake) }));
        Adopted::new(host, may_block, late_after, wake_on_the_way_out)
    }
}

/// What the bell wakes: the user's half, its panics contained.
struct Waker {
    /// Weak: the mailbox has the bell, and the bell this.
    of: Weak<Mailbox>,
    clock: Clock,
    late_after: u64,
    /// Taken to be dropped.
    wake: Option<Box<dyn Wake>>,
}

impl Wakes for Waker {
    fn now(&self) -> u64 {
        self.clock.nanos()
    }

    fn late_after(&self) -> u64 {
        self.late_after
    }

    fn wake(&self, again: bool) -> bool {
        let Some(wake) = &self.wake else { return false };
        let woken = catch_unwind(AssertUnwindSafe(|| wake.wake()));
        let after = matches!(woken, Ok(Ok(())));
        let panicked = woken.err().map(panic_message);
        // Its thread is about to leave, or to be told so, if it is gone.
        let Some(of) = self.of.upgrade() else { return after };
        let who = Thread::current().who();
        if let Some(message) = panicked {
            of.tell(who, None, || What::Contained { place: "a host's waker", message });
        }
        of.tell(who, None, || What::Woken { before: again, after });
        after
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        let wake = self.wake.take();
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(wake))) else { return };
        let message = panic_message(payload);
        if let Some(of) = self.of.upgrade() {
            let who = Thread::current().who();
            of.tell(who, None, || What::Contained { place: "the destructor of a host's waker", message });
        }
    }
}

/// Something has returned on an adopted thread, to the loop perhaps. It may have consumed a ring and left, or let go, what
/// can be dispatched now: the loop is woken, or would not come (rule AP-9). What cannot be dispatched yet wakes nobody; when
/// that changes, something returns here.
pub(super) fn wake_on_the_way_out(thread: &Rc<Thread>, home: &Rc<StaHome>) {
    // The loop has to come once more to hear that the apartment was asked to quit.
    let untold = || home.adopted().is_some_and(|adopted| !adopted.told_to_quit.get());
    let quits = || !home.is_leaving.get() && home.mailbox.door() != Door::Open && untold();
    if offers(thread, home) || quits() {
        thread.bell().ring();
    }
}

/// Whether a dispatch would find something.
pub(super) fn offers(thread: &Rc<Thread>, home: &Rc<StaHome>) -> bool {
    let looks = !thread.dispatches_nothing() && !home.is_leaving.get();
    looks && home.mailbox.offers(&looker(thread, home, Situation::Loop, 0))
}

impl fmt::Debug for AdoptedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptedBuilder")
            .field("builder", &self.builder)
            .field("may_block", &self.adopting.may_block)
            .field("wake_again_after", &self.adopting.late_after)
            .finish_non_exhaustive()
    }
}
