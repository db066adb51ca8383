//! Single-threaded apartments: how they are made, and the loop of a spawned one.

use super::entered::{Entered, leave};
use super::handle::Apartment;
use super::hook::{self, Hook};
use super::make::{keep_at_home, make};
use super::serve::Situation;
use super::wait::{serve_until, wait};
use crate::describe::Reentrancy;
use crate::diagnose::{ApartmentHow, WaitFor, What};
use crate::error::CallError;
use crate::filter::MessageFilter;
use crate::mailbox::{Mailbox, Owner};
use crate::marshal::Proxy;
use crate::process::{EndHandler, Host, HostOptions, Process};
use crate::sync::{Arc, Bell, JoinHandle, Mutex, is_this_thread, spawn, thread_is_unwinding};
use crate::thread::{Home, StaHome, Thread, contain, drop_unrun, panic_message};
use crate::view::Held;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Windows' own limit for a thread's posted messages.
pub(super) const DEFAULT_CAPACITY: usize = 10_000;

/// A single-threaded apartment with a thread of its own: the handle that owns it.
///
/// Objects are made on its thread, called there and dropped there (rule AP-2); they need not be `Send`. Dropping the
/// handle asks the apartment to quit and waits until what it accepted is served, its objects are dropped and its thread
/// has ended; on an STA that wait pumps. Dropped inside its own apartment, inside a filter's method or an
/// input-synchronized call, or while its thread unwinds, it asks to quit and does not wait (rules LT-2, CK-3, CK-4).
///
/// ```
/// use apartment::Sta;
/// use std::rc::Rc;
///
/// let home = Sta::spawn("db")?;
/// let db = home.create(|| Rc::new(String::from("hello")))?;
/// let prefix = String::from("hel");
/// assert_eq!(db.call(|s| s.strip_prefix(&*prefix).map(str::len))?, Some(2));
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("STA", "single-threaded apartment", "COINIT_APARTMENTTHREADED"))]
pub struct Sta {
    apartment: Apartment,
    thread: Mutex<Option<JoinHandle>>,
}

/// Makes an [`Sta`] to order, or makes the current thread one.
pub struct StaBuilder {
    name: String,
    process: Option<Process>,
    capacity: usize,
    reentrancy: Reentrancy,
    nested_waits: usize,
    filter: Option<FilterMaker>,
    end_handler: Option<HandlerMaker>,
    hook: Option<Hook>,
    stack_size: Option<usize>,
}

type FilterMaker = Box<dyn FnOnce() -> Rc<dyn MessageFilter> + Send>;

type HandlerMaker = Box<dyn FnOnce() -> Rc<dyn EndHandler> + Send>;

impl Process {
    /// An STA of this process, to be configured and then spawned or entered.
    pub fn sta(&self, name: impl Into<String>) -> StaBuilder {
        Sta::builder(name).process(self)
    }

    /// The main STA: the first that was made, as long as it lives (rule AP-4).
    pub fn main_sta(&self) -> Option<Apartment> {
        self.main_mailbox().map(Apartment)
    }
}

impl StaBuilder {
    /// The process it belongs to; the default one otherwise.
    #[must_use]
    pub fn process(self, process: &Process) -> Self {
        Self { process: Some(process.clone()), ..self }
    }

    /// How many entries have room in its mailbox, at least 1; 10,000 otherwise (rule MB-1).
    #[must_use]
    pub fn capacity(self, entries: usize) -> Self {
        Self { capacity: entries, ..self }
    }

    /// What comes in while it waits (rule DI-12).
    #[must_use]
    pub fn reentrancy(self, policy: Reentrancy) -> Self {
        Self { reentrancy: policy, ..self }
    }

    /// How deep its waits may nest before a *classic* one lets in its own chain only; 64 otherwise (rule DI-12).
    #[must_use]
    pub fn nested_waits(self, depth: usize) -> Self {
        Self { nested_waits: depth, ..self }
    }

