//! Waiting for an apartment's threads: until they have started, and until they are gone.

use super::asleep::Depends;
use super::serve::Situation;
use super::wait::{wait, wait_on};
use crate::common::Common;
use crate::diagnose::WaitFor;
use crate::error::CallError;
use crate::mailbox::Mailbox;
use crate::process::Coming;
use crate::sync::{Arc, JoinHandle, Mutex, is_this_thread, thread_is_unwinding};
use crate::thread::Thread;
use std::panic::Location;
use std::rc::Rc;

/// Waits for what somebody brings about. Pumps on an STA, blocks elsewhere.
pub(crate) fn wait_for(thread: &Rc<Thread>, on: WaitFor, process: &Common, coming: &Coming) -> Result<(), CallError> {
    let mut outcome = coming.look(thread.bell());
    if outcome.is_none() {
        thread.may_block()?;
    }
    wait(thread, Situation::Plain(on, process, &[]), None, || {
        outcome = outcome.take().or_else(|| coming.look(thread.bell()));
        outcome.is_some()
    });
    outcome.unwrap_or_else(|| crate::broken("a wait without an end has what it waited for"))
}

/// Whether a handle that is dropped may wait: not while the thread unwinds, nor inside a filter's method or an
/// input-synchronized call, where a wait does not pump and could not answer what the ending apartment still calls
/// (rules CK-3, CK-4); nor where a host lets nothing block its thread (rule AP-9); nor for an apartment that its process' end has given up on (rule LT-8).
pub(super) fn may_wait_for_end(mailbox: &Mailbox) -> bool {
    let thread = Thread::current();
    let waits = !thread.dispatches_nothing() && thread.may_block().is_ok();
    waits && !thread_is_unwinding() && !mailbox.is_left_behind()
}

/// Waits until an apartment has ended and its threads have left the library. Pumps on an STA, blocks elsewhere. Fails if
/// the apartment could never end, because it waits for this thread (rule DL-1).
pub(super) fn wait_until_gone(
    mailbox: &Arc<Mailbox>,
    location: Option<&'static Location<'static>>,
) -> Result<(), CallError> {
    wait_for_end(&Thread::current(), mailbox, location, || {})
}

/// The same, and joins the apartment's one thread. Who has nothing to do meanwhile sleeps in the join from the beginning, and
/// so is woken once: when the thread has ended, the apartment has.
pub(super) fn join_sta(
    mailbox: &Arc<Mailbox>,
    thread: &Mutex<Option<JoinHandle>>,
    location: Option<&'static Location<'static>>,
) -> Result<(), CallError> {
    let waiter = Thread::current();
    let take = || thread.lock().take();
    wait_for_end(&waiter, mailbox, location, || {
        if waiter.only_sleeps() {
            join_threads(take());
        }
    })?;
    join_threads(take());
    Ok(())
}

/// Looks each time after `first`.
fn wait_for_end(
    thread: &Rc<Thread>,
    mailbox: &Arc<Mailbox>,
    location: Option<&'static Location<'static>>,
    first: impl Fn(),
) -> Result<(), CallError> {
    let of = Situation::Of(WaitFor::Thread, mailbox, None);
    wait_on(thread, of, Depends::End(mailbox, location), None, || {
        first();
        mailbox.is_gone(thread.bell())
    })
}

/// The threads have left the library; what remains are the destructors of their locals. These may call whom they like, so
/// an STA, which could not answer, does not wait for them; nor does a thread for its own.
pub(crate) fn join_threads(threads: impl IntoIterator<Item = JoinHandle>) {
    let waits = Thread::current().sta().is_none();
    for thread in threads {
        if waits && !is_this_thread(&thread) && thread.join().is_err() {
            crate::broken("an apartment's thread contains every panic of the user's");
        }
    }
}
