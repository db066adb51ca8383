//! The call record: how a call borrows from its caller's stack and how its reply comes back.
//!
//! A synchronous call lends the callee a closure that lives in the caller's frame. Nothing else in the crate is unsafe;
//! everything that makes it sound is in this file. An *owned* call lends nothing: what it hands over ([`Work`]) is shared
//! by both sides, and so its caller may leave while it runs.
//!
//! # Protocol
//!
//! A [`Record`] belongs to one thread, outlives both sides (it is shared by `Arc`) and is reused for one call after
//! another. Its one word holds the *generation* — which call — the *state*, and *why* the call was cancelled, if it was:
//!
//! | state | meaning | who leaves it, and where to |
//! |---|---|---|
//! | `IDLE` | no call, or one between two attempts | the caller, by lending: `QUEUED` |
//! | `QUEUED` | the callee's mailbox has the [`Errand`] | the callee: `RUNNING`, or `REJECTED`; whoever revokes: `REVOKED`; all of them under the callee's lock, but for an errand that is in no queue (withdrawn, or lost): `REJECTED` |
//! | `RUNNING` | the callee runs the closure; the loan is its own | the callee: `DONE`, or `REJECTED` (object busy, or gone); of an owned call alone its caller: `DETACHED`, and its callee's thread, if its locals are destroyed under it: `DONE` without a result |
//! | `DETACHED` | an owned call runs, and its caller has left | the callee alone: `DONE`. The record serves no other call |
//! | `DONE` | the callee has let go; the result is in the caller's frame, or in the work | the caller, by its next call |
//! | `REVOKED` | it will never run | the caller, by its next call |
//! | `REJECTED` | it has not run; the verdict is in the record | the caller: `QUEUED` (next attempt) or its next call |
//!
//! * Only `RUNNING` may touch the loan, and only the one [`Running`] that the step `QUEUED → RUNNING` made exists.
//! * Every step is a compare-and-swap that names the generation; who comes too late — a cancel, a revoke — changes nothing.
//! * `why` is set once per call, by whoever cancels first, and not after `DONE`: a reply that was recorded before the
//!   cancel wins (rule CA-2).
//! * A result is *late* if the call was cancelled or detached before `DONE`: whoever takes that step sees it in the word
//!   before, and drops the result at the callee. So either the caller has the result or the callee drops it, never both.
//! * What a call carries that never ran comes out of the operation that answers it ([`Unrun`]): its drop is user code.
//! * The step out of `RUNNING` releases, the caller's look acquires: what the callee wrote into the caller's frame
//!   happened before the caller reads it. After that step the callee touches the record alone, to ring.
//! * [`Ticket::hand_over`] of what is lent does not return, nor unwind, while a state is `QUEUED`, `RUNNING` or `DETACHED`:
//!   it stops the program rather.

use crate::sync::{Arc, AtomicU64, Bell, Mutex, Ordering};
use std::any::Any;
use std::mem;
use std::ptr::NonNull;

const IDLE: u64 = 0;
const QUEUED: u64 = 1;
const RUNNING: u64 = 2;
const DONE: u64 = 3;
const REVOKED: u64 = 4;
const REJECTED: u64 = 5;
const DETACHED: u64 = 6;

const STATE: u64 = 0b111;
const WHY_SHIFT: u32 = 3;
const WHY: u64 = 0b11 << WHY_SHIFT;
const GENERATION: u64 = !(STATE | WHY);
const ONE_GENERATION: u64 = 1 << 5;

/// Why a call was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Handle = 1,
    Deadline = 2,
    Filter = 3,
}

/// What the callee says of one attempt.
pub(crate) enum Attempt {
    /// The closure ran; the panic's message if it panicked.
    Ran(Option<Arc<str>>),
    /// The object was borrowed: the closure is still in the caller's frame.
    Busy,
    /// The object was disconnected: so is this one's.
    Gone,
}

/// The closure that a call lends: gets the object, may be tried again after `Busy`.
pub(crate) type Job<'a> = dyn FnMut(&dyn Any) -> Attempt + Send + 'a;

