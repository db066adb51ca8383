//! A filter that does what its script says.

use crate::desk::MEANT;
use apartment::{IncomingCall, MessageFilter, ServerCall};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

/// How often calls are sent away, and how.
#[derive(Default)]
pub(crate) struct Script {
    left: AtomicU32,
    how: AtomicU8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Rejected,
    Later,
    Panics,
}

impl Script {
    /// The next calls are sent away so.
    pub(crate) fn refuse(&self, times: u32, how: How) {
        self.how.store(how as u8, Relaxed);
        self.left.store(times, Relaxed);
    }

    /// How many would still be.
    pub(crate) fn left(&self) -> u32 {
        self.left.load(Relaxed)
    }
}

pub(crate) struct Scripted(pub(crate) Arc<Script>);

impl MessageFilter for Scripted {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        let Script { left, how } = &*self.0;
        if left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            return ServerCall::Handled;
        }
        match how.load(Relaxed) {
            how if how == How::Rejected as u8 => ServerCall::Rejected,
            how if how == How::Later as u8 => ServerCall::RetryLater,
            _ => panic!("{MEANT}"),
        }
    }
}
