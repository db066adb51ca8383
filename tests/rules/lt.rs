//! LT: lifetime.

use crate::support::{
    Gate, Log, Stop, at, count, forget, hold, in_child, is_child, join, left_after_the_end, must_end, nth, recorded,
};
use apartment::{
    CallError, CallOptions, Disconnected, Entered, IncomingCall, Kind, Local, MessageClass, MessageFilter, Outcome,
    PostOptions, Process, Proxy, Reentrancy, RejectedCall, Retry, ServerCall, Sta, WaitFor, What, WhyDisconnected,
    current, register_filter,
};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

const DISCONNECTED: u32 = 0x8001_0108;
const SERVER_DIED_DNE: u32 = 0x8001_0012;
const SERVER_FAULT: u32 = 0x8001_0105;

fn here() -> ThreadId {
    thread::current().id()
}

/// An object that tells on which thread it was dropped.
struct Told<T = ()> {
    name: &'static str,
    log: Log<(&'static str, ThreadId)>,
    _holds: T,
}

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        self.log.add((self.name, here()));
    }
}

fn told(name: &'static str, log: &Log<(&'static str, ThreadId)>) -> Told {
    holding(name, log, ())
}

fn holding<T>(name: &'static str, log: &Log<(&'static str, ThreadId)>, holds: T) -> Told<T> {
    Told { name, log: log.clone(), _holds: holds }
}

fn object_dropped(what: &What) -> bool {
    matches!(what, What::ObjectDropped { .. })
}

fn ended(what: &What) -> bool {
    matches!(what, What::ApartmentEnded { .. })
}

/// It is `Disconnected`, `NotStarted`; says why.
#[track_caller]
fn disconnected(error: &CallError) -> &Disconnected {
    assert_eq!((error.hresult(), error.outcome()), (DISCONNECTED, Outcome::NotStarted), "{error}");
    match error {
        CallError::Disconnected(disconnected) => disconnected,
        other => panic!("{other}"),
    }
}

// ---- LT-1

#[test]
fn lt_1_an_object_goes_on_its_thread_with_its_last_reference() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let log = Log::new();
    let object = sta.create(|| told("object", &log)).unwrap();
    let thread = object.call(|_| here()).unwrap();
    let (second, weak) = (object.clone(), object.downgrade());
    drop(object);
    let third = weak.upgrade().expect("there is still one");
    drop(second);
    third.call(|_| ()).unwrap();
    assert_eq!(log.take(), []);
    drop(third);
    assert!(weak.upgrade().is_none(), "a weak one does not keep it");
    recording.until(at(sta.apartment(), object_dropped));
    drop(sta);
    assert_eq!(log.take(), [("object", thread)]);
}

#[test]
fn lt_1_at_home_an_object_goes_at_once() {
    let ui = Process::new().sta("ui").enter().unwrap();
    let log = Log::new();
    let object = ui.create(|| told("object", &log)).unwrap();
    drop(object);
    assert_eq!(log.take(), [("object", here())]);
}

#[test]
fn lt_1_a_local_reference_counts_like_any_other() {
    let ui = Process::new().sta("ui").enter().unwrap();
    let log = Log::new();
    let object = ui.create(|| told("object", &log)).unwrap();
    let weak = object.downgrade();
    let local = object.local().unwrap();
    drop(object);
    assert_eq!(log.take(), []);
    assert!(weak.upgrade().unwrap().call(|object| object.name == "object").unwrap());
    let second = local.clone();
    drop(local);
    assert_eq!((second.name, log.take().len()), ("object", 0));
    drop(second);
    assert_eq!(log.take(), [("object", here())]);
    assert!(weak.upgrade().is_none());
}

#[test]
fn lt_1_a_running_call_holds_its_object() {
    let ui = Process::new().sta("ui").enter().unwrap();
    let log = Log::new();
    let object = ui.create(|| told("object", &log)).unwrap();
    let last = object.clone();
    object
        .post(move |object| {
            drop(last);
            object.log.add(("runs on", here()));
        })
        .unwrap();
    drop(object);
    ui.pump();
    assert_eq!(log.take(), [("runs on", here()), ("object", here())]);
}

#[test]
fn lt_1_what_is_queued_holds_its_object() {
    let (process, _) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let log = Log::new();
    let object = sta.create(|| told("object", &log)).unwrap();
    let held = hold(&object);
    let posted = log.clone();
    object.post(move |object| posted.add((object.name, here()))).unwrap();
    drop(object);
    held.open();
    drop(sta);
    let seen = log.take();
    assert_eq!(seen.len(), 2, "called, then dropped");
    assert_eq!(seen[0], seen[1]);
}

/// An object whose destructor stands at a gate.
struct Slow(Stop);

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[test]
fn lt_1_dropping_a_reference_does_not_wait_for_the_destructor() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let mta = process.mta().threads(1).spawn().unwrap();
        let other = process.sta("other").spawn().unwrap();
        let caller = other.create(|| ()).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let in_sta = sta.create(|| Slow(stop.clone())).unwrap();
        let in_mta = caller.call(|()| mta.create(|| Slow(stop.clone()))).unwrap().unwrap();
        // From a thread in no apartment, and from another STA.
        drop(in_sta);
        caller.call(move |()| drop(in_mta)).unwrap();
        gate.met_by(2);
    });
}

#[test]
fn lt_1_dropping_a_reference_does_not_wait_for_a_busy_apartment() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("sta").spawn().unwrap();
        let (busy, object) = (sta.create(|| ()).unwrap(), sta.create(|| ()).unwrap());
        let held = hold(&busy);
        drop(object);
        assert_eq!(count(&recording, at(sta.apartment(), object_dropped)), 0);
        held.open();
        recording.until(at(sta.apartment(), object_dropped));
    });
}

#[test]
fn lt_1_a_full_mailbox_takes_a_release() {
    let (process, recording) = recorded();
    let ui = process.sta("ui").capacity(1).enter().unwrap();
    let log = Log::new();
    let (full, object) = (ui.create(|| ()).unwrap(), ui.create(|| told("object", &log)).unwrap());
    full.post(|()| ()).unwrap();
    assert!(full.post(|()| ()).is_err());
    join(thread::spawn(move || drop(object)));
    assert_eq!(log.take(), []);
    ui.pump();
    assert_eq!(log.take(), [("object", here())]);
    assert_eq!(count(&recording, at(ui.apartment(), object_dropped)), 1);
}

#[test]
fn lt_1_no_filter_is_asked_about_a_release() {
    struct Never(Log<()>);
    impl MessageFilter for Never {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            self.0.add(());
            ServerCall::Rejected
        }
    }
    let process = Process::new();
    let asked = Log::new();
    let ui = process.sta("ui").enter().unwrap();
    let log = Log::new();
    let object = ui.create(|| told("object", &log)).unwrap();
    register_filter(Some(Rc::new(Never(asked.clone())))).unwrap();
    join(thread::spawn(move || drop(object)));
    ui.pump();
    assert_eq!(log.take(), [("object", here())]);
    assert_eq!(asked.take(), []);
}

#[test]
fn lt_1_references_to_a_dead_apartment_can_be_dropped() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let mta = process.mta().spawn().unwrap();
    let (in_sta, in_mta) = (sta.create(|| ()).unwrap(), mta.create(|| ()).unwrap());
    let weak = in_sta.downgrade();
    drop((sta, mta));
    let away = process.sta("away").spawn().unwrap().create(|| ());
    let clones = (in_sta.clone(), in_mta.clone());
    drop((in_sta, in_mta, away));
    join(thread::spawn(move || drop(clones)));
    assert!(weak.upgrade().is_none());
}

