//! A thread that entered an apartment: guards that leave it again.

use super::dispatch::{Budget, Dispatched, dispatch_on};
use super::handle::Apartment;
use super::make::keep_at_home;
use super::serve::{Served, Situation, serve_one};
use super::wait::{serve_some, serve_until};
use crate::describe::CallTarget;
use crate::error::CallError;
use crate::mailbox::Door;
use crate::marshal::Proxy;
use crate::process::Process;
use crate::stub::Stub;
use crate::sync::{Arc, thread_is_unwinding};
use crate::thread::{Home, MtaHome, StaHome, Thread, panic_message};
use crate::view::Held;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

/// The current thread is an STA as long as this guard lives; made by [`StaBuilder::enter`](crate::StaBuilder::enter).
///
/// The thread serves its mailbox in [`run`](Entered::run) and [`pump`](Entered::pump), while it waits for anything of this
/// library's — a call, room, an apartment's start or end — and while it leaves; at no other time. Dropping the last guard leaves: the door closes, what was accepted is
/// served, the objects are dropped, their proxies are disconnected (rule LT-2). Dropped while a call is being served, that
/// happens when the outermost one returns; dropped while the thread unwinds, the apartment ends abnormally (rule LT-3).
///
/// It cannot be sent to another thread.
#[doc(alias("CoInitializeEx", "CoUninitialize"))]
#[must_use = "the thread leaves the apartment when the guard is dropped"]
pub struct Entered {
    thread: Rc<Thread>,
    home: Rc<StaHome>,
    apartment: Apartment,
    nested: bool,
    not_send: PhantomData<*const ()>,
}

impl Entered {
    pub(super) fn first(thread: &Rc<Thread>, home: &Rc<StaHome>) -> Self {
        Self::guard(thread, home, false)
    }

    /// Entering again: in the same mode it nests, in the other it changes nothing (rules AP-3, AP-11).
    pub(super) fn again(thread: &Rc<Thread>, home: Home, process: &Process) -> Result<Self, CallError> {
        let current = home.mailbox().name.clone();
        match home {
            Home::Sta(home) if home.process.is(process) => {
                home.enters.set(home.enters.get() + 1);
                Ok(Self::guard(thread, &home, true))
            }
            Home::Sta(_) => Err(CallError::ChangedMode { current, why: "it belongs to another process" }),
            Home::Mta(_) => Err(CallError::ChangedMode { current, why: "that is the MTA, and an STA was asked for" }),
        }
    }

    fn guard(thread: &Rc<Thread>, home: &Rc<StaHome>, nested: bool) -> Self {
        let apartment = Apartment(Arc::clone(&home.mailbox));
        Self { thread: Rc::clone(thread), home: Rc::clone(home), apartment, nested, not_send: PhantomData }
    }

    /// The apartment as anybody may hold it.
    pub fn apartment(&self) -> &Apartment {
        &self.apartment
    }

    /// Whether the thread was an STA already when this guard was made.
    pub fn is_nested(&self) -> bool {
        self.nested
    }

