//! One observable step: who did it, whose state changed, and what it was. Plain owned data.

use crate::cycle::Deadlock;
use crate::describe::{CallKind, CallTarget, Creator, Reentrancy, Serves, ThreadingModel};
use crate::error::{CallError, Outcome};
use crate::filter::{CallType, MessageClass, PendingAction, PendingType, Retry, ServerCall};
use crate::id::{ApartmentId, CallId, ChainId, ObjectId, PacketId, ThreadId};
use crate::sync::Arc;
use std::fmt::{self, Write};
use std::time::Duration;

/// One step of a process, as a [`Recording`](crate::Recording) keeps it and a [`Subscription`](crate::Subscription) passes
/// it on.
///
/// Events are numbered per process, while anybody listens. A step of an apartment is numbered under that apartment's lock: the order of one
/// apartment's events is the order in which they happened, and a cause has a smaller number than its effect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The number, from 1.
    pub seq: u64,
    /// When, on the process' clock.
    pub at: Duration,
    /// Whose state changed.
    pub apartment: Option<ApartmentId>,
    /// Who did it.
    pub thread: ThreadId,
    /// How many waits, served calls and served messages were open on that thread around this step: a beginning and its end
    /// have the same number, and what happens between them a larger one.
    pub frame: u16,
    /// Which call it concerns.
    pub call: Option<CallRef>,
    /// What happened.
    pub what: What,
}

/// A call as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallRef {
    /// The call.
    pub id: CallId,
    /// Its chain.
    pub chain: ChainId,
    /// Which attempt, from 1: a retry is the same call.
    pub attempt: u32,
}

