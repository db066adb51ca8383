//! The words in which the model and the real thing are compared. Plain data: nothing here decides anything.

/// Threads: 0 is the driver's, then the clients', then those of the apartments as they are made.
pub(crate) type Thread = usize;
pub(crate) type Apartment = usize;
pub(crate) type Object = usize;
/// Calls are numbered as they are made; a chain has the number of the call that began it (rule CA-1).
pub(crate) type Call = usize;
/// Nanoseconds on the process' clock, which is driven.
pub(crate) type Time = u64;

/// What comes in while an apartment waits (rule DI-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Policy {
    Classic,
    SameCausality,
    None,
}

/// How an STA is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Options {
    /// How many entries have room (rule MB-1).
    pub(crate) capacity: usize,
    pub(crate) policy: Policy,
    /// How deep waits nest before a classic one lets in its own chain only (rule DI-12).
    pub(crate) nested_waits: usize,
    /// Whether it has a message filter, which then asks the driver.
    pub(crate) filter: bool,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Synchronous,
    InputSynchronized,
    OneWay,
    Create,
}

/// Call types (rule MF-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CallType {
    TopLevel,
    Nested,
    Async,
    TopLevelCallPending,
    AsyncCallPending,
}

/// A filter's answer to an incoming call (rule MF-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Handled,
    Rejected,
    RetryLater,
}

/// What a rejected caller wants (rule MF-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Again {
    GiveUp,
    Now,
    After(Time),
}

/// What a caller does about a full mailbox (rules MB-2, MB-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    Refuse,
    Wait,
    Within(Time),
}

/// Who cancels (rules CA-2, CA-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Why {
    Handle,
    Deadline,
    Deadlock,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum On {
    Reply,
    Room,
    RetryTime,
}

/// What a wait lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Serves {
    Everything,
    Chain,
    InputSynchronized,
    Nothing,
}

/// How a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    Done,
    Cancelled,
    TimedOut,
    Rejected,
    Deadlock,
}

/// In what no synchronous call leaves an apartment (rules CK-2 to CK-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ban {
    Filter,
    InputSync,
    Async,
}

/// By what an entry is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Holds {
    Policy,
    Filter,
    InputSynchronized,
}

/// Why a call or a post failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Failure {
    Full {
        queued: usize,
        capacity: usize,
        waiting: usize,
    },
    Quitting,
    Ended,
    Rejected,
    RetryLater,
    Canceled {
        may_have_run: bool,
    },
    TimedOut {
        may_have_run: bool,
    },
    CantCallOut(Ban),
    NotSupported,
    Deadlock,
    Fault,
    /// One that the model never gives, by its HRESULT.
    Other(u32),
}

impl Failure {
    /// Its name, its HRESULT, and whether the call may have run (rule CA-4), as the rules list them.
    pub(crate) fn seen(self) -> (&'static str, u32, bool) {
        match self {
            Self::Full { .. } => ("MailboxFull", 0x8001_0100, false),
            Self::Quitting | Self::Ended => ("Disconnected", 0x8001_0108, false),
            Self::Rejected => ("CallRejected", 0x8001_0001, false),
            Self::RetryLater => ("RetryLater", 0x8001_010A, false),
            Self::Canceled { may_have_run } => ("CallCanceled", 0x8001_0002, may_have_run),
            Self::TimedOut { may_have_run } => ("TimedOut", 0x8001_011F, may_have_run),
            Self::CantCallOut(Ban::Filter) => ("CantCallOut", 0x8001_0005, false),
            Self::CantCallOut(Ban::InputSync) => ("CantCallOut", 0x8001_010D, false),
            Self::CantCallOut(Ban::Async) => ("CantCallOut", 0x8001_0004, false),
            Self::NotSupported => ("NotSupported", 0x8000_4021, false),
            Self::Deadlock => ("Deadlock", 0x8004_E005, false),
            Self::Fault => ("ServerFault", 0x8001_0105, true),
            Self::Other(hresult) => ("", hresult, false),
        }
    }
}

