//! Making a single-threaded apartment: to order, on a thread of its own or on the current one; and a spawned one's loop.

use super::adopt::Adopting;
use super::entered::{Entered, leave};
use super::handle::Apartment;
use super::hook::{self, Hook};
use super::join::wait_for;
use super::sta::Sta;
use super::wait::serve_until;
use crate::describe::Reentrancy;
use crate::diagnose::{ApartmentHow, WaitFor, What};
use crate::error::CallError;
use crate::filter::MessageFilter;
use crate::mailbox::{DEFAULT_CAPACITY, Mailbox, Owner};
use crate::process::{Coming, EndHandler, Host, HostOptions, Process};
use crate::sync::{Arc, Bell, JoinHandle, spawn};
use crate::thread::{Adopted, Home, Objects, StaHome, Thread, contain, drop_unrun, panic_message};
use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

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
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
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
        let waits = self.filter.is_some() || self.end_handler.is_some() || self.hook.is_some();
        let maker = Thread::current();
        if waits {
            maker.may_block()?;
        }
        let process = Process::or_global(self.process.take());
        let bell = Arc::new(Bell::new());
        let mailbox = self.mailbox(&process, &bell, ApartmentHow::Spawned);
        process.apartment_begins(&mailbox)?;
        let main = process.sta_began(&mailbox);
        self.tell_began(&mailbox, main);
        let start = waits.then(Coming::new);
        let told = start.clone();
        let settled = move |outcome| {
            if let Some(told) = told {
                told.settle(outcome);
            }
        };
        let thread = self.start(&process, &mailbox, bell, main, settled)?;
        let sta = Sta::of(Apartment(mailbox), thread);
        if let Some(start) = start {
            wait_for(&maker, WaitFor::Thread, process.common(), &start)?;
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
                match self.settled(&thread, &mailbox, &process, main, None) {
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
    pub fn enter(self) -> Result<Entered, CallError> {
        self.enter_as(None)
    }

    /// The same, on a thread that belongs to an event loop if there is a host.
    pub(super) fn enter_as(mut self, host: Option<Adopting>) -> Result<Entered, CallError> {
        self.check()?;
        let process = Process::or_global(self.process.take());
        let thread = Thread::current();
        thread.may_enter()?;
        match thread.home() {
            None => {}
            Some(home) => return Entered::again(&thread, home, &process),
        }
        let how = if host.is_some() { ApartmentHow::Adopted } else { ApartmentHow::Entered };
        let mailbox = self.mailbox(&process, thread.bell(), how);
        process.apartment_begins(&mailbox)?;
        // Before anybody can reach it: from its first arrival on the loop is woken.
        let adopted = host.map(|host| host.begin(&thread, &mailbox));
        let main = process.sta_began(&mailbox);
        self.tell_began(&mailbox, main);
        let home = self.settled(&thread, &mailbox, &process, main, adopted).inspect_err(|_| mailbox.thread_gone())?;
        // What came while its filter was made may have been seen there, and left.
        home.on_the_way_out(&thread);
        Ok(Entered::first(&thread, &home))
    }

    fn check(&self) -> Result<(), CallError> {
        match self.capacity {
            0 => Err(CallError::InvalidArgument { what: "a mailbox' capacity is at least 1".into() }),
            _ => Ok(()),
        }
    }

    fn mailbox(&mut self, process: &Process, bell: &Arc<Bell>, how: ApartmentHow) -> Arc<Mailbox> {
        let name = process.new_name(std::mem::take(&mut self.name));
        let owner = Owner::Sta(Arc::clone(bell));
        Mailbox::new(name, self.capacity, Arc::clone(process.common()), how, owner, None)
    }

    fn tell_began(&self, mailbox: &Mailbox, main: bool) {
        let began = What::ApartmentBegan {
            name: Arc::clone(&mailbox.name.name),
            sta: true,
            how: mailbox.how,
            main,
            capacity: mailbox.capacity,
            reentrancy: Some(self.reentrancy),
            process: Arc::clone(&mailbox.common.name),
        };
        mailbox.note(Thread::current().who(), began);
    }

    /// Makes the thread the apartment's; if that fails, nothing of it stays behind.
    fn settled(
        mut self,
        thread: &Rc<Thread>,
        mailbox: &Arc<Mailbox>,
        process: &Process,
        main: bool,
        adopted: Option<Adopted>,
    ) -> Result<Rc<StaHome>, CallError> {
        let (hook, mut filter, mut handler) = (self.hook.take(), self.filter.take(), self.end_handler.take());
        let settled = self
            .settle(thread, mailbox, process, main, adopted, hook.as_ref())
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
        adopted: Option<Adopted>,
        hook: Option<&Hook>,
    ) -> Result<Rc<StaHome>, CallError> {
        let guard = hook::enter(hook, mailbox, true).inspect_err(|_| drop(thread.bell().left()))?;
        let home = Rc::new(StaHome {
            mailbox: Arc::clone(mailbox),
            process: process.clone(),
            reentrancy: self.reentrancy,
            nested_waits: u32::try_from(self.nested_waits).unwrap_or(u32::MAX),
            main,
            objects: Objects::default(),
            filter: RefCell::new(None),
            batch: Cell::new(false),
            end_handler: RefCell::new(None),
            enters: Cell::new(1),
            leaves_later: Cell::new(false),
            is_leaving: Cell::new(false),
            leave,
            guard: RefCell::new(guard),
            adopted: RefCell::new(adopted.map(Rc::new)),
        });
        thread.set_home(Some(Home::Sta(Rc::clone(&home))));
        let name = Arc::clone(&mailbox.name.name);
        mailbox.note(thread.who(), What::ThreadEntered { name, implicit: false });
        Ok(home)
    }
}

fn set_filter(thread: &Thread, home: &StaHome, make: &mut Option<FilterMaker>) -> Result<(), CallError> {
    let Some(filter) = made(home, "filter", make)? else { return Ok(()) };
    // Its maker may have registered another.
    let before = home.filter.replace(Some(filter));
    contain(&home.mailbox, thread, "a filter's destructor", || drop(before));
    home.mailbox.note(thread.who(), What::FilterSet { set: true });
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

/// A spawned STA's life: serve until it is asked to quit and everything accepted has been served; then end.
fn run_loop(thread: &Rc<Thread>, home: &Rc<StaHome>) {
    serve_until(thread, home, || home.mailbox.begin_end(false).is_some());
    home.end(thread, false);
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