/// What a step was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// An apartment was made.
    ApartmentBegan {
        /// Its name.
        name: Arc<str>,
        /// Whether it is an STA; the MTA otherwise.
        sta: bool,
        /// How it came about.
        how: ApartmentHow,
        /// Whether it is its process' main STA.
        main: bool,
        /// How many entries have room.
        capacity: usize,
        /// What it lets in while it waits; the MTA has no such policy.
        reentrancy: Option<Reentrancy>,
        /// Its process.
        process: Arc<str>,
    },
    /// A thread entered the apartment.
    ThreadEntered {
        /// The apartment's name, which an STA's thread bears.
        name: Arc<str>,
        /// Whether it only counts as one of the MTA's for the length of a call.
        implicit: bool,
    },
    /// A thread left the apartment.
    ThreadLeft,
    /// The apartment was asked to quit.
    QuitAsked,
    /// It takes no new chains from here on.
    DoorClosed,
    /// The apartment is about to be asked whether its process may end (rule LT-8).
    EndAsked,
    /// Its handler answered; a panic is told by itself.
    EndAnswered {
        /// Whether it agrees.
        agrees: bool,
    },
    /// Its process has ended, and its thread is still in: nothing comes in from here on, and what is queued is answered.
    LeftBehind,
    /// It ended.
    ApartmentEnded {
        /// Whether its thread ended without leaving it in order.
        abnormal: bool,
        /// How many application messages were dropped unrun.
        messages_dropped: usize,
        /// How many objects it gave up at its end.
        objects_dropped: usize,
    },
    /// An object was made.
    ObjectMade {
        /// The object.
        object: ObjectId,
        /// Its type.
        type_name: &'static str,
    },
    /// The apartment gave up its reference to an object; it was dropped, unless somebody at home still holds it.
    ObjectDropped {
        /// The object.
        object: ObjectId,
    },
    /// An object was disconnected by itself (rule LT-5): no call on it runs any more, and none gets in from here on.
    ObjectDisconnected {
        /// The object.
        object: ObjectId,
    },
    /// A call was made. On the caller.
    CallMade(Box<CallMade>),
    /// An entry was accepted into the mailbox.
    Queued {
        /// How many entries hold room, this one included if it takes room.
        queued: usize,
        /// How many can.
        capacity: usize,
    },
    /// The apartment's filter was asked about an incoming call.
    Filtered {
        /// As what it came.
        call_type: CallType,
        /// Time since the apartment's innermost pending call was made.
        elapsed: Option<Duration>,
        /// What the filter said.
        answer: ServerCall,
    },
    /// A call's object was borrowed: the caller is told to retry later (rule DI-13).
    Busy {
        /// The call that holds the object; none if the borrow was taken by hand.
        holder: Option<CallId>,
    },
    /// A wait passes over an entry. Told once per entry and wait.
    Held {
        /// By what.
        by: HeldBy,
    },
    /// A call begins to run. On the callee.
    Began {
        /// As what it came; none if it is direct, or in the MTA.
        call_type: Option<CallType>,
        /// How many entries hold room after it gave its own back.
        queued: usize,
    },
    /// A call has run. On the callee.
    Ended {
        /// The message, if it panicked.
        panicked: Option<Arc<str>>,
    },
    /// A call that began has not run: its object takes no calls any more (rule LT-5). On the callee.
    Gone {
        /// What its caller is told.
        error: ErrorSeen,
    },
    /// The result of an owned call came when its caller had already left: it is dropped here, at home (rule CA-2).
    ResultDropped,
    /// The future of a call that runs was dropped: the call goes on, and nobody waits for it (rule CK-7).
    Detached,
    /// A call came back. On the caller.
    Returned {
        /// What went wrong, if anything did.
        error: Option<ErrorSeen>,
    },
    /// A thread begins to wait.
    WaitBegan {
        /// For what.
        on: WaitFor,
        /// What it serves meanwhile.
        serves: Serves,
        /// When it ends by itself, on the process' clock.
        until: Option<Duration>,
    },
    /// The same wait, for another reason.
    WaitTurned {
        /// For what now.
        on: WaitFor,
        /// When that ends by itself.
        until: Option<Duration>,
    },
    /// A wait ended.
    WaitEnded {
        /// By what.
        by: WaitEnd,
    },
    /// The caller was asked about a rejected call.
    RetryAsked {
        /// What the callee said.
        rejected: ServerCall,
        /// Time since the first attempt.
        elapsed: Duration,
        /// What was answered.
        answer: Retry,
        /// Whether the call's own policy was asked rather than the apartment's filter.
        own_policy: bool,
    },
    /// Somebody asked for the call to be cancelled.
    CancelAsked {
        /// Who or what.
        why: CancelReason,
    },
    /// A call was taken out of the queue before it started.
    Revoked {
        /// Why.
        why: CancelReason,
        /// How many entries hold room after it gave its own back.
        queued: usize,
    },
    /// A one-way call could not run and was dropped (rule MB-8).
    PostDropped {
        /// Why.
        error: ErrorSeen,
    },
    /// An application message was accepted.
    MessageQueued {
        /// Its class.
        class: MessageClass,
        /// How many entries hold room.
        queued: usize,
        /// How many can.
        capacity: usize,
    },
    /// The filter was asked about an application message.
    PendingAsked {
        /// Its class.
        class: MessageClass,
        /// Time since the call was made.
        elapsed: Duration,
        /// Whether the apartment is serving a call itself.
        nested: PendingType,
        /// What was answered.
        answer: PendingAction,
        /// After what time it wants to be asked again.
        ask_again: Option<Duration>,
    },
    /// An application message begins to run.
    MessageBegan {
        /// Its class.
        class: MessageClass,
        /// How many entries hold room after it gave its own back.
        queued: usize,
    },
    /// An application message has run.
    MessageEnded {
        /// The message, if it panicked.
        panicked: Option<Arc<str>>,
    },
    /// An application message was dropped unrun: its apartment ended, or it was discarded.
    MessageDropped {
        /// Its class.
        class: MessageClass,
    },
    /// A call, post or message was refused before it reached a queue.
    Refused {
        /// Why.
        error: ErrorSeen,
    },
    /// An object of a class is about to be made: where, and how its creator will reach it (rule CL-2). On the creator.
    Placed(Box<Placed>),
    /// A server was asked whether it can be unloaded (rule CL-5).
    ServerAsked {
        /// The server.
        server: Arc<str>,
        /// The answer.
        answer: ServerAnswer,
    },
    /// A reference was marshalled, or could not be. On the thread that did it.
    Packed {
        /// The packet.
        mark: PacketMark,
        /// What the reference was seen as.
        type_name: &'static str,
        /// What went wrong, if anything did: there is no such packet then.
        error: Option<ErrorSeen>,
    },
    /// A marshalled reference was unmarshalled, or could not be. On the thread that did it.
    Unpacked {
        /// The packet. A normal one is used up.
        mark: PacketMark,
        /// As what it was asked for.
        interface: &'static str,
        /// What went wrong, if anything did.
        error: Option<ErrorSeen>,
    },
    /// A marshalled reference was given back: a packet that was never unmarshalled, a table packet with its last clone, a
    /// revoked entry of the global table.
    PacketDropped {
        /// The packet.
        mark: PacketMark,
    },
    /// The loop to which the apartment's thread belongs was woken (rule AP-9). By whoever changed something.
    Woken {
        /// Whether a wake was outstanding: it was late, and this one repeats it.
        before: bool,
        /// Whether one is now: not if this one has failed.
        after: bool,
    },
    /// A wait would have closed a cycle in which nobody can be served: it fails, or, where a handle was dropped, ends
    /// (rule DL-1). On the thread that is told.
    Deadlock(Arc<Deadlock>),
    /// A filter was set or removed.
    FilterSet {
        /// Whether there is one now.
        set: bool,
    },
    /// A panic was contained.
    Contained {
        /// Where.
        place: &'static str,
        /// Its message.
        message: Arc<str>,
    },
    /// A remark of the user's.
    Note {
        /// The remark.
        text: Arc<str>,
    },
    /// A recording had reached its bound, or a subscription was full: this many events were lost here. It has the number of
    /// the last of them.
    Lost {
        /// How many.
        count: u64,
    },
}

