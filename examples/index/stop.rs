//! How the whole job hears that it is to end, and why.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use apartment::{CallOptions, CancelHandle};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Ctrl-C.
#[derive(Debug)]
pub(crate) struct Cancelled;

impl Error for Cancelled {}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled, nothing is left half done")
    }
}

/// Ends the job from wherever: on Ctrl-C, and when a reader fails, which has nobody to return that to.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    handle: CancelHandle,
    cause: Arc<Mutex<Option<Failure>>>,
}

impl Stop {
    /// The options of the calls of the job: each ends when it is to end, and waits for room in a full mailbox.
    pub(crate) fn calls(&self) -> CallOptions<'_> {
        CallOptions::new().wait_for_room().cancel(&self.handle)
    }

    pub(crate) fn because(&self, failure: Failure) {
        // The first one counts: the others fail because of it.
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.handle.cancel();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.handle.is_cancelled()
    }

    pub(crate) fn cause(&self) -> Option<Failure> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