#[test]
fn lt_1_an_unwinding_thread_drops_its_references() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let log = Log::new();
    let object = sta.create(|| told("object", &log)).unwrap();
    let thread = object.call(|_| here()).unwrap();
    let foreign = thread::spawn(move || {
        let _object = object;
        panic!("the caller's own panic");
    });
    assert!(foreign.join().is_err());
    recording.until(at(sta.apartment(), object_dropped));
    drop(sta);
    assert_eq!(log.take(), [("object", thread)]);
}

#[test]
fn lt_1_a_method_that_unwinds_at_home_drops_its_references_and_their_panics_are_contained() {
    const NAME: &str = "lt::lt_1_a_method_that_unwinds_at_home_drops_its_references_and_their_panics_are_contained";
    if !is_child() {
        return in_child(NAME);
    }
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let (caller, last) = (sta.create(|| ()).unwrap(), sta.create(|| Bad("the destructor's own")).unwrap());
    let error = caller
        .call(move |()| {
            let _last = last;
            panic!("the method's own");
        })
        .unwrap_err();
    assert!(error.to_string().contains("the method's own"), "{error}");
    recording.until(at(sta.apartment(), contained));
    caller.call(|()| ()).unwrap();
}

/// An object whose destructor panics.
struct Bad(&'static str);

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

fn contained(what: &What) -> bool {
    matches!(what, What::Contained { .. })
}

thread_local! {
    static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
}

/// Drops it with the thread's locals. Those go in the reverse order of their making: called before the library has seen
/// the thread it is dropped after the library's own locals, called later, before them.
fn with_the_locals(kept: impl std::any::Any) {
    KEPT.with_borrow_mut(|all| all.push(Box::new(kept)));
}

#[test]
fn lt_1_thread_locals_that_are_destroyed_drop_their_references() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let mta = process.mta().spawn().unwrap();
    let log = Log::new();
    for library_first in [false, true] {
        let in_sta = sta.create(|| told("in the STA", &log)).unwrap();
        let in_mta = mta.create(|| ()).unwrap();
        let process = process.clone();
        join(thread::spawn(move || {
            if library_first {
                current();
            }
            with_the_locals((in_sta, in_mta));
            // Also one that was in an apartment.
            process.sta("was").enter().unwrap().leave();
        }));
    }
    recording.until(nth(2, at(sta.apartment(), object_dropped)));
    recording.until(nth(2, at(mta.apartment(), object_dropped)));
    let thread = sta.create(|| ()).unwrap().call(|()| here()).unwrap();
    drop(sta);
    assert_eq!(log.take(), [("in the STA", thread); 2]);
}

#[test]
fn lt_1_a_release_may_start_a_thread_of_the_pool_even_while_thread_locals_are_destroyed() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(2).spawn().unwrap();
        let (busy, object) = (mta.create(|| ()).unwrap(), mta.create(|| ()).unwrap());
        // Its only thread so far stands at the gate.
        let held = hold(&busy);
        join(thread::spawn(move || with_the_locals(object)));
        recording.until(at(mta.apartment(), object_dropped));
        held.open();
    });
}

#[test]
fn lt_1_a_thread_whose_locals_are_destroyed_counts_as_foreign() {
    struct Late(Proxy<()>, Log<(Option<Kind>, ThreadId, ThreadId)>);
    impl Drop for Late {
        fn drop(&mut self) {
            let there = self.0.call(|()| here()).unwrap();
            self.1.add((current().kind, there, here()));
        }
    }
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let home = object.call(|()| here()).unwrap();
        let log = Log::new();
        for library_first in [false, true] {
            // Its own references go like this too: the locals of an STA's thread go when the apartment has ended.
            let late = Late(object.clone(), log.clone());
            let gone = process.sta("gone").spawn().unwrap();
            let thread = gone
                .create(|| ())
                .unwrap()
                .call(move |()| {
                    if library_first {
                        current();
                    }
                    with_the_locals(late);
                    here()
                })
                .unwrap();
            drop(gone);
            let told = log.take();
            assert_eq!(told.len(), 1);
            let (kind, there, by) = told[0];
            assert_eq!((there, by), (home, thread));
            assert_ne!(kind, Some(Kind::Sta));
        }
    });
}

#[test]
fn lt_1_a_local_reference_in_a_thread_local_is_dropped_on_its_thread() {
    let process = Process::new();
    let log = Log::new();
    let thread = join(thread::spawn({
        let log = log.clone();
        move || {
            let ui = process.sta("ui").enter().unwrap();
            let object = ui.create(|| told("object", &log)).unwrap();
            with_the_locals(object.local().unwrap());
            drop(object);
            ui.leave();
            assert_eq!(log.take(), []);
            here()
        }
    }));
    assert_eq!(log.take(), [("object", thread)]);
}

const CHAIN: usize = 100_000;

/// One link of a chain: its destructor drops the next.
struct Link {
    _next: Option<Proxy<Link>>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// The first of a chain of that many objects; `make` makes the next one in front.
fn chain(
    dropped: &Arc<AtomicUsize>,
    mut make: impl FnMut(usize, Link) -> Result<Proxy<Link>, CallError>,
) -> Proxy<Link> {
    let mut first = None;
    for n in 0..CHAIN {
        let link = Link { _next: first, dropped: Arc::clone(dropped) };
        first = Some(make(n, link).unwrap());
    }
    first.unwrap()
}

#[test]
fn lt_1_a_chain_of_100_000_objects_dropped_at_home_does_not_overflow_the_stack() {
    let ui = Process::new().sta("ui").enter().unwrap();
    let dropped = Arc::default();
    drop(chain(&dropped, |_, link| ui.create(|| link)));
    assert_eq!(dropped.load(Ordering::Relaxed), CHAIN);
}

#[test]
fn lt_1_a_chain_released_from_elsewhere_does_not_overflow_the_stack() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let maker = sta.create(|| ()).unwrap();
    let dropped = Arc::default();
    let first = maker.call(|()| chain(&dropped, |_, link| sta.create(|| link))).unwrap();
    drop(first);
    // Releases are served before calls.
    maker.call(|()| assert_eq!(dropped.load(Ordering::Relaxed), CHAIN)).unwrap();
}

#[test]
fn lt_1_a_chain_dropped_by_the_end_of_its_apartment_does_not_overflow_the_stack() {
    let ui = Process::new().sta("ui").enter().unwrap();
    let dropped = Arc::default();
    let first = chain(&dropped, |_, link| ui.create(|| link));
    ui.leave();
    assert_eq!(dropped.load(Ordering::Relaxed), CHAIN);
    drop(first);
}

#[test]
fn lt_1_a_chain_of_local_references_does_not_overflow_the_stack() {
    struct LocalLink {
        _next: Option<Local<LocalLink>>,
        dropped: Rc<Cell<usize>>,
    }
    impl Drop for LocalLink {
        fn drop(&mut self) {
            self.dropped.set(self.dropped.get() + 1);
        }
    }
    let ui = Process::new().sta("ui").enter().unwrap();
    let dropped = Rc::new(Cell::new(0));
    let mut first = None;
    for _ in 0..CHAIN {
        let link = LocalLink { _next: first.take(), dropped: Rc::clone(&dropped) };
        first = ui.create(|| link).unwrap().local();
    }
    drop(first);
    assert_eq!(dropped.get(), CHAIN);
}

#[test]
fn lt_1_a_chain_through_two_apartments_does_not_overflow_the_stack() {
    let process = Process::new();
    let stas = [(); 2].map(|()| process.sta("sta").spawn().unwrap());
    let dropped = Arc::default();
    let first = chain(&dropped, |n, link| stas[n % 2].create(|| link));
    drop(first);
    drop(stas);
    assert_eq!(dropped.load(Ordering::Relaxed), CHAIN);
}

