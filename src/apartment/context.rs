//! Where am I, and what am I serving?

use crate::describe::{CallKind, Caller};
use crate::error::CallError;
use crate::id::{ApartmentId, CallId, ChainId};
use crate::process::Process;
use crate::sync::{Arc, MODELLED};
use crate::thread::{Home, Thread};
use std::time::Duration;

/// The two kinds of apartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One thread with a mailbox.
    #[doc(alias = "single-threaded apartment")]
    Sta,
    /// A pool of threads.
    #[doc(alias = "multithreaded apartment")]
    Mta,
}

/// Where a thread is (rule AP-8).
#[doc(alias = "CoGetApartmentType")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Current {
    /// The kind of apartment; none if the thread is in none.
    pub kind: Option<Kind>,
    /// Whether it is its process' main STA.
    pub main: bool,
    /// Whether it is a host apartment, made for objects rather than by anybody (rule CL-3).
    pub host: bool,
    /// Whether the thread has not entered the MTA and only counts as one of its threads.
    pub implicit: bool,
    /// Which apartment.
    pub apartment: Option<ApartmentId>,
    /// Its name.
    pub name: Option<Arc<str>>,
}

/// Where the calling thread is. A thread that is in no apartment counts as an implicit thread of the default process'
/// MTA if that exists; for another process ask [`Process::current`]. Does not wait.
///
/// ```
/// use apartment::{Kind, Sta, current};
///
/// assert_eq!(current().kind, None);
/// let sta = Sta::spawn("db")?;
/// let object = sta.create(|| ())?;
/// assert_eq!(object.call(|()| current().kind)?, Some(Kind::Sta));
/// # Ok::<(), apartment::Error>(())
/// ```
pub fn current() -> Current {
    let process = (!MODELLED).then(Process::global);
    of_thread(&Thread::current(), process.as_ref())
}

impl Process {
    /// Where the calling thread is; if it is in no apartment, as this process sees it. Does not wait.
    pub fn current(&self) -> Current {
        of_thread(&Thread::current(), Some(self))
    }

    /// Puts a remark of your own into the recording, if there is one.
    pub fn note(&self, text: impl Into<Arc<str>>) {
        let who = Thread::current().who();
        let text = text.into();
        self.common().tell(who, None, || crate::diagnose::What::Note { text });
    }
}

fn of_thread(thread: &Thread, process: Option<&Process>) -> Current {
    let home = thread.home();
    let (kind, main, implicit) = match &home {
        Some(Home::Sta(home)) => (Some(Kind::Sta), home.main, false),
        Some(Home::Mta(home)) => (Some(Kind::Mta), false, home.implicit),
        None => {
            let implicit = process.and_then(Process::mta_mailbox);
            let kind = implicit.as_ref().map(|_| Kind::Mta);
            let host = implicit.as_ref().is_some_and(|mta| mta.is_host());
            let name = implicit.map(|mta| mta.name.clone());
            let (apartment, name) = (name.as_ref().map(|n| n.id), name.map(|n| n.name));
            return Current { kind, main: false, host, implicit: kind.is_some(), apartment, name };
        }
    };
    let host = home.as_ref().is_some_and(|home| home.mailbox().is_host());
    let name = home.map(|home| home.mailbox().name.clone());
    Current {
        kind,
        main,
        host,
        implicit,
        apartment: name.as_ref().map(|name| name.id),
        name: name.map(|name| name.name),
    }
}

/// The call that the calling thread is serving, as it was when it was asked for (rule CA-1).
#[doc(alias("CoGetCallContext", "CoGetCurrentLogicalThreadId"))]
#[derive(Clone, Debug)]
pub struct CallContext {
    id: CallId,
    chain: ChainId,
    from_chain: Option<ChainId>,
    depth: u32,
    caller: Caller,
    kind: CallKind,
    remaining: Option<Duration>,
    cancelled: bool,
}

impl CallContext {
    /// The call.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Its causality: the same for all calls of the chain.
    #[doc(alias = "causality")]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// For a one-way call, the chain it came from, if it was made in one.
    pub fn from_chain(&self) -> Option<ChainId> {
        self.from_chain
    }

    /// How deep it is in its chain: 1 for a top-level call.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Who made it.
    #[doc(alias = "CoGetCallerTID")]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// How it was made.
    pub fn kind(&self) -> CallKind {
        self.kind
    }

    /// What was left until its deadline, its own or its chain's; none if it has none.
    pub fn remaining(&self) -> Option<Duration> {
        self.remaining
    }

    /// Whether it had been cancelled, by a handle or by its deadline.
    #[doc(alias = "CoTestCancel")]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

/// The call that the calling thread is serving. Does not wait.
///
/// # Errors
/// `CallComplete` outside a call, and in an application message, which is no call.
///
/// ```
/// use apartment::{Sta, current_call};
///
/// assert_eq!(current_call().unwrap_err().hresult(), 0x8001_0117);
/// let sta = Sta::spawn("db")?;
/// let object = sta.create(|| ())?;
/// assert_eq!(object.call(|()| current_call().unwrap().depth())?, 1);
/// # Ok::<(), apartment::Error>(())
/// ```
pub fn current_call() -> Result<CallContext, CallError> {
    Thread::current().with_frame(|frame| {
        let frame = frame.ok_or(CallError::CallComplete)?;
        let chain = frame.chain.ok_or(CallError::CallComplete)?;
        let left = |(clock, at): &(crate::sync::Clock, u64)| Duration::from_nanos(at.saturating_sub(clock.nanos()));
        Ok(CallContext {
            id: frame.id,
            chain,
            from_chain: frame.from_chain,
            depth: frame.depth,
            caller: frame.caller.clone(),
            kind: frame.kind,
            remaining: frame.deadline.as_ref().map(left),
            cancelled: frame.cancelled().is_some(),
        })
    })
}

/// Whether the call that the calling thread is serving has been cancelled, by a handle or by its deadline (rule CA-2). A
/// long method looks here now and then and ends early. False outside a call. Does not wait.
#[doc(alias = "CoTestCancel")]
pub fn is_cancelled() -> bool {
    Thread::current().with_frame(|frame| frame.is_some_and(|frame| frame.cancelled().is_some()))
}
