//! What a mailbox holds: calls, posts and application messages, each with what a filter or an error may want to know.

use super::sent::Sent;
use crate::call::{Errand, Ticket};
use crate::describe::{CallKind, CallTarget, Caller};
use crate::diagnose::{CallMade, CallRef, Route, What};
use crate::error::CallError;
use crate::filter::MessageClass;
use crate::id::{ApartmentId, CallId, ChainId};
use crate::mailbox::{Mailbox, Who};
use crate::sync::Weak;
use std::time::Duration;

/// What is known of an entry without running it. Copied for whoever looks at it with the lock released.
#[derive(Clone)]
pub(crate) struct Header {
    /// The call, or the message counted like one.
    pub(crate) id: CallId,
    /// The chain that it is part of or begins; messages have none that counts.
    pub(crate) chain: ChainId,
    pub(crate) attempt: u32,
    pub(crate) kind: CallKind,
    pub(crate) caller: Caller,
    pub(crate) target: CallTarget,
    /// For a one-way call: the chain it came from.
    pub(crate) from_chain: Option<ChainId>,
    /// How many calls its chain is deep, this one included.
    pub(crate) depth: u32,
    /// When it ends by itself, on the callee's clock.
    pub(crate) deadline: Option<u64>,
    /// Whether it comes from the apartment itself, or is the library's own: no filter is asked then.
    pub(crate) internal: bool,
    /// For an interface's one-way method: the apartment that sent it, which it cannot call back (rule CK-2).
    pub(crate) sender: Option<Weak<Mailbox>>,
    /// When it was made, on the callee's clock.
    pub(crate) made: u64,
    /// The call that it was made in.
    pub(crate) parent: Option<CallId>,
    /// Whether it lends something of its caller's stack.
    pub(crate) borrows: bool,
    /// How deep its caller's thread stood.
    pub(crate) frame: u16,
    /// Who tells of its making.
    pub(crate) told_by: ToldBy,
}

/// Under whose lock the making of a call is told. Who comes to listen finds it in the same apartment's monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToldBy {
    /// The caller's apartment, together with the beginning of the wait.
    Caller,
    /// The callee's, as it comes in: a one-way call.
    Callee,
    /// The callee's, too, with the wait: the caller's thread is in no apartment.
    CalleeWithWait,
    /// The caller's apartment is of another process, which tells of it.
    Elsewhere,
}

impl Header {
    pub(crate) fn call_ref(&self) -> CallRef {
        CallRef { id: self.id, chain: self.chain, attempt: self.attempt }
    }

    pub(crate) fn who(&self) -> Who {
        (self.caller.thread, self.frame)
    }

    pub(crate) fn until(&self) -> Option<Duration> {
        self.deadline.map(Duration::from_nanos)
    }

    /// Its making, as an event tells it.
    pub(crate) fn call_made(&self, to: Option<ApartmentId>, route: Route) -> What {
        What::CallMade(Box::new(CallMade {
            kind: self.kind,
            route,
            from: self.caller.apartment.as_ref().map(|name| name.id),
            to,
            parent: self.parent,
            from_chain: self.from_chain,
            target: self.target,
            deadline: self.until(),
            borrows: self.borrows,
        }))
    }

    pub(crate) fn is_input_synchronized(&self) -> bool {
        self.kind == CallKind::InputSynchronized
    }
}

pub(crate) enum Body {
    Call(Errand),
    Post(Sent),
    Message {
        class: MessageClass,
        run: Sent,
        ask: Ask,
    },
    /// In the hands of who runs it, or answered it.
    Taken,
}

/// Whether a message is to be shown to `message_pending` (rule MF-8).
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    NotYet,
    /// Asked; again at that time, if one was named.
    Asked {
        again: Option<u64>,
    },
}

pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) body: Body,
    /// Whether it holds room (rule MB-4 says what does not).
    pub(crate) room: bool,
    /// For the sender of a post that waits for room: to be told when it is taken.
    pub(crate) taken: Option<Errand>,
    /// For which wait of the owner it has been told last that it is held.
    pub(crate) held_told: u32,
    /// When it came, on the apartment's clock.
    pub(crate) since: u64,
}

/// Where an entry is from when it is made until it is over: it is not small, and is not moved.
pub(crate) type Place = Box<Entry>;

/// What the thread that runs an entry has to know of it, beyond what it runs.
pub(crate) struct Brief {
    pub(crate) call: CallRef,
    pub(crate) from_chain: Option<ChainId>,
    pub(crate) depth: u32,
    pub(crate) kind: CallKind,
    pub(crate) caller: Caller,
    pub(crate) target: CallTarget,
    pub(crate) deadline: Option<u64>,
    pub(crate) sender: Option<Weak<Mailbox>>,
}

impl Entry {
    pub(crate) fn new(header: Header, body: Body) -> Self {
        let since = header.made;
        Self { header, body, room: false, taken: None, held_told: 0, since }
    }

    /// It is over: nothing is kept alive by its place.
    #[inline]
    pub(super) fn vacate(&mut self) {
        self.header.caller.apartment = None;
        self.header.sender = None;
    }

    /// What its thread has to know of it.
    #[inline]
    pub(super) fn brief(&self) -> Brief {
        let header = &self.header;
        Brief {
            call: header.call_ref(),
            from_chain: header.from_chain,
            depth: header.depth,
            kind: header.kind,
            caller: header.caller.clone(),
            target: header.target,
            deadline: header.deadline,
            sender: header.sender.clone(),
        }
    }

    /// What is to be run or answered. What remains says what it was.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Taken)
    }

    pub(crate) fn is_message(&self) -> bool {
        matches!(self.body, Body::Message { .. })
    }

    /// Whether it is that call's, or that of the sender who waits for it to be taken.
    pub(crate) fn is_of(&self, ticket: &Ticket) -> bool {
        self.errand().is_some_and(|errand| errand.is_of(ticket))
    }

    /// Of the call, or of the sender who waits for it to be taken.
    pub(crate) fn ticket(&self) -> Option<&Ticket> {
        self.errand().and_then(Errand::ticket)
    }

    fn errand(&self) -> Option<&Errand> {
        match &self.body {
            Body::Call(errand) => Some(errand),
            _ => self.taken.as_ref(),
        }
    }

    /// Whether it is a call that was cancelled already.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(&self.body, Body::Call(errand) if errand.is_cancelled())
    }
}

/// An entry that did not come in, and why.
pub(crate) struct NotAccepted {
    pub(crate) error: CallError,
    pub(crate) entry: Place,
}

impl NotAccepted {
    /// A call's: its errand goes back as it came.
    pub(crate) fn withdraw(self) -> CallError {
        if let Body::Call(errand) = self.entry.body {
            errand.withdraw();
        }
        self.error
    }

    /// A one-way entry's: its sender gets the closure back.
    pub(crate) fn into_parts(self) -> Box<(CallError, Sent)> {
        Box::new((self.error, self.entry.into_closure()))
    }
}

impl Entry {
    /// A one-way entry's closure, not run. Its sender does not wait any more.
    pub(crate) fn into_closure(self) -> Sent {
        if let Some(taken) = self.taken {
            taken.withdraw();
        }
        match self.body {
            Body::Post(closure) | Body::Message { run: closure, .. } => closure,
            Body::Call(_) | Body::Taken => crate::broken("a call has no closure of its own"),
        }
    }
}