/// How an apartment came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApartmentHow {
    /// On a thread, or a pool, of its own.
    Spawned,
    /// On a thread that entered it.
    Entered,
    /// On an event loop's own thread, which entered it with a host (rule AP-9).
    Adopted,
    /// By the library, for objects of classes that need such an apartment where there is none (rule CL-3).
    Host,
}

/// Where an object of a class goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Placed {
    /// The class.
    pub class: Arc<str>,
    /// Its threading model.
    pub model: ThreadingModel,
    /// Where its creator is.
    pub creator: Creator,
    /// The apartment that it is made in; none if it is free-threaded and belongs to none.
    pub apartment: Option<ApartmentId>,
    /// How it is made and, by this creator, called.
    pub route: Route,
    /// Whether this creation has made that apartment, as a host.
    pub host_made: bool,
}

/// What came of asking a server whether it can be unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerAnswer {
    /// It has objects or locks, or is about to make an object.
    InUse,
    /// Its own say was no.
    Refused,
    /// It can be unloaded, but has not been unused for long enough.
    NotYet,
    /// It can be, and is being unloaded: it makes nothing new from here on.
    Stopping,
}

/// What is known of a call when it is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallMade {
    /// How it is made.
    pub kind: CallKind,
    /// How it goes.
    pub route: Route,
    /// The caller's apartment.
    pub from: Option<ApartmentId>,
    /// The callee; none if the object is free-threaded.
    pub to: Option<ApartmentId>,
    /// The call that the caller is serving.
    pub parent: Option<CallId>,
    /// For a one-way call: the chain it came from.
    pub from_chain: Option<ChainId>,
    /// What it asks for.
    pub target: CallTarget,
    /// When it ends by itself, on the process' clock.
    pub deadline: Option<Duration>,
    /// Whether it may borrow from its caller's stack, as synchronous calls do; one-way calls own what they use.
    pub borrows: bool,
}

