//! What is open on a thread: the calls and messages it serves, and the calls it has out.

use super::Thread;
use super::cancel::CancelHandle;
use crate::call::Ticket;
use crate::call::record::Why;
use crate::describe::{CallKind, CallTarget, Caller, DROP};
use crate::id::{CallId, ChainId, ObjectId};
use crate::mailbox::Mailbox;
use crate::sync::{Arc, Clock, Weak};
use std::cell::Cell;

/// A call, or an application message, that the thread is serving.
pub(crate) struct Frame {
    pub(crate) id: CallId,
    /// None for a message: it belongs to no chain.
    pub(crate) chain: Option<ChainId>,
    pub(crate) from_chain: Option<ChainId>,
    pub(crate) depth: u32,
    pub(crate) kind: CallKind,
    pub(crate) caller: Caller,
    pub(crate) target: CallTarget,
    /// On which clock it ends by itself, and when.
    pub(crate) deadline: Option<(Clock, u64)>,
    /// Where its cancelling shows; a direct call shows that of the call it was made in.
    pub(crate) ticket: Option<Ticket>,
    /// Whether the call with that ticket is owned by both sides, and is this one.
    pub(crate) owned: bool,
    /// A direct call's own handle: what it cancels has no ticket to show it.
    pub(crate) cancel: Option<CancelHandle>,
    /// Those of the direct calls it was made in.
    pub(crate) around: Vec<CancelHandle>,
    /// For an interface's one-way method: the apartment that sent it (rule CK-2).
    pub(crate) sender: Option<Weak<Mailbox>>,
    /// What it has borrowed of its object (rule DI-13).
    pub(crate) borrow: Cell<Borrow>,
}

/// How a call holds the object it was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Borrow {
    /// By reference alone.
    Nothing,
    /// Through `call_ref` or `call_mut`.
    Cell,
}

impl Frame {
    /// What a destructor runs in when its object was released from elsewhere: no call, no chain.
    pub(crate) fn of_a_release(thread: &Thread, object: ObjectId) -> Self {
        let frame = Self::of_no_call(thread);
        Self { target: CallTarget { object: Some(object), ..frame.target }, ..frame }
    }

    /// What a destructor runs in that belongs to no call.
    pub(crate) fn of_no_call(thread: &Thread) -> Self {
        let location = std::panic::Location::caller();
        Self {
            id: thread.new_call(),
            chain: None,
            from_chain: None,
            depth: 0,
            kind: CallKind::OneWay,
            caller: thread.caller(),
            target: CallTarget { object: None, type_name: "object", method: Some(&DROP), location },
            deadline: None,
            ticket: None,
            owned: false,
            cancel: None,
            around: Vec::new(),
            sender: None,
            borrow: Cell::new(Borrow::Nothing),
        }
    }

    /// Whether it is an interface's one-way method that this apartment sent.
    pub(crate) fn is_sent_by(&self, apartment: &Arc<Mailbox>) -> bool {
        self.sender.as_ref().is_some_and(|sender| std::ptr::eq(sender.as_ptr(), Arc::as_ptr(apartment)))
    }

    /// All handles that cancel it.
    pub(crate) fn cancels(&self) -> impl Iterator<Item = &CancelHandle> {
        self.around.iter().chain(&self.cancel)
    }

    /// Why the call is cancelled, if it is.
    pub(crate) fn cancelled(&self) -> Option<Why> {
        if let Some(why) = self.ticket.as_ref().and_then(Ticket::why) {
            return Some(why);
        }
        if self.cancels().any(CancelHandle::is_cancelled) {
            return Some(Why::Handle);
        }
        let past = self.deadline.as_ref().is_some_and(|(clock, at)| *at <= clock.nanos());
        past.then_some(Why::Deadline)
    }
}

/// A call that the thread has out.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) id: CallId,
    pub(crate) chain: ChainId,
    pub(crate) kind: CallKind,
    pub(crate) target: CallTarget,
    pub(crate) attempt: u32,
    pub(crate) ticket: Ticket,
    pub(crate) callee: Arc<Mailbox>,
    /// When it was made, on the callee's clock.
    pub(crate) made: u64,
    /// When it ends by itself, on the callee's clock.
    pub(crate) deadline: Option<u64>,
    /// Whether it may stand in the line for room.
    pub(crate) waits_for_room: bool,
    /// When its time in the line for room is up, on the callee's clock, should it still stand there.
    pub(crate) room_until: Option<u64>,
    /// The call it was made in: cancelled with it.
    pub(crate) parent: Option<Ticket>,
}

/// What a wait has to look after on its thread besides what it is for: calls that are out, its own and those below it. They
/// stay the same while it lasts.
#[derive(Clone, Copy, Default)]
pub(crate) struct LooksAfter {
    /// Some end by the clock, or their time in the line for room does.
    pub(crate) timed: bool,
    /// Some are cancelled with the calls that they were made in.
    pub(crate) nested: bool,
    /// The callees of some sleep in loops of their own, which may swallow a wake.
    pub(crate) adopted: bool,
}

impl LooksAfter {
    #[inline]
    pub(super) fn of(calls: &[Outgoing]) -> Self {
        let mut all = Self::default();
        for call in calls {
            all.timed |= call.deadline.is_some() | call.room_until.is_some();
            all.nested |= call.parent.is_some();
            all.adopted |= call.callee.is_adopted();
        }
        all
    }

    #[inline]
    pub(crate) fn is_nothing(self) -> bool {
        !self.timed && !self.nested && !self.adopted
    }
}

/// Who holds a borrowed object.
pub(crate) struct Holder {
    /// The innermost running call that does; none if the borrow was taken by hand.
    pub(crate) call: Option<(CallId, CallTarget)>,
    /// Whether it can end while a call of the asking chain waits.
    pub(crate) can_end: bool,
}

/// A holder ends once everything above it on the stack has ended. If one of these, or a holder itself, belongs to the
/// asking chain, it waits for the call that asks: trying again cannot help. Several can hold an object to read it; all of
/// them have to end.
pub(super) fn holder(frames: &[Frame], object: Option<ObjectId>, chain: ChainId) -> Holder {
    let holds = |frame: &Frame| {
        frame.target.object.is_some() && frame.target.object == object && frame.borrow.get() == Borrow::Cell
    };
    let outermost = frames.iter().position(holds).unwrap_or(frames.len());
    let innermost = frames.iter().rfind(|frame| holds(frame));
    Holder {
        call: innermost.map(|frame| (frame.id, frame.target)),
        can_end: frames[outermost..].iter().all(|frame| frame.chain != Some(chain)),
    }
}
