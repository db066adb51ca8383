//! Serving: what a thread of an apartment does with one thing that it found to do.

use crate::call::record::{Attempt, Why, Work};
use crate::call::{Running, Ticket, Verdict};
use crate::common::Common;
use crate::describe::{CallKind, Caller, Reentrancy};
use crate::diagnose::{CallRef, HeldBy, WaitFor, What};
use crate::error::{CallError, Reentrant};
use crate::filter::{
    MessageClass, MessageFilter, PendingAction, PendingAnswer, PendingMessage, PendingType, ServerCall, lets_run,
};
use crate::id::{CallId, ChainId, ObjectId};
use crate::mailbox::{Asked, Brief, Door, Looker, Mailbox, Messages, Next, Started};
use crate::sync::Arc;
use crate::thread::{
    Borrow, Frame, Going, Home, Outgoing, StaHome, Target, Thread, contain, drop_shared, panic_message,
};
use crate::wait_graph::Scope;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// In which situation a thread looks for something to serve.
#[derive(Clone, Copy)]
pub(crate) enum Situation<'a> {
    /// The top loop, or a pump that somebody asked for.
    Loop,
    /// A wait for a call that is out, its place on the stack of them.
    Call(usize),
    /// Another wait: for what, in which process, and for what apartments, if they are the ones that have to end it.
    Plain(WaitFor, &'a Common, &'a [Arc<Mailbox>]),
    /// Another wait that an apartment has to end; for what, and which call it is that waits, if one does.
    Of(WaitFor, &'a Mailbox, Option<&'a CallRef>),
    /// A wait for what anybody brings about, in no process; one that does not pump serves nothing.
    Elsewhere { on: WaitFor, pumps: bool },
}

impl Situation<'_> {
    pub(super) fn pumps(self) -> bool {
        !matches!(self, Self::Elsewhere { pumps: false, .. })
    }

    /// Whether the wait ends with the call that it is made in.
    pub(super) fn ends_with_its_call(self) -> bool {
        matches!(self, Self::Elsewhere { on: WaitFor::Events, .. })
    }
}

/// What came of looking for something to serve.
pub(crate) enum Served {
    One,
    /// There was nothing that may come in now; how the door stood, and when to look again for a future that is to be woken.
    Nothing(Door, Option<u64>),
}

/// Serves one thing on an STA's thread, if there is one that may come in now.
pub(crate) fn serve_one(thread: &Rc<Thread>, home: &Rc<StaHome>, situation: Situation<'_>, wait: u32) -> Served {
    if thread.dispatches_nothing() {
        let by = if thread.in_filter() { HeldBy::Filter } else { HeldBy::InputSynchronized };
        return Served::Nothing(home.mailbox.holds_all(thread.who(), wait, by), None);
    }
    let looker = looker(thread, home, situation, wait);
    let mut started = Started::default();
    let next = home.mailbox.next(&looker, &mut started);
    if let Next::Nothing(door, alarm) = next {
        return Served::Nothing(door, alarm);
    }
    // A look that finds nothing leaves the thread asleep, if it sleeps in a loop: it would be woken for each look.
    let _stirred = thread.stirs();
    match next {
        Next::Nothing(..) => {}
        Next::Release(object) => {
            // Its destructor belongs to no chain: not to that of the call that may be below it on the stack.
            thread.push_frame(|| Frame::of_a_release(thread, object));
            home.let_go(thread, object);
            thread.pop_frame();
            thread.leave_if_due();
        }
        Next::Rung => thread.leave_if_due(),
        Next::Late(_) => crate::broken("an STA's objects are not shared"),
        Next::Run => run(thread, Some(home), &home.mailbox, &mut started),
        Next::Ask(asked) => {
            let answer = ask_filter(thread, home, &asked);
            if home.mailbox.answered(&asked, answer, &looker, &mut started) {
                run(thread, Some(home), &home.mailbox, &mut started);
            }
        }
        Next::AskMessage { id, class } => {
            let Situation::Call(at) = situation else { crate::broken("only a call's wait asks about messages") };
            let Some(outgoing) = thread.outgoing(at) else { crate::broken("a call that waits is out") };
            let answer = ask_about_message(thread, home, &outgoing, id, class);
            if answer == PendingAction::CancelCall {
                target_of(&outgoing).cancel(Why::Filter, thread.who());
            } else if lets_run(answer, class)
                && runs_messages(thread, home, &looker)
                && home.mailbox.take_message(id, &looker, &mut started)
            {
                run(thread, Some(home), &home.mailbox, &mut started);
            }
        }
    }
    Served::One
}

