//! Where no call can go: what is being served forbids it, or the kind of the call does.

use super::invoke::{Making, Terms};
use crate::describe::CallKind;
use crate::error::{CallError, CantCallOut};
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::{Frame, Home, Thread};

/// Why a synchronous call, or a creation, cannot leave the apartment from here (rules CK-2 to CK-4). It is asked of all
/// that stands on the thread, not only of what it serves innermost.
pub(super) fn ban(thread: &Thread, home: &Option<Home>, making: &Making<'_>) -> Option<CantCallOut> {
    if thread.in_filter() {
        return Some(CantCallOut::InFilter);
    }
    if thread.in_input_synchronized() {
        return Some(CantCallOut::InInputSyncCall);
    }
    let here = home.as_ref()?.mailbox();
    let strict = here.common.strict;
    if !strict && !here.is_sta() {
        return None;
    }
    // A one-way call begins its chain: who is of the same is called in it. Application messages and destructors have none.
    let bans = |frame: &Frame| {
        let ours = frame.kind.is_one_way() && frame.chain == Some(making.header.chain);
        ours && (strict || frame.is_sent_by(making.callee))
    };
    thread.with_frames(|frames| frames.iter().any(bans)).then_some(CantCallOut::InAsyncCall)
}

/// Input-synchronized calls go from STA to STA (rule CK-3); the library's own come from any thread.
pub(super) fn unsupported(
    kind: CallKind,
    home: &Option<Home>,
    callee: &Arc<Mailbox>,
    terms: Terms<'_>,
) -> Option<CallError> {
    let what = match home {
        _ if kind != CallKind::InputSynchronized => return None,
        _ if !callee.is_sta() => {
            "an input-synchronized call to an object of the MTA: only those of STAs get such calls"
        }
        Some(Home::Sta(_)) => return None,
        _ if terms.internal => return None,
        Some(Home::Mta(_)) => "an input-synchronized call by a thread of the MTA: only STAs make such calls",
        None => "an input-synchronized call by a thread in no apartment: only STAs make such calls",
    };
    Some(CallError::NotSupported { what })
}