/// What an owned call hands over: its closure, and the place of its result. Both sides share it, and either may leave first.
pub(crate) trait Work: Send + Sync {
    /// Runs the closure on the object, once, and keeps what came of it.
    fn run(&self, object: &dyn Any) -> Attempt;
    /// Whether the closure has run to its end; the panic's message if it panicked.
    fn ran(&self) -> Option<Option<Arc<str>>>;
    /// Takes the result, if there is one, for nobody to have; the drop is user code.
    fn take_late(&self) -> Option<Box<dyn Any + Send>>;
}

/// What a call hands over to its callee.
pub(crate) enum Load<'a> {
    /// A closure in the caller's frame, which is lent until the callee lets go.
    Lent(&'a mut Job<'a>),
    /// What both sides share: the caller need not wait until the callee lets go.
    Owned(&'a Arc<dyn Work>),
}

impl Load<'_> {
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent(_))
    }

    /// For a callee on the caller's own thread.
    pub(crate) fn run(&mut self, object: &dyn Any) -> Attempt {
        match self {
            Self::Lent(job) => job(object),
            Self::Owned(work) => work.run(object),
        }
    }
}

/// What a caller sees when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Not settled: queued, or running.
    Pending,
    Done,
    Revoked,
    Rejected,
    /// An owned call that its caller has left while it ran.
    Detached,
}

/// One call of one thread: a record and the generation that names the call.
pub(crate) struct Ticket<V> {
    record: Arc<Record<V>>,
    generation: u64,
}

impl<V> Clone for Ticket<V> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), generation: self.generation }
    }
}

/// Who waits for the reply, and is rung when there is something to see.
pub(crate) enum Waiter {
    /// A thread, which sleeps on its bell.
    Thread(Arc<Bell>),
    /// A future, whose waker is user code: rung with no lock held.
    Future(Arc<dyn Wakes>),
}

/// Where a future's waker is.
pub(crate) trait Wakes: Send + Sync {
    /// Wakes whoever polled it last; a panic of that is contained.
    fn wake(&self);
}

impl Waiter {
    fn ring(&self) {
        match self {
            Self::Thread(bell) => bell.ring(),
            Self::Future(future) => future.wake(),
        }
    }
}

/// See the module's documentation. `V` is the verdict that a rejection leaves.
///
/// Apart from its count, which its other side changes whenever it clones a ticket.
#[repr(align(64))]
pub(crate) struct Record<V> {
    word: AtomicU64,
    waiter: Waiter,
    verdict: Mutex<Option<V>>,
}

impl<V> Record<V> {
    /// A record for the calls of one who waits.
    pub(crate) fn new(waiter: Waiter) -> Arc<Self> {
        Arc::new(Self { word: AtomicU64::new(IDLE), waiter, verdict: Mutex::new(None) })
    }

    /// The record as it is before its first call.
    pub(crate) fn unused(self: Arc<Self>) -> Ticket<V> {
        Ticket { record: self, generation: 0 }
    }
}

impl<V> Ticket<V> {
    /// Begins the record's next call: the next generation, `IDLE`. By the record's thread, whose call before is over.
    pub(crate) fn next(self) -> Self {
        let generation = self.generation.wrapping_add(ONE_GENERATION);
        self.record.word.store(word(generation, IDLE), Ordering::Release);
        Self { generation, ..self }
    }