    /// Its message filter, made on its thread (rule MF-1).
    #[must_use]
    pub fn filter<F: MessageFilter + 'static>(self, make: impl FnOnce() -> F + Send + 'static) -> Self {
        Self { filter: Some(Box::new(move || Rc::new(make()))), ..self }
    }

    /// Its end handler, made on its thread: asked before the process [ends](Process::end) (rule LT-8).
    #[must_use]
    pub fn end_handler<H: EndHandler + 'static>(self, make: impl FnOnce() -> H + Send + 'static) -> Self {
        Self { end_handler: Some(Box::new(move || Rc::new(make()))), ..self }
    }

    /// A hook around its thread's life: the guard is made on the thread before anything runs there, and dropped there
    /// after the apartment has ended. If the hook fails, spawning (or entering) fails with `SysCallFailed` and its error
    /// as the source.
    #[must_use]
    pub fn around<G: 'static, E: Into<Box<dyn StdError + Send + Sync>>>(
        self,
        make_guard: impl Fn() -> Result<G, E> + Send + Sync + 'static,
    ) -> Self {
        Self { hook: Some(hook::hook(make_guard)), ..self }
    }

    /// The size of its thread's stack in bytes; the system's choice otherwise. Nested waits are nested on the stack.
    #[must_use]
    pub fn stack_size(self, bytes: usize) -> Self {
        Self { stack_size: Some(bytes), ..self }
    }

    /// Starts its thread, which bears its name. Waits for the thread only if there is a filter, an end handler or a hook to
    /// be made on it; an STA pumps in that wait.
    ///
    /// # Errors
    /// `SysCallFailed` if the thread cannot be started, or its hook, filter or end handler cannot be made (rule AP-10);
    /// `InvalidArgument` for a capacity of 0; `ServerStopping` if the process is ending, or has ended.
    pub fn spawn(mut self) -> Result<Sta, CallError> {
        self.check()?;
        let process = Process::or_global(self.process.take());
        let bell = Arc::new(Bell::new());
        let mailbox = self.mailbox(&process, &bell, ApartmentHow::Spawned);
        process.apartment_begins(&mailbox)?;
        let main = process.sta_began(&mailbox);
        self.tell_began(&mailbox, main);
        let waits = self.filter.is_some() || self.end_handler.is_some() || self.hook.is_some();
        let maker = Thread::current();
        let start = Arc::new(Start { outcome: Mutex::new(None), maker: Arc::clone(maker.bell()) });
        let told = Arc::clone(&start);
        let thread = self.start(&process, &mailbox, bell, main, move |outcome| told.report(outcome))?;
        let sta = Sta { apartment: Apartment(mailbox), thread: Mutex::new(Some(thread)) };
        if waits {
            start.wait(&maker, &sta.apartment.0)?;
        }
        Ok(sta)
    }

    /// Starts a thread that is a host STA, if there is still none in the place that it is for. Waits for nothing; how it
    /// ended the process is told by the host's thread, or by this if there is none (rule CL-3).
    pub(crate) fn spawn_host(mut self, process: &Process, host: Host) {
        let HostOptions { hook, stack_size } = process.host_options();
        (self.hook, self.stack_size) = (hook, stack_size);
        let bell = Arc::new(Bell::new());
        let mailbox = self.mailbox(process, &bell, ApartmentHow::Host);
        if let Err(stopping) = process.apartment_begins(&mailbox) {
            return process.host_started(host, Err(stopping));
        }
        let Some(main) = process.host_sta_began(host, &mailbox) else {
            mailbox.never_began();
            return process.host_started(host, Ok(()));
        };
        self.tell_began(&mailbox, main);
        let told = process.clone();
        let started = self.start(process, &mailbox, bell, main, move |outcome| told.host_started(host, outcome));
        if let Err(error) = started {
            process.host_started(host, Err(error));
        }
        // Nobody joins it: it ends with its process.
    }

    /// Starts the thread, which says how it settled before it serves anything.
    fn start(
        self,
        process: &Process,
        mailbox: &Arc<Mailbox>,
        bell: Arc<Bell>,
        main: bool,
        settled: impl FnOnce(Result<(), CallError>) + Send + 'static,
    ) -> Result<JoinHandle, CallError> {
        let stack_size = self.stack_size;
        let body = {
            let (mailbox, process) = (Arc::clone(mailbox), process.clone());
            move || {
                let thread = Thread::started(bell);
                match self.settled(&thread, &mailbox, &process, main) {
                    Ok(home) => {
                        settled(Ok(()));
                        run_loop(&thread, &home);
                    }
                    Err(error) => {
                        settled(Err(error));
                        mailbox.thread_gone();
                    }
                }
            }
        };
        spawn(&mailbox.name.name, stack_size, body).map_err(|error| {
            fail(mailbox, process, &Thread::current());
            mailbox.thread_gone();
            CallError::sys_call_failed(format!("the thread of {} could not be started", mailbox.name), error)
        })
    }

    /// Makes the current thread the apartment, until the guard is dropped. Does not wait.
    ///
    /// A thread that is an STA of the same process already enters once more: the guard then stands for one more entry
    /// into the same apartment, which keeps the name and the options it has (rule AP-3). One that is being left by then is
    /// left all the same: its door stays closed.
    ///
    /// ```
    /// use apartment::Sta;
    ///
    /// let ui = Sta::builder("ui").enter()?;
    /// let worker = Sta::spawn("worker")?;
    /// let bar = ui.create(|| std::cell::Cell::new(0))?;
    /// let job = worker.create(|| ())?;
    /// // While this thread waits for the worker, the worker calls back into it.
    /// let percent = bar.clone();
    /// job.call(move |()| percent.call(|bar| bar.set(100)))??;
    /// assert_eq!(bar.call(|bar| bar.get())?, 100);
    /// # drop(ui);
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ChangedMode` if the thread is in the MTA, or in an apartment of another process; `NotSupported` while its locals are being destroyed; `SysCallFailed` if the hook,
    /// the filter or the end handler cannot be made; `InvalidArgument` for a capacity of 0; `ServerStopping` if the process is ending, or
    /// has ended.
    #[doc(alias("CoInitializeEx", "CoInitialize"))]
    pub fn enter(mut self) -> Result<Entered, CallError> {
        self.check()?;
        let process = Process::or_global(self.process.take());
        let thread = Thread::current();
        thread.may_enter()?;
        match thread.home() {
            None => {}
            Some(home) => return Entered::again(&thread, home, &process),
        }
        let mailbox = self.mailbox(&process, thread.bell(), ApartmentHow::Entered);
        process.apartment_begins(&mailbox)?;
        let main = process.sta_began(&mailbox);
        self.tell_began(&mailbox, main);
        let home = self.settled(&thread, &mailbox, &process, main).inspect_err(|_| mailbox.thread_gone())?;
        Ok(Entered::first(&thread, &home))
    }

    fn check(&self) -> Result<(), CallError> {
        match self.capacity {
            0 => Err(CallError::InvalidArgument { what: "a mailbox' capacity is at least 1".into() }),
            _ => Ok(()),
        }
    }

    fn mailbox(&self, process: &Process, bell: &Arc<Bell>, how: ApartmentHow) -> Arc<Mailbox> {
        let name = process.new_name(self.name.clone());
        let owner = Owner::Sta(Arc::clone(bell));
        Mailbox::new(name, self.capacity, Arc::clone(process.common()), how, owner, None)
    }

    fn tell_began(&self, mailbox: &Mailbox, main: bool) {
        mailbox.tell(Thread::current().who(), None, || What::ApartmentBegan {
            name: Arc::clone(&mailbox.name.name),
            sta: true,
            how: mailbox.how,
            main,
            capacity: mailbox.capacity,
            reentrancy: Some(self.reentrancy),
            process: Arc::clone(&mailbox.common.name),
        });
    }

    /// Makes the thread the apartment's; if that fails, nothing of it stays behind.
    fn settled(
        mut self,
        thread: &Rc<Thread>,
        mailbox: &Arc<Mailbox>,
        process: &Process,
        main: bool,
    ) -> Result<Rc<StaHome>, CallError> {
        let (hook, mut filter, mut handler) = (self.hook.take(), self.filter.take(), self.end_handler.take());
        let settled = self
            .settle(thread, mailbox, process, main, hook.as_ref())
            .and_then(|home| set_filter(thread, &home, &mut filter).map(|()| home))
            .and_then(|home| set_end_handler(thread, &home, &mut handler).map(|()| home));
        contain(mailbox, thread, "the destructor of a hook", || drop(hook));
        contain(mailbox, thread, "the destructor of a filter's maker", || drop(filter));
        contain(mailbox, thread, "the destructor of an end handler's maker", || drop(handler));
        if settled.is_err() {
            match thread.sta() {
                // What its makers did there may have made objects, or let in who did.
                Some(home) => home.end(thread, true),
                None => fail(mailbox, process, thread),
            }
        }
        settled
    }

    /// Makes the thread the apartment's: hook first, then the home; filter and end handler, which may ask where they are, come
    /// afterwards.
    fn settle(
        &self,
        thread: &Rc<Thread>,
        mailbox: &Arc<Mailbox>,
        process: &Process,
        main: bool,
        hook: Option<&Hook>,
    ) -> Result<Rc<StaHome>, CallError> {
        let guard = hook::enter(hook, mailbox, true)?;
        let home = Rc::new(StaHome {
            mailbox: Arc::clone(mailbox),
            process: process.clone(),
            reentrancy: self.reentrancy,
            nested_waits: u32::try_from(self.nested_waits).unwrap_or(u32::MAX),
            main,
            objects: RefCell::new(BTreeMap::new()),
            filter: RefCell::new(None),
            end_handler: RefCell::new(None),
            enters: Cell::new(1),
            leaves_later: Cell::new(false),
            is_leaving: Cell::new(false),
            leave,
            guard: RefCell::new(guard),
        });
        thread.set_home(Some(Home::Sta(Rc::clone(&home))));
        let name = Arc::clone(&mailbox.name.name);
        mailbox.tell(thread.who(), None, || What::ThreadEntered { name, implicit: false });
        Ok(home)
    }
}

fn set_filter(thread: &Thread, home: &StaHome, make: &mut Option<FilterMaker>) -> Result<(), CallError> {
    let Some(filter) = made(home, "filter", make)? else { return Ok(()) };
    // Its maker may have registered another.
    let before = home.filter.replace(Some(filter));
    contain(&home.mailbox, thread, "a filter's destructor", || drop(before));
    home.mailbox.tell(thread.who(), None, || What::FilterSet { set: true });
    Ok(())
}

fn set_end_handler(thread: &Thread, home: &StaHome, make: &mut Option<HandlerMaker>) -> Result<(), CallError> {
    let Some(handler) = made(home, "end handler", make)? else { return Ok(()) };
    let before = home.end_handler.replace(Some(handler));
    contain(&home.mailbox, thread, "an end handler's destructor", || drop(before));
    home.mailbox.handles_end(true);
    Ok(())
}

/// Runs the maker of something that belongs to the apartment's thread.
fn made<T>(
    home: &StaHome,
    what: &'static str,
    make: &mut Option<Box<dyn FnOnce() -> T + Send>>,
) -> Result<Option<T>, CallError> {
    let Some(make) = make.take() else { return Ok(None) };
    catch_unwind(AssertUnwindSafe(make)).map(Some).map_err(|payload| {
        let what = format!("the {what} of {} could not be made", home.mailbox.name);
        CallError::sys_call_failed(what, format!("it panicked: {}", panic_message(payload)))
    })
}

/// Nothing half-made stays behind (rule AP-10).
fn fail(mailbox: &Arc<Mailbox>, process: &Process, thread: &Thread) {
    drop_unrun(mailbox, thread, mailbox.end(true, 0, thread.who()));
    process.sta_ended(mailbox);
}

/// How the maker of a thread learns whether it started.
pub(super) struct Start {
    pub(super) outcome: Mutex<Option<Result<(), CallError>>>,
    pub(super) maker: Arc<Bell>,
}

impl Start {
    pub(super) fn report(&self, outcome: Result<(), CallError>) {
        *self.outcome.lock() = Some(outcome);
        self.maker.ring();
    }

    /// Pumps on an STA, blocks elsewhere.
    pub(super) fn wait(&self, maker: &Rc<Thread>, mailbox: &Mailbox) -> Result<(), CallError> {
        wait(maker, Situation::Plain(WaitFor::Thread, &mailbox.common), None, || self.outcome.lock().is_some());
        self.outcome.lock().take().unwrap_or(Ok(()))
    }
}

/// A spawned STA's life: serve until it is asked to quit and everything accepted has been served; then end.
fn run_loop(thread: &Rc<Thread>, home: &Rc<StaHome>) {
    serve_until(thread, home, || home.mailbox.begin_end(false).is_some());
    home.end(thread, false);
}

impl Sta {
    /// An STA with default options in the default process.
    ///
    /// # Errors
    /// `SysCallFailed` if its thread cannot be started.
    pub fn spawn(name: impl Into<String>) -> Result<Self, CallError> {
        Self::builder(name).spawn()
    }

    /// An STA to order.
    pub fn builder(name: impl Into<String>) -> StaBuilder {
        StaBuilder {
            name: name.into(),
            process: None,
            capacity: DEFAULT_CAPACITY,
            reentrancy: Reentrancy::Classic,
            nested_waits: 64,
            filter: None,
            end_handler: None,
            hook: None,
            stack_size: None,
        }
    }

    /// Makes an object in the apartment. `make` runs on its thread and may borrow from the caller's stack; the object
    /// stays there and need not be `Send`. It is a call: an STA that waits for it pumps, other threads block; on the
    /// apartment's own thread it is direct.
    ///
    /// # Errors
    /// As a call: `MailboxFull`, `Disconnected`, the filter's answers; `ServerFault` if `make` panics.
    #[doc(alias("CoCreateInstance", "marshal"))]
    #[track_caller]
    pub fn create<T: 'static>(&self, make: impl FnOnce() -> T + Send) -> Result<Proxy<T>, CallError> {
        match self.try_create(|| Ok::<T, std::convert::Infallible>(make()))? {
            Ok(proxy) => Ok(proxy),
            Err(never) => match never {},
        }
    }

    /// As [`create`](Sta::create), with a constructor that may fail: its own error comes back nested.
    ///
    /// ```
    /// use apartment::Sta;
    ///
    /// fn open(port: &str) -> Result<(), Box<dyn std::error::Error>> {
    ///     let device = Sta::spawn("device")?;
    ///     let port = device.try_create(|| port.parse::<u16>())??;
    ///     assert_eq!(port.call(|port| *port)?, 8080);
    ///     Ok(())
    /// }
    /// open("8080").unwrap();
    /// assert!(open("eighty").is_err());
    /// ```
    ///
    /// # Errors
    /// As [`create`](Sta::create); inside, what `make` failed with.
    #[track_caller]
    pub fn try_create<T: 'static, E: Send>(
        &self,
        make_it: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<Result<Proxy<T>, E>, CallError> {
        Ok(make(&self.apartment.0, || make_it().map(Held::new), keep_at_home::<T>)?.map(Proxy::from_stub))
    }

    /// The apartment as anybody may hold it.
    pub fn apartment(&self) -> &Apartment {
        &self.apartment
    }

    /// Asks it to quit; see [`Apartment::quit`]. Never waits.
    pub fn quit(&self) {
        self.apartment.quit();
    }

    /// Waits until it has ended, which somebody else has to ask for or has asked for: what it accepted is served, its
    /// objects are dropped, its thread has left the library. Waits for ever if nobody does. An STA pumps in this wait;
    /// other threads block, and wait for the destructors of the thread's locals, too.
    ///
    /// # Errors
    /// `Deadlock` on its own thread, which would wait for itself; the handle is gone then, and so the apartment quits.
    pub fn join(self) -> Result<(), CallError> {
        if self.is_here() {
            let cycle = format!("{} waits for its own thread to end", self.apartment.0.name);
            return Err(CallError::Deadlock { cycle: cycle.into() });
        }
        self.wait_for_end();
        Ok(())
    }

    fn is_here(&self) -> bool {
        Thread::current().home().is_some_and(|home| home.is_at(&self.apartment.0))
    }

    fn wait_for_end(&self) {
        wait_until_gone(&self.apartment.0);
        let thread = self.thread.lock().take();
        join_threads(thread);
    }
}