#[test]
fn lt_1_a_chain_in_the_mta_does_not_overflow_the_stack() {
    let process = Process::new();
    let mta = process.mta().spawn().unwrap();
    let dropped = Arc::default();
    drop(chain(&dropped, |_, link| mta.create(|| link)));
    drop(mta);
    assert_eq!(dropped.load(Ordering::Relaxed), CHAIN);
    // By the end of the MTA.
    let mta = process.mta().spawn().unwrap();
    let dropped = Arc::default();
    let first = chain(&dropped, |_, link| mta.create(|| link));
    drop(mta);
    assert_eq!(dropped.load(Ordering::Relaxed), CHAIN);
    drop(first);
}

// ---- LT-2

#[test]
fn lt_2_asking_to_quit_closes_the_door_at_once() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| RefCell::new(0)).unwrap();
    let held = hold(&object);
    sta.quit();
    // It stands at the gate: nobody but the door has answered.
    let (refused, run) = object.post(|n| *n.borrow_mut() += 1).unwrap_err().into_parts();
    run(&RefCell::new(0));
    let (message, _run) = sta.apartment().post_message(MessageClass::User, || ()).unwrap_err().into_parts();
    let waits = CallOptions::new().wait_for_room();
    let errors = [
        object.call(|_| ()).unwrap_err(),
        object.call_mut(|_| ()).unwrap_err(),
        object.with(&waits).call(|_| ()).unwrap_err(),
        sta.create(|| ()).unwrap_err(),
        refused,
        message,
    ];
    for error in &errors {
        let told = disconnected(error);
        assert_eq!((&*told.callee.name, told.why), ("sta", WhyDisconnected::Quitting));
    }
    held.open();
    must_end(move || sta.join()).unwrap();
}

#[test]
fn lt_2_callers_that_wait_for_room_are_turned_away_at_once() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").capacity(1).spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let held = hold(&object);
    object.post(|()| ()).unwrap();
    let waiters: Vec<_> = (1..=2)
        .map(|n| {
            let object = object.clone();
            let waiter = thread::spawn(move || object.with(&CallOptions::new().wait_for_room()).call(|()| ()));
            recording.until(nth(n, |e| matches!(e.what, What::WaitTurned { on: WaitFor::Room, .. })));
            waiter
        })
        .collect();
    sta.quit();
    for waiter in waiters {
        let error = must_end(move || join(waiter)).unwrap_err();
        assert_eq!(disconnected(&error).why, WhyDisconnected::Quitting);
    }
    held.open();
}

#[test]
fn lt_2_accepted_calls_are_served_and_the_filter_is_still_asked() {
    struct Asked(Log<()>);
    impl MessageFilter for Asked {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            self.0.add(());
            ServerCall::Handled
        }
    }
    let (process, recording) = recorded();
    let asked = Log::new();
    let sta = {
        let asked = asked.clone();
        process.sta("sta").filter(|| Asked(asked)).spawn().unwrap()
    };
    let object = sta.create(|| RefCell::new(Vec::new())).unwrap();
    let held = hold(&object);
    asked.take();
    let seen = Log::new();
    let caller = thread::spawn({
        let (object, seen) = (object.clone(), seen.clone());
        move || object.call(|_| seen.add("call"))
    });
    recording.until(nth(3, at(sta.apartment(), |what| matches!(what, What::Queued { .. }))));
    let post = seen.clone();
    object.post(move |_: &RefCell<Vec<()>>| post.add("post")).unwrap();
    sta.quit();
    held.open();
    join(caller).unwrap();
    must_end(move || sta.join()).unwrap();
    assert_eq!(seen.take(), ["call", "post"]);
    assert_eq!(asked.take().len(), 2);
    assert_eq!(count(&recording, |e| matches!(e.what, What::PostDropped { .. })), 0);
}

#[test]
fn lt_2_callbacks_of_chains_it_waits_for_and_releases_come_in_until_the_last_call_has_ended() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").spawn().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| Cell::new(0)).unwrap(), b.create(|| ()).unwrap());
        let released = a.create(|| ()).unwrap();
        at_a.call(|n| {
            at_b.call(|()| {
                a.quit();
                recording.until(at(a.apartment(), |what| matches!(what, What::DoorClosed)));
                // A post begins a chain of its own, and so does another thread's call.
                disconnected(at_a.post(|_| ()).unwrap_err().error());
                disconnected(&thread::scope(|s| s.spawn(|| at_a.call(Cell::get)).join().unwrap().unwrap_err()));
                at_a.call(|n| n.set(1)).unwrap();
                drop(released);
                recording.until(at(a.apartment(), object_dropped));
                at_a.call(|n| n.set(n.get() + 1)).unwrap();
            })
            .unwrap();
            n.set(n.get() + 10);
            assert_eq!(n.get(), 12);
        })
        .unwrap();
        drop(b);
        a.join().unwrap();
    });
}

#[test]
fn lt_2_a_rejected_caller_s_retry_finds_the_door_closed() {
    struct Busy;
    impl MessageFilter for Busy {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            ServerCall::RetryLater
        }
    }
    let process = Process::new();
    let ui = process.sta("ui").filter(|| Busy).enter().unwrap();
    let object = ui.create(|| ()).unwrap();
    let caller = thread::spawn({
        let apartment = ui.apartment().clone();
        move || {
            let options = CallOptions::new().retry(|_: &RejectedCall| {
                apartment.quit();
                Retry::Now
            });
            object.with(&options).call(|()| panic!("it must not run"))
        }
    });
    // Serves until it is asked to quit.
    ui.run();
    assert_eq!(disconnected(&must_end(move || join(caller)).unwrap_err()).why, WhyDisconnected::Quitting);
}

#[test]
fn lt_2_objects_are_dropped_on_the_thread_before_their_proxies_are_disconnected() {
    /// Its destructor calls out, and is called back; nobody else is let in.
    struct CallsOut {
        out: Proxy<()>,
        older: Proxy<Cell<u32>>,
        third: Proxy<()>,
        log: Log<(&'static str, u32, ThreadId)>,
    }
    impl Drop for CallsOut {
        fn drop(&mut self) {
            let Self { out, older, third, log } = self;
            let result = out.call(|()| {
                // A callback of the call that the destructor makes: the object is still there.
                let back = older
                    .call(|n| {
                        n.set(n.get() + 1);
                        n.get()
                    })
                    .unwrap();
                // A chain of another's.
                let other = thread::scope(|s| s.spawn(|| older.call(Cell::get)).join().unwrap());
                (back, disconnected(&other.unwrap_err()).why)
            });
            let (back, why) = result.unwrap();
            assert_eq!(why, WhyDisconnected::Quitting);
            log.add(("called back", back, here()));
            third.post(|()| ()).unwrap();
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").spawn().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let out = b.create(|| ()).unwrap();
        let log = Log::new();
        let older = a.create(|| Cell::new(0)).unwrap();
        let thread = older.call(|_| here()).unwrap();
        let calls_out = || CallsOut { out: out.clone(), older: older.clone(), third: out.clone(), log: log.clone() };
        let object = a.create(calls_out).unwrap();
        let apartment = a.apartment().clone();
        drop(a);
        assert_eq!(log.take(), [("called back", 1, thread)]);
        assert_eq!(count(&recording, contained_in(&apartment)), 0);
        assert_eq!(disconnected(&older.call(Cell::get).unwrap_err()).why, WhyDisconnected::Ended);
        assert_eq!(disconnected(&object.call(|_| ()).unwrap_err()).why, WhyDisconnected::Ended);
        // First the objects, then the end.
        let told: Vec<_> = recording.events().into_iter().filter(|e| e.apartment == Some(apartment.id())).collect();
        let place = |kind: fn(&What) -> bool| told.iter().rposition(|e| kind(&e.what)).unwrap();
        assert!(place(object_dropped) < place(ended));
        assert_eq!(told.iter().filter(|e| object_dropped(&e.what)).count(), 2);
        drop(b);
    });
}

fn contained_in(apartment: &apartment::Apartment) -> impl Fn(&apartment::Event) -> bool + use<> {
    at(apartment, contained)
}

#[test]
fn lt_2_an_object_that_a_direct_reference_holds_stays_until_that_goes() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let log = Log::new();
    let object = ui.create(|| told("held", &log)).unwrap();
    let other = ui.create(|| told("other", &log)).unwrap();
    let local = object.local().unwrap();
    ui.leave();
    assert_eq!(log.take(), [("other", here())]);
    // It is there, and its proxies are disconnected all the same.
    assert_eq!(local.name, "held");
    assert_eq!(disconnected(&object.call(|_| ()).unwrap_err()).why, WhyDisconnected::Ended);
    disconnected(&local.proxy().unwrap_err());
    let clone = local.clone();
    drop((local, object, other));
    assert_eq!(log.take(), []);
    drop(clone);
    assert_eq!(log.take(), [("held", here())]);
}