    /// Whether both name the same call.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.record, &other.record) && self.generation == other.generation
    }

    /// Hands a call's load over to whoever gets the [`Errand`], for one attempt, while `attend` runs: it gives the errand to
    /// the callee and waits. `attend` must not return before the attempt is settled, if the load is lent.
    pub(crate) fn hand_over<R>(&self, load: &mut Load<'_>, attend: impl FnOnce(Errand<V>) -> R) -> R {
        self.queue();
        let _settled = load.is_lent().then(|| Settled(self));
        let carried = match load {
            Load::Lent(job) => {
                // SAFETY: only the lifetime changes. The pointer is used by `Running` alone, which exists only while the
                // state is RUNNING, or DETACHED after it; `_settled` keeps this frame, and so the job, from ending while
                // the state is QUEUED, RUNNING or DETACHED, on return and on unwinding, and no step leads back into these
                // states but another `hand_over`, a `give`, or a `queue_without_loan`. The job is not touched here
                // meanwhile: `load` is borrowed mutably until this function ends.
                let job: NonNull<Job<'static>> = unsafe { mem::transmute(NonNull::from(&mut **job)) };
                Carried::Lent(Loan(job))
            }
            Load::Owned(work) => Carried::Owned(Arc::clone(work)),
        };
        attend(Errand { ticket: Some(self.clone()), carried })
    }

    /// Hands over an owned call's work, for one attempt. Nothing of the caller's frame is lent: it may leave by
    /// [`leave_if_cancelled`](Ticket::leave_if_cancelled) and [`detach`](Ticket::detach).
    pub(crate) fn give(&self, work: Arc<dyn Work>) -> Errand<V> {
        self.queue();
        Errand { ticket: Some(self.clone()), carried: Carried::Owned(work) }
    }

    /// The next attempt begins.
    fn queue(&self) {
        if self.step(IDLE, |state| matches!(state, IDLE | REJECTED), QUEUED).is_none() {
            crate::broken("a call was handed over twice at once");
        }
    }

    /// For an entry that lends nothing but whose sender waits for it to be taken: `QUEUED` without a loan.
    pub(crate) fn queue_without_loan(&self) -> Errand<V> {
        if self.step(IDLE, |state| state == IDLE, QUEUED).is_none() {
            crate::broken("a sender queued twice at once");
        }
        Errand { ticket: Some(self.clone()), carried: Carried::Nothing }
    }

    /// The caller of an owned call leaves it if it runs and was cancelled. One that is still queued is about to be
    /// revoked by whoever cancelled it.
    pub(crate) fn leave_if_cancelled(&self) -> bool {
        let leaves = |word: u64| word & STATE == RUNNING && why_of(word).is_some();
        self.swap(because(RUNNING, Why::Handle), |word| leaves(word).then(|| in_state(word, DETACHED))).is_some()
    }

    /// The future of an owned call is dropped: if that runs, it goes on without a caller.
    pub(crate) fn detach(&self) -> bool {
        self.step_from(RUNNING, DETACHED)
    }

    /// Whether it is a future that waits: to ring it runs user code.
    pub(crate) fn is_of_a_future(&self) -> bool {
        matches!(self.record.waiter, Waiter::Future(_))
    }

    /// Whether its callee may still look here after the caller has left: such a record serves no other call.
    pub(crate) fn is_detached(&self) -> bool {
        self.record.word.load(Ordering::Acquire) & STATE == DETACHED
    }

    /// What has become of the call, and why it was cancelled, if it was. By its caller, who alone may begin the next.
    #[inline]
    pub(crate) fn look(&self) -> (Look, Option<Why>) {
        let word = self.record.word.load(Ordering::Acquire);
        let look = match word & STATE {
            DONE => Look::Done,
            REVOKED => Look::Revoked,
            REJECTED => Look::Rejected,
            DETACHED => Look::Detached,
            _ => Look::Pending,
        };
        (look, why_of(word))
    }

    /// Whether it is settled: it has run, or never will, or was rejected, or its caller has left.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self.record.word.load(Ordering::Acquire) & STATE, IDLE | QUEUED | RUNNING)
    }

    /// Whether nobody has taken it out of the queue, or the line for room, yet.
    pub(crate) fn is_queued(&self) -> bool {
        self.is_in(QUEUED)
    }

    /// Whether the callee runs it.
    pub(crate) fn is_running(&self) -> bool {
        self.is_in(RUNNING)
    }

    fn is_in(&self, state: u64) -> bool {
        self.record.word.load(Ordering::Acquire) & !WHY == word(self.generation, state)
    }

    /// Why the call was cancelled, if it was.
    pub(crate) fn why(&self) -> Option<Why> {
        let word = self.record.word.load(Ordering::Acquire);
        (word & GENERATION == self.generation).then(|| why_of(word)).flatten()
    }

    /// Whether it runs. By whoever wants to hear of its end: that it looks is seen by whoever sees that the call is over.
    pub(crate) fn runs(&self) -> bool {
        // An exchange of the word for itself, so that the step to `DONE` comes after it, and acquires it.
        self.swap(RUNNING, |word| matches!(word & STATE, RUNNING | DETACHED).then_some(word)).is_some()
    }

    /// Whether it can still be cancelled: it is not over, and nobody has.
    pub(crate) fn is_open(&self) -> bool {
        let word = self.record.word.load(Ordering::Acquire);
        word & GENERATION == self.generation && !matches!(word & STATE, DONE | REVOKED) && why_of(word).is_none()
    }

    /// The thread that runs it is gone, and with it whatever would have answered: the caller finds no result. Rings. Only of an
    /// owned call, whose callee has nothing of its caller's: one that lends is answered by the end of the borrow alone.
    pub(crate) fn died(&self) {
        if self.step_from(RUNNING, DONE) {
            self.ring();
        }
    }

    /// Asks for the call to be cancelled; the first to ask says why. False if it is over, or was asked before.
    pub(crate) fn ask_cancel(&self, why: Why) -> bool {
        self.swap(RUNNING, |word| {
            let over = matches!(word & STATE, DONE | REVOKED) || why_of(word).is_some();
            (!over).then(|| because(word, why))
        })
        .is_some()
    }

    /// Takes the call back if it has not started: it will never run. Under the callee's lock.
    pub(crate) fn revoke(&self) -> bool {
        self.step_from(QUEUED, REVOKED)
    }

    /// Takes what a rejection left.
    pub(crate) fn take_verdict(&self) -> Option<V> {
        self.record.verdict.lock().take()
    }

    /// The caller looks again.
    pub(crate) fn ring(&self) {
        self.record.waiter.ring();
    }

    fn step_from(&self, from: u64, to: u64) -> bool {
        self.step(from, |state| state == from, to).is_some()
    }

    fn step(&self, likely: u64, from: impl Fn(u64) -> bool, to: u64) -> Option<u64> {
        self.swap(likely, |word| from(word & STATE).then(|| in_state(word, to)))
    }

    /// Replaces the word as long as it names this call; gives the word before.
    ///
    /// It begins with the state that the word is likely to be in rather than with a load. That saves one, and it matters
    /// to the models: loom remembers only the last access to an atomic, so a load of one's own just before the exchange
    /// would hide from it that the exchange races with somebody else's load.
    fn swap(&self, likely: u64, next: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut word = word(self.generation, likely);
        loop {
            if word & GENERATION != self.generation {
                return None;
            }
            let new = next(word)?;
            match self.record.word.compare_exchange(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(word),
                Err(now) => word = now,
            }
        }
    }
}

