//! A value that can be shared because it can only be taken back, not looked at.

use std::sync::{Mutex, PoisonError};

/// `Sync` for whatever is `Send`: a shared `Exclusive<T>` gives no access to its `T`, only its owner gets it out.
/// (std's mutex is used for its auto traits alone; it is never locked, so it never waits.)
pub(crate) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
