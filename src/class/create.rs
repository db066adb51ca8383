//! Making an instance of a class: its server, its place, and the call that makes it there.

use super::is_of;
use super::model::{Class, Making};
use super::place::{At, place};
use super::server::activate;
use crate::apartment::{Mta, Situation, Sta, ban_of_all, wait, wait_for, waits_for_itself};
use crate::cycle::Awaited;
use crate::describe::Creator;
use crate::diagnose::{Placed, Route, WaitFor, What};
use crate::error::CallError;
use crate::id::ApartmentId;
use crate::mailbox::Mailbox;
use crate::marshal::{Proxy, Reference};
use crate::process::{Found, Host, Process, Server, ServerId};
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::{Home, Thread};
use std::panic::Location;
use std::rc::Rc;

impl Process {
    /// Makes an object of the class that is registered by that id, where its threading model and the calling thread's
    /// apartment say (rule CL-2):
    ///
    /// | calling thread | Single | Apartment | Free | Both |
    /// |---|---|---|---|---|
    /// | main STA | here, direct | here, direct | MTA, proxy | here, direct |
    /// | another STA | main STA, proxy | here, direct | MTA, proxy | here, direct |
    /// | MTA, or no apartment | main STA, proxy | host STA, proxy | MTA, direct | MTA, direct |
    ///
    /// Main STA, MTA and host STA are made if there are none (rule CL-3): the process then keeps them until it ends. (What
    /// is asked to [quit](crate::Apartment::quit) ends all the same, and another is made when it is needed.) A host MTA is
    /// the process' MTA; whoever wants one with options of its own makes it first. A thread that is in an apartment of
    /// another process counts as one of the MTA's to which nothing is at home: for it, all four are proxies.
    ///
    /// `I` is the objects' own type or an interface that it declares. The result is a [`Proxy`] in each case: its calls are
    /// direct where the object is at home.
    ///
    /// It is a call: an STA that waits for it pumps, other threads block. So are the waits for a host that starts, for a
    /// server that another thread is just loading, and for the end of a main STA or an MTA that ends while the creation is on
    /// its way; these waits no deadline ends.
    ///
    /// ```
    /// use apartment::{Class, Kind, Process, implements};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// struct Counter(AtomicU32);
    /// implements!(Counter);
    ///
    /// let process = Process::new();
    /// process.register_class("Counter", Class::free(|| Counter(AtomicU32::new(0))))?;
    /// let here = process.sta("here").enter()?;
    /// let counter = process.create_instance::<Counter>("Counter")?;
    /// assert_eq!(counter.apartment().unwrap().kind(), Kind::Mta);
    /// assert_eq!(counter.call(|counter| counter.0.fetch_add(1, Ordering::Relaxed))?, 0);
    /// # drop(here);
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// * `ClassNotRegistered`; `NoInterface` if the objects' type does not declare `I`. Nothing was made.
    /// * `FactoryFailed` with the factory's own error as the source; `ServerFault` if it panicked.
    /// * `SysCallFailed` if a host cannot be made (rule AP-10) or the server cannot be loaded, with the reason as the
    ///   source; `Deadlock` on the thread that is just loading it, or in the hook around the life of the thread that the
    ///   object's apartment begins with.
    /// * `ServerStopping` if the server is just being unloaded (rule CL-5), or the process is ending (rule LT-8).
    /// * `CantCallOut` from where no call can leave the apartment, if the object would live in another.
    /// * As a call to the apartment: `MailboxFull`, its filter's answers, `TimedOut` and `CallCanceled` of the call that the
    ///   thread is serving.
    /// * `NotInitialized` under strict rules, on a thread of no apartment while there is no MTA.
    #[doc(alias = "CoCreateInstance")]
    #[track_caller]
    pub fn create_instance<I: ?Sized + 'static>(&self, class: &str) -> Result<Proxy<I>, CallError> {
        let location = Location::caller();
        Thread::current().is_initialized(self.common())?;
        Known::find(self, class)?.create(self, location)
    }
}

/// A registered class.
pub(super) struct Known {
    pub(super) id: Arc<str>,
    pub(super) server: ServerId,
    pub(super) class: Arc<Class>,
}

impl Known {
    pub(super) fn find(process: &Process, class: &str) -> Result<Self, CallError> {
        let (id, server, class) =
            process.class(class).ok_or_else(|| CallError::ClassNotRegistered { class: Arc::from(class) })?;
        match class.downcast::<Class>() {
            Ok(class) => Ok(Self { id, server, class }),
            Err(_) => crate::broken("what is registered as a class is one"),
        }
    }