    /// Makes an object here. Direct: nothing has to be `Send`, and nothing waits.
    ///
    /// # Errors
    /// `ServerFault` if `make` panics; `Disconnected` if the apartment has ended under a guard that was kept longer;
    /// `ServerStopping` once the process is ending (rule LT-8).
    #[track_caller]
    pub fn create<T: 'static>(&self, make: impl FnOnce() -> T) -> Result<Proxy<T>, CallError> {
        let location = Location::caller();
        self.home.mailbox.common.makes()?;
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(object) => {
                let mailbox = &self.home.mailbox;
                let object =
                    keep_at_home(mailbox, Held::new(object)).ok_or_else(|| mailbox.disconnected(Door::Ended, None))?;
                Ok(Proxy::from_stub(Stub::new(mailbox, object)))
            }
            Err(payload) => {
                let type_name = std::any::type_name::<T>();
                let target = CallTarget { object: None, type_name, method: None, location };
                Err(CallError::ServerFault { target, message: panic_message(payload) })
            }
        }
    }

    /// Serves the mailbox until somebody asks the apartment to quit and everything accepted has been served. It is the
    /// thread's loop: it waits for ever if nobody asks. Called while a call is being served it serves what the
    /// re-entrancy policy lets in (rule DI-12).
    #[doc(alias("GetMessage", "DispatchMessage"))]
    pub fn run(&self) {
        serve_until(&self.thread, &self.home, || true);
        self.thread.leave_if_due();
    }

    /// Serves what is in the mailbox now, and what that brings, and returns without waiting; gives how many entries it
    /// served.
    #[doc(alias = "PeekMessage")]
    pub fn pump(&self) -> usize {
        let mut served = 0;
        loop {
            let waiting = self.home.mailbox.waiting_entries();
            let some = serve_some(&self.thread, Situation::Loop, waiting);
            served += some;
            if some == 0 {
                self.home.mailbox.frames_left(self.thread.who(), self.thread.depth());
                self.thread.leave_if_due();
                return served;
            }
        }
    }

    /// Serves what is in the mailbox, as far as the budget goes, and returns without waiting: what an event loop does when
    /// it has been woken (rule AP-9). It may be called at any depth, also from something that is being served or from the
    /// loop inside a wait; then it serves what the re-entrancy policy lets in (rule DI-12), and looks after the deadlines and
    /// cancels of the calls that are out. It never unwinds. While a filter's method or an input-synchronized call runs it
    /// serves nothing.
    ///
    /// On a thread with a [`Host`](crate::Host) it consumes the wake before it looks, and wakes again if it leaves
    /// something. On any other it is a [`pump`](Entered::pump) that stops earlier.
    #[doc(alias("PeekMessage", "DispatchMessage"))]
    pub fn dispatch(&self, budget: Budget) -> Dispatched {
        dispatch_on(&self.thread, &self.home, budget)
    }

    /// Leaves; the same as dropping the guard.
    pub fn leave(self) {}
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = self.home.enters.get() - 1;
        self.home.enters.set(left);
        if left > 0 || self.home.is_leaving.get() {
            return;
        }
        if self.thread.is_in_the_middle() {
            self.home.mailbox.close(self.thread.who(), true);
            self.home.leaves_later.set(true);
        } else {
            leave(&self.thread, &self.home);
        }
    }
}

/// Closes the door, serves what was accepted, ends. An unwinding owner ends abnormally and serves nothing.
pub(super) fn leave(thread: &Rc<Thread>, home: &Rc<StaHome>) {
    home.leaves_later.set(false);
    home.is_leaving.set(true);
    if thread_is_unwinding() {
        home.end(thread, true);
        return;
    }
    home.mailbox.close(thread.who(), true);
    let serial = thread.new_wait();
    loop {
        match serve_one(thread, home, Situation::Loop, serial) {
            Served::One => {}
            Served::Nothing(..) if home.mailbox.begin_end(false).is_some() => break,
            Served::Nothing(..) => {}
        }
    }
    home.end(thread, false);
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").field("apartment", &self.apartment).field("nested", &self.nested).finish()
    }
}

/// The current thread is in the MTA as long as this guard lives; made by [`Mta::enter`](crate::Mta::enter). It calls the
/// MTA's objects directly, is not re-entered, and keeps the MTA alive. It cannot be sent to another thread.
#[must_use = "the thread leaves the apartment when the guard is dropped"]
pub struct EnteredMta {
    thread: Rc<Thread>,
    home: Rc<MtaHome>,
    not_send: PhantomData<*const ()>,
}

impl EnteredMta {
    pub(super) fn new(thread: Rc<Thread>, home: Rc<MtaHome>) -> Self {
        Self { thread, home, not_send: PhantomData }
    }

    /// The apartment as anybody may hold it.
    pub fn apartment(&self) -> Apartment {
        Apartment(Arc::clone(&self.home.mailbox))
    }

    /// Leaves; the same as dropping the guard.
    pub fn leave(self) {}
}

impl Drop for EnteredMta {
    fn drop(&mut self) {
        let left = self.home.enters.get() - 1;
        self.home.enters.set(left);
        if left > 0 || self.home.pool_thread || self.home.abandoned.get() {
            return;
        }
        if self.thread.is_in_the_middle() {
            self.home.leaves_later.set(true);
        } else {
            self.home.leave(&self.thread);
        }
    }
}

impl fmt::Debug for EnteredMta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnteredMta").field(&self.apartment()).finish()
    }
}