#[test]
fn lt_2_an_mta_that_was_asked_to_quit_ends_when_the_call_that_runs_in_it_directly_has_ended() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).spawn().unwrap();
        let log = Log::new();
        let object = mta.create(|| told("object", &log)).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let caller = thread::spawn({
            let mta_handle = mta.usage().unwrap();
            let object = object.clone();
            move || {
                // Directly: a thread in no apartment counts as one of the MTA's.
                let inside = object.call(|object| {
                    stop.wait();
                    object.log.add(("runs on", here()));
                });
                drop(mta_handle);
                (inside, here())
            }
        });
        gate.met();
        mta.quit();
        disconnected(&object.call(|_| ()).unwrap_err());
        assert!(!recording.events().iter().any(at(mta.apartment(), ended)));
        assert_eq!(log.take(), []);
        gate.open();
        let (inside, thread) = join(caller);
        inside.unwrap();
        mta.join().unwrap();
        let log = log.take();
        assert_eq!(log[0], ("runs on", thread));
        assert!(log[1].0 == "object" && log[1].1 != thread, "on a thread of the pool: {log:?}");
    });
}

#[test]
fn lt_2_leaving_while_a_served_call_is_on_the_stack_takes_effect_when_the_outermost_returns() {
    must_end(|| {
        let (process, recording) = recorded();
        let ui = process.sta("ui").enter().unwrap();
        let other = process.sta("other").spawn().unwrap();
        let out = other.create(|| ()).unwrap();
        let log = Log::new();
        let apartment = ui.apartment().clone();
        let slot = ui.create(|| RefCell::new(None::<Entered>)).unwrap();
        let object = ui.create(|| told("object", &log)).unwrap();
        *slot.local().unwrap().borrow_mut() = Some(ui);
        // Two calls deep the guard is dropped.
        out.call(|()| {
            slot.call(|guard| {
                out.call(|()| slot.call(|guard| drop(guard.take())).unwrap()).unwrap();
                assert!(guard.borrow().is_none());
                assert_eq!(current().kind, Some(Kind::Sta));
                // The door is closed at once.
                disconnected(object.post(|_| ()).unwrap_err().error());
            })
            .unwrap();
            assert_eq!(count(&recording, at(&apartment, ended)), 0);
        })
        .unwrap();
        assert_eq!(process.current().kind, None);
        assert_eq!(log.take(), [("object", here())]);
        assert_eq!(count(&recording, at(&apartment, ended)), 1);
        assert_eq!(disconnected(&object.call(|_| ()).unwrap_err()).why, WhyDisconnected::Ended);
    });
}

#[test]
fn lt_2_leaving_inside_a_direct_call_takes_effect_when_it_returns() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let slot = ui.create(|| RefCell::new(None::<Entered>)).unwrap();
    *slot.local().unwrap().borrow_mut() = Some(ui);
    let during = slot.call(|guard| {
        drop(guard.take());
        current().kind
    });
    assert_eq!(during.unwrap(), Some(Kind::Sta));
    assert_eq!(process.current().kind, None);
}

#[test]
fn lt_2_leaving_in_a_call_served_by_another_wait_takes_effect_when_that_ends() {
    /// Makes an STA of the thread whose only guard is dropped by a call from `worker`, which `waits` serves.
    fn left_in(process: &Process, waits: impl FnOnce(Sta)) {
        let ui = process.sta("ui").enter().unwrap();
        let slot = ui.create(|| RefCell::new(None::<Entered>)).unwrap();
        *slot.local().unwrap().borrow_mut() = Some(ui);
        let worker = process.sta("worker").spawn().unwrap();
        let leaves = worker.create(|| ()).unwrap();
        leaves.post(move |()| slot.call(|guard| drop(guard.take())).unwrap()).unwrap();
        waits(worker);
        assert_eq!(process.current().kind, None);
    }
    must_end(|| {
        let process = Process::new();
        // A join, the drop of a handle, a wait for room, the start of a thread.
        left_in(&process, |worker| {
            worker.quit();
            worker.join().unwrap();
        });
        left_in(&process, drop);
        left_in(&process, |worker| {
            let full = process.sta("full").capacity(1).spawn().unwrap();
            let object = full.create(|| ()).unwrap();
            let held = hold(&object);
            object.post(|()| ()).unwrap();
            // Opens the gate once the worker's post has been served.
            worker.create(|| ()).unwrap().post(move |()| held.open()).unwrap();
            object.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
        });
        left_in(&process, |worker| {
            let after = worker.create(|| ()).unwrap();
            let hook = move || after.call(|()| ());
            let _started = process.sta("started").around(hook).spawn().unwrap();
        });
    });
}

#[test]
fn lt_2_a_guard_that_goes_in_a_message_leaves_the_others() {
    let process = Process::new();
    let outer = process.sta("ui").enter().unwrap();
    let slot = outer.create(|| RefCell::new(None)).unwrap();
    *slot.local().unwrap().borrow_mut() = Some(process.sta("ui").enter().unwrap());
    let (log, inside) = (Log::new(), slot.clone());
    let seen = log.clone();
    let leave = move || {
        drop(inside.local().unwrap().take());
        seen.add(current().kind);
    };
    outer.apartment().post_message(MessageClass::User, leave).unwrap();
    outer.pump();
    assert_eq!(log.take(), [Some(Kind::Sta)]);
    assert!(slot.call(|guard| guard.borrow().is_none()).unwrap());
    assert_eq!(process.current().kind, Some(Kind::Sta));
    outer.leave();
    assert_eq!(process.current().kind, None);
}

#[test]
fn lt_2_a_handle_dropped_inside_its_own_apartment_asks_to_quit_and_does_not_join() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("sta").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let object = sta.create(|| ()).unwrap();
        let other = object.clone();
        // The call that drops it completes, and so does what was accepted before.
        let after = object.call(move |()| {
            other.post(|()| ()).unwrap();
            drop(sta);
            disconnected(other.post(|()| ()).unwrap_err().error()).why
        });
        assert_eq!(after.unwrap(), WhyDisconnected::Quitting);
        recording.until(left_after_the_end(&apartment));
        assert_eq!(count(&recording, at(&apartment, |what| matches!(what, What::Ended { .. }))), 3);
    });
}

