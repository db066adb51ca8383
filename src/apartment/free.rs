//! A call of a free-threaded object: on the caller's own thread, wherever that is (rule MA-7).
//!
//! It is a call all the same, with a chain, a depth, a deadline and whatever cancels it. Nothing leaves the caller's
//! apartment, and nothing is waited for.

use super::ban::is_banned;
use super::direct::{frame, ran, run_here};
use super::making::{Around, Start, Terms, one_way, tell_caller};
use crate::call::record::{Attempt, Load};
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::{ErrorSeen, Route, What};
use crate::error::{CallError, Outcome};
use crate::mailbox::cancelled;
use crate::stub::Free;
use crate::thread::{Home, Thread};

/// Makes a call here. `Ok` means that what it handed over has run to its end, and tells itself what came of it.
pub(crate) fn invoke_free(
    callee: &Free,
    kind: CallKind,
    target: CallTarget,
    terms: Terms<'_>,
    mut load: Load<'_>,
) -> Result<(), CallError> {
    let thread = Thread::current();
    let home = thread.home();
    let clock = &callee.process.clock;
    let start = Start::new(&thread, &callee.process, terms.within, false);
    let mut header = start.header(&thread, &callee.process, kind, target);
    let around = start.around;
    let call = header.call_ref();
    let route = Route::FreeThreaded;
    header.borrows = load.is_lent();
    tell_caller(&thread, &home, &callee.process, call, || header.call_made(None, route));
    let frame = frame(&header, clock, around, terms.cancel);
    let result = match frame.cancelled() {
        Some(why) => Err(cancelled(why, Outcome::NotStarted)),
        None => {
            thread.tell_in(&callee.process, Some(call), || What::Began { call_type: None, queued: 0 });
            let (attempt, why) = run_here(&thread, frame, callee.object(), &mut load);
            let Attempt::Ran(panicked) = attempt else { crate::broken("a free-threaded object is in no `RefCell`") };
            let fault = panicked.clone();
            thread.tell_in(&callee.process, Some(call), || What::Ended { panicked });
            ran(&header, why, fault)
        }
    };
    let error = || result.as_ref().err().map(ErrorSeen::from);
    tell_caller(&thread, &home, &callee.process, call, || What::Returned { error: error() });
    thread.leave_if_due();
    result
}

/// A post: there is no queue, so it runs at once. It begins a chain of its own and inherits neither deadline nor cancelling
/// (rule CA-1), and a panic is nobody's to hear of.
///
/// Under strict rules, on a thread of the MTA, it is a synchronous call like every one-way call there (rule ST-3), but for
/// what comes of it.
pub(crate) fn send_free(
    callee: &Free,
    target: CallTarget,
    terms: Terms<'_>,
    mut load: Load<'_>,
) -> Result<(), CallError> {
    let thread = Thread::current();
    let home = thread.home();
    if callee.process.strict && !matches!(home, Some(Home::Sta(_))) && !is_banned(&thread) {
        return invoke_free(callee, CallKind::Synchronous, target, terms, load);
    }
    let clock = &callee.process.clock;
    let header = one_way(&thread, &callee.process, target);
    let call = header.call_ref();
    let route = Route::FreeThreaded;
    tell_caller(&thread, &home, &callee.process, call, || header.call_made(None, route));
    thread.tell_in(&callee.process, Some(call), || What::Began { call_type: None, queued: 0 });
    let frame = frame(&header, clock, Around::default(), None);
    let (attempt, _) = run_here(&thread, frame, callee.object(), &mut load);
    let panicked = if let Attempt::Ran(panicked) = attempt { panicked } else { None };
    thread.tell_in(&callee.process, Some(call), || What::Ended { panicked });
    thread.leave_if_due();
    Ok(())
}
