//! Waiting for signals: pumping, and never pumping.

use super::signal::{Signal, take_all, take_any};
use crate::apartment::wait_elsewhere;
use crate::diagnose::WaitFor;
use crate::error::CallError;
use crate::sync::{Arc, Bell};
use crate::thread::Thread;
use std::time::Duration;

/// Waits until one of the signals is set, and takes it: gives the place in `signals` of the first that is set. One with auto
/// reset is reset by that, and no other; a wait that fails takes nothing.
///
/// On an STA the wait pumps: what the re-entrancy policy and the filter allow is served meanwhile, application messages are
/// not. On every other thread it blocks. It does not pump inside a filter's method or an input-synchronized call (rules
/// CK-3, CK-4). If one is set already, it returns at once and serves nothing (rule WA-2).
///
/// `within` is on the clock of the process of the thread's apartment; on a thread in no apartment, which is of no process, it
/// is real time. `None` waits for ever; zero only looks. In a call that is being served, the wait ends with that call's
/// deadline (rule CA-3), and when the call is cancelled.
///
/// Waiting for signals is no call: the apartment has none out by it, and nothing is known of who would set them, so it is in
/// no deadlock.
///
/// ```
/// use apartment::{Signal, Sta, wait_any};
/// use std::time::Duration;
///
/// let ui = Sta::builder("ui").enter()?;
/// let bar = ui.create(|| std::cell::Cell::new(0))?;
/// let ready = Signal::auto();
/// let (to_bar, tells) = (bar.clone(), ready.clone());
/// let worker = std::thread::spawn(move || {
///     // Served by the wait below.
///     to_bar.call(|bar| bar.set(100)).unwrap();
///     tells.set();
/// });
/// assert_eq!(wait_any(&[&ready], None)?, 0);
/// assert_eq!(bar.call(|bar| bar.get())?, 100);
/// // It was taken.
/// assert_eq!(wait_any(&[&ready], Some(Duration::ZERO)).unwrap_err().hresult(), 0x8001_0115);
/// # worker.join().unwrap();
/// # drop(ui);
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// # Errors
/// `NoSync` if there are none to wait for; `CallPending` when the time is up; `TimedOut` and `CallCanceled`, with the outcome
/// `NotStarted`, when it ends with the call that is being served.
#[doc(alias("CoWaitForMultipleHandles", "CoWaitForMultipleObjects"))]
pub fn wait_any(signals: &[&Signal], within: Option<Duration>) -> Result<usize, CallError> {
    wait(signals, within, true, |bell| take_any(signals, bell))
}

/// Waits until all the signals are set at once, and takes all of them in one step: none is taken as long as one is missing,
/// though others are set. Otherwise as [`wait_any`].
///
/// ```
/// use apartment::{Signal, wait_all, wait_any};
/// use std::time::Duration;
///
/// let (ink, paper) = (Signal::auto(), Signal::auto());
/// ink.set();
/// assert_eq!(wait_all(&[&ink, &paper], Some(Duration::ZERO)).unwrap_err().hresult(), 0x8001_0115);
/// assert!(ink.is_set());
/// paper.set();
/// wait_all(&[&ink, &paper], None)?;
/// assert!(!ink.is_set() && !paper.is_set());
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// # Errors
/// As [`wait_any`].
#[doc(alias = "COWAIT_WAITALL")]
pub fn wait_all(signals: &[&Signal], within: Option<Duration>) -> Result<(), CallError> {
    wait(signals, within, true, |bell| take_all(signals, bell).then_some(()))
}

/// As [`wait_any`], but it blocks on every thread and never pumps: an STA that waits so serves nobody, not even releases,
/// and whoever needs it to set the signal waits for ever.
///
/// ```
/// use apartment::{Signal, blocking_wait_any};
///
/// let ready = Signal::manual();
/// let tells = ready.clone();
/// let worker = std::thread::spawn(move || tells.set());
/// assert_eq!(blocking_wait_any(&[&ready], None)?, 0);
/// # worker.join().unwrap();
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// # Errors
/// As [`wait_any`].
#[doc(alias("WaitForSingleObject", "WaitForMultipleObjects"))]
pub fn blocking_wait_any(signals: &[&Signal], within: Option<Duration>) -> Result<usize, CallError> {
    wait(signals, within, false, |bell| take_any(signals, bell))
}

/// As [`wait_all`], but it blocks on every thread and never pumps, like [`blocking_wait_any`].
///
/// ```
/// use apartment::{Signal, blocking_wait_all};
///
/// let (one, two) = (Signal::manual(), Signal::manual());
/// one.set();
/// two.set();
/// blocking_wait_all(&[&one, &two], None)?;
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// # Errors
/// As [`wait_any`].
#[doc(alias = "WaitForMultipleObjects")]
pub fn blocking_wait_all(signals: &[&Signal], within: Option<Duration>) -> Result<(), CallError> {
    wait(signals, within, false, |bell| take_all(signals, bell).then_some(()))
}

fn wait<T>(
    signals: &[&Signal],
    within: Option<Duration>,
    pumps: bool,
    mut take: impl FnMut(&Arc<Bell>) -> Option<T>,
) -> Result<T, CallError> {
    if signals.is_empty() {
        return Err(CallError::NoSync);
    }
    let thread = Thread::current();
    let _listed = Listed { signals, bell: thread.bell() };
    // What is set is taken before anything begins: no wait, no event (rule WA-2).
    if let Some(taken) = take(thread.bell()) {
        return Ok(taken);
    }
    wait_elsewhere(&thread, WaitFor::Events, None, within, pumps, || take(thread.bell()))
}

/// The thread's bell may be on the lists of the signals.
struct Listed<'a> {
    signals: &'a [&'a Signal],
    bell: &'a Arc<Bell>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.signals.iter().for_each(|signal| signal.rings_no_more(self.bell));
    }
}