#[test]
fn lt_2_the_mta_s_handle_dropped_on_a_thread_of_it_does_not_join() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).spawn().unwrap();
        let sta = process.sta("sta").spawn().unwrap();
        let (apartment, object) = (mta.apartment().clone(), mta.create(|| 7).unwrap());
        let caller = sta.create(|| ()).unwrap();
        let result = caller.call(move |()| {
            object.call(move |n| {
                drop(mta);
                *n
            })
        });
        assert_eq!(result.unwrap().unwrap(), 7);
        recording.until(left_after_the_end(&apartment));
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_2_an_mta_that_quits_lets_callbacks_in_until_its_last_call_has_ended() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).spawn().unwrap();
        let sta = process.sta("sta").spawn().unwrap();
        let (caller, object) = (sta.create(|| ()).unwrap(), mta.create(AtomicUsize::default).unwrap());
        let result = caller.call(|()| {
            object.call(|n| {
                let back = caller.call(|()| {
                    mta.quit();
                    disconnected(object.post(|_| ()).unwrap_err().error());
                    object.call(|n| n.fetch_add(1, Ordering::Relaxed)).unwrap()
                });
                back.unwrap() + n.load(Ordering::Relaxed)
            })
        });
        assert_eq!(result.unwrap().unwrap(), 1);
        mta.join().unwrap();
        disconnected(&caller.call(|()| object.call(|_| ())).unwrap().unwrap_err());
    });
}

#[test]
fn lt_2_an_object_may_own_the_handle_of_its_own_apartment() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("sta").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let slot = sta.create(|| RefCell::new(None)).unwrap();
        slot.call_mut(move |slot| *slot = Some(sta)).unwrap();
        apartment.quit();
        recording.until(left_after_the_end(&apartment));
    });
}

#[test]
fn lt_2_joining_itself_is_refused() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let error = object.call(move |()| sta.join().unwrap_err()).unwrap();
        assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    });
}

#[test]
fn lt_2_messages_still_queued_are_dropped_unrun_counted_and_reported_and_calls_never_are() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("sta").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let object = sta.create(|| ()).unwrap();
        let log = Log::new();
        let held = hold(&object);
        for class in [MessageClass::Input, MessageClass::Paint] {
            let gone = told("message dropped", &log);
            let run = move || {
                gone.log.add(("message ran", here()));
            };
            apartment.post_message(class, run).unwrap();
            let gone = told("post dropped", &log);
            object.post(move |()| gone.log.add(("post ran", here()))).unwrap();
        }
        sta.quit();
        held.open();
        sta.join().unwrap();
        let told: Vec<_> = log.take().into_iter().map(|(what, _)| what).collect();
        let ran = ["post ran", "post dropped", "post ran", "post dropped"];
        assert_eq!(told, [&ran[..], &["message dropped", "message dropped"]].concat());
        let dropped = recording.events().into_iter().filter_map(|e| match e.what {
            What::MessageDropped { class } => Some(class),
            _ => None,
        });
        assert_eq!(dropped.collect::<Vec<_>>(), [MessageClass::Input, MessageClass::Paint]);
        let counted = |what: &What| matches!(what, What::ApartmentEnded { messages_dropped: 2, abnormal: false, .. });
        assert_eq!(count(&recording, at(&apartment, counted)), 1);
    });
}

#[test]
fn lt_2_leaving_serves_what_was_accepted_and_drops_messages() {
    let (process, recording) = recorded();
    let ui = process.sta("ui").enter().unwrap();
    let apartment = ui.apartment().clone();
    let object = ui.create(|| ()).unwrap();
    let log = Log::new();
    let ran = log.clone();
    object.post(move |()| ran.add("post")).unwrap();
    let ran = log.clone();
    apartment.post_message(MessageClass::User, move || ran.add("message")).unwrap();
    ui.leave();
    assert_eq!(log.take(), ["post"]);
    let counted = |what: &What| matches!(what, What::ApartmentEnded { messages_dropped: 1, .. });
    assert_eq!(count(&recording, at(&apartment, counted)), 1);
}

#[test]
fn lt_2_dropping_the_handle_drains_drops_the_objects_and_joins() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let apartment = sta.apartment().clone();
    let log = Log::new();
    let object = sta.create(|| told("object", &log)).unwrap();
    let held = hold(&object);
    for _ in 0..3 {
        object.post(|object| object.log.add(("post", here()))).unwrap();
    }
    let opens = thread::spawn({
        let recording = recording.clone();
        move || {
            recording.until(|e| matches!(e.what, What::DoorClosed));
            held.open();
        }
    });
    drop(sta);
    join(opens);
    let told: Vec<_> = log.take().into_iter().map(|(what, _)| what).collect();
    assert_eq!(told, ["post", "post", "post", "object"]);
    assert_eq!(count(&recording, at(&apartment, |what| matches!(what, What::ThreadLeft))), 1);
}

#[test]
fn lt_2_an_apartment_that_was_asked_to_quit_is_still_there_until_it_is_left() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let object = ui.create(|| Cell::new(1)).unwrap();
    ui.apartment().quit();
    ui.apartment().quit();
    ui.run();
    // At home: no new chain has to come in through the door.
    assert_eq!(object.call(Cell::get).unwrap(), 1);
    assert!(object.local().is_some());
    disconnected(
        &join(thread::spawn({
            let object = object.clone();
            move || object.call(Cell::get)
        }))
        .unwrap_err(),
    );
    ui.leave();
    disconnected(&object.call(Cell::get).unwrap_err());
}

// ---- LT-3

#[test]
fn lt_3_a_call_to_a_dead_apartment_is_disconnected_always_the_same() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let mta = process.mta().name("mta").spawn().unwrap();
    let entered = process.sta("entered").enter().unwrap();
    let objects = [
        sta.create(|| RefCell::new(0)).unwrap(),
        entered.create(|| RefCell::new(0)).unwrap(),
        entered.create(|| RefCell::new(1)).unwrap(),
    ];
    let in_mta = mta.create(|| 1).unwrap();
    entered.leave();
    sta.quit();
    let in_sta = [&objects[0], &objects[1]].map(|object| object.apartment().unwrap());
    let apartments = [in_sta[0].clone(), in_sta[1].clone(), in_mta.apartment().unwrap()];
    must_end(move || sta.join()).unwrap();
    must_end(move || drop(mta));
    let other = process.sta("other").spawn().unwrap();
    let caller = other.create(|| ()).unwrap();
    // From a thread in no apartment, and from an STA; once and again.
    let check = || {
        let mut errors = Vec::new();
        for object in &objects {
            let options = CallOptions::new().wait_for_room().retry(|_: &RejectedCall| Retry::Now);
            errors.push(object.call(|_| ()).unwrap_err());
            errors.push(object.call_mut(|_| ()).unwrap_err());
            errors.push(object.call_ref(|_| ()).unwrap_err());
            errors.push(object.with(&options).call(|_| ()).unwrap_err());
            errors.push(object.post(|_| ()).unwrap_err().into());
            errors.push(object.with(&PostOptions::new().wait_for_room()).post(|_| ()).unwrap_err().into());
            assert!(object.local().is_none());
        }
        errors.push(in_mta.call(|_| ()).unwrap_err());
        errors.push(in_mta.post(|_| ()).unwrap_err().into());
        for apartment in &apartments[..2] {
            errors.push(apartment.post_message(MessageClass::User, || ()).unwrap_err().into());
        }
        for error in &errors {
            assert_eq!(disconnected(error).why, WhyDisconnected::Ended);
            assert!(error.to_string().contains("has ended"), "{error}");
        }
        errors.len()
    };
    assert_eq!(check(), check());
    caller.call(|()| check()).unwrap();
}

