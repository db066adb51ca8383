//! A process: a set of apartments with a clock, a main STA, at most one MTA, and the events of all of them; its host
//! apartments, classes and servers.

mod coming;
mod end;
mod hosts;
mod listen;
mod servers;
mod table;

pub(crate) use coming::Coming;
pub(crate) use end::{Answer, Asked, Begins, Count as EndCount, Query, TellsOver};
pub use end::{EndHandler, EndRefused, Ended, NotFromHere, Refusal, WhyRefused};
pub(crate) use hosts::{Found, Hook, Host, HostOptions, hook};
pub(crate) use servers::{Asking, Begun, Code, Count, Loaded, Server, ServerId};

use crate::common::Common;
use crate::describe::ApartmentName;
use crate::diagnose::{Recorder, Recording};
use crate::id::ApartmentId;
use crate::sync::{Arc, Clock, MODELLED, Mutex, Spin};
use crate::wait_graph::Graph;
use end::Ends;
use hosts::Places;
use servers::Servers;
use std::error::Error as StdError;
use std::fmt;
use table::Table;

/// A set of apartments (rule AP-1).
///
/// Several can live side by side in one program, as tests and models want it; those who name none share
/// [`Process::global`]. Clones are the same process. Dropping the last handle ends nothing: apartments are ended by
/// their own handles, or all together with [`end`](Process::end).
///
/// ```
/// use apartment::Process;
///
/// let process = Process::new();
/// let first = process.sta("first").spawn()?;
/// let second = process.sta("second").spawn()?;
/// assert_eq!(process.main_sta().unwrap().name(), "first");
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    common: Arc<Common>,
    /// From its making on.
    recording: Option<Recording>,
    hosts: HostOptions,
    state: Mutex<State>,
    ends: Ends,
    table: Table,
}

/// Guarded by the process' own lock, which is never taken while an apartment's is held, nor the other way round; no code of
/// the user's runs under it.
struct State {
    apartments_made: u64,
    places: Places,
    servers: Servers,
}

/// Makes a [`Process`] to order.
#[derive(Default)]
pub struct ProcessBuilder {
    name: Option<String>,
    clock: Option<Clock>,
    record: Option<usize>,
    spin: Spin,
    strict: bool,
    hosts: HostOptions,
    undetected: bool,
}

impl ProcessBuilder {
    /// What it is called where it is shown.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Where it takes its time from; the system's clock otherwise.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Whether its threads look a few times more before they sleep; they do, [adaptively](Spin::Adaptive), otherwise.
    ///
    /// ```
    /// use apartment::{Process, Spin};
    ///
    /// let frugal = Process::builder().spin(Spin::Never).build();
    /// let home = frugal.sta("home").spawn()?;
    /// assert_eq!(home.create(|| 1)?.call(|one| one + 1)?, 2);
    /// # Ok::<(), apartment::Error>(())
    /// ```
    #[must_use]
    pub fn spin(self, spin: Spin) -> Self {
        Self { spin, ..self }
    }

    /// Records its events from its making on, up to that many (rule DG-2). Read them with [`Process::recording`].
    #[must_use]
    pub fn record(self, bound: usize) -> Self {
        Self { record: Some(bound), ..self }
    }

    /// With strict COM rules, for teaching and for porting:
    ///
    /// * A thread that is in no apartment, while there is no MTA, can do nothing but make or enter an apartment, ask where
    ///   it is, and drop references: everything else is `NotInitialized` (rule ST-1).
    /// * A proxy belongs to the apartment that unmarshalled it, made it, or was given it as an interface's argument or
    ///   result; used anywhere else it is `WrongThread`, and nothing reaches the object (rule ST-2). Marshal it.
    /// * A one-way call made by a thread of the MTA, or by one in no apartment, waits as a synchronous one does
    ///   (rule ST-3).
    #[must_use]
    pub fn strict_rules(self) -> Self {
        Self { strict: true, ..self }
    }

    /// A hook around the life of each thread of its host apartments (rule CL-3), as for an
    /// [STA](crate::StaBuilder::around): the guard is made on the thread before anything runs there and dropped after
    /// everything. If it fails, so does the creation that needs the host, with `SysCallFailed` and the hook's error as
    /// its source.
    #[must_use]
    pub fn around_hosts<G: 'static, E: Into<Box<dyn StdError + Send + Sync>>>(
        self,
        make_guard: impl Fn() -> Result<G, E> + Send + Sync + 'static,
    ) -> Self {
        let hosts = HostOptions { hook: Some(hook(make_guard)), ..self.hosts };
        Self { hosts, ..self }
    }

    /// The size of the stacks of its host apartments' threads, in bytes; the system's choice otherwise.
    #[must_use]
    pub fn host_stack_size(self, bytes: usize) -> Self {
        let hosts = HostOptions { stack_size: Some(bytes), ..self.hosts };
        Self { hosts, ..self }
    }

    /// Without deadlock detection (rule DL-1), in a model: for those that show what becomes of a deadlock then (rule DL-3).
    #[doc(hidden)]
    #[must_use]
    pub fn without_deadlock_detection(self) -> Self {
        Self { undetected: true, ..self }
    }

    fn graph(&self) -> Graph {
        if self.undetected { Graph::off() } else { Graph::new() }
    }

    /// Makes the process.
    pub fn build(self) -> Process {
        let graph = self.graph();
        let clock = self.clock.unwrap_or_else(Clock::real);
        let name = self.name.unwrap_or_else(|| "process".to_owned()).into();
        let recorder = Arc::new(Recorder::new(clock.clone()));
        let recording = self.record.map(|bound| Recording::begin(&recorder, bound, false));
        Process(Arc::new(Inner {
            common: Common::new(name, clock, recorder, graph, self.spin, self.strict),
            recording,
            hosts: self.hosts,
            ends: Ends::new(),
            state: Mutex::new(State { apartments_made: 0, places: Places::default(), servers: Servers::default() }),
            table: Table::new(),
        }))
    }
}

impl Process {
    /// A process of its own, with the system's clock and without a recording.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Makes a process to order.
    pub fn builder() -> ProcessBuilder {
        ProcessBuilder::default()
    }

    /// The process of everybody who names none, made when it is first asked for.
    ///
    /// # Panics
    /// In a model (`--cfg loom`, `--cfg shuttle`), where statics survive an execution: it makes its own process and names it.
    pub fn global() -> Self {
        if MODELLED {
            panic!("there is no default process in a model: it makes its own and names it");
        }
        static GLOBAL: once_cell::sync::OnceCell<Process> = once_cell::sync::OnceCell::new();
        GLOBAL.get_or_init(|| Self::builder().name("default").build()).clone()
    }

    pub(crate) fn or_global(process: Option<Self>) -> Self {
        process.unwrap_or_else(Self::global)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.common.name
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.0.common.clock
    }

    /// Its events since its making, if it was made with [`ProcessBuilder::record`].
    pub fn recording(&self) -> Option<Recording> {
        self.0.recording.clone()
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        &self.0.common
    }

    fn ends(&self) -> &Ends {
        &self.0.ends
    }

    pub(crate) fn table(&self) -> &Table {
        &self.0.table
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The name under which a new apartment is known.
    pub(crate) fn new_name(&self, name: String) -> ApartmentName {
        let mut state = self.0.state.lock();
        state.apartments_made += 1;
        ApartmentName { id: ApartmentId(state.apartments_made), name: name.into() }
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ProcessBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessBuilder")
            .field("name", &self.name)
            .field("clock", &self.clock)
            .field("record", &self.record)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name()).finish_non_exhaustive()
    }
}
