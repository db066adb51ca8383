//! What can go wrong with a call, as one type: what happened, its HRESULT, and whether the call may have run.

use crate::cycle::Deadlock;
use crate::describe::{ApartmentName, CallTarget};
use crate::id::ObjectId;
use crate::sync::{Arc, Exclusive};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A call, a post, a creation or an entry into an apartment failed.
///
/// Every variant has an HRESULT ([`hresult`](CallError::hresult)) and tells whether the call may have run
/// ([`outcome`](CallError::outcome), rule CA-4). Clones share their sources.
///
/// ```
/// use apartment::{CallError, Outcome, Sta};
///
/// let sta = Sta::spawn("db").unwrap();
/// let proxy = sta.create(|| 1).unwrap();
/// sta.quit();
/// sta.join().unwrap();
/// let error = proxy.call(|n| *n).unwrap_err();
/// assert!(matches!(error, CallError::Disconnected(_)));
/// assert_eq!(error.hresult(), 0x8001_0108);
/// assert_eq!(error.outcome(), Outcome::NotStarted);
/// ```
#[doc(alias = "HRESULT")]
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The mailbox had no room and nothing was queued (rule MB-2).
    #[doc(alias = "RPC_E_SYS_CALL_FAILED")]
    #[error("{0}")]
    MailboxFull(Arc<MailboxFull>),
    /// The system refused a resource, usually a thread (rule AP-10).
    #[doc(alias = "RPC_E_SYS_CALL_FAILED")]
    #[error("{what}")]
    SysCallFailed {
        /// What was refused.
        what: Arc<str>,
        /// The system's error, or that of a hook around the thread's life.
        source: Cause,
    },
    /// The apartment has ended, takes no new chains any more, or has disconnected the object (rules LT-2, LT-3).
    #[doc(alias = "RPC_E_DISCONNECTED")]
    #[error("{0}")]
    Disconnected(Arc<Disconnected>),
    /// The apartment's thread ended abnormally while it ran the call (rule LT-3): the program exits in the middle of it. Told to
    /// the callers of owned calls alone; one that has lent something waits for the end of the program.
    #[doc(alias = "RPC_E_SERVER_DIED")]
    #[error("{callee} ended abnormally while it ran the call")]
    ServerDied {
        /// The apartment that ended.
        callee: ApartmentName,
    },
    /// The apartment's thread ended abnormally before it ran the call (rule LT-3).
    #[doc(alias = "RPC_E_SERVER_DIED_DNE")]
    #[error("{callee} ended abnormally before it ran the call")]
    ServerDiedDne {
        /// The apartment that ended.
        callee: ApartmentName,
    },
    /// The method, or a constructor, panicked; the apartment goes on serving (rule LT-4).
    #[doc(alias = "RPC_E_SERVERFAULT")]
    #[error("{target} panicked: {message}")]
    ServerFault {
        /// What was called.
        target: CallTarget,
        /// The panic's message.
        message: Arc<str>,
    },
    /// The method of an interface has run, and a reference in what it gives cannot be marshalled to the caller: under
    /// strict rules, one that does not belong to the callee's apartment (rules CK-6, ST-2).
    #[doc(alias = "RPC_E_SERVER_CANTMARSHAL_DATA")]
    #[error("{target} has run, but what it gives cannot be marshalled")]
    ServerCantMarshal {
        /// What was called.
        target: CallTarget,
        /// Why not.
        source: Cause,
    },
    /// The callee's filter rejected the call, or the caller's gave up on it (rules MF-5, MF-6).
    #[doc(alias = "RPC_E_CALL_REJECTED")]
    #[error("{callee} rejected the call")]
    CallRejected {
        /// The apartment that rejected it.
        callee: ApartmentName,
    },
    /// The callee's filter asked to try again later, and the caller has no filter that would (rule MF-5).
    #[doc(alias("RPC_E_SERVERCALL_RETRYLATER", "SERVERCALL_RETRYLATER"))]
    #[error("{callee} is busy and asks to try again later")]
    RetryLater {
        /// The apartment that is busy.
        callee: ApartmentName,
    },
    /// The object is borrowed by a call that has not ended (rule DI-13).
    #[doc(alias = "RPC_E_RETRY")]
    #[error("{0}")]
    Reentrant(Arc<Reentrant>),
    /// The call was cancelled (rule CA-2).
    #[doc(alias = "RPC_E_CALL_CANCELED")]
    #[error("the call was cancelled {}", before_or_after(*outcome))]
    CallCanceled {
        /// Whether it may have run.
        outcome: Outcome,
    },
    /// The call's deadline passed (rule CA-3).
    #[doc(alias = "RPC_E_TIMEOUT")]
    #[error("the call's deadline passed {}", before_or_after(*outcome))]
    TimedOut {
        /// Whether it may have run.
        outcome: Outcome,
    },
    /// No call can leave the apartment from here (rules CK-2, CK-3, CK-4).
    #[error("no synchronous call can leave the apartment from here: {0}")]
    CantCallOut(CantCallOut),
    /// The thread is in an apartment of the other mode, or of another process (rules AP-3, AP-11).
    #[doc(alias = "RPC_E_CHANGED_MODE")]
    #[error("this thread is already in {current}: {why}")]
    ChangedMode {
        /// The apartment that the thread is in.
        current: ApartmentName,
        /// Why it cannot be entered in this way.
        why: &'static str,
    },
    /// Not possible for this kind of apartment or thread; says what and why.
    #[doc(alias = "CO_E_NOT_SUPPORTED")]
    #[error("not supported: {what}")]
    NotSupported {
        /// What was asked for, and why it cannot be.
        what: &'static str,
    },
    /// An argument makes no sense; says which and why.
    #[doc(alias = "E_INVALIDARG")]
    #[error("invalid argument: {what}")]
    InvalidArgument {
        /// The argument, and what is wrong with it.
        what: Cow<'static, str>,
    },
    /// No call is being served on this thread (rule CA-1).
    #[doc(alias = "RPC_E_CALL_COMPLETE")]
    #[error("no call is being served on this thread")]
    CallComplete,
    /// It would have closed a cycle in which nobody can be served (rule DL-1). Nobody is asked about such a failure, and it
    /// is not tried again.
    #[doc(alias = "CONTEXT_E_WOULD_DEADLOCK")]
    #[error("{0}")]
    Deadlock(Arc<Deadlock>),
    /// The process or server is ending and makes nothing new (rules LT-8, CL-5).
    #[doc(alias = "CO_E_SERVER_STOPPING")]
    #[error("the server is stopping")]
    ServerStopping,
    /// A weak packet's object is gone (rule MA-3).
    #[doc(alias = "CO_E_OBJNOTREG")]
    #[error("the object is no longer registered")]
    ObjectNotRegistered,
    /// The object has no such interface (rule MA-5).
    #[doc(alias = "E_NOINTERFACE")]
    #[error("the object has no interface `{interface}`")]
    NoInterface {
        /// The interface asked for.
        interface: &'static str,
    },
    /// The entry of the global table was revoked, or is another process' (rule MA-8).
    #[error("the cookie is unknown or was revoked")]
    InvalidCookie,
    /// No class of that id is registered in the process (rule CL-6).
    #[doc(alias = "REGDB_E_CLASSNOTREG")]
    #[error("class `{class}` is not registered")]
    ClassNotRegistered {
        /// The class asked for.
        class: Arc<str>,
    },
    /// A class' factory failed, with an error of its own (rule CL-1).
    #[doc(alias = "E_FAIL")]
    #[error("the factory of class `{class}` failed")]
    FactoryFailed {
        /// The class.
        class: Arc<str>,
        /// The factory's error.
        source: Cause,
    },
    /// A wait's time passed (rule WA-2).
    #[doc(alias = "RPC_S_CALLPENDING")]
    #[error("nothing was signalled in time")]
    CallPending,
    /// There is nothing to wait for (rule WA-2).
    #[doc(alias = "RPC_E_NO_SYNC")]
    #[error("there is nothing to wait for")]
    NoSync,
    /// Under strict rules: the thread is in no apartment, and there is no MTA (rule ST-1).
    #[doc(alias = "CO_E_NOTINITIALIZED")]
    #[error("this thread is in no apartment, and there is no multithreaded one")]
    NotInitialized,
    /// Under strict rules: the proxy belongs to another apartment, and was not marshalled to this one (rule ST-2).
    #[doc(alias = "RPC_E_WRONG_THREAD")]
    #[error("the proxy belongs to another apartment, and was not marshalled to this one")]
    WrongThread,
}

