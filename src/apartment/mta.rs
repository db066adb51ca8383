//! The multithreaded apartment: a pool that serves one queue and grows while its threads are blocked.

use super::deadlock::waits_for_itself;
use super::entered::EnteredMta;
use super::handle::Apartment;
use super::hook::{self, Hook};
use super::join::{join_threads, may_wait_for_end, wait_for, wait_until_gone};
use super::make::{keep_shared, make};
use super::pool::Starter;
use crate::cycle::Awaited;
use crate::diagnose::{ApartmentHow, WaitFor, What};
use crate::error::CallError;
use crate::mailbox::{DEFAULT_CAPACITY, Mailbox, Owner, Pool, Use};
use crate::marshal::Proxy;
use crate::process::{Coming, Host, HostOptions, Process};
use crate::sync::{Arc, default_parallelism};
use crate::thread::{Home, MtaHome, Thread};
use crate::view::Held;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// How many threads a pool has at most (rule DI-14).
const DEFAULT_MAXIMUM: usize = 64;

/// The multithreaded apartment of a process: the handle that owns it.
///
/// Its objects are `Send + Sync` and are called concurrently, on pool threads; a caller that is in the MTA, or in no
/// apartment at all, calls them directly (rules DI-4, AP-5). The pool grows while its threads are blocked in outgoing
/// calls, up to a maximum (rule DI-7). The MTA ends when its last handle, usage guard and entered thread are gone
/// (rule DI-14): it serves what it accepted, drops its objects on a pool thread, and disconnects. The drop of the handle
/// that was the last waits for that; on an STA this wait pumps.
///
/// ```
/// use apartment::{Mta, Process, Sta};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// let process = Process::new();
/// let mta = process.mta().spawn()?;
/// let counter = mta.create(|| AtomicU32::new(0))?;
/// let sta = process.sta("caller").spawn()?;
/// let caller = sta.create(|| ())?;
/// caller.call(|()| counter.call(|c| c.fetch_add(1, Ordering::Relaxed)))??;
/// assert_eq!(counter.call(|c| c.load(Ordering::Relaxed))?, 1);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("MTA", "multithreaded apartment", "COINIT_MULTITHREADED"))]
pub struct Mta {
    apartment: Apartment,
    starter: Arc<Starter>,
    /// Its drop does not wait: a join does.
    is_joined: bool,
}

/// Makes an [`Mta`] to order.
pub struct MtaBuilder {
    name: String,
    process: Option<Process>,
    capacity: usize,
    threads: usize,
    max_threads: Option<usize>,
    hook: Option<Hook>,
    stack_size: Option<usize>,
}

impl Process {
    /// This process' MTA, to be configured and spawned. There is at most one (rule AP-1).
    pub fn mta(&self) -> MtaBuilder {
        Mta::builder().process(self)
    }
}

