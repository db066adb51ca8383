//! Who tells of what a thread does: its apartment, if it is in one, in whose order it then is.

use super::Thread;
use crate::common::Common;
use crate::diagnose::{CallRef, What};

impl Thread {
    /// A step of this thread's that concerns that process: told by the thread's apartment, whichever process that is of.
    pub(crate) fn tell(&self, process: &Common, call: Option<CallRef>, what: impl FnOnce() -> What) {
        match self.home() {
            Some(home) => home.mailbox().tell(self.who(), call, what),
            None => process.tell(self.who(), call, what),
        }
    }

    /// A step of that process that this thread does: told by the thread's apartment if that is of the process.
    pub(crate) fn tell_in(&self, process: &Common, call: Option<CallRef>, what: impl FnOnce() -> What) {
        match self.home() {
            Some(home) if std::ptr::eq(&*home.mailbox().common, process) => {
                home.mailbox().tell(self.who(), call, what);
            }
            _ => process.tell(self.who(), call, what),
        }
    }
}