pub(crate) fn target_of(outgoing: &Outgoing) -> Target {
    Target {
        ticket: outgoing.ticket.clone(),
        callee: Arc::clone(&outgoing.callee),
        call: CallRef { id: outgoing.id, chain: outgoing.chain, attempt: outgoing.attempt },
    }
}

/// What that thread, in that situation, may find.
#[inline]
pub(super) fn looker<'a>(thread: &Thread, home: &'a StaHome, situation: Situation<'_>, wait: u32) -> Looker<'a> {
    let depth = thread.depth();
    let scope = scope(home, thread, situation, thread.waits_open());
    let messages = match (situation, scope) {
        (_, Scope::InputSynchronized) | (Situation::Loop, Scope::Nothing) => Messages::Held,
        (Situation::Loop, _) => Messages::InOrder,
        (Situation::Call(_), _) => Messages::Pending,
        (Situation::Plain(..) | Situation::Of(..) | Situation::Elsewhere { .. }, _) => Messages::Held,
    };
    let filter = home.filter.borrow().is_some();
    // A loop of somebody else's has to be woken for each entry: it looks whenever it likes.
    let tops = matches!(situation, Situation::Loop) && !thread.is_in_the_middle() && !thread.is_adopted();
    let batch = tops.then_some(&home.batch);
    Looker { who: thread.who(), depth, wait, scope, messages, filter, batch }
}

/// Whether a wait shows application messages to the filter (rule MF-8): one for a call does, but for an input-synchronized
/// one, and where nothing is dispatched.
pub(super) fn asks_about_messages(thread: &Thread, situation: Situation<'_>) -> bool {
    let waits_for_call = matches!(situation, Situation::Call(_)) && !waits_for_input_synchronized(thread, situation);
    waits_for_call && !thread.dispatches_nothing()
}

/// Whether a message that the filter lets run may: it is asked in each wait for a call (rule MF-8), but where nothing comes
/// in nothing runs, and waits that are nested too deep pile up no further (rule DI-12).
fn runs_messages(thread: &Thread, home: &StaHome, looker: &Looker<'_>) -> bool {
    looker.scope != Scope::Nothing && thread.waits_open() <= home.nested_waits
}

/// Which calls come in, that many waits deep (rules DI-12, CK-3).
#[inline]
pub(crate) fn scope(home: &StaHome, thread: &Thread, situation: Situation<'_>, waits: u32) -> Scope {
    if waits_for_input_synchronized(thread, situation) {
        return Scope::InputSynchronized;
    }
    if home.reentrancy == Reentrancy::Classic && waits <= home.nested_waits {
        return Scope::Everything;
    }
    let served = thread.with_frames(|frames| frames.iter().rev().find_map(|frame| frame.chain));
    // A chain to keep to is there while a call is being served, or is out.
    let in_a_chain = served.is_some() || thread.with_outgoing(|calls| !calls.is_empty());
    let pumps = matches!(situation, Situation::Loop);
    match home.reentrancy {
        Reentrancy::None if pumps && !in_a_chain => Scope::Everything,
        Reentrancy::None => Scope::Nothing,
        Reentrancy::Classic | Reentrancy::SameCausality if in_a_chain => Scope::Chains(served),
        Reentrancy::Classic | Reentrancy::SameCausality => Scope::Everything,
    }
}

fn waits_for_input_synchronized(thread: &Thread, situation: Situation<'_>) -> bool {
    let Situation::Call(at) = situation else { return false };
    thread.with_outgoing(|calls| calls.get(at).is_some_and(|call| call.kind == CallKind::InputSynchronized))
}

fn ask_filter(thread: &Thread, home: &StaHome, asked: &Asked) -> ServerCall {
    let filter = home.filter.borrow().clone();
    let Some(filter) = filter else { return ServerCall::Handled };
    let answer = ask(thread, home, "handle_incoming", || filter.handle_incoming(&asked.call));
    drop_filter(thread, home, filter);
    answer.unwrap_or(ServerCall::Rejected)
}

