//! Where no call can go: what is being served forbids it, or the kind of the call does.

use super::making::Making;
use crate::describe::CallKind;
use crate::error::{CallError, CantCallOut};
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::{Frame, Home, Thread};

/// Why no synchronous call, and no creation, can leave the apartment from here, wherever it would go (rules CK-3, CK-4).
pub(crate) fn ban_of_all(thread: &Thread) -> Option<CantCallOut> {
    if thread.in_filter() {
        return Some(CantCallOut::InFilter);
    }
    thread.in_input_synchronized().then_some(CantCallOut::InInputSyncCall)
}

/// Whether a synchronous call might be refused from here, under strict rules, for what is being served.
pub(super) fn is_banned(thread: &Thread) -> bool {
    let is_one_way_call = |frame: &Frame| frame.kind.is_one_way() && frame.chain.is_some();
    ban_of_all(thread).is_some() || thread.with_frames(|frames| frames.iter().any(is_one_way_call))
}

/// Why a synchronous call, or a creation, cannot leave the apartment from here (rules CK-2 to CK-4). It is asked of all
/// that stands on the thread, not only of what it serves innermost.
#[inline]
pub(super) fn ban(thread: &Thread, home: &Option<Home>, making: &Making<'_>) -> Option<CantCallOut> {
    if let Some(why) = ban_of_all(thread) {
        return Some(why);
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

/// Input-synchronized calls go from STA to STA (rule CK-3). The library's own questions, which any thread asks, are no calls.
#[inline]
pub(super) fn unsupported(kind: CallKind, home: &Option<Home>, callee: &Arc<Mailbox>) -> Option<CallError> {
    if kind == CallKind::InputSynchronized { unsupported_here(home, callee) } else { None }
}

fn unsupported_here(home: &Option<Home>, callee: &Arc<Mailbox>) -> Option<CallError> {
    let what = match home {
        _ if !callee.is_sta() => {
            "an input-synchronized call to an object of the MTA: only those of STAs get such calls"
        }
        Some(Home::Sta(_)) => return None,
        Some(Home::Mta(_)) => "an input-synchronized call by a thread of the MTA: only STAs make such calls",
        None => "an input-synchronized call by a thread in no apartment: only STAs make such calls",
    };
    Some(CallError::NotSupported { what })
}
