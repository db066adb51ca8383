//! Disconnecting one object from its proxies (rule LT-5).

use super::asleep::Depends;
use super::ban::ban_of_all;
use super::serve::Situation;
use super::wait::wait_on;
use crate::diagnose::WaitFor;
use crate::error::CallError;
use crate::stub::{Site, Stub};
use crate::thread::Thread;
use std::panic::Location;

/// Waits until nothing runs on the object and it takes no calls any more: an STA pumps, every other thread blocks. Asked
/// from inside the object, it returns at once. The protocol stands in `connection.rs`.
pub(crate) fn disconnect(stub: &Stub, location: &'static Location<'static>) -> Result<(), CallError> {
    let Site::Apartment(mailbox) = &stub.site else {
        let what = "disconnecting a free-threaded object: it is in no apartment, and goes with its last reference";
        return Err(CallError::NotSupported { what });
    };
    let thread = Thread::current();
    if !stub.ask_disconnect(mailbox, &thread, cannot_wait(&thread))? {
        let of = Situation::Of(WaitFor::Disconnect, mailbox, None);
        let calls = Depends::Calls(mailbox, stub.object, location);
        while let Err(deadlock) = wait_on(&thread, of, calls, None, || stub.is_disconnected_or_rings(&thread)) {
            if stub.gives_up_disconnect(&thread) {
                return Err(deadlock);
            }
        }
    }
    Ok(())
}

/// Where a wait serves nothing, one that others have to end could last for ever (rules CK-3, CK-4).
fn cannot_wait(thread: &Thread) -> Option<CallError> {
    if let Some(why) = ban_of_all(thread) {
        Some(CallError::CantCallOut(why))
    } else if let Err(error) = thread.may_block() {
        Some(error)
    } else if thread.is_foreign() {
        // It does not know which calls it is in itself.
        Some(CallError::NotSupported { what: "waiting for an object's calls while the thread's locals are destroyed" })
    } else {
        None
    }
}