fn ask_about_message(
    thread: &Thread,
    home: &StaHome,
    outgoing: &Outgoing,
    id: CallId,
    class: MessageClass,
) -> PendingAction {
    let filter = home.filter.borrow().clone();
    let Some(filter) = filter else {
        home.mailbox.ask_again(id, None);
        return PendingAction::WaitDefProcess;
    };
    let nested = thread.with_frames(|frames| frames.iter().any(|frame| frame.chain.is_some()));
    let pending_type = if nested { PendingType::Nested } else { PendingType::TopLevel };
    let elapsed = Duration::from_nanos(outgoing.callee.common.clock.nanos().saturating_sub(outgoing.made));
    let pending =
        PendingMessage { class, call: outgoing.id, callee: outgoing.callee.name.clone(), elapsed, pending_type };
    let answer = ask(thread, home, "message_pending", || filter.message_pending(&pending))
        .unwrap_or_else(PendingAnswer::wait_no_process);
    drop_filter(thread, home, filter);
    // From the answer on, which is told after it: who has seen the question may count on the time.
    home.mailbox.ask_again(id, answer.ask_again.map(|delay| home.mailbox.common.clock.after(delay)));
    home.mailbox.tell(thread.who(), Some(message_ref(id)), || What::PendingAsked {
        class,
        elapsed,
        nested: pending_type,
        answer: answer.action,
        ask_again: answer.ask_again,
    });
    answer.action
}

fn message_ref(id: CallId) -> CallRef {
    CallRef { id, chain: ChainId(id), attempt: 1 }
}

/// A filter may have taken itself off while it was asked: this is its last reference then.
pub(super) fn drop_filter(thread: &Thread, home: &StaHome, filter: Rc<dyn MessageFilter>) {
    contain(&home.mailbox, thread, "a filter's destructor", || drop(filter));
}

/// Runs a filter's method; a panic in it is contained, and gives no answer (rule MF-9).
fn ask<R>(thread: &Thread, home: &StaHome, method: &'static str, question: impl FnOnce() -> R) -> Option<R> {
    match thread.filtering(|| catch_unwind(AssertUnwindSafe(question))) {
        Ok(answer) => Some(answer),
        Err(payload) => {
            let message = panic_message(payload);
            home.mailbox.tell(thread.who(), None, || What::Contained { place: method, message });
            None
        }
    }
}

/// Runs what was taken out of the queue, and answers it. An STA's thread has the object on its table; of the MTA's it came
/// along.
pub(crate) fn run(thread: &Rc<Thread>, sta: Option<&StaHome>, mailbox: &Arc<Mailbox>, started: &mut Started) {
    let opened = thread.opened();
    let Started { brief, running, sent, is_message, object } = started;
    let Some(brief) = brief else { crate::broken("what was taken to run can be run") };
    let (call, deadline, id) = (brief.call, brief.deadline, brief.target.object);
    let holder = sta.zip(id).and_then(|(home, id)| home.object(id));
    let found: Option<&dyn Any> = match (&*object, &holder, id) {
        (Some(shared), ..) => Some(&**shared),
        (None, Some(own), _) => Some(&**own),
        (None, None, None) => Some(&()),
        (None, None, Some(_)) => None,
    };
    if let Some(mut running) = running.take() {
        let Some(found) = found else {
            drop(opened);
            gone(thread, mailbox, call, running, id);
            return;
        };
        let ticket = running.ticket().cloned();
        push_frame(thread, brief, mailbox, Some(call.chain), ticket, running.is_owned());
        let attempt = running.run(found);
        thread.pop_frame();
        drop(opened);
        match attempt {
            Attempt::Ran(panicked) => {
                frame_ended(thread, mailbox, call, || What::Ended { panicked });
                if deadline.is_some_and(|deadline| deadline <= mailbox.common.clock.nanos()) {
                    // A deadline is a cancel by clock, and this one came before the reply.
                    running.expire();
                }
                if let Some(late) = running.done() {
                    drop_late(thread, mailbox, call, &*late);
                }
            }
            Attempt::Gone => gone(thread, mailbox, call, running, id),
            Attempt::Busy => {
                let busy = busy(thread, id, call.chain);
                frame_ended(thread, mailbox, call, || What::Busy { holder: busy.1 });
                running.reject(Verdict::Busy(Arc::new(busy.0)));
            }
        }
    } else {
        let Some(closure) = sent else { crate::broken("what was taken to run can be run") };
        let ran = match found {
            Some(found) => {
                push_frame(thread, brief, mailbox, (!*is_message).then_some(call.chain), None, false);
                let ran = catch_unwind(AssertUnwindSafe(|| closure.run(found)));
                thread.pop_frame();
                ran.map_err(panic_message)
            }
            None => Ok(false),
        };
        drop(opened);
        match ran {
            _ if *is_message => frame_ended(thread, mailbox, call, || What::MessageEnded { panicked: ran.err() }),
            Ok(true) => frame_ended(thread, mailbox, call, || What::Ended { panicked: None }),
            Err(panicked) => frame_ended(thread, mailbox, call, || What::Ended { panicked: Some(panicked) }),
            Ok(false) => {
                let error = mailbox.object_gone(id);
                frame_ended(thread, mailbox, call, || What::PostDropped { error: (&error).into() });
                contain(mailbox, thread, "the destructor of a post's closure", || *sent = None);
            }
        }
    }
    if let Some(own) = holder {
        thread.drop_object(Going::Own(own));
    }
    if let Some(shared) = object.take() {
        drop_shared(mailbox, thread, shared);
    }
}