/// Whether a handle that is dropped may wait: not while the thread unwinds, nor inside a filter's method or an
/// input-synchronized call, where a wait does not pump and could not answer what the ending apartment still calls
/// (rules CK-3, CK-4); nor for an apartment that its process' end has given up on (rule LT-8).
pub(super) fn may_wait_for_end(mailbox: &Mailbox) -> bool {
    !thread_is_unwinding() && !Thread::current().dispatches_nothing() && !mailbox.is_left_behind()
}

/// Waits until an apartment has ended and its threads have left the library. Pumps on an STA, blocks elsewhere.
pub(super) fn wait_until_gone(mailbox: &Mailbox) {
    let thread = Thread::current();
    wait(&thread, Situation::Plain(WaitFor::Thread, &mailbox.common), None, || mailbox.is_gone(thread.bell()));
}

/// The threads have left the library; what remains are the destructors of their locals. These may call whom they like, so
/// an STA, which could not answer, does not wait for them; nor does a thread for its own.
pub(super) fn join_threads(threads: impl IntoIterator<Item = JoinHandle>) {
    let waits = Thread::current().sta().is_none();
    for thread in threads {
        if waits && !is_this_thread(&thread) && thread.join().is_err() {
            crate::broken("an apartment's thread contains every panic of the user's");
        }
    }
}

impl Drop for Sta {
    fn drop(&mut self) {
        if self.thread.lock().is_none() {
            return;
        }
        self.quit();
        if may_wait_for_end(&self.apartment.0) && !self.is_here() {
            self.wait_for_end();
        }
    }
}

impl fmt::Debug for Sta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sta").field(&self.apartment).finish()
    }
}

impl fmt::Debug for StaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("reentrancy", &self.reentrancy)
            .field("filter", &self.filter.is_some())
            .field("end_handler", &self.end_handler.is_some())
            .finish_non_exhaustive()
    }
}