/// The crate's only error.
pub type Error = CallError;

/// Another error, shared by the clones of the one that it caused; it is what `source()` gives, to be downcast.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Deref for Cause {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Whether a call that failed may have run (rule CA-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has not run and never will.
    NotStarted,
    /// It began; how far it came is not known.
    MayHaveRun,
}

/// Why no synchronous call can leave the apartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CantCallOut {
    /// A message filter's method, or a call's own retry policy, is running (rule CK-4).
    #[doc(alias = "RPC_E_CANTCALLOUT_INEXTERNALCALL")]
    #[error("a message filter's method is running")]
    InFilter,
    /// A one-way method of an interface is being served, and the call would go back to the apartment that sent it; under
    /// strict rules, wherever it would go and whatever one-way call is served (rule CK-2).
    #[doc(alias = "RPC_E_CANTCALLOUT_INASYNCCALL")]
    #[error("a one-way method is being served")]
    InAsyncCall,
    /// An input-synchronized call is being served (rule CK-3).
    #[doc(alias = "RPC_E_CANTCALLOUT_ININPUTSYNCCALL")]
    #[error("an input-synchronized call is being served")]
    InInputSyncCall,
}

/// The diagnosis of a full mailbox (rule MB-2): how full, and what its owner does instead of serving it.
#[derive(Clone, Debug)]
pub struct MailboxFull {
    /// The apartment that refused.
    pub callee: ApartmentName,
    /// How many entries held room.
    pub queued: usize,
    /// How many can.
    pub capacity: usize,
    /// How many callers were waiting for room, in front of this one.
    pub waiting: usize,
    /// What the apartment was executing, innermost, and for how long (to 10 ms, see [`Clock`](crate::Clock)); none if it
    /// is idle.
    pub executing: Option<(CallTarget, Duration)>,
    /// For how long it has dispatched nothing.
    pub idle_for: Duration,
}