fn word(generation: u64, state: u64) -> u64 {
    generation | state
}

fn in_state(word: u64, state: u64) -> u64 {
    (word & !STATE) | state
}

/// The word of a call that nobody has cancelled, cancelled.
fn because(word: u64, why: Why) -> u64 {
    word | ((why as u64) << WHY_SHIFT)
}

fn why_of(word: u64) -> Option<Why> {
    match (word & WHY) >> WHY_SHIFT {
        1 => Some(Why::Handle),
        2 => Some(Why::Deadline),
        3 => Some(Why::Filter),
        _ => None,
    }
}

#[track_caller]
fn assert_settled(word: u64) {
    if matches!(word & STATE, QUEUED | RUNNING | DETACHED) {
        crate::broken("a call's frame was about to end while its callee still held what it lent");
    }
}

/// Keeps the frame of [`Ticket::hand_over`] from ending too early.
struct Settled<'a, V>(&'a Ticket<V>);

impl<V> Drop for Settled<'_, V> {
    fn drop(&mut self) {
        assert_settled(self.0.record.word.load(Ordering::Acquire));
    }
}

/// A pointer to the caller's closure.
struct Loan(NonNull<Job<'static>>);

// SAFETY: the closure behind it is `Send` (see `Job`), and only the one `Running` uses it.
unsafe impl Send for Loan {}

/// What a call hands to its callee.
enum Carried {
    Nothing,
    Lent(Loan),
    Owned(Arc<dyn Work>),
}

/// A call that was answered without having run: with no lock held its caller is to be rung, and what it carries dropped.
pub(crate) struct Unrun<V> {
    /// None if its caller knows already.
    pub(crate) ticket: Option<Ticket<V>>,
    _carried: Carried,
}

impl<V> Unrun<V> {
    /// Its caller is about to look by itself.
    pub(crate) fn unrung(self) -> Self {
        Self { ticket: None, ..self }
    }
}

/// The callee's end of a call that has not started. Dropped, it tells the caller that nobody took it.
pub(crate) struct Errand<V> {
    /// `None` once it has been answered: from then on the caller may lend again under the same generation.
    ticket: Option<Ticket<V>>,
    carried: Carried,
}

impl<V> Errand<V> {
    pub(crate) fn ticket(&self) -> Option<&Ticket<V>> {
        self.ticket.as_ref()
    }

    /// Whether it belongs to that call.
    pub(crate) fn is_of(&self, ticket: &Ticket<V>) -> bool {
        self.ticket.as_ref().is_some_and(|own| own.is(ticket))
    }

    /// Its deadline has passed: it will not start.
    pub(crate) fn expire(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.ask_cancel(Why::Deadline);
        }
    }

    /// `QUEUED → RUNNING`, under the callee's lock. A call that was cancelled meanwhile is revoked instead.
    pub(crate) fn start(mut self) -> Result<Running<V>, Unrun<V>> {
        let Some(ticket) = self.ticket.take() else { crate::broken("an answered errand cannot start") };
        let before = ticket.swap(QUEUED, |word| {
            let to = if why_of(word).is_some() { REVOKED } else { RUNNING };
            (word & STATE == QUEUED).then(|| in_state(word, to))
        });
        match before {
            Some(word) if why_of(word).is_none() => Ok(Running { ticket: Some(ticket), carried: self.take_carried() }),
            _ => Err(Unrun { ticket: Some(ticket), _carried: self.take_carried() }),
        }
    }

    fn take_carried(&mut self) -> Carried {
        mem::replace(&mut self.carried, Carried::Nothing)
    }

    /// It does not run: leaves the verdict, under the callee's lock.
    pub(crate) fn reject(mut self, verdict: V) -> Unrun<V> {
        let ticket = self.ticket.take().filter(|ticket| ticket.leave(verdict, QUEUED));
        Unrun { ticket, _carried: self.take_carried() }
    }

    /// Whether somebody cancelled the call already.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.why().is_some())
    }

    /// It was cancelled, and nobody took it back from the queue. Under the callee's lock.
    pub(crate) fn revoke(mut self) -> Unrun<V> {
        let ticket = self.ticket.take().filter(Ticket::revoke);
        Unrun { ticket, _carried: self.take_carried() }
    }

    /// It never came into a queue.
    pub(crate) fn withdraw(mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.step_from(QUEUED, REJECTED);
        }
    }

    /// A sender that only waited to be taken has been: `QUEUED → DONE`. The ticket is to be rung afterwards, unlocked.
    pub(crate) fn taken(mut self) -> Option<Ticket<V>> {
        let ticket = self.ticket.take()?;
        ticket.step_from(QUEUED, DONE).then_some(ticket)
    }
}