/// A failure as an event shows it.
pub(crate) type Seen = (String, u32, bool);

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    ApartmentBegan {
        apartment: Apartment,
        entered: bool,
        main: bool,
        capacity: usize,
        policy: Policy,
    },
    ThreadEntered,
    FilterSet,
    ThreadLeft,
    QuitAsked,
    DoorClosed,
    ApartmentEnded {
        objects_dropped: usize,
        messages_dropped: usize,
    },
    ObjectMade {
        object: Object,
    },
    ObjectDropped {
        object: Object,
    },
    CallMade(Box<Made>),
    Queued {
        queued: usize,
        capacity: usize,
    },
    Filtered {
        call_type: CallType,
        elapsed: Option<Time>,
        answer: Verdict,
    },
    Held {
        by: Holds,
    },
    Began {
        call_type: Option<CallType>,
        queued: usize,
    },
    Ended {
        panicked: bool,
    },
    ResultDropped,
    Returned {
        error: Option<Seen>,
    },
    WaitBegan {
        on: On,
        serves: Serves,
        until: Option<Time>,
    },
    WaitTurned {
        on: On,
        until: Option<Time>,
    },
    WaitEnded {
        by: End,
    },
    RetryAsked {
        rejected: Verdict,
        elapsed: Time,
        answer: Again,
        own_policy: bool,
    },
    CancelAsked {
        why: Why,
    },
    Revoked {
        why: Why,
        queued: usize,
    },
    Refused {
        error: Seen,
    },
    Deadlock,
    /// One that the model never tells of.
    Other(String),
}

/// What is told of a call when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Made {
    pub(crate) kind: Kind,
    pub(crate) direct: bool,
    pub(crate) from: Option<Apartment>,
    pub(crate) to: Apartment,
    pub(crate) parent: Option<Call>,
    pub(crate) from_chain: Option<Call>,
    pub(crate) object: Option<Object>,
    pub(crate) deadline: Option<Time>,
    pub(crate) borrows: bool,
}

/// One step: whose state changed, who did it, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) at: Time,
    pub(crate) apartment: Option<Apartment>,
    pub(crate) thread: Thread,
    /// The call, its chain, and which attempt.
    pub(crate) call: Option<(Call, Call, u32)>,
    pub(crate) what: What,
}

/// What a thread of the program sees, in its own code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    /// It runs a call's closure; the context that it reads there: the chain, how deep the call is in it, how much of its
    /// deadline is left (rule CA-1), and whether it is cancelled.
    Serving {
        call: Call,
        depth: u32,
        remaining: Option<Time>,
        cancelled: bool,
    },
    /// Its filter is asked about an incoming call.
    Asked {
        call_type: CallType,
        kind: Kind,
        from: Option<Apartment>,
        elapsed: Option<Time>,
    },
    /// It is asked whether to try a rejected call again.
    AskedAgain {
        rejected: Verdict,
        attempts: u32,
        elapsed: Time,
    },
    /// A call or a post that it made has come back.
    Back {
        call: Call,
        result: Result<usize, Failure>,
    },
    /// Whether what it serves is cancelled.
    Cancelled(bool),
    /// How many entries it has served.
    Pumped(usize),
    Left,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    /// The driver makes an STA of its own thread.
    Spawn(Options),
    /// A client enters an STA.
    Enter(Thread, Options),
    /// A thread makes a call.
    Call(Thread, Calls),
    /// A thread posts a closure.
    Post(Thread, Posts),
    /// What a thread serves returns, or panics.
    Return { thread: Thread, panics: bool },
    /// A filter answers.
    Answer(Thread, Verdict),
    /// A filter, or a call's own policy, answers a rejection.
    AnswerAgain(Thread, Again),
    /// A thread asks whether what it serves is cancelled.
    AskCancelled(Thread),
    /// A client serves what is there.
    Pump(Thread),
    /// A client leaves its STA.
    Leave(Thread),
    /// The driver cancels a call.
    Cancel(Call),
    /// The driver asks an apartment to quit.
    Quit(Apartment),
    /// The driver drops its reference to an object.
    Drop(Object),
    /// Time passes until the next thing that waits for a time.
    Advance(Time),
}

/// A call to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Calls {
    pub(crate) call: Call,
    pub(crate) to: Apartment,
    /// None to make one.
    pub(crate) object: Option<Object>,
    pub(crate) owned: bool,
    pub(crate) within: Option<Time>,
    pub(crate) room: Room,
    /// With a handle to cancel it.
    pub(crate) handle: Handle,
    /// With a retry policy of its own, which asks the driver.
    pub(crate) own_policy: bool,
    /// An input-synchronized method (rule CK-3).
    pub(crate) input_sync: bool,
}

/// Which cancel handle a call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handle {
    Without,
    Fresh,
    /// One that was cancelled before.
    Cancelled,
}

/// A post to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Posts {
    pub(crate) call: Call,
    pub(crate) to: Apartment,
    pub(crate) object: Object,
    pub(crate) room: Room,
    /// A one-way method of an interface, not a closure (rule CK-2).
    pub(crate) method: bool,
}