impl fmt::Display for MailboxFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { callee, queued, capacity, waiting, executing, idle_for } = self;
        write!(f, "{callee} refused a call: {queued} of {capacity} queued")?;
        if *waiting > 0 {
            write!(f, " and {waiting} waiting for room")?;
        }
        match executing {
            Some((target, since)) if idle_for >= since => {
                write!(
                    f,
                    "; it has executed {target} for {:.1} s and dispatched nothing meanwhile",
                    since.as_secs_f64()
                )
            }
            Some((target, since)) => write!(
                f,
                "; it has executed {target} for {:.1} s and last dispatched {:.1} s ago",
                since.as_secs_f64(),
                idle_for.as_secs_f64()
            ),
            None => write!(f, "; it executes nothing and has dispatched nothing for {:.1} s", idle_for.as_secs_f64()),
        }
    }
}

/// Why an apartment cannot be reached (rules LT-2, LT-3).
#[derive(Clone, Debug)]
pub struct Disconnected {
    /// The apartment.
    pub callee: ApartmentName,
    /// How far its end has come.
    pub why: WhyDisconnected,
    /// The object that was called; none where the apartment itself was asked.
    pub object: Option<ObjectId>,
}

/// How far the end of what was called has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyDisconnected {
    /// It was asked to quit: it serves what it accepted and takes no new chains.
    Quitting,
    /// It has ended.
    Ended,
    /// The object alone was disconnected or dropped; the apartment lives.
    ObjectGone,
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { callee, why, object } = self;
        match (why, object) {
            (WhyDisconnected::Quitting, _) => write!(f, "{callee} was asked to quit and takes no new calls"),
            (WhyDisconnected::Ended, _) => write!(f, "{callee} has ended"),
            (WhyDisconnected::ObjectGone, Some(object)) => write!(f, "{object} of {callee} is gone"),
            (WhyDisconnected::ObjectGone, None) => write!(f, "an object of {callee} is gone"),
        }
    }
}

/// A borrowed object was asked for again (rule DI-13).
#[derive(Clone, Debug)]
pub struct Reentrant {
    /// The object.
    pub object: ObjectId,
    /// The innermost running call that holds the object; none if the borrow was taken by hand.
    pub holder: Option<CallTarget>,
    /// Whether trying again could have helped.
    pub retryable: bool,
}

impl fmt::Display for Reentrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is borrowed ", self.object)?;
        match &self.holder {
            Some(holder) => write!(f, "by {holder}, which has not ended")?,
            None => f.write_str("by hand")?,
        }
        if !self.retryable {
            f.write_str("; trying again cannot help")?;
        }
        Ok(())
    }
}

fn before_or_after(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotStarted => "before it started",
        Outcome::MayHaveRun => "while it ran",
    }
}