impl<V> Drop for Errand<V> {
    fn drop(&mut self) {
        // An errand that nobody started or rejected: the caller must not wait for ever. It finds no verdict.
        if let Some(ticket) = self.ticket.take()
            && ticket.step_from(QUEUED, REJECTED)
        {
            ticket.ring();
        }
    }
}

/// The callee's end of a call that runs. Dropped without having been answered (the engine's own frames unwind), it
/// answers as a server that died: done, and nothing in the caller's frame.
pub(crate) struct Running<V> {
    /// `None` once it has been answered.
    ticket: Option<Ticket<V>>,
    carried: Carried,
}

impl<V> Running<V> {
    pub(crate) fn ticket(&self) -> Option<&Ticket<V>> {
        self.ticket.as_ref()
    }

    /// Whether it runs what both sides share, and so may be answered before it has let go.
    pub(crate) fn is_owned(&self) -> bool {
        matches!(self.carried, Carried::Owned(_))
    }

    /// Runs the caller's closure on the object.
    pub(crate) fn run(&mut self, object: &dyn Any) -> Attempt {
        let job = match &mut self.carried {
            Carried::Lent(Loan(job)) => job,
            Carried::Owned(work) => return work.run(object),
            Carried::Nothing => crate::broken("an errand that carries nothing cannot run"),
        };
        // SAFETY: the state is RUNNING, and this is the one `Running` that the step to it made: the frame that `job`
        // points into cannot end (see `hand_over`), nobody else has the pointer, and the step acquired what the caller wrote
        // before it lent. The borrow ends with this call, before any step out of RUNNING.
        let job = unsafe { job.as_mut() };
        job(object)
    }

