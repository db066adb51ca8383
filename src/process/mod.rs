//! A process: a set of apartments with a clock, a main STA, at most one MTA, and the events of all of them.

mod table;

use crate::common::Common;
use crate::describe::ApartmentName;
use crate::diagnose::{Recorder, Recording};
use crate::id::ApartmentId;
use crate::mailbox::Mailbox;
use crate::sync::{Arc, Clock, Mutex, Weak};
use std::fmt;
use table::Table;

/// A set of apartments (rule AP-1).
///
/// Several can live side by side in one program, as tests and models want it; those who name none share
/// [`Process::global`]. Clones are the same process. Dropping the last handle ends nothing: apartments are ended by
/// their own handles.
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
    state: Mutex<State>,
    table: Table,
}

/// Guarded by the process' own lock, which is never taken while an apartment's is held, nor the other way round.
struct State {
    apartments_made: u64,
    main: Option<Arc<Mailbox>>,
    mta: Weak<Mailbox>,
}

/// Makes a [`Process`] to order.
#[derive(Debug, Default)]
pub struct ProcessBuilder {
    name: Option<String>,
    clock: Option<Clock>,
    record: Option<usize>,
    strict: bool,
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

    /// Makes the process.
    pub fn build(self) -> Process {
        let clock = self.clock.unwrap_or_else(Clock::real);
        let name = self.name.unwrap_or_else(|| "process".to_owned()).into();
        let recorder = Recorder::new(clock.clone(), self.record);
        Process(Arc::new(Inner {
            common: Common::new(name, clock, recorder, self.strict),
            state: Mutex::new(State { apartments_made: 0, main: None, mta: Weak::new() }),
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

    /// The process of everybody who names none, made when it is first asked for. Not there under loom, where statics
    /// survive an execution: models make their own.
    #[cfg(not(all(loom, feature = "loom")))]
    pub fn global() -> Self {
        static GLOBAL: once_cell::sync::OnceCell<Process> = once_cell::sync::OnceCell::new();
        GLOBAL.get_or_init(|| Self::builder().name("default").build()).clone()
    }

    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) fn or_global(process: Option<Self>) -> Self {
        process.unwrap_or_else(Self::global)
    }

    #[cfg(all(loom, feature = "loom"))]
    pub(crate) fn or_global(process: Option<Self>) -> Self {
        process.expect("there is no default process under loom: a model makes its own and names it")
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.common.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.0.common.name)
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.0.common.clock
    }

    /// Its events since its making, if it was made with [`ProcessBuilder::record`].
    pub fn recording(&self) -> Option<Recording> {
        self.0.common.recorder.recording()
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.common.recorder
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        &self.0.common
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

    /// An STA was made: the first is the main STA (rule AP-4). Says whether it is.
    pub(crate) fn sta_began(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut state = self.0.state.lock();
        let first = state.main.is_none();
        if first {
            state.main = Some(Arc::clone(mailbox));
        }
        first
    }

    /// An STA ended. If it was the main one, there is none until the next is made.
    pub(crate) fn sta_ended(&self, mailbox: &Arc<Mailbox>) {
        let mut state = self.0.state.lock();
        // Taken out and dropped with the lock released.
        let ended = state.main.take_if(|main| Arc::ptr_eq(main, mailbox));
        drop(state);
        drop(ended);
    }

    pub(crate) fn main_mailbox(&self) -> Option<Arc<Mailbox>> {
        self.0.state.lock().main.clone()
    }

    /// The MTA, if there is one.
    pub(crate) fn mta_mailbox(&self) -> Option<Arc<Mailbox>> {
        self.0.state.lock().mta.upgrade()
    }

    /// Puts a new MTA in the place for it (rule AP-1: at most one); gives the one that is there already.
    pub(crate) fn mta_began(&self, mailbox: &Arc<Mailbox>) -> Result<(), Arc<Mailbox>> {
        let mut state = self.0.state.lock();
        match state.mta.upgrade() {
            Some(there) => Err(there),
            None => {
                state.mta = Arc::downgrade(mailbox);
                self.0.common.set_mta(Some(mailbox.name.id));
                Ok(())
            }
        }
    }

    /// The MTA ended: the place is free.
    pub(crate) fn mta_ended(&self, mailbox: &Arc<Mailbox>) {
        let mut state = self.0.state.lock();
        if std::ptr::eq(state.mta.as_ptr(), Arc::as_ptr(mailbox)) {
            state.mta = Weak::new();
            self.0.common.set_mta(None);
        }
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name()).finish_non_exhaustive()
    }
}
