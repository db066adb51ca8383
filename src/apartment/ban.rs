//! Where no call can go: what is being served forbids it, or the kind of the call does.

use super::making::{Making, Terms};
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

/// Input-synchronized calls go from STA to STA (rule CK-3); the library's own come from any thread.
#[inline]
pub(super) fn unsupported(
    kind: CallKind,
    home: &Option<Home>,
    callee: &Arc<Mailbox>,
    terms: &Terms<'_>,
) -> Option<CallError> {
    if kind == CallKind::InputSynchronized { unsupported_here(home, callee, terms) } else { None }
}

fn unsupported_here(home: &Option<Home>, callee: &Arc<Mailbox>, terms: &Terms<'_>) -> Option<CallError> {
    let what = match home {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apartment::{Load, invoke};
    use crate::call::record::Attempt;
    use crate::describe::CallTarget;
    use crate::filter::{IncomingCall, MessageFilter, ServerCall};
    use crate::process::Process;
    use std::panic::Location;
    use std::time::Duration;

    /// Refuses everything, and would say so.
    struct Refuses;

    impl MessageFilter for Refuses {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            unreachable!("no filter is asked")
        }
    }

    #[test]
    fn lt_8_the_librarys_own_question_comes_from_any_thread_and_asks_no_filter() {
        let process = Process::new();
        let sta = process.sta("asked").filter(|| Refuses).spawn().unwrap();
        let mta = process.mta().spawn().unwrap();
        let ask = || {
            let target = CallTarget { object: None, type_name: "the end", method: None, location: Location::caller() };
            let mut answer = None;
            let mut job = |_: &dyn std::any::Any| {
                answer = Some(Thread::current().in_input_synchronized());
                Attempt::Ran(None)
            };
            let terms = Terms { internal: true, within: Some(Duration::from_secs(60)), ..Terms::default() };
            invoke(&sta.apartment().0, CallKind::InputSynchronized, target, terms, Load::Lent(&mut job)).unwrap();
            answer.unwrap()
        };
        // In no apartment; in the MTA; in another STA, which has a filter of its own.
        assert!(ask());
        mta.enter().map(|_entered| assert!(ask())).unwrap();
        let _other = process.sta("asks").filter(|| Refuses).enter().unwrap();
        assert!(ask());
    }
}