/// A thread that enters an STA of capacity 2, makes an object, and ends out of order when the gate is open.
fn dies(
    process: &Process,
    log: &Log<(&'static str, ThreadId)>,
    end: impl FnOnce(Entered) + Send + 'static,
) -> (Proxy<Told>, Gate, thread::JoinHandle<()>) {
    let (give, take) = std::sync::mpsc::channel();
    let gate = Gate::new();
    let owner = thread::spawn({
        let (process, log, stop) = (process.clone(), log.clone(), gate.stop());
        move || {
            let entered = process.sta("dies").capacity(2).enter().unwrap();
            give.send(entered.create(|| told("object", &log)).unwrap()).unwrap();
            stop.wait();
            end(entered);
        }
    });
    (take.recv().unwrap(), gate, owner)
}

fn when_it_ends_out_of_order(end: impl FnOnce(Entered) + Send + 'static) {
    let (process, recording) = recorded();
    let log = Log::new();
    let (object, gate, owner) = dies(&process, &log, end);
    let thread = owner.thread().id();
    let apartment = object.apartment().unwrap();
    // Two queued callers, and one in the line for room.
    let callers: Vec<_> = (1..=3)
        .map(|n| {
            let object = object.clone();
            let caller = thread::spawn(move || {
                let options = CallOptions::new().wait_for_room();
                object.with(&options).call(|_| panic!("it must not run"))
            });
            if n < 3 {
                recording.until(nth(n, at(&apartment, |what| matches!(what, What::Queued { .. }))));
            } else {
                recording.until(|e| matches!(e.what, What::WaitTurned { on: WaitFor::Room, .. }));
            }
            caller
        })
        .collect();
    gate.open();
    let mut errors: Vec<_> = callers.into_iter().map(|caller| must_end(move || join(caller)).unwrap_err()).collect();
    let in_line = errors.pop().unwrap();
    for error in errors {
        assert!(matches!(&error, CallError::ServerDiedDne { callee } if &*callee.name == "dies"), "{error}");
        assert_eq!((error.hresult(), error.outcome()), (SERVER_DIED_DNE, Outcome::NotStarted));
    }
    // That one had not been accepted.
    assert_eq!(in_line.outcome(), Outcome::NotStarted);
    assert!([DISCONNECTED, SERVER_DIED_DNE].contains(&in_line.hresult()), "{in_line}");
    drop(owner.join());
    assert_eq!(log.take(), [("object", thread)], "its objects are dropped on its thread all the same");
    let abnormal = |what: &What| matches!(what, What::ApartmentEnded { abnormal: true, .. });
    assert_eq!(count(&recording, at(&apartment, abnormal)), 1);
    assert_eq!(disconnected(&object.call(|_| ()).unwrap_err()).why, WhyDisconnected::Ended);
    assert_eq!(process.main_sta(), None);
}

#[test]
fn lt_3_calls_queued_when_the_owner_of_the_thread_panics_are_server_died_dne() {
    when_it_ends_out_of_order(|entered| {
        let _entered = entered;
        panic!("the owner's own panic");
    });
}

#[test]
fn lt_3_calls_queued_when_a_guard_was_leaked_are_server_died_dne() {
    when_it_ends_out_of_order(forget);
}

#[test]
fn lt_3_messages_and_posts_of_an_apartment_that_dies_are_dropped_and_reported() {
    let (process, recording) = recorded();
    let log = Log::new();
    let (object, gate, owner) = dies(&process, &log, |entered| {
        let _entered = entered;
        panic!("the owner's own panic");
    });
    let gone = told("post", &log);
    object.post(move |_| drop(gone)).unwrap();
    let gone = told("message", &log);
    object.apartment().unwrap().post_message(MessageClass::Paint, move || drop(gone)).unwrap();
    let thread = owner.thread().id();
    gate.open();
    assert!(owner.join().is_err());
    let told = log.take();
    assert_eq!(
        told.iter().map(|(what, _)| *what).collect::<HashSet<_>>(),
        HashSet::from(["object", "post", "message"])
    );
    assert!(told.iter().all(|(_, on)| *on == thread), "{told:?}");
    let ended = |what: &What| matches!(what, What::ApartmentEnded { messages_dropped: 1, abnormal: true, .. });
    assert_eq!(count(&recording, |e| ended(&e.what)), 1);
    assert_eq!(count(&recording, |e| matches!(e.what, What::PostDropped { .. })), 1);
    assert_eq!(count(&recording, |e| matches!(e.what, What::MessageDropped { .. })), 1);
}

#[test]
fn lt_3_a_leaked_guard_of_the_mta_gives_its_usage_back() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().spawn().unwrap();
        let entered = thread::scope(|s| s.spawn(|| forget(mta.enter().unwrap())).join());
        entered.unwrap();
        drop(mta);
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_3_a_program_may_exit_inside_a_served_call() {
    const NAME: &str = "lt::lt_3_a_program_may_exit_inside_a_served_call";
    if !is_child() {
        return in_child(NAME);
    }
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| RefCell::new(String::from("lent"))).unwrap();
    // The locals of the STA's thread are destroyed while it is in the call.
    let answered = object.call_mut(|_| std::process::exit(0));
    panic!("the caller was answered: {answered:?}");
}

// ---- LT-4

#[test]
fn lt_4_a_method_that_panics_is_a_server_fault_with_the_message_and_the_apartment_goes_on() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let entered = process.sta("entered").enter().unwrap();
    let mta = process.mta().threads(1).spawn().unwrap();
    let objects = [sta.create(|| 7).unwrap(), entered.create(|| 7).unwrap(), mta.create(|| 7).unwrap()];
    for object in &objects {
        let name = object.apartment().unwrap().name().to_owned();
        let faults = [
            object.call(|_| panic!("in so many words")).unwrap_err(),
            object.call(|n| panic!("it is {n}")).unwrap_err(),
            object.call(|_| panic_any(7)).unwrap_err(),
        ];
        for (error, said) in faults.iter().zip(["in so many words", "it is 7", "no text"]) {
            assert_eq!((error.hresult(), error.outcome()), (SERVER_FAULT, Outcome::MayHaveRun), "{name}");
            let CallError::ServerFault { target, message } = error else { panic!("{error}") };
            assert!(message.contains(said), "{name}: {message}");
            assert!(error.to_string().contains(&**message), "{error}");
            assert_eq!((target.object, target.type_name), (Some(object.object_id()), "i32"));
        }
        assert_eq!(object.call(|n| *n).unwrap(), 7, "{name} goes on");
    }
    assert_eq!(current().kind, Some(Kind::Sta));
}

#[test]
fn lt_4_a_constructor_that_panics_is_a_server_fault() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let entered = process.sta("entered").enter().unwrap();
    let mta = process.mta().spawn().unwrap();
    let no_object = || -> i32 { panic!("no object") };
    let errors = [
        sta.create(no_object).unwrap_err(),
        sta.try_create(|| -> Result<i32, ()> { panic!("no object") }).unwrap_err(),
        entered.create(no_object).unwrap_err(),
        mta.create(no_object).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, CallError::ServerFault { message, .. } if &**message == "no object"), "{error}");
    }
    assert_eq!(sta.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
}

