//! Where the threads run, and threads that run there.

use core_affinity::CoreId;
use std::fmt;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};

/// How the caller's threads and the callee's are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// The callers on one core, the callee on another.
    Cross,
    /// All on one core.
    Same,
    /// Where the system puts them.
    Unpinned,
}

impl Placement {
    pub(crate) const ALL: [Self; 3] = [Self::Cross, Self::Same, Self::Unpinned];
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cross => "cross",
            Self::Same => "same",
            Self::Unpinned => "unpinned",
        })
    }
}

/// A placement on this machine's cores.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) placement: Placement,
    /// The core of the callers.
    pub(crate) caller: Option<CoreId>,
    /// The core of the callee.
    pub(crate) callee: Option<CoreId>,
}

impl Place {
    /// Fails, and says why, if the machine cannot place threads in this way.
    pub(crate) fn find(placement: Placement) -> Result<Self, &'static str> {
        if placement == Placement::Unpinned {
            return Ok(Self { placement, caller: None, callee: None });
        }
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let caller = *cores.first().ok_or("the system does not name its cores")?;
        let callee = match placement {
            Placement::Same => caller,
            _ => *cores.get(1).ok_or("there is but one core")?,
        };
        let pins = |core| thread::spawn(move || core_affinity::set_for_current(core)).join().unwrap_or(false);
        if !pins(caller) || !pins(callee) {
            return Err("the system pins no threads");
        }
        Ok(Self { placement, caller: Some(caller), callee: Some(callee) })
    }
}

/// Keeps the current thread, and those that it starts, on the core.
pub(crate) fn pin(core: Option<CoreId>) {
    if let Some(core) = core {
        assert!(core_affinity::set_for_current(core), "a thread can be kept on core {}", core.id);
    }
}

/// A thread that is waited for when this is dropped.
pub(crate) struct Joined(Option<JoinHandle<()>>);

impl Joined {
    /// Starts a thread on the core; where its maker is if there is none.
    pub(crate) fn start(core: Option<CoreId>, body: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(thread::spawn(move || {
            pin(core);
            body();
        })))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let ended = self.0.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