    /// Its deadline passed while it ran.
    pub(crate) fn expire(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.ask_cancel(Why::Deadline);
        }
    }

    /// The callee has let go. Rings. Gives the work whose result is late: nobody has it but the callee, who drops it.
    pub(crate) fn done(mut self) -> Option<Arc<dyn Work>> {
        let late = self.answer();
        match &self.carried {
            Carried::Owned(work) if late => Some(Arc::clone(work)),
            _ => None,
        }
    }

    /// The closure was not taken: it can be lent again. Rings.
    pub(crate) fn reject(mut self, verdict: V) {
        if let Some(ticket) = self.ticket.take() {
            ticket.leave(verdict, RUNNING);
            ticket.ring();
        }
    }

    /// Whether the result is late: the call was cancelled or detached before.
    fn answer(&mut self) -> bool {
        let Some(ticket) = self.ticket.take() else { return false };
        let before = ticket.step(RUNNING, |state| matches!(state, RUNNING | DETACHED), DONE);
        ticket.ring();
        before.is_some_and(|word| word & STATE == DETACHED || why_of(word).is_some())
    }
}

impl<V> Drop for Running<V> {
    fn drop(&mut self) {
        self.answer();
    }
}

impl<V> Ticket<V> {
    /// The verdict first, then the state that publishes it.
    fn leave(&self, verdict: V, from: u64) -> bool {
        if !self.is_in(from) {
            return false;
        }
        *self.record.verdict.lock() = Some(verdict);
        self.step_from(from, REJECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::start;

    fn ticket() -> Ticket<()> {
        Record::new(Waiter::Thread(Arc::new(Bell::new()))).unused().next()
    }

    fn lend(ticket: &Ticket<()>, job: &mut Job<'_>, attend: impl FnOnce(Errand<()>)) {
        ticket.hand_over(&mut Load::Lent(job), attend);
    }

    fn nothing(_: &dyn Any) -> Attempt {
        Attempt::Ran(None)
    }

    #[test]
    fn ap_12_a_broken_invariant_stops_the_program_with_its_name() {
        const CHILD: &str = "APARTMENT_TEST_BREAKS_AN_INVARIANT";
        if std::env::var_os(CHILD).is_some() {
            // An engine that loses an errand and lets the caller go.
            lend(&ticket(), &mut nothing, mem::forget);
            return;
        }
        let name = "call::record::tests::ap_12_a_broken_invariant_stops_the_program_with_its_name";
        let mut child = start(&std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("its callee still held what it lent"), "{said}");
    }

    #[test]
    fn lt_3_a_call_whose_callee_unwinds_out_of_it_is_answered_without_a_result() {
        let ticket = ticket();
        let mut ran = false;
        let mut job = |_: &dyn Any| {
            ran = true;
            Attempt::Ran(None)
        };
        lend(&ticket, &mut job, |errand| drop(errand.start()));
        assert_eq!(ticket.look(), (Look::Done, None));
        assert!(!ran);
    }

    #[test]
    fn ck_5_an_errand_that_is_lost_answers_its_caller() {
        let ticket = ticket();
        lend(&ticket, &mut nothing, drop);
        assert_eq!(ticket.look(), (Look::Rejected, None));
        assert!(ticket.take_verdict().is_none());
    }

    #[test]
    fn ca_2_who_names_another_generation_changes_nothing() {
        let late = ticket();
        lend(&late, &mut nothing, |errand| drop(errand.start().ok().unwrap().done()));
        let next = late.clone().next();
        lend(&next, &mut nothing, |errand| {
            assert!(!late.ask_cancel(Why::Handle) && !late.revoke());
            drop(errand.start().ok().unwrap().done());
        });
        assert_eq!(next.look(), (Look::Done, None));
    }
}