#[test]
fn lt_4_a_panic_goes_no_further_than_its_own_caller() {
    let process = Process::new();
    let a = process.sta("a").spawn().unwrap();
    let b = process.sta("b").spawn().unwrap();
    let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    // Through a callback, which is served in the wait of `a`.
    let faults = at_a.call(|()| {
        let outer = at_b.call(|()| {
            let inner = at_a.call(|()| panic!("innermost")).unwrap_err();
            (inner.hresult(), inner.to_string())
        });
        outer.unwrap()
    });
    let (hresult, text) = faults.unwrap();
    assert_eq!(hresult, SERVER_FAULT);
    assert!(text.contains("innermost"), "{text}");
}

#[test]
fn lt_4_a_post_or_message_that_panics_is_reported_and_the_apartment_goes_on() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| 7).unwrap();
    object.post(|_| panic!("the post's own")).unwrap();
    // Where what a closure has captured is dropped, too.
    let bad = Bad("the captured one's own");
    object.post(move |_| drop(bad)).unwrap();
    sta.apartment().post_message(MessageClass::User, || panic!("the message's own")).unwrap();
    assert_eq!(object.call(|n| *n).unwrap(), 7);
    let told: Vec<_> = recording
        .events()
        .into_iter()
        .filter_map(|e| match e.what {
            What::Ended { panicked } | What::MessageEnded { panicked } => panicked,
            _ => None,
        })
        .collect();
    assert_eq!(
        told.iter().map(|text| &**text).collect::<Vec<_>>(),
        ["the post's own", "the captured one's own", "the message's own",]
    );
}

#[test]
fn lt_4_a_destructor_that_panics_is_contained_and_reported() {
    must_end(|| {
        let (process, recording) = recorded();
        let said = |text: &'static str| {
            let told = |what: &What, text: &str| matches!(what, What::Contained { message, .. } if &**message == text);
            recording.until(move |e| told(&e.what, text))
        };
        let sta = process.sta("sta").spawn().unwrap();
        let alive = sta.create(|| 7).unwrap();
        // By a release, at home, in a call, at the end.
        drop(sta.create(|| Bad("by a release")).unwrap());
        assert_eq!(said("by a release").apartment, Some(sta.apartment().id()));
        let ui = process.sta("ui").enter().unwrap();
        drop(ui.create(|| Bad("at home")).unwrap());
        assert_eq!(said("at home").apartment, Some(ui.apartment().id()));
        let in_a_call = sta.create(|| Bad("in a call")).unwrap();
        alive.call(move |_| drop(in_a_call)).unwrap();
        said("in a call");
        assert_eq!(alive.call(|n| *n).unwrap(), 7);
        let at_the_end = sta.create(|| Bad("at the end")).unwrap();
        let last = sta.create(|| Bad("at the end too")).unwrap();
        drop(sta);
        said("at the end");
        said("at the end too");
        drop((at_the_end, last));
        // In the MTA.
        let mta = process.mta().spawn().unwrap();
        drop(mta.create(|| Bad("by a release in the MTA")).unwrap());
        said("by a release in the MTA");
        let at_the_end = mta.create(|| Bad("at the end of the MTA")).unwrap();
        drop(mta);
        said("at the end of the MTA");
        drop(at_the_end);
        ui.leave();
    });
}

/// A payload whose destructor panics, with another like it.
struct Payload(u32);

impl Drop for Payload {
    fn drop(&mut self) {
        panic_any(Payload(self.0 + 1));
    }
}

#[test]
fn lt_4_a_panic_s_payload_whose_destructor_panics_is_contained() {
    const NAME: &str = "lt::lt_4_a_panic_s_payload_whose_destructor_panics_is_contained";
    if !is_child() {
        return in_child(NAME);
    }
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic_any(Payload(0));
        }
    }
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    for object in [sta.create(|| 7).unwrap(), ui.create(|| 7).unwrap()] {
        let error = object.call(|_| panic_any(Payload(0))).unwrap_err();
        assert_eq!(error.hresult(), SERVER_FAULT);
        assert_eq!(object.call(|n| *n).unwrap(), 7);
    }
    sta.create(|| -> i32 { panic_any(Payload(0)) }).unwrap_err();
    sta.create(|| ()).unwrap().post(|()| panic_any(Payload(0))).unwrap();
    drop(sta.create(|| Bad).unwrap());
    drop(ui.create(|| Bad).unwrap());
    recording.until(at(sta.apartment(), contained));
    recording.until(at(ui.apartment(), contained));
    drop(sta);
    ui.leave();
}

#[test]
fn lt_4_destructors_of_several_closures_that_never_ran_may_all_panic() {
    const NAME: &str = "lt::lt_4_destructors_of_several_closures_that_never_ran_may_all_panic";
    if !is_child() {
        return in_child(NAME);
    }
    let (process, recording) = recorded();
    let ui = process.sta("ui").enter().unwrap();
    for text in ["the first", "the second", "the third"] {
        let bad = Bad(text);
        ui.apartment().post_message(MessageClass::User, move || drop(bad)).unwrap();
    }
    let apartment = ui.apartment().clone();
    ui.leave();
    assert_eq!(count(&recording, at(&apartment, contained)), 3);
    assert_eq!(process.current().kind, None);
}

#[test]
fn lt_4_a_destructor_of_what_a_hook_has_captured_that_panics_leaves_nobody_waiting() {
    const NAME: &str = "lt::lt_4_a_destructor_of_what_a_hook_has_captured_that_panics_leaves_nobody_waiting";
    if !is_child() {
        return in_child(NAME);
    }
    must_end(|| {
        let process = Process::new();
        let hook = |text| {
            let bad = Bad(text);
            move || {
                let bad = &bad;
                if bad.0 == "works" { Ok(()) } else { Err(bad.0) }
            }
        };
        let sta = process.sta("sta").around(hook("works")).spawn().unwrap();
        assert_eq!(sta.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
        drop(sta);
        assert!(process.sta("sta").around(hook("fails")).spawn().is_err());
    });
}

/// A filter that takes itself off in its own method, so that the engine holds the last reference to it.
struct Resigns;

impl MessageFilter for Resigns {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        drop(register_filter(None).unwrap());
        ServerCall::Handled
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        drop(register_filter(None).unwrap());
        Retry::GiveUp
    }

    fn message_pending(&self, _: &apartment::PendingMessage) -> apartment::PendingAnswer {
        drop(register_filter(None).unwrap());
        apartment::PendingAnswer::wait_def_process()
    }
}

impl Drop for Resigns {
    fn drop(&mut self) {
        panic!("the filter's own panic");
    }
}

#[test]
fn lt_4_a_filter_s_destructor_that_panics_is_contained() {
    const NAME: &str = "lt::lt_4_a_filter_s_destructor_that_panics_is_contained";
    if !is_child() {
        return in_child(NAME);
    }
    struct Rejects;
    impl MessageFilter for Rejects {
        fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
            if call.kind == apartment::CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected }
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        // At the end of its apartment.
        let sta = process.sta("sta").filter(|| Resigns).spawn().unwrap();
        let apartment = sta.apartment().clone();
        drop(sta);
        recording.until(at(&apartment, contained));
        // In each of its methods, after which the engine drops it: the answer stands.
        let sta = process.sta("sta").filter(|| Resigns).spawn().unwrap();
        let rejected = 0x8001_0001;
        sta.create(|| 7).unwrap();
        recording.until(at(sta.apartment(), contained));
        let object = sta.create(|| 7).unwrap();
        let set = || drop(register_filter(Some(Rc::new(Resigns))).unwrap());
        let rejects = process.sta("rejects").filter(|| Rejects).spawn().unwrap();
        let not_here = rejects.create(|| ()).unwrap();
        let error = object.call(|_| {
            set();
            not_here.call(|()| ()).unwrap_err()
        });
        assert_eq!(error.unwrap().hresult(), rejected);
        recording.until(nth(2, at(sta.apartment(), contained)));
        let away = process.sta("away").spawn().unwrap();
        let at_away = away.create(|| ()).unwrap();
        object
            .call(|_| {
                set();
                at_away
                    .call(|()| {
                        sta.apartment().post_message(MessageClass::Activation, || ()).unwrap();
                        recording.until(at(sta.apartment(), |what| matches!(what, What::MessageEnded { .. })));
                    })
                    .unwrap();
            })
            .unwrap();
        recording.until(nth(3, at(sta.apartment(), contained)));
        assert_eq!(object.call(|n| *n).unwrap(), 7);
    });
}

