//! Making a call: directly at home, through the callee's mailbox from everywhere else.

use super::ban::unsupported;
use super::direct::{Visit, call_directly};
use super::making::{Terms, made, making, tell};
use super::outgoing::{call_out, refused_at_once};
use crate::call::record::Load;
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::{ErrorSeen, Route, What};
use crate::error::CallError;
use crate::mailbox::Mailbox;
use crate::sync::Arc;
use crate::thread::Thread;

/// Makes a call and waits for it: an STA pumps, every other thread blocks. At home it is direct and waits for nothing.
/// `Ok` means that what it handed over has run to its end, and tells itself what came of it.
pub(crate) fn invoke(
    callee: &Arc<Mailbox>,
    kind: CallKind,
    target: CallTarget,
    terms: Terms<'_>,
    mut load: Load<'_>,
) -> Result<(), CallError> {
    let thread = Thread::current();
    let home = thread.home();
    let direct = home.as_ref().is_some_and(|home| home.is_at(callee));
    // A thread in no apartment counts as one of the MTA's (rule AP-5): it calls the MTA's objects itself.
    let visits = home.is_none() && !callee.is_sta();
    let unsupported = unsupported(kind, &home, callee);
    let visit = if visits && unsupported.is_none() { Visit::begin(&thread, callee)? } else { None };
    let mut making = making(&thread, callee, kind, target, &terms);
    let route = if direct || visit.is_some() { Route::Direct } else { Route::Mailbox };
    making.header.borrows = load.is_lent();
    let result = match (unsupported, route) {
        (Some(error), _) => refused_at_once(&thread, &home, &making, error),
        (None, Route::Direct) => {
            made(&thread, &home, &making, route);
            call_directly(&thread, &making, &mut load).map_err(Box::new)
        }
        (None, _) => call_out(&thread, &home, &making, load),
    };
    let call = making.header.call_ref();
    let error = || result.as_ref().err().map(|error| ErrorSeen::from(&**error));
    tell(&thread, &home, callee, call, || What::Returned { error: error() });
    drop(visit);
    thread.leave_if_due();
    result.map_err(|error| *error)
}