/// How a call goes from one apartment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// Through the callee's mailbox.
    Mailbox,
    /// Directly: caller and object are at home in the same apartment (rule DI-2).
    Direct,
    /// Directly: the object is free-threaded and has no apartment (rule MA-7).
    FreeThreaded,
}

/// A marshalled reference as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketMark {
    /// Which.
    pub packet: PacketId,
    /// In which form.
    pub form: PacketForm,
    /// The object.
    pub object: ObjectId,
    /// The object's apartment; none if it is free-threaded.
    pub of: Option<ApartmentId>,
}

/// In which form a reference is marshalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketForm {
    /// To be unmarshalled once (rule MA-2).
    Normal,
    /// To be unmarshalled any number of times; it keeps the object (rule MA-3).
    TableStrong,
    /// To be unmarshalled any number of times; it does not keep the object (rule MA-3).
    TableWeak,
    /// An entry of the global interface table (rule MA-8).
    GlobalTable,
}

/// Why a wait passes over an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeldBy {
    /// The re-entrancy policy (rule DI-12).
    Policy,
    /// The wait is for an input-synchronized call, and lets in only others of that kind; or it is in one that is being
    /// served, and lets in nothing (rule CK-3).
    InputSynchronized,
    /// It is a wait inside a filter's method, and lets in nothing (rule CK-4).
    Filter,
    /// The apartment is dropping its objects and takes only callbacks (rule LT-2).
    Ending,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitFor {
    /// The call's reply.
    Reply,
    /// Room in the callee's mailbox.
    Room,
    /// The time of the next attempt.
    RetryTime,
    /// The end of an apartment, or of its thread's start; the end of a worker.
    Thread,
    /// The end of the calls that run on an object which is being disconnected.
    Disconnect,
    /// The answers of those who are asked whether their process may end, or the return of an end handler's method.
    EndHandlers,
    /// The start of a host apartment (rule CL-3).
    Host,
    /// The loading of a server (rule CL-5).
    Server,
    /// One or all of several signals (rule WA-1).
    Events,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitEnd {
    /// What it waited for came.
    Done,
    /// The call was cancelled.
    Cancelled,
    /// The deadline passed.
    TimedOut,
    /// The callee rejected the call.
    Rejected,
    /// Nobody could go on (rule DL-1).
    Deadlock,
}

/// Who or what cancels a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// A cancel handle, or the cancelling of the call that this one was made in.
    Handle,
    /// The deadline.
    Deadline,
    /// The caller's filter (rule MF-8).
    Filter,
    /// The call's future was dropped before it started (rule CK-7).
    Dropped,
    /// Nobody could go on, and the caller was told (rule DL-1). No `CancelAsked` comes before such a `Revoked`.
    Deadlock,
}

/// An error as an event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorSeen {
    /// Which of the [`CallError`]s, by its name.
    pub name: Arc<str>,
    /// As it displays.
    pub message: Arc<str>,
    /// Its HRESULT.
    pub hresult: u32,
    /// Whether the call may have run.
    pub outcome: Outcome,
}

impl From<&CallError> for ErrorSeen {
    fn from(error: &CallError) -> Self {
        let mut name = Name(String::new());
        // It stops behind the name, and that is no failure.
        let _stopped = write!(name, "{error:?}");
        let (name, message) = (Arc::from(name.0), Arc::from(error.to_string()));
        Self { name, message, hresult: error.hresult(), outcome: error.outcome() }
    }
}

/// The first word that is written, which for the derived `Debug` is the variant's name.
struct Name(String);

impl fmt::Write for Name {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        let end = written.find(|c: char| !c.is_alphanumeric());
        self.0.push_str(&written[..end.unwrap_or(written.len())]);
        if end.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}
