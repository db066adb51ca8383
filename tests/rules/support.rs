//! What tests of several rules need: a stop inside a served call, a process that is recorded, events by kind.

use crate::patience::in_time;
use crate::programs::start;
use apartment::{Apartment, Clock, Event, Process, Proxy, Recording, What};
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread::JoinHandle;

/// A process with a driven clock and a recording of more events than any test makes.
pub(crate) fn recorded() -> (Process, Recording) {
    let process = Process::builder().clock(Clock::driven()).record(100_000).build();
    let recording = process.recording().unwrap();
    (process, recording)
}

/// A place where a served call stops until the test lets it go on. Dropped, it is open: a test that fails leaves nobody
/// standing there.
pub(crate) struct Gate(Arc<Bar>);

/// The side of the call that is to stop; any number may stop at one gate.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Bar>);

struct Bar {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    met: usize,
    open: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Bar { state: Mutex::new(State { met: 0, open: false }), changed: Condvar::new() }))
    }

    pub(crate) fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.0))
    }

    /// Waits until somebody has come to it.
    pub(crate) fn met(&self) {
        self.met_by(1);
    }

    /// Waits until that many have come to it.
    pub(crate) fn met_by(&self, many: usize) {
        let state = self.0.state.lock().unwrap();
        drop(self.0.changed.wait_while(state, |state| state.met < many).unwrap());
    }

    pub(crate) fn open(&self) {
        self.0.state.lock().unwrap().open = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Stop {
    /// Says that it is here, and stays until the gate is open.
    pub(crate) fn wait(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.met += 1;
        self.0.changed.notify_all();
        drop(self.0.changed.wait_while(state, |state| !state.open).unwrap());
    }
}

/// Posts a closure that stops in the object's apartment, and waits until it stands there: until the gate is open that
/// thread serves nothing else.
pub(crate) fn hold<T: 'static>(proxy: &Proxy<T>) -> Gate {
    let gate = Gate::new();
    let stop = gate.stop();
    proxy.post(move |_| stop.wait()).unwrap();
    gate.met();
    gate
}

/// A list to which all parties of a test append what they see, in order.
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn add(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A condition for `Recording::until` that is met by the event that meets it for the `n`th time.
pub(crate) fn nth(n: usize, mut condition: impl FnMut(&Event) -> bool) -> impl FnMut(&Event) -> bool {
    let mut met = 0;
    move |event| {
        met += usize::from(condition(event));
        met == n
    }
}

/// A condition on the kind of event, for those of one apartment.
pub(crate) fn at(apartment: &Apartment, kind: fn(&What) -> bool) -> impl Fn(&Event) -> bool + use<> {
    let id = apartment.id();
    move |event| event.apartment == Some(id) && kind(&event.what)
}

/// A condition for `Recording::until` that is met when a thread of the apartment leaves it after its end. (Threads that only
/// pass through an MTA leave it earlier.)
pub(crate) fn left_after_the_end(apartment: &Apartment) -> impl FnMut(&Event) -> bool + use<> {
    let ended = at(apartment, |what| matches!(what, What::ApartmentEnded { .. }));
    let left = at(apartment, |what| matches!(what, What::ThreadLeft));
    let mut has_ended = false;
    move |event| {
        has_ended |= ended(event);
        has_ended && left(event)
    }
}

/// Never drops it. It stays where what looks for leaks finds it: this is none.
pub(crate) fn forget<T>(value: T) {
    static FORGOTTEN: RwLock<Vec<usize>> = RwLock::new(Vec::new());
    FORGOTTEN.write().unwrap().push(Box::into_raw(Box::new(value)).addr());
}

/// More than any system gives a stack.
#[cfg(target_pointer_width = "64")]
pub(crate) const TOO_MUCH: usize = 1 << 56;
#[cfg(target_pointer_width = "32")]
pub(crate) const TOO_MUCH: usize = 3 << 30;

/// How many events meet the condition so far.
pub(crate) fn count(recording: &Recording, condition: impl Fn(&Event) -> bool) -> usize {
    recording.events().iter().filter(|event| condition(event)).count()
}

/// Waits for a thread; its panic becomes the test's.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|payload| resume_unwind(payload))
}

/// Runs a body whose failure would be to wait for ever: then the test fails instead.
pub(crate) fn must_end<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    match in_time(body) {
        Some(Ok(value)) => value,
        Some(Err(panic)) => resume_unwind(panic),
        None => panic!("somebody waits for ever"),
    }
}

/// Whether this is the child process of [`in_child`].
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the test of that name, and nothing else, in a process of its own, where [`is_child`] is true, and fails if it
/// fails there. For what would take all tests with it.
#[track_caller]
pub(crate) fn in_child(test: &str) {
    let program = std::env::current_exe().unwrap();
    let child = start(&program)
        .args(["--exact", test, "--nocapture"])
        .envs([(CHILD, "1"), ("RUST_BACKTRACE", "0")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("running 1 test"), "there is no test of that name: {said}");
    assert!(child.status.success(), "{}: {}", child.status, String::from_utf8_lossy(&child.stderr));
}

const CHILD: &str = "APARTMENT_TEST_CHILD";