// ---- LT-6

#[test]
fn lt_6_a_method_that_quits_its_apartment_completes_with_its_own_result() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let mta = process.mta().spawn().unwrap();
        let other = process.sta("other").spawn().unwrap();
        let (in_sta, in_mta) = (sta.create(|| 7).unwrap(), mta.create(|| 7).unwrap());
        let quit = |n: &i32, apartment: &apartment::Apartment| {
            apartment.quit();
            *n
        };
        assert_eq!(in_sta.call(|n| quit(n, sta.apartment())).unwrap(), 7);
        disconnected(&in_sta.call(|n| *n).unwrap_err());
        let caller = other.create(|| ()).unwrap();
        assert_eq!(caller.call(|()| in_mta.call(|n| quit(n, mta.apartment()))).unwrap().unwrap(), 7);
        disconnected(&in_mta.call(|n| *n).unwrap_err());
        sta.join().unwrap();
        mta.join().unwrap();
        // At home, and in the loop of a thread that entered.
        let ui = process.sta("ui").enter().unwrap();
        let object = ui.create(|| 7).unwrap();
        let result = thread::spawn({
            let (object, apartment) = (object.clone(), ui.apartment().clone());
            move || {
                object.call(|n| {
                    apartment.quit();
                    *n
                })
            }
        });
        ui.run();
        assert_eq!(join(result).unwrap(), 7);
        ui.leave();
        let ui = process.sta("ui").enter().unwrap();
        let object = ui.create(|| 7).unwrap();
        let apartment = ui.apartment().clone();
        assert_eq!(
            object
                .call(|n| {
                    apartment.quit();
                    *n
                })
                .unwrap(),
            7
        );
    });
}

#[test]
fn lt_6_a_method_that_quits_its_apartment_may_still_call_out_and_be_called_back() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").spawn().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| Cell::new(1)).unwrap(), b.create(|| Cell::new(10)).unwrap());
        let result = at_a.call(|n| {
            a.quit();
            let there = at_b.call(|there| there.get() + at_a.call(Cell::get).unwrap()).unwrap();
            there + n.get()
        });
        assert_eq!(result.unwrap(), 12);
        a.join().unwrap();
    });
}

#[test]
fn lt_6_a_callback_that_quits_lets_the_outer_call_complete() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").reentrancy(Reentrancy::SameCausality).spawn().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let result = at_a.call(|()| {
            let inner = at_b
                .call(|()| {
                    at_a.call(|()| {
                        a.quit();
                        1
                    })
                    .unwrap()
                })
                .unwrap();
            inner + 1
        });
        assert_eq!(result.unwrap(), 2);
        a.join().unwrap();
    });
}

// ---- LT-7

#[test]
#[expect(clippy::mutable_key_type, reason = "a proxy is hashed by which object it means, and that never changes")]
fn lt_7_two_references_are_equal_exactly_if_they_mean_the_same_object() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let other = process.sta("sta").spawn().unwrap();
    let mta = process.mta().spawn().unwrap();
    let elsewhere = Process::new().sta("sta").spawn().unwrap();
    // Equal values and equal numbers, but not the same objects.
    let objects = [
        sta.create(|| 7).unwrap(),
        sta.create(|| 7).unwrap(),
        other.create(|| 7).unwrap(),
        mta.create(|| 7).unwrap(),
        elsewhere.create(|| 7).unwrap(),
    ];
    assert_eq!(objects[0].object_id(), objects[2].object_id());
    for (n, one) in objects.iter().enumerate() {
        for (m, another) in objects.iter().enumerate() {
            assert_eq!(one == another, n == m, "{one:?} and {another:?}");
        }
        // However it was come by.
        let same = [one.clone(), one.downgrade().upgrade().unwrap(), one.call(|_| one.clone()).unwrap()];
        assert!(same.iter().all(|same| same == one));
        let mut set = HashSet::from([one.clone()]);
        assert!(same.into_iter().all(|same| !set.insert(same)));
    }
    assert_eq!(objects.iter().cloned().collect::<HashSet<_>>().len(), 5);
    // Through another apartment, and from inside its own.
    let through = other.create(|| ()).unwrap();
    assert!(through.call(|()| objects[0].clone() == objects[0]).unwrap());
    let own = objects[0].call(|_| objects[0].local().unwrap().proxy().unwrap()).unwrap();
    assert_eq!(own, objects[0]);
    assert_ne!(own, objects[1]);
}

#[test]
fn lt_7_at_home_a_reference_is_the_object_itself() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let mta = process.mta().spawn().unwrap();
    let (object, other) = (ui.create(|| Cell::new(1)).unwrap(), ui.create(|| Cell::new(1)).unwrap());
    let local = object.local().unwrap();
    let address = (&raw const *local).addr();
    assert!(object.call(|object| (&raw const *object).addr() == address).unwrap());
    local.set(2);
    assert_eq!((object.call(Cell::get).unwrap(), other.call(Cell::get).unwrap()), (2, 1));
    let (again, not_it) = (object.clone().local().unwrap(), other.local().unwrap());
    assert!(again == local && not_it != local);
    assert!(std::ptr::eq(&*again, &*local));
    // Elsewhere there is none.
    let in_mta = mta.create(|| 7).unwrap();
    assert!(in_mta.local().is_none());
    assert!(join(thread::spawn(move || object.local().is_none())));
    drop((local, again, not_it));
    ui.leave();
    assert!(in_mta.local().is_none(), "a thread that only counts as one of the MTA's is not at home in it");
    let _entered = mta.enter().unwrap();
    assert_eq!(*in_mta.local().unwrap(), 7);
}

// ---- WA-3, of which the apartments' ends are here

#[test]
fn wa_3_a_handle_dropped_while_its_thread_unwinds_asks_to_quit_and_does_not_join() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("sta").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let object = sta.create(|| ()).unwrap();
        let held = hold(&object);
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _sta = sta;
            panic!("the owner's own panic");
        }));
        // Had it joined, it would wait for what stands at the gate.
        assert!(unwound.is_err());
        disconnected(&object.call(|()| ()).unwrap_err());
        held.open();
        recording.until(left_after_the_end(&apartment));
    });
}

#[test]
fn wa_3_an_sta_that_joins_or_drops_an_apartment_which_needs_it_pumps() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let bar = ui.create(|| Cell::new(0)).unwrap();
        let needs = |sta: &Sta| {
            let bar = bar.clone();
            let object = sta.create(|| ()).unwrap();
            object.post(move |()| bar.call(|bar| bar.set(bar.get() + 1)).unwrap()).unwrap();
        };
        let [first, second] = [(); 2].map(|()| process.sta("worker").spawn().unwrap());
        needs(&first);
        first.quit();
        first.join().unwrap();
        needs(&second);
        drop(second);
        assert_eq!(bar.call(Cell::get).unwrap(), 2);
    });
}