impl Process {
    /// A guard that makes the MTA exist, with default options if there is none yet, and keeps it alive while no thread is
    /// in it (rule AP-6). It can be dropped on any thread, and its drop never waits. This waits for nothing either.
    ///
    /// ```
    /// use apartment::{Kind, Process};
    ///
    /// let process = Process::new();
    /// assert_eq!(process.current().kind, None);
    /// let usage = process.mta_usage()?;
    /// assert_eq!((process.current().kind, process.current().implicit), (Some(Kind::Mta), true));
    /// std::thread::spawn(|| drop(usage)).join().unwrap();
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Disconnected` if there is one that is just ending; `SysCallFailed` if its first thread cannot be started.
    #[doc(alias("CoIncrementMTAUsage", "CoDecrementMTAUsage"))]
    pub fn mta_usage(&self) -> Result<MtaUsage, CallError> {
        loop {
            if let Some(mailbox) = self.mta_mailbox() {
                return MtaUsage::of(&mailbox);
            }
            match self.mta().spawn() {
                Ok(mta) => return mta.usage(),
                // Somebody else has made it meanwhile.
                Err(CallError::NotSupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl MtaBuilder {
    /// The process it belongs to; the default one otherwise.
    #[must_use]
    pub fn process(self, process: &Process) -> Self {
        Self { process: Some(process.clone()), ..self }
    }

    /// Its name, which its threads bear with a number; "mta" otherwise.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// How many entries have room in its queue, at least 1; 10,000 otherwise (rules MB-1, DI-14).
    #[must_use]
    pub fn capacity(self, entries: usize) -> Self {
        Self { capacity: entries, ..self }
    }

    /// Up to how many threads the pool grows to serve its queue, at least 1; as many as the machine runs at once otherwise.
    /// Threads that are blocked in outgoing calls do not count: others are started in their place.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// How many threads it has at most, blocked ones included; 64 otherwise, or as many as run at once.
    #[must_use]
    pub fn max_threads(self, threads: usize) -> Self {
        Self { max_threads: Some(threads), ..self }
    }

    /// A hook around the life of each of its threads, as for an [STA](crate::StaBuilder::around). If it fails for the
    /// first thread, spawning fails; if later, the pool does not grow.
    #[must_use]
    pub fn around<G: 'static, E: Into<Box<dyn StdError + Send + Sync>>>(
        self,
        make_guard: impl Fn() -> Result<G, E> + Send + Sync + 'static,
    ) -> Self {
        Self { hook: Some(hook::hook(make_guard)), ..self }
    }

    /// The size of its threads' stacks in bytes; the system's choice otherwise.
    #[must_use]
    pub fn stack_size(self, bytes: usize) -> Self {
        Self { stack_size: Some(bytes), ..self }
    }

    /// Starts the first thread of its pool. Waits for it only if there is a hook; an STA pumps in that wait.
    ///
    /// # Errors
    /// `NotSupported` if the process has an MTA already; `SysCallFailed` if the thread cannot be started or the hook
    /// fails (rule AP-10); `InvalidArgument` for a capacity or a number of threads of 0, or a maximum below it.
    pub fn spawn(self) -> Result<Mta, CallError> {
        self.check()?;
        let process = Process::or_global(self.process.clone());
        let waits = self.hook.is_some();
        let maker = Thread::current();
        if waits {
            maker.may_block()?;
        }
        let (mailbox, starter) = self.begin(&process, ApartmentHow::Spawned);
        process.apartment_begins(&mailbox)?;
        if !process.mta_began(&mailbox) {
            mailbox.never_began();
            return Err(CallError::NotSupported { what: "a second MTA: a process has at most one" });
        }
        tell_began(&mailbox, &maker);
        let start = Coming::new();
        let told = Arc::clone(&start);
        starter
            .start(&mailbox, Some(Box::new(move |outcome| told.settle(outcome))))
            .inspect_err(|_| starter.fail(&mailbox))?;
        if waits && let Err(error) = wait_for(&maker, WaitFor::Thread, process.common(), &start) {
            join_threads(starter.take_threads());
            return Err(error);
        }
        Ok(Mta { apartment: Apartment(mailbox), starter, is_joined: false })
    }

    /// Starts the first thread of an MTA that is a host, if there is still no MTA. Waits for nothing; how it ended the
    /// process is told by that thread, or by this if there is none (rule CL-3). Its usage is never given back: it ends
    /// with its process.
    pub(crate) fn spawn_host(mut self, process: &Process) {
        let HostOptions { hook, stack_size } = process.host_options();
        (self.hook, self.stack_size) = (hook, stack_size);
        let (mailbox, starter) = self.begin(process, ApartmentHow::Host);
        if let Err(stopping) = process.apartment_begins(&mailbox) {
            return process.host_started(Host::Mta, Err(stopping));
        }
        if !process.mta_began(&mailbox) {
            mailbox.never_began();
            return process.host_started(Host::Mta, Ok(()));
        }
        tell_began(&mailbox, &Thread::current());
        let told = process.clone();
        let settled = move |outcome| told.host_started(Host::Mta, outcome);
        if let Err(error) = starter.start(&mailbox, Some(Box::new(settled))) {
            starter.fail(&mailbox);
            process.host_started(Host::Mta, Err(error));
        }
    }

    /// Its mailbox, with one usage and one thread, which is still to be started.
    fn begin(self, process: &Process, how: ApartmentHow) -> (Arc<Mailbox>, Arc<Starter>) {
        let starter = Arc::new(Starter::new(process, self.hook, self.stack_size));
        let grow = Arc::clone(&starter);
        let owner = Owner::Pool(Box::new(move |mailbox| grow.start(mailbox, None)));
        let mut pool = Pool::new(self.threads, self.max_threads.unwrap_or(DEFAULT_MAXIMUM.max(self.threads)));
        pool.usages = 1;
        pool.threads = 1;
        let name = process.new_name(self.name);
        let mailbox = Mailbox::new(name, self.capacity, Arc::clone(process.common()), how, owner, Some(pool));
        (mailbox, starter)
    }

    fn check(&self) -> Result<(), CallError> {
        let what = if self.capacity == 0 {
            "a queue's capacity is at least 1"
        } else if self.threads == 0 {
            "a pool runs at least 1 thread"
        } else if self.max_threads == Some(0) {
            "a pool's maximum is at least 1 thread"
        } else if self.max_threads.is_some_and(|maximum| maximum < self.threads) {
            "a pool's maximum is below the number of threads that run at once"
        } else {
            return Ok(());
        };
        Err(CallError::InvalidArgument { what: what.into() })
    }
}

fn tell_began(mailbox: &Mailbox, maker: &Thread) {
    let began = What::ApartmentBegan {
        name: Arc::clone(&mailbox.name.name),
        sta: false,
        how: mailbox.how,
        main: false,
        capacity: mailbox.capacity,
        reentrancy: None,
        process: Arc::clone(&mailbox.common.name),
    };
    mailbox.note(maker.who(), began);
}

impl Mta {
    /// The MTA of the default process, with default options.
    ///
    /// # Errors
    /// As [`MtaBuilder::spawn`].
    pub fn spawn() -> Result<Self, CallError> {
        Self::builder().spawn()
    }

    /// An MTA to order.
    pub fn builder() -> MtaBuilder {
        MtaBuilder {
            name: "mta".to_owned(),
            process: None,
            capacity: DEFAULT_CAPACITY,
            threads: default_parallelism(),
            max_threads: None,
            hook: None,
            stack_size: None,
        }
    }

    /// Makes an object in the MTA, on a pool thread, or directly if the caller is in the MTA or in no apartment. It is a
    /// call: an STA that waits for it pumps, other threads block.
    ///
    /// # Errors
    /// As a call; `ServerFault` if `make` panics.
    #[track_caller]
    pub fn create<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T + Send) -> Result<Proxy<T>, CallError> {
        match self.try_create(|| Ok::<T, std::convert::Infallible>(make()))? {
            Ok(proxy) => Ok(proxy),
            Err(never) => match never {},
        }
    }

    /// As [`create`](Mta::create), with a constructor that may fail: its own error comes back nested.
    ///
    /// # Errors
    /// As [`create`](Mta::create); inside, what `make` failed with.
    #[track_caller]
    pub fn try_create<T: Send + Sync + 'static, E: Send>(
        &self,
        make_it: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<Result<Proxy<T>, E>, CallError> {
        Ok(make(&self.apartment.0, || make_it().map(Held::new), keep_shared::<T>)?.map(Proxy::from_stub))
    }

    /// The apartment as anybody may hold it.
    pub fn apartment(&self) -> &Apartment {
        &self.apartment
    }

    /// The current thread enters the MTA: it calls the MTA's objects directly, and keeps the MTA alive. Entering again
    /// nests (rule AP-3). Does not wait.
    ///
    /// # Errors
    /// `ChangedMode` if the thread is in an STA or in an MTA of another process; `Disconnected` if this one is ending; `NotSupported`
    /// while the thread's locals are being destroyed.
    #[doc(alias = "CoInitializeEx")]
    pub fn enter(&self) -> Result<EnteredMta, CallError> {
        let thread = Thread::current();
        thread.may_enter()?;
        let mailbox = &self.apartment.0;
        match thread.home() {
            Some(Home::Mta(home)) if Arc::ptr_eq(&home.mailbox, mailbox) && !home.implicit => {
                home.enters.set(home.enters.get() + 1);
                return Ok(EnteredMta::new(thread, home));
            }
            Some(home) => {
                let why = match &home {
                    Home::Sta(_) => "that is an STA, and the MTA was asked for",
                    Home::Mta(home) if home.implicit => "it is serving a direct call there",
                    Home::Mta(_) => "it belongs to another process",
                };
                return Err(CallError::ChangedMode { current: home.mailbox().name.clone(), why });
            }
            None => {}
        }
        if !mailbox.use_begins(Use::Thread) {
            return Err(mailbox.disconnected(mailbox.door(), None));
        }
        let home = Rc::new(MtaHome::new(Arc::clone(mailbox), false, false));
        thread.set_home(Some(Home::Mta(Rc::clone(&home))));
        mailbox.note(thread.who(), What::ThreadEntered { name: Arc::clone(&mailbox.name.name), implicit: false });
        Ok(EnteredMta::new(thread, home))
    }

    /// A guard that keeps the MTA alive, and can be dropped on any thread (rule AP-6). Its drop never waits.
    ///
    /// # Errors
    /// `Disconnected` if the MTA was asked to quit.
    #[doc(alias("CoIncrementMTAUsage", "CoDecrementMTAUsage"))]
    pub fn usage(&self) -> Result<MtaUsage, CallError> {
        MtaUsage::of(&self.apartment.0)
    }

    /// Asks it to quit; see [`Apartment::quit`]. Never waits. It ends when it has served what it accepted and the threads that
    /// are in it have left, whoever still holds handles and usage guards.
    pub fn quit(&self) {
        self.apartment.quit();
    }

    /// Gives this handle's usage back and waits until the MTA has ended and its threads are gone, which it does when the
    /// last usage is given back or it is asked to quit. An STA pumps in this wait, other threads block.
    ///
    /// # Errors
    /// `Deadlock` on a thread of the MTA, which would wait for itself; `NotSupported` on a thread whose host lets nothing
    /// block it (rule AP-9). The handle is gone then, as if it were dropped.
    #[track_caller]
    pub fn join(mut self) -> Result<(), CallError> {
        let location = Location::caller();
        if self.is_here() {
            let mailbox = &self.apartment.0;
            let awaits = Awaited::End { of: mailbox.name.clone(), location: Some(location) };
            return Err(waits_for_itself(&Thread::current(), &mailbox.common, awaits));
        }
        Thread::current().may_block()?;
        let mailbox = Arc::clone(&self.apartment.0);
        let starter = Arc::clone(&self.starter);
        self.is_joined = true;
        drop(self);
        wait_for_end(&mailbox, &starter, Some(location))
    }

    fn is_here(&self) -> bool {
        Thread::current().home().is_some_and(|home| home.is_at(&self.apartment.0))
    }
}

fn wait_for_end(
    mailbox: &Arc<Mailbox>,
    starter: &Starter,
    location: Option<&'static Location<'static>>,
) -> Result<(), CallError> {
    wait_until_gone(mailbox, location)?;
    join_threads(starter.take_threads());
    Ok(())
}

impl Drop for Mta {
    fn drop(&mut self) {
        let last = self.apartment.0.use_ends(Use::Guard, Thread::current().who());
        if last && !self.is_joined && may_wait_for_end(&self.apartment.0) && !self.is_here() {
            // If it can never end while this waits it is not joined; that has been told.
            let _told = wait_for_end(&self.apartment.0, &self.starter, None);
        }
    }
}

impl fmt::Debug for Mta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mta").field(&self.apartment).finish()
    }
}

impl fmt::Debug for MtaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MtaBuilder")
            .field("name", &self.name)
            .field("threads", &self.threads)
            .field("max_threads", &self.max_threads)
            .finish_non_exhaustive()
    }
}

/// Keeps the MTA alive; made by [`Mta::usage`] (rule AP-6).
#[must_use = "the usage is given back when the guard is dropped"]
pub struct MtaUsage(Arc<Mailbox>);

impl MtaUsage {
    fn of(mailbox: &Arc<Mailbox>) -> Result<Self, CallError> {
        match mailbox.use_begins(Use::Guard) {
            true => Ok(Self(Arc::clone(mailbox))),
            false => Err(mailbox.disconnected(mailbox.door(), None)),
        }
    }
}

impl Drop for MtaUsage {
    fn drop(&mut self) {
        self.0.use_ends(Use::Guard, Thread::current().who());
    }
}

impl fmt::Debug for MtaUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MtaUsage").field(&self.0.name).finish()
    }
}