    pub(super) fn create<I: ?Sized + 'static>(
        &self,
        process: &Process,
        location: &'static Location<'static>,
    ) -> Result<Proxy<I>, CallError> {
        process.common().makes()?;
        let declaration = self.class.maker.declaration();
        // Before anything is made.
        let view = declaration.require::<I>()?;
        let thread = Thread::current();
        if !self.class.free_threaded {
            let (_, route) = place(creator(process, thread.home().as_ref()), self.class.model());
            may_leave(process, &thread, route)?;
        }
        let activation = activate(process, &thread, self.server)?;
        let stub = self.make(process, &thread, location)?;
        drop(activation);
        Ok(Proxy::of(Reference::new(stub).declared(declaration), view))
    }

    fn make(
        &self,
        process: &Process,
        thread: &Rc<Thread>,
        location: &'static Location<'static>,
    ) -> Result<Arc<Stub>, CallError> {
        let model = self.class.model();
        let mut made = false;
        loop {
            process.common().makes()?;
            let home = thread.home();
            let creator = creator(process, home.as_ref());
            if self.class.free_threaded {
                self.tell_placed(process, thread, creator, None, Route::FreeThreaded, false);
                return self.class.maker.make_free(process, self.making(process, location));
            }
            let (at, route) = place(creator, model);
            may_leave(process, thread, route)?;
            let mailbox = match (at, &home) {
                (At::Here, Some(home)) => Arc::clone(home.mailbox()),
                (At::Here, None) => crate::broken("a creator that has no home is not at home"),
                (At::There(host), _) => match process.find(host) {
                    Found::There(mailbox) if route == Route::Mailbox && begins_with(thread, &mailbox) => {
                        return Err(waits_for_own_start(thread, &mailbox));
                    }
                    Found::There(mailbox) => mailbox,
                    Found::Comes(coming) => {
                        if let Some(own) = thread.begins().filter(|own| process.starts(own, &coming)) {
                            return Err(waits_for_own_start(thread, &own));
                        }
                        wait_for(thread, WaitFor::Host, process.common(), &coming)?;
                        continue;
                    }
                    Found::Make(coming) => {
                        make_host(process, host);
                        wait_for(thread, WaitFor::Host, process.common(), &coming)?;
                        made = true;
                        continue;
                    }
                },
            };
            self.tell_placed(process, thread, creator, Some(mailbox.name.id), route, made && mailbox.is_host());
            let result = self.class.maker.make(&mailbox, self.making(process, location));
            let at_home = home.as_ref().is_some_and(|home| home.is_at(&mailbox));
            match result {
                Err(error) if !at_home && has_not_run(&error, &mailbox) && !waits_for_us(thread, &mailbox) => {
                    if !outlasts(process, thread, home.as_ref(), &mailbox) {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }
}

impl Known {
    /// The object is counted from here on.
    fn making(&self, process: &Process, location: &'static Location<'static>) -> Making<'_> {
        Making { class: &self.id, after: Box::new(process.count(self.server, Server::objects)), location }
    }

    fn tell_placed(
        &self,
        process: &Process,
        thread: &Thread,
        creator: Creator,
        apartment: Option<ApartmentId>,
        route: Route,
        host_made: bool,
    ) {
        let (class, model) = (&self.id, self.class.model());
        thread.tell_in(process.common(), None, || {
            let class = Arc::clone(class);
            What::Placed(Box::new(Placed { class, model, creator, apartment, route, host_made }))
        });
    }
}

/// From where no call can leave the apartment, no creation can; then nothing is loaded, and no host made, for it.
fn may_leave(process: &Process, thread: &Thread, route: Route) -> Result<(), CallError> {
    if route != Route::Mailbox {
        return Ok(());
    }
    let may = ban_of_all(thread).map_or_else(|| thread.may_block(), |why| Err(CallError::CantCallOut(why)));
    let Err(error) = may else { return Ok(()) };
    thread.tell_in(process.common(), None, || What::Refused { error: (&error).into() });
    Err(error)
}

/// Where the calling thread is, as the process sees it.
fn creator(process: &Process, home: Option<&Home>) -> Creator {
    match home {
        None => Creator::ImplicitMta,
        Some(home) if !is_of(home, process) => Creator::Foreign,
        Some(Home::Sta(home)) if process.is_main(&home.mailbox) => Creator::MainSta,
        Some(Home::Sta(_)) => Creator::Sta,
        Some(Home::Mta(_)) => Creator::Mta,
    }
}

fn make_host(process: &Process, host: Host) {
    match host {
        Host::Sta => Sta::builder("host STA").spawn_host(process, host),
        Host::Main => Sta::builder("host main STA").spawn_host(process, host),
        Host::Mta => Mta::builder().name("host MTA").spawn_host(process),
    }
}

/// Whether the apartment begins with this thread, in the hook around whose life this is.
pub(super) fn begins_with(thread: &Thread, mailbox: &Arc<Mailbox>) -> bool {
    thread.begins().is_some_and(|begins| Arc::ptr_eq(&begins, mailbox))
}

fn waits_for_own_start(thread: &Thread, begins: &Mailbox) -> CallError {
    waits_for_itself(thread, &begins.common, Awaited::Start { of: begins.name.clone() })
}

/// Whether that apartment took no call any more when this one came.
fn has_not_run(error: &CallError, mailbox: &Mailbox) -> bool {
    match error {
        CallError::Disconnected(gone) => gone.callee.id == mailbox.name.id,
        CallError::ServerDiedDne { callee } => callee.id == mailbox.name.id,
        _ => false,
    }
}

/// Whether it waits, for its part, for something that this thread is serving, innermost or buried: then it cannot end
/// before.
fn waits_for_us(thread: &Thread, mailbox: &Mailbox) -> bool {
    thread.with_frames(|frames| frames.iter().filter_map(|frame| frame.chain).any(|chain| mailbox.waits_for(chain)))
}

/// Waits until an apartment that ends has left its place. Not if the creator's own apartment is to end, too, or is asked
/// to meanwhile: the other may be what joins it, at its own end.
fn outlasts(process: &Process, thread: &Rc<Thread>, home: Option<&Home>, mailbox: &Arc<Mailbox>) -> bool {
    let own = home.map(Home::mailbox);
    let left = || process.has_left(mailbox, thread.bell());
    let ends = Situation::Plain(WaitFor::Thread, process.common(), std::slice::from_ref(mailbox));
    wait(thread, ends, None, || left() || own.is_some_and(|own| own.closes_or_rings(thread.bell())));
    if let Some(own) = own {
        own.rings_no_more(thread.bell());
    }
    left()
}