impl CallError {
    /// The HRESULT that COM gives in this case, as the unsigned number it is usually written as.
    pub fn hresult(&self) -> u32 {
        match self {
            Self::MailboxFull(_) | Self::SysCallFailed { .. } => 0x8001_0100,
            Self::Disconnected(_) => 0x8001_0108,
            Self::ServerDied { .. } => 0x8001_0007,
            Self::ServerDiedDne { .. } => 0x8001_0012,
            Self::ServerFault { .. } => 0x8001_0105,
            Self::ServerCantMarshal { .. } => 0x8001_000D,
            Self::CallRejected { .. } => 0x8001_0001,
            Self::RetryLater { .. } => 0x8001_010A,
            Self::Reentrant(_) => 0x8001_0109,
            Self::CallCanceled { .. } => 0x8001_0002,
            Self::TimedOut { .. } => 0x8001_011F,
            Self::CantCallOut(CantCallOut::InAsyncCall) => 0x8001_0004,
            Self::CantCallOut(CantCallOut::InFilter) => 0x8001_0005,
            Self::CantCallOut(CantCallOut::InInputSyncCall) => 0x8001_010D,
            Self::ChangedMode { .. } => 0x8001_0106,
            Self::NotSupported { .. } => 0x8000_4021,
            Self::InvalidArgument { .. } | Self::InvalidCookie => 0x8007_0057,
            Self::CallComplete => 0x8001_0117,
            Self::Deadlock(_) => 0x8004_E005,
            Self::ServerStopping => 0x8008_0008,
            Self::ObjectNotRegistered => 0x8004_01FB,
            Self::NoInterface { .. } => 0x8000_4002,
            Self::ClassNotRegistered { .. } => 0x8004_0154,
            Self::FactoryFailed { .. } => 0x8000_4005,
            Self::CallPending => 0x8001_0115,
            Self::NoSync => 0x8001_0120,
            Self::NotInitialized => 0x8004_01F0,
            Self::WrongThread => 0x8001_010E,
        }
    }

    /// Whether the call may have run (rule CA-4).
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::CallCanceled { outcome } | Self::TimedOut { outcome } => *outcome,
            Self::ServerDied { .. }
            | Self::ServerFault { .. }
            | Self::ServerCantMarshal { .. }
            | Self::FactoryFailed { .. } => Outcome::MayHaveRun,
            _ => Outcome::NotStarted,
        }
    }

    /// A call that has run cannot give its result, because of this.
    pub(crate) fn server_cant_marshal(target: CallTarget, error: Self) -> Self {
        Self::ServerCantMarshal { target, source: Cause(Arc::new(error)) }
    }

    pub(crate) fn sys_call_failed(
        what: impl Into<Arc<str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::SysCallFailed { what: what.into(), source: Cause(Arc::from(source.into())) }
    }

    pub(crate) fn factory_failed(class: &Arc<str>, source: Box<dyn StdError + Send + Sync>) -> Self {
        Self::FactoryFailed { class: Arc::clone(class), source: Cause(Arc::from(source)) }
    }
}

/// A post was refused; the closure is handed back (rule MB-2).
///
/// It is an error for every `F` that is `Send`, so that `?` works, and converts into [`CallError`].
///
/// ```
/// use apartment::{PostError, Sta};
///
/// let sta = Sta::spawn("log").unwrap();
/// let lines = sta.create(|| std::cell::RefCell::new(Vec::new())).unwrap();
/// sta.quit();
/// sta.join().unwrap();
/// let line = String::from("kept");
/// let refused = lines.post(move |lines| lines.borrow_mut().push(line)).unwrap_err();
/// assert_eq!(refused.error().hresult(), 0x8001_0108);
/// let _the_closure_again = refused.into_closure();
/// ```
pub struct PostError<F> {
    error: CallError,
    closure: Exclusive<F>,
}

impl<F> PostError<F> {
    pub(crate) fn new(error: CallError, closure: F) -> Self {
        Self { error, closure: Exclusive::new(closure) }
    }

    /// Why it was refused.
    pub fn error(&self) -> &CallError {
        &self.error
    }

    /// The closure, not run.
    pub fn into_closure(self) -> F {
        self.closure.into_inner()
    }

    /// Both.
    pub fn into_parts(self) -> (CallError, F) {
        (self.error, self.closure.into_inner())
    }
}

impl<F> fmt::Debug for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<F> StdError for PostError<F> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl<F> From<PostError<F>> for CallError {
    fn from(refused: PostError<F>) -> Self {
        refused.error
    }
}