/// What was served on top of the thread's stack has ended.
fn frame_ended(thread: &Thread, mailbox: &Mailbox, call: CallRef, what: impl FnOnce() -> What) {
    if mailbox.common.recorder.is_on() {
        mailbox.frame_ended(thread.who(), thread.depth(), call, what());
    }
}

/// A call has not run: its object takes no calls any more.
fn gone(thread: &Thread, mailbox: &Mailbox, call: CallRef, running: Running, object: Option<ObjectId>) {
    let error = mailbox.object_gone(object);
    frame_ended(thread, mailbox, call, || What::Gone { error: (&error).into() });
    running.reject(Verdict::Failed(error));
}

/// Nobody waits for the result of an owned call any more: it goes here, at home, in no call and no chain.
pub(super) fn drop_late(thread: &Thread, mailbox: &Arc<Mailbox>, call: CallRef, work: &dyn Work) {
    let Some(late) = work.take_late() else { return };
    mailbox.tell(thread.who(), Some(call), || What::ResultDropped);
    thread.push_frame(|| Frame::of_no_call(thread));
    contain(mailbox, thread, "the destructor of a result that came too late", || drop(late));
    thread.pop_frame();
}

/// What an entry runs in.
#[inline(always)]
fn push_frame(
    thread: &Thread,
    brief: &mut Brief,
    mailbox: &Mailbox,
    chain: Option<ChainId>,
    ticket: Option<Ticket>,
    owned: bool,
) {
    thread.push_frame(|| Frame {
        id: brief.call.id,
        chain,
        from_chain: brief.from_chain,
        depth: brief.depth,
        kind: brief.kind,
        caller: Caller { thread: brief.caller.thread, apartment: brief.caller.apartment.take() },
        target: brief.target,
        deadline: brief.deadline.map(|at| (mailbox.common.clock.clone(), at)),
        ticket,
        owned,
        cancel: None,
        around: Vec::new(),
        sender: brief.sender.take(),
        borrow: Cell::new(Borrow::Nothing),
    });
}

/// Why a borrowed object's call cannot run now (rule DI-13).
fn busy(thread: &Thread, object: Option<ObjectId>, chain: ChainId) -> (Reentrant, Option<CallId>) {
    let Some(id) = object else { crate::broken("only an object can be borrowed") };
    let holder = thread.holder(object, chain);
    let who = holder.call.map(|(id, _)| id);
    (Reentrant { object: id, holder: holder.call.map(|(_, target)| target), retryable: holder.can_end }, who)
}

/// What an object of this thread's apartment says to a direct call whose object is borrowed: trying again cannot help.
pub(crate) fn busy_directly(thread: &Thread, object: Option<ObjectId>, chain: ChainId) -> CallError {
    let Some(id) = object else { crate::broken("only an object can be borrowed") };
    let holder = thread.holder(object, chain);
    let holder = holder.call.map(|(_, target)| target);
    CallError::Reentrant(Arc::new(Reentrant { object: id, holder, retryable: false }))
}

/// Sets this thread's STA's message filter; `None` removes it. Gives the one before (rule MF-1). Does not wait.
///
/// # Errors
/// `NotSupported` on a thread that is in the MTA or in no apartment; nothing changes.
///
/// ```
/// use apartment::{RetryFor, Sta, register_filter};
/// use std::{rc::Rc, time::Duration};
///
/// let ui = Sta::builder("ui").enter()?;
/// assert!(register_filter(Some(Rc::new(RetryFor::new(Duration::from_secs(1)))))?.is_none());
/// assert!(register_filter(None)?.is_some());
/// # drop(ui);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias = "CoRegisterMessageFilter")]
pub fn register_filter(filter: Option<Rc<dyn MessageFilter>>) -> Result<Option<Rc<dyn MessageFilter>>, CallError> {
    let thread = Thread::current();
    let Some(Home::Sta(home)) = thread.home() else {
        return Err(CallError::NotSupported { what: "a message filter belongs to an STA, and this thread is in none" });
    };
    let set = filter.is_some();
    let before = home.filter.replace(filter);
    home.mailbox.note(thread.who(), What::FilterSet { set });
    Ok(before)
}
