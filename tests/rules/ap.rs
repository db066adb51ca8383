//! AP: apartments and threads.

use crate::support::{
    Gate, Log, Stop, TOO_MUCH, at, count, hold, in_child, is_child, join, left_after_the_end, must_end, nth, recorded,
};
use apartment::{
    CallError, CallOptions, CancelHandle, Clock, Current, Event, Kind, MessageClass, MessageFilter, Outcome, PoolSeen,
    Process, Proxy, Reentrancy, Serves, Sta, What, current, current_call, is_cancelled,
};
use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

type AnyError = Box<dyn Error + Send + Sync>;

const CHANGED_MODE: u32 = 0x8001_0106;
const SYS_CALL_FAILED: u32 = 0x8001_0100;
const DISCONNECTED: u32 = 0x8001_0108;
const NOT_SUPPORTED: u32 = 0x8000_4021;

fn here() -> ThreadId {
    thread::current().id()
}

// ---- AP-1

#[test]
fn ap_1_a_process_has_any_number_of_stas_and_at_most_one_mta() {
    let process = Process::new();
    let stas: Vec<_> = (0..10).map(|n| process.sta(format!("sta {n}")).spawn().unwrap()).collect();
    let mta = process.mta().name("first").spawn().unwrap();
    let error = process.mta().name("second").spawn().unwrap_err();
    assert!(matches!(error, CallError::NotSupported { .. }), "{error}");
    assert_eq!(error.hresult(), NOT_SUPPORTED);
    // The refused one has taken nothing from the first.
    assert_eq!(process.current().name.as_deref(), Some("first"));
    let number = mta.create(|| AtomicUsize::new(0)).unwrap();
    for sta in &stas {
        let caller = sta.create(|| ()).unwrap();
        caller.call(|()| number.call(|n| n.fetch_add(1, Ordering::Relaxed))).unwrap().unwrap();
    }
    assert_eq!(number.call(|n| n.load(Ordering::Relaxed)).unwrap(), 10);
    // When it has ended there is room for another.
    drop(mta);
    let third = process.mta().name("third").spawn().unwrap();
    assert_eq!(process.current().apartment, Some(third.apartment().id()));
}

#[test]
fn ap_1_processes_stand_side_by_side() {
    let (one, other) = (Process::new(), Process::new());
    let stas = [&one, &other].map(|process| process.sta("main").spawn().unwrap());
    let mtas = [&one, &other].map(|process| process.mta().spawn().unwrap());
    for (process, (sta, mta)) in [&one, &other].into_iter().zip(stas.iter().zip(&mtas)) {
        assert_eq!(process.main_sta().as_ref(), Some(sta.apartment()));
        assert_eq!(process.current().apartment, Some(mta.apartment().id()));
    }
    assert_ne!(stas[0].apartment(), stas[1].apartment());
    let [_, second] = mtas;
    drop(second);
    assert_eq!(one.current().kind, Some(Kind::Mta), "the end of one process' MTA is not that of the other's");
    assert_eq!(other.current().kind, None);
}

#[test]
fn ap_1_a_default_process_serves_everybody_who_names_none() {
    let default = Sta::builder("names none").enter().unwrap();
    // Entering again nests only within one process (AP-11).
    let named = Process::global().sta("names it").enter().unwrap();
    assert!(named.is_nested());
    assert_eq!(named.apartment(), default.apartment());
    let another = Process::new().sta("another").enter().unwrap_err();
    assert_eq!(another.hresult(), CHANGED_MODE);
}

// ---- AP-2

/// Tells on which thread it was made, called and dropped. It is not `Send`.
struct Seen {
    log: Log<(&'static str, ThreadId)>,
    _not_send: Rc<()>,
}

impl Seen {
    fn new(log: &Log<(&'static str, ThreadId)>) -> Self {
        log.add(("made", here()));
        Self { log: log.clone(), _not_send: Rc::new(()) }
    }

    fn call(&self) {
        self.log.add(("called", here()));
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.log.add(("dropped", here()));
    }
}

#[test]
fn ap_2_an_sta_object_is_made_called_and_dropped_on_its_thread() {
    let (process, recording) = recorded();
    let home = process.sta("home").spawn().unwrap();
    let away = process.sta("away").spawn().unwrap();
    let log = Log::new();
    let object = home.create(|| Seen::new(&log)).unwrap();
    let thread = object.call(|_| here()).unwrap();
    object.call(Seen::call).unwrap();
    object.post(Seen::call).unwrap();
    away.create(|| ()).unwrap().call(|()| object.call(Seen::call)).unwrap().unwrap();
    // The last reference goes on a thread that has nothing to do with it.
    join(thread::spawn(move || drop(object)));
    recording.until(at(home.apartment(), |what| matches!(what, What::ObjectDropped { .. })));
    // What is still there at the end is dropped there too.
    let _kept = home.create(|| Seen::new(&log)).unwrap();
    drop(home);
    assert_ne!(thread, here());
    let told = ["made", "called", "called", "called", "dropped", "made", "dropped"];
    assert_eq!(log.take(), told.map(|what| (what, thread)));
}

#[test]
fn ap_2_an_mta_object_is_made_called_and_dropped_on_threads_of_the_mta() {
    struct Shared(Log<(&'static str, Option<Kind>, bool)>);
    impl Shared {
        fn tell(&self, what: &'static str) {
            let now = current();
            self.0.add((what, now.kind, now.implicit));
        }
    }
    impl Drop for Shared {
        fn drop(&mut self) {
            self.tell("dropped");
        }
    }
    let (process, recording) = recorded();
    let mta = process.mta().threads(1).spawn().unwrap();
    let sta = process.sta("caller").spawn().unwrap();
    let caller = sta.create(|| ()).unwrap();
    let log = Log::new();
    let make = || {
        let shared = Shared(log.clone());
        shared.tell("made");
        shared
    };
    let object = caller.call(|()| mta.create(make)).unwrap().unwrap();
    caller.call(|()| object.call(|object| object.tell("called"))).unwrap().unwrap();
    // The last reference goes in an STA, which is no place to drop it.
    caller.call(move |()| drop(object)).unwrap();
    recording.until(at(mta.apartment(), |what| matches!(what, What::ObjectDropped { .. })));
    let _kept = caller.call(|()| mta.create(make)).unwrap().unwrap();
    drop(mta);
    let told = ["made", "called", "dropped", "made", "dropped"];
    assert_eq!(log.take(), told.map(|what| (what, Some(Kind::Mta), false)));
}

// ---- AP-3

#[test]
fn ap_3_entering_an_sta_again_nests_and_is_balanced() {
    let (process, recording) = recorded();
    let outer = process.sta("outer").enter().unwrap();
    let inner = process.sta("inner").capacity(7).enter().unwrap();
    let third = process.sta("third").enter().unwrap();
    assert!(!outer.is_nested() && inner.is_nested() && third.is_nested());
    assert_eq!(inner.apartment(), outer.apartment());
    assert_eq!(inner.apartment().name(), "outer", "it keeps the name and the options that it has");
    assert_eq!(inner.apartment().capacity(), 10_000);
    // Whichever goes last leaves.
    inner.leave();
    outer.leave();
    assert_eq!(process.current().kind, Some(Kind::Sta));
    let ended = |what: &What| matches!(what, What::ApartmentEnded { .. });
    let apartment = third.apartment().clone();
    assert!(!recording.events().iter().any(at(&apartment, ended)));
    third.leave();
    assert_eq!(process.current().kind, None);
    assert!(recording.events().iter().any(at(&apartment, ended)));
}

#[test]
fn ap_3_entering_the_mta_again_nests_and_is_balanced() {
    let process = Process::new();
    let mta = process.mta().spawn().unwrap();
    let outer = mta.enter().unwrap();
    let inner = mta.enter().unwrap();
    outer.leave();
    let now = process.current();
    assert_eq!((now.kind, now.implicit), (Some(Kind::Mta), false));
    inner.leave();
    assert!(process.current().implicit);
}

#[test]
fn ap_3_the_library_s_own_threads_nest_too() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let nested = object.call(|()| process.sta("again").enter().map(|guard| guard.apartment().name() == "sta"));
    assert!(nested.unwrap().unwrap());
    // The guard is gone; the apartment goes on.
    assert!(object.call(|()| current().kind == Some(Kind::Sta)).unwrap());
    let mta = process.mta().threads(1).spawn().unwrap();
    let shared = object.call(|()| mta.create(|| ())).unwrap().unwrap();
    let nested = |_: &()| shared.call(|()| mta.enter().map(|guard| guard.apartment().name() == "mta"));
    assert!(object.call(nested).unwrap().unwrap().unwrap());
    assert!(object.call(|()| shared.call(|()| current().kind == Some(Kind::Mta))).unwrap().unwrap());
}

#[test]
fn ap_3_entering_in_the_other_mode_is_changed_mode_and_changes_nothing() {
    let (process, recording) = recorded();
    let mta = process.mta().spawn().unwrap();

    let sta = process.sta("sta").enter().unwrap();
    let before = process.current();
    let error = mta.enter().unwrap_err();
    assert!(matches!(&error, CallError::ChangedMode { current, .. } if &*current.name == "sta"), "{error}");
    assert_eq!((error.hresult(), error.outcome()), (CHANGED_MODE, Outcome::NotStarted));
    assert_eq!(process.current(), before);
    sta.leave();
    assert!(process.current().implicit, "one leave was enough");

    let entered = mta.enter().unwrap();
    let before = process.current();
    let error = process.sta("other").enter().unwrap_err();
    assert!(matches!(&error, CallError::ChangedMode { current, .. } if &*current.name == "mta"), "{error}");
    assert_eq!(error.hresult(), CHANGED_MODE);
    assert_eq!(process.current(), before);
    let began = |what: &What| matches!(what, What::ApartmentBegan { .. });
    assert_eq!(count(&recording, |e| began(&e.what)), 2, "the MTA, and the STA above");
    assert_eq!(process.main_sta(), None);
    entered.leave();
    assert!(process.current().implicit, "one leave was enough");
}

#[test]
fn ap_3_who_is_in_an_mta_otherwise_cannot_enter_it_and_is_told_why() {
    let (process, other) = (Process::new(), Process::new());
    let (mta, another) = (process.mta().spawn().unwrap(), other.mta().spawn().unwrap());
    let why = || match mta.enter() {
        Err(CallError::ChangedMode { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let object = mta.create(|| ()).unwrap();
    assert_eq!(object.call(|()| why()).unwrap(), "it is serving a direct call there");
    let entered = another.enter().unwrap();
    assert_eq!(why(), "it belongs to another process");
    entered.leave();
    drop(mta.enter().unwrap());
}

#[test]
fn ap_3_the_library_s_own_threads_cannot_change_their_mode() {
    let process = Process::new();
    let mta = process.mta().threads(1).spawn().unwrap();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let error = object.call(|()| mta.enter().map(drop).unwrap_err()).unwrap();
    assert_eq!(error.hresult(), CHANGED_MODE);
    let shared = object.call(|()| mta.create(|| ())).unwrap().unwrap();
    let enter = || process.sta("other").enter().map(drop).unwrap_err();
    let error = object.call(|()| shared.call(|()| enter())).unwrap().unwrap();
    assert_eq!(error.hresult(), CHANGED_MODE);
}

#[test]
fn ap_3_after_the_last_leave_any_mode_is_allowed() {
    let process = Process::new();
    let mta = process.mta().spawn().unwrap();
    process.sta("first").enter().unwrap().leave();
    mta.enter().unwrap().leave();
    let sta = process.sta("second").enter().unwrap();
    assert!(!sta.is_nested());
    assert_eq!(sta.apartment().name(), "second");
    sta.leave();
    Process::new().sta("elsewhere").enter().unwrap().leave();
    assert!(mta.enter().is_ok());
}

// ---- AP-4

#[test]
fn ap_4_the_first_sta_is_the_main_one_until_it_ends() {
    let process = Process::new();
    assert_eq!(process.main_sta(), None);
    let _mta = process.mta().spawn().unwrap();
    assert_eq!(process.main_sta(), None, "an MTA is no STA");
    let first = process.sta("first").spawn().unwrap();
    let second = process.sta("second").enter().unwrap();
    assert_eq!(process.main_sta().as_ref(), Some(first.apartment()));
    assert!(!process.current().main);
    first.quit();
    first.join().unwrap();
    assert_eq!(process.main_sta(), None, "there is none until the next is made");
    assert!(!process.current().main, "the others stay what they are");
    let third = process.sta("third").spawn().unwrap();
    assert_eq!(process.main_sta().as_ref(), Some(third.apartment()));
    second.leave();
    assert_eq!(process.main_sta().as_ref(), Some(third.apartment()));
    drop(third);
    let _fourth = process.sta("fourth").enter().unwrap();
    assert!(process.current().main, "an entered one too");
}

// ---- AP-5

#[test]
fn ap_5_a_thread_in_no_apartment_calls_the_mta_s_objects_directly() {
    let process = Process::new();
    let mta = process.mta().spawn().unwrap();
    let object = mta.create(here).unwrap();
    assert_eq!(object.call(|made| (*made, here())).unwrap(), (here(), here()));
    let there = object.call(|_| process.current()).unwrap();
    assert_eq!((there.kind, there.implicit), (Some(Kind::Mta), true));
}

#[test]
fn ap_5_a_thread_in_no_apartment_is_never_re_entered() {
    let process = Process::new();
    let mta = process.mta().threads(1).spawn().unwrap();
    let sta = process.sta("sta").spawn().unwrap();
    let object = mta.create(|| ()).unwrap();
    let through = sta.create(|| ()).unwrap();
    // It calls an object of the MTA, which calls the STA, which calls back: it counts as a thread of the MTA, but the
    // callback is served by another.
    let back = object.call(|()| through.call(|()| object.call(|()| (here(), process.current().implicit))));
    let (thread, implicit) = back.unwrap().unwrap().unwrap();
    assert_ne!(thread, here());
    assert!(!implicit);
}

#[test]
fn ap_5_a_thread_in_no_apartment_blocks_until_its_call_has_ended() {
    let (process, recording) = recorded();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| Cell::new(0)).unwrap();
    let gate = Gate::new();
    let stop = gate.stop();
    let caller = thread::spawn({
        let object = object.clone();
        move || {
            object.call(|n| {
                stop.wait();
                n.set(1);
                n.get()
            })
        }
    });
    gate.met();
    assert!(!caller.is_finished());
    let began = |e: &Event| matches!(e.what, What::WaitBegan { serves: Serves::Nothing, .. });
    recording.until(began);
    gate.open();
    assert_eq!(join(caller).unwrap(), 1);
}

#[test]
fn ap_5_no_mta_has_to_exist_for_it() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    assert_eq!(process.current().kind, None);
    assert_eq!(sta.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
}

// ---- AP-6

#[test]
fn ap_6_a_usage_guard_keeps_the_mta_alive_and_can_be_dropped_from_any_thread() {
    let (process, recording) = recorded();
    let mta = process.mta().spawn().unwrap();
    let apartment = mta.apartment().clone();
    let object = mta.create(|| 7).unwrap();
    let first = mta.usage().unwrap();
    let second = mta.usage().unwrap();
    drop(mta);
    // No handle, and no thread is in it.
    assert_eq!(process.current().apartment, Some(apartment.id()));
    assert_eq!(object.call(|n| *n).unwrap(), 7);
    drop(first);
    assert_eq!(object.call(|n| *n).unwrap(), 7);
    join(thread::spawn(move || drop(second)));
    recording.until(at(&apartment, |what| matches!(what, What::ApartmentEnded { abnormal: false, .. })));
    let error = object.call(|n| *n).unwrap_err();
    assert_eq!(error.hresult(), DISCONNECTED);
}

#[test]
fn ap_6_a_usage_guard_can_be_dropped_on_a_thread_of_the_mta() {
    let (process, recording) = recorded();
    let mta = process.mta().threads(1).spawn().unwrap();
    let apartment = mta.apartment().clone();
    let sta = process.sta("sta").spawn().unwrap();
    let object = mta.create(|| ()).unwrap();
    let usage = mta.usage().unwrap();
    drop(mta);
    let kind = sta.create(|| ()).unwrap().call(move |()| {
        object.call(move |()| {
            drop(usage);
            current().kind
        })
    });
    assert_eq!(kind.unwrap().unwrap(), Some(Kind::Mta), "the call that it is dropped in completes");
    recording.until(at(&apartment, |what| matches!(what, What::ApartmentEnded { abnormal: false, .. })));
}

#[test]
fn ap_6_an_mta_that_is_ending_gives_no_usage() {
    let process = Process::new();
    let mta = process.mta().spawn().unwrap();
    mta.quit();
    assert_eq!(mta.usage().unwrap_err().hresult(), DISCONNECTED);
    assert_eq!(mta.enter().unwrap_err().hresult(), DISCONNECTED);
}

// ---- AP-7

#[test]
fn ap_7_a_new_apartment_on_the_same_thread_never_revives_proxies_of_the_old_one() {
    let process = Process::new();
    let old = process.sta("same").enter().unwrap();
    let object = old.create(|| Cell::new(1)).unwrap();
    let local = object.local().unwrap();
    let old_apartment = old.apartment().clone();
    old.leave();
    let new = process.sta("same").enter().unwrap();
    let other = new.create(|| Cell::new(2)).unwrap();
    assert_ne!(new.apartment(), &old_apartment);
    assert_ne!(new.apartment().id(), old_apartment.id());
    // The objects bear the same number, each in its apartment.
    assert_eq!(object.object_id(), other.object_id());
    assert_ne!(object, other);
    assert_eq!(object.call(Cell::get).unwrap_err().hresult(), DISCONNECTED);
    assert_eq!(object.post(|n| n.set(5)).unwrap_err().error().hresult(), DISCONNECTED);
    assert!(object.local().is_none());
    assert_eq!(local.proxy().unwrap_err().hresult(), DISCONNECTED);
    assert!(old_apartment.post_message(MessageClass::User, || ()).is_err());
    // Dropping what is left of the old one leaves the new one's object of that number alone.
    drop((local, object));
    assert_eq!(other.call(Cell::get).unwrap(), 2);
}

#[test]
fn ap_7_a_new_mta_never_revives_proxies_of_the_old_one() {
    let process = Process::new();
    let old = process.mta().spawn().unwrap();
    let object = old.create(|| 1).unwrap();
    let id = old.apartment().id();
    drop(old);
    let new = process.mta().spawn().unwrap();
    let other = new.create(|| 2).unwrap();
    assert_ne!(new.apartment().id(), id);
    assert_ne!(object, other);
    assert_eq!(object.call(|n| *n).unwrap_err().hresult(), DISCONNECTED);
    let _in_the_new = new.enter().unwrap();
    assert_eq!(object.call(|n| *n).unwrap_err().hresult(), DISCONNECTED);
    assert!(object.local().is_none());
}

// ---- AP-8

#[test]
fn ap_8_current_answers_the_kind_and_the_flags() {
    let process = Process::new();
    let flags = |now: Current| (now.kind, now.main, now.host, now.implicit);
    assert_eq!(flags(process.current()), (None, false, false, false));

    let main = process.sta("main").spawn().unwrap();
    let there = main.create(|| ()).unwrap().call(|()| current()).unwrap();
    assert_eq!(there.apartment, Some(main.apartment().id()));
    assert_eq!(there.name.as_deref(), Some("main"));
    assert_eq!(flags(there), (Some(Kind::Sta), true, false, false));

    let other = process.sta("other").enter().unwrap();
    assert_eq!(current().apartment, Some(other.apartment().id()));
    assert_eq!(flags(current()), (Some(Kind::Sta), false, false, false));
    other.leave();

    let mta = process.mta().name("pool").spawn().unwrap();
    assert_eq!(process.current().name.as_deref(), Some("pool"));
    assert_eq!(flags(process.current()), (Some(Kind::Mta), false, false, true));
    let entered = mta.enter().unwrap();
    assert_eq!(flags(current()), (Some(Kind::Mta), false, false, false));
    entered.leave();
    let caller = main.create(|| ()).unwrap();
    let object = mta.create(|| ()).unwrap();
    let there = caller.call(|()| object.call(|()| current())).unwrap().unwrap();
    assert_eq!(there.apartment, Some(mta.apartment().id()));
    assert_eq!(flags(there), (Some(Kind::Mta), false, false, false));
    // As another process sees it: the thread is in none.
    assert_eq!(flags(Process::new().current()), (None, false, false, false));
}

// ---- AP-10

/// It is `SysCallFailed`, whose source says this.
fn refused_by(error: &CallError, source: &str) {
    assert!(matches!(error, CallError::SysCallFailed { .. }), "{error}");
    assert_eq!((error.hresult(), error.outcome()), (SYS_CALL_FAILED, Outcome::NotStarted));
    let said = error.source().expect("it has a source").to_string();
    assert!(said.contains(source), "{said}");
}

/// Nothing of the apartments that could not be made is left: the process has no main STA, and all of them ended.
fn nothing_is_left(process: &Process) {
    assert_eq!(process.main_sta(), None);
    assert_eq!(process.current().kind, None);
    let events = process.recording().unwrap().events();
    let count = |kind: fn(&What) -> bool| events.iter().filter(|e| kind(&e.what)).count();
    let began = count(|what| matches!(what, What::ApartmentBegan { .. }));
    assert_ne!(began, 0);
    assert_eq!(began, count(|what| matches!(what, What::ApartmentEnded { .. })));
}

#[test]
fn ap_10_an_sta_whose_thread_cannot_be_started_is_sys_call_failed() {
    let (process, _) = recorded();
    let error = process.sta("huge").stack_size(TOO_MUCH).spawn().unwrap_err();
    assert!(error.to_string().contains("huge"), "{error}");
    let source = error.source().unwrap().downcast_ref::<std::io::Error>();
    assert!(source.is_some_and(|source| source.raw_os_error().is_some()), "the system's own error: {source:?}");
    refused_by(&error, "");
    nothing_is_left(&process);
    let next = process.sta("next").spawn().unwrap();
    assert_eq!(process.main_sta().as_ref(), Some(next.apartment()));
}

#[test]
fn ap_10_a_pool_whose_first_thread_cannot_be_started_is_sys_call_failed() {
    let (process, _) = recorded();
    let error = process.mta().name("huge").stack_size(TOO_MUCH).spawn().unwrap_err();
    assert!(error.source().unwrap().downcast_ref::<std::io::Error>().is_some());
    refused_by(&error, "");
    nothing_is_left(&process);
    assert!(process.mta().spawn().is_ok(), "the place is free");
}

#[test]
fn ap_10_a_hook_that_fails_fails_the_spawn() {
    let (process, _) = recorded();
    let made = Arc::new(AtomicUsize::new(0));
    let filter = {
        let made = Arc::clone(&made);
        move || {
            made.fetch_add(1, Ordering::Relaxed);
            NoFilter
        }
    };
    let error = process.sta("db").around(|| Err::<(), _>("no device")).filter(filter).spawn().unwrap_err();
    refused_by(&error, "no device");
    nothing_is_left(&process);
    assert_eq!(made.load(Ordering::Relaxed), 0, "nothing runs on a thread whose hook failed");
    let next = process.sta("next").spawn().unwrap();
    assert_eq!(process.main_sta().as_ref(), Some(next.apartment()));
}

struct NoFilter;

impl MessageFilter for NoFilter {}

fn panicking() -> Result<(), AnyError> {
    panic!("the hook's own panic")
}

#[test]
fn ap_10_a_hook_that_panics_fails_the_spawn() {
    let (process, _) = recorded();
    let error = process.sta("db").around(panicking).spawn().unwrap_err();
    refused_by(&error, "the hook's own panic");
    nothing_is_left(&process);
}

#[test]
fn ap_10_a_filter_that_cannot_be_made_fails_the_spawn_and_the_hook_s_guard_goes() {
    let (process, _) = recorded();
    let log = Log::new();
    let around = around(&log);
    let error = process.sta("db").around(around).filter(|| -> NoFilter { panic!("no filter") }).spawn().unwrap_err();
    refused_by(&error, "no filter");
    nothing_is_left(&process);
    let told = log.take();
    let [("made", made), ("dropped", dropped)] = told[..] else { panic!("{told:?}") };
    assert_eq!(made, dropped);
}

#[test]
fn ap_10_a_hook_or_filter_that_fails_leaves_the_entering_thread_in_no_apartment() {
    let (process, _) = recorded();
    let error = process.sta("ui").around(|| Err::<(), _>("no display")).enter().unwrap_err();
    refused_by(&error, "no display");
    nothing_is_left(&process);
    refused_by(&process.sta("ui").around(panicking).enter().unwrap_err(), "the hook's own panic");
    nothing_is_left(&process);
    let log = Log::new();
    let no_filter = || -> NoFilter { panic!("no filter") };
    refused_by(&process.sta("ui").around(around(&log)).filter(no_filter).enter().unwrap_err(), "no filter");
    nothing_is_left(&process);
    assert_eq!(log.take(), [("made", here()), ("dropped", here())]);
    let entered = process.sta("ui").enter().unwrap();
    assert!(!entered.is_nested());
}

#[test]
fn ap_10_a_hook_that_fails_for_the_first_thread_fails_the_pool() {
    let (process, _) = recorded();
    refused_by(&process.mta().around(|| Err::<(), _>("no device")).spawn().unwrap_err(), "no device");
    nothing_is_left(&process);
    refused_by(&process.mta().around(panicking).spawn().unwrap_err(), "the hook's own panic");
    nothing_is_left(&process);
    assert!(process.mta().spawn().is_ok(), "the place is free");
}

/// Works once, then fails as it is told.
fn once(then: fn() -> Result<(), AnyError>) -> impl Fn() -> Result<(), AnyError> + Send + Sync + 'static {
    let threads = AtomicUsize::new(0);
    move || if threads.fetch_add(1, Ordering::Relaxed) == 0 { Ok(()) } else { then() }
}

fn when_the_pool_cannot_grow(then: fn() -> Result<(), AnyError>, source: &str) {
    let (process, _) = recorded();
    let mta = process.mta().threads(1).max_threads(2).around(once(then)).spawn().unwrap();
    let sta = process.sta("sta").spawn().unwrap();
    let other = process.sta("other").spawn().unwrap();
    let object = mta.create(|| ()).unwrap();
    let through = sta.create(|| ()).unwrap();
    // Its only thread is blocked in a call to `sta`, which stands at the gate.
    let gate = Gate::new();
    let stop = gate.stop();
    let blocked = thread::spawn({
        let (other, object) = (other.create(|| ()).unwrap(), object.clone());
        move || other.call(|()| object.call(|()| through.call(|()| stop.wait())))
    });
    gate.met();
    // So nobody will look at what is queued now: its caller is answered.
    let caller = process.sta("caller").spawn().unwrap();
    let ran = AtomicUsize::new(0);
    let run = || object.call(|()| ran.fetch_add(1, Ordering::Relaxed));
    let error = caller.create(|| ()).unwrap().call(|()| run()).unwrap().unwrap_err();
    refused_by(&error, source);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    assert_eq!(mta.apartment().queued(), 0, "its room is free again");
    // The pool goes on with the thread that it has.
    gate.open();
    join(blocked).unwrap().unwrap().unwrap();
    assert_eq!(caller.create(|| ()).unwrap().call(|()| run()).unwrap().unwrap(), 0);
    must_end(move || drop(mta));
}

#[test]
fn ap_10_a_pool_that_cannot_grow_answers_who_waits_for_it() {
    when_the_pool_cannot_grow(|| Err("no second device".into()), "no second device");
}

#[test]
fn ap_10_a_pool_whose_hook_panics_answers_who_waits_for_it() {
    when_the_pool_cannot_grow(panicking, "the hook's own panic");
}

/// The pool of the one MTA there is, if it is still shown.
fn pool(process: &Process) -> Option<PoolSeen> {
    process.snapshot().apartments.into_iter().find_map(|seen| seen.pool)
}

#[test]
fn ap_10_what_a_pool_that_cannot_grow_has_a_thread_left_for_is_served_by_that() {
    must_end(|| {
        let process = Process::new();
        let second = || Err("no second device".into());
        let mta = process.mta().threads(2).around(once(second)).spawn().unwrap();
        let object = mta.create(|| ()).unwrap();
        // It is busy, and will look again.
        let held = hold(&object);
        let call = object.call_async(|()| 7);
        while pool(&process).unwrap().threads > 1 {
            thread::yield_now();
        }
        assert_eq!(mta.apartment().queued(), 1);
        held.open();
        assert_eq!(pollster::block_on(call).unwrap(), 7);
    });
}

#[test]
fn ap_10_a_pool_is_gone_with_the_last_of_its_threads() {
    struct Goes(Arc<AtomicUsize>, Stop);
    impl Drop for Goes {
        fn drop(&mut self) {
            if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
                self.1.wait();
            }
        }
    }
    must_end(|| {
        let process = Process::new();
        let (gone, last) = (Arc::new(AtomicUsize::new(0)), Gate::new());
        let hook = {
            let (gone, stop) = (Arc::clone(&gone), last.stop());
            move || Ok::<_, AnyError>(Goes(Arc::clone(&gone), stop.clone()))
        };
        let mta = process.mta().threads(2).around(hook).spawn().unwrap();
        let object = mta.create(|| ()).unwrap();
        let (first, second) = (hold(&object), hold(&object));
        mta.quit();
        first.open();
        second.open();
        last.met();
        // One has left; the other is on its way, and the MTA with it.
        while pool(&process).expect("it is not gone yet").threads > 1 {
            thread::yield_now();
        }
        last.open();
        mta.join().unwrap();
        assert_eq!(gone.load(Ordering::Relaxed), 2);
        assert!(pool(&process).is_none());
    });
}

#[test]
fn ap_10_a_pool_that_fails_to_grow_while_it_ends_is_still_joined() {
    let (process, recording) = recorded();
    // The second thread stands in its hook until the first has ended the apartment and left.
    let gate = Gate::new();
    let hook = {
        let (stop, threads) = (gate.stop(), AtomicUsize::new(0));
        move || {
            if threads.fetch_add(1, Ordering::Relaxed) == 0 {
                return Ok(());
            }
            stop.wait();
            Err("too late")
        }
    };
    let mta = process.mta().threads(2).around(hook).spawn().unwrap();
    let sta = process.sta("sta").spawn().unwrap();
    let caller = sta.create(|| ()).unwrap();
    let object = mta.create(|| ()).unwrap();
    // One thread holds, so the next post starts another.
    let held = hold(&object);
    object.post(|()| ()).unwrap();
    gate.met();
    held.open();
    mta.quit();
    recording.until(left_after_the_end(mta.apartment()));
    drop(caller);
    gate.open();
    must_end(move || mta.join()).unwrap();
}

/// A hook whose guard tells where it is made and dropped.
fn around(log: &Log<(&'static str, ThreadId)>) -> impl Fn() -> Result<Seen, AnyError> + Send + Sync + 'static {
    let log = log.clone();
    move || Ok(Seen::new(&log))
}

#[test]
fn ap_10_the_hook_s_guard_lives_on_the_thread_from_before_everything_until_after_everything() {
    struct Filter(Log<(&'static str, ThreadId)>);
    impl MessageFilter for Filter {}
    impl Drop for Filter {
        fn drop(&mut self) {
            self.0.add(("filter dropped", here()));
        }
    }
    struct Object(Log<(&'static str, ThreadId)>);
    impl Drop for Object {
        fn drop(&mut self) {
            self.0.add(("object dropped", here()));
        }
    }
    let log = Log::new();
    let process = Process::new();
    let build = |name: &str| {
        let filters = log.clone();
        let filter = move || {
            filters.add(("filter made", here()));
            Filter(filters)
        };
        process.sta(name).around(around(&log)).filter(filter)
    };
    let told = ["made", "filter made", "object dropped", "filter dropped", "dropped"];

    let sta = build("spawned").spawn().unwrap();
    let object = sta.create(|| Object(log.clone())).unwrap();
    let thread = object.call(|_| here()).unwrap();
    drop(sta);
    assert_eq!(log.take(), told.map(|what| (what, thread)));
    drop(object);

    let entered = build("entered").enter().unwrap();
    let _object = entered.create(|| Object(log.clone())).unwrap();
    entered.leave();
    assert_eq!(log.take(), told.map(|what| (what, here())));
}

#[test]
fn ap_10_each_pool_thread_has_a_guard_of_its_own() {
    let log = Log::new();
    let process = Process::new();
    let mta = process.mta().threads(2).around(around(&log)).spawn().unwrap();
    let object = mta.create(|| ()).unwrap();
    let gate = Gate::new();
    for _ in 0..2 {
        let stop = gate.stop();
        object.post(move |()| stop.wait()).unwrap();
    }
    gate.met_by(2);
    gate.open();
    drop(mta);
    let told = log.take();
    let of = |what| told.iter().filter(move |(told, _)| *told == what).map(|(_, thread)| *thread);
    let (mut made, mut dropped): (Vec<_>, Vec<_>) = (of("made").collect(), of("dropped").collect());
    assert_eq!(made.len(), 2);
    assert_ne!(made[0], made[1]);
    made.sort_unstable_by_key(|thread| format!("{thread:?}"));
    dropped.sort_unstable_by_key(|thread| format!("{thread:?}"));
    assert_eq!(made, dropped);
}

#[test]
fn ap_10_a_guard_whose_destructor_panics_is_contained() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("the guard's own panic");
        }
    }
    let (process, recording) = recorded();
    let contained =
        |what: &What| matches!(what, What::Contained { message, .. } if &**message == "the guard's own panic");
    let guard = || Ok::<_, AnyError>(Bad);
    let sta = process.sta("sta").around(guard).spawn().unwrap();
    let apartment = sta.apartment().clone();
    must_end(move || drop(sta));
    recording.until(at(&apartment, contained));
    let mta = process.mta().around(guard).spawn().unwrap();
    let apartment = mta.apartment().clone();
    must_end(move || drop(mta));
    recording.until(at(&apartment, contained));
    let entered = process.sta("entered").around(guard).enter().unwrap();
    let apartment = entered.apartment().clone();
    entered.leave();
    recording.until(at(&apartment, contained));
    assert_eq!(process.current().kind, None);
}

#[test]
fn ap_10_a_filter_that_cannot_be_made_and_a_guard_that_panics_fail_the_spawn_alone() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("the guard's own panic");
        }
    }
    const NAME: &str = "ap::ap_10_a_filter_that_cannot_be_made_and_a_guard_that_panics_fail_the_spawn_alone";
    if !is_child() {
        return in_child(NAME);
    }
    let (process, _) = recorded();
    let spawn = {
        let process = process.clone();
        move || {
            let bad = process.sta("bad").around(|| Ok::<_, AnyError>(Bad));
            bad.filter(|| -> NoFilter { panic!("no filter") }).spawn().map(drop).unwrap_err()
        }
    };
    refused_by(&must_end(spawn), "no filter");
    nothing_is_left(&process);
}

#[test]
fn ap_10_an_sta_that_waits_for_a_thread_to_start_pumps() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let bar = ui.create(|| Cell::new(0)).unwrap();
    let hook = {
        let bar = bar.clone();
        move || bar.call(|bar| bar.set(bar.get() + 1))
    };
    let _sta = process.sta("sta").around(hook.clone()).spawn().unwrap();
    let _mta = process.mta().around(hook).spawn().unwrap();
    assert_eq!(bar.call(Cell::get).unwrap(), 2);
}

#[test]
fn ap_10_a_thread_bears_its_apartment_s_name() {
    let process = Process::new();
    let name = || thread::current().name().map(str::to_owned);
    let sta = process.sta("the db").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    assert_eq!(object.call(|()| name()).unwrap().as_deref(), Some("the db"));
    let mta = process.mta().name("pool").threads(1).spawn().unwrap();
    let shared = mta.create(|| ()).unwrap();
    let pool = object.call(|()| shared.call(|()| name())).unwrap().unwrap();
    assert_eq!(pool.as_deref(), Some("pool 1"));
}

#[test]
fn ap_10_a_thread_bears_the_name_of_an_apartment_with_a_nul_without_it() {
    let process = Process::new();
    let name = || thread::current().name().map(str::to_owned);
    // No system's name has a NUL in it.
    let odd = process.sta("a\0b").spawn().unwrap();
    assert_eq!(odd.apartment().name(), "a\0b");
    assert_eq!(odd.create(|| ()).unwrap().call(|()| name()).unwrap().as_deref(), Some("a b"));
}

#[cfg(target_os = "linux")]
fn name_of_the_system_s_thread() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim_end().to_owned()
}

#[cfg(windows)]
#[expect(unsafe_code, reason = "only the system knows what it calls its thread")]
fn name_of_the_system_s_thread() -> String {
    use windows_sys::Win32::Foundation::LocalFree;
    use windows_sys::Win32::System::Threading::{GetCurrentThread, GetThreadDescription};
    let mut text = std::ptr::null_mut();
    // SAFETY: it is told where to put a text, and asked of a thread that there is.
    assert!(unsafe { GetThreadDescription(GetCurrentThread(), &mut text) } >= 0);
    // SAFETY: the text ends with the first zero, and nothing behind that is read.
    let name: Vec<u16> = (0..).map(|n| unsafe { *text.add(n) }).take_while(|unit| *unit != 0).collect();
    // SAFETY: the text was made for us, and is not looked at again.
    unsafe { LocalFree(text.cast()) };
    String::from_utf16(&name).unwrap()
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn ap_10_the_system_s_own_thread_bears_the_name() {
    let sta = Process::new().sta("the db").spawn().unwrap();
    let name = sta.create(name_of_the_system_s_thread).unwrap();
    assert_eq!(name.call(|name| name.clone()).unwrap(), "the db");
}

// ---- AP-11

#[test]
fn ap_11_entering_an_apartment_of_another_process_is_changed_mode() {
    let (one, other) = (Process::new(), Process::new());
    let mta = other.mta().spawn().unwrap();
    let sta = one.sta("one").enter().unwrap();
    for error in [other.sta("other").enter().unwrap_err(), mta.enter().unwrap_err()] {
        assert!(matches!(&error, CallError::ChangedMode { current, .. } if &*current.name == "one"), "{error}");
        assert_eq!(error.hresult(), CHANGED_MODE);
    }
    assert_eq!(other.main_sta(), None);
    sta.leave();
    let of_one = one.mta().spawn().unwrap();
    let entered = mta.enter().unwrap();
    for error in [one.sta("one").enter().unwrap_err(), of_one.enter().unwrap_err()] {
        assert_eq!(error.hresult(), CHANGED_MODE);
    }
    entered.leave();
    assert!(of_one.enter().is_ok());
}

#[test]
fn ap_11_proxies_and_chains_cross_processes() {
    let (one, other) = (Process::new(), Process::new());
    let a = one.sta("a").spawn().unwrap();
    let b = other.sta("b").spawn().unwrap();
    let (pa, pb) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    let seen = || {
        let call = current_call().unwrap();
        (call.chain(), call.depth(), current().name)
    };
    // From one to the other and back: it is a call like any other, re-entering `a` while it waits.
    let nested = pa.call(|()| {
        let first = seen();
        let second = pb.call(|()| (seen(), pa.call(|()| seen()).unwrap())).unwrap();
        [first, second.0, second.1]
    });
    let nested = nested.unwrap();
    assert!(nested.iter().all(|(chain, ..)| *chain == nested[0].0), "{nested:?}");
    assert_eq!(nested.iter().map(|(_, depth, _)| *depth).collect::<Vec<_>>(), [1, 2, 3]);
    let names: Vec<_> = nested.iter().map(|(.., name)| name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "b", "a"]);
    // It is a chain of its own for a policy that asks.
    let strict = one.sta("strict").reentrancy(Reentrancy::SameCausality).spawn().unwrap();
    let ps = strict.create(|| 7).unwrap();
    let back = ps.call(|_| pb.call(|()| ps.call(|n| *n)));
    assert_eq!(back.unwrap().unwrap().unwrap(), 7);
}

#[test]
fn ap_11_a_thread_of_one_process_mta_is_a_foreign_one_to_another_s() {
    let (one, other) = (Process::new(), Process::new());
    let (first, second) = (one.mta().spawn().unwrap(), other.mta().spawn().unwrap());
    let object = second.create(|| ()).unwrap();
    let _entered = first.enter().unwrap();
    // Not direct: it is in another apartment.
    assert_ne!(object.call(|()| here()).unwrap(), here());
}

#[test]
fn ap_11_cancelling_crosses_processes() {
    let (one, _) = recorded();
    let (other, recording) = recorded();
    let a = one.sta("a").spawn().unwrap();
    let b = other.sta("b").spawn().unwrap();
    let (pa, pb) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    let held = hold(&pb);
    let cancel = CancelHandle::new();
    let caller = thread::spawn({
        let (cancel, pb) = (cancel.clone(), pb.clone());
        move || {
            let options = CallOptions::new().cancel(&cancel);
            let mut inner = None;
            let outer = pa.with(&options).call(|()| {
                inner = Some(pb.call(|()| ()));
                is_cancelled()
            });
            (inner.unwrap(), outer)
        }
    });
    // After the making of the object and the post that holds it.
    recording.until(nth(3, at(b.apartment(), |what| matches!(what, What::Queued { .. }))));
    cancel.cancel();
    let (inner, outer) = must_end(move || join(caller));
    let (inner, outer) = (inner.unwrap_err(), outer.unwrap_err());
    assert!(matches!(inner, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{inner}");
    assert!(matches!(outer, CallError::CallCanceled { outcome: Outcome::MayHaveRun }), "{outer}");
    drop(held);
}

#[test]
fn ap_11_a_deadline_crosses_processes_with_clocks_of_their_own() {
    let (one, other) = (Clock::driven(), Clock::driven());
    let make = |clock: &Clock| Process::builder().clock(clock.clone()).record(10_000).build();
    let (first, second) = (make(&one), make(&other));
    other.advance(Duration::from_secs(1_000_000));
    let a = first.sta("a").spawn().unwrap();
    let b = second.sta("b").spawn().unwrap();
    let (pa, pb) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    let left = pa.within(Duration::from_secs(10)).call(|()| {
        one.advance(Duration::from_secs(4));
        pb.call(|()| current_call().unwrap().remaining()).unwrap()
    });
    assert_eq!(left.unwrap(), Some(Duration::from_secs(6)));
    // It passes on the clock of the process it was set on.
    let held = hold(&pb);
    let caller = thread::spawn({
        let (pa, pb) = (pa.clone(), pb.clone());
        move || {
            let mut inner = None;
            let outer = pa.within(Duration::from_secs(10)).call(|()| inner = Some(pb.call(|()| ())));
            (inner.unwrap().unwrap_err(), outer.unwrap_err())
        }
    });
    // After the making of the object, the call above and the post that holds it.
    let queued = at(b.apartment(), |what| matches!(what, What::Queued { .. }));
    second.recording().unwrap().until(nth(4, queued));
    one.advance(Duration::from_secs(11));
    let (inner, outer) = must_end(move || join(caller));
    assert!(matches!(inner, CallError::TimedOut { outcome: Outcome::NotStarted }), "{inner}");
    assert!(matches!(outer, CallError::TimedOut { outcome: Outcome::MayHaveRun }), "{outer}");
    drop(held);
}

#[test]
fn ap_11_main_sta_mta_and_usage_do_not_cross_processes() {
    let (one, other) = (Process::new(), Process::new());
    let _sta = one.sta("one").spawn().unwrap();
    let mta = one.mta().spawn().unwrap();
    let _usage = mta.usage().unwrap();
    assert_eq!(other.main_sta(), None);
    assert_eq!(other.current().kind, None);
    let entered = other.sta("other").enter().unwrap();
    assert!(current().main, "the first of its own process");
    entered.leave();
}

#[test]
fn ap_11_a_proxy_into_an_ended_process_is_disconnected() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let mta = process.mta().spawn().unwrap();
    let in_sta: Proxy<i32> = sta.create(|| 1).unwrap();
    let in_mta: Proxy<i32> = mta.create(|| 1).unwrap();
    drop((sta, mta, process));
    let elsewhere = Process::new().sta("elsewhere").enter().unwrap();
    for object in [&in_sta, &in_mta] {
        let error = object.call(|n| *n).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (DISCONNECTED, Outcome::NotStarted));
    }
    drop((in_sta, in_mta));
    elsewhere.leave();
}

// ---- AP-12

#[test]
fn ap_12_a_refused_resource_and_a_full_mailbox_are_two_variants_with_one_hresult() {
    let process = Process::new();
    let refused = process.sta("huge").stack_size(TOO_MUCH).spawn().unwrap_err();
    let small = process.sta("small").capacity(1).spawn().unwrap();
    let object = small.create(|| ()).unwrap();
    let _held = hold(&object);
    object.post(|()| ()).unwrap();
    let full = object.call(|()| ()).unwrap_err();
    assert!(matches!(refused, CallError::SysCallFailed { .. }), "{refused}");
    assert!(matches!(full, CallError::MailboxFull(_)), "{full}");
    assert_eq!(refused.hresult(), full.hresult());
}

#[test]
fn ap_6_a_usage_guard_makes_the_mta_exist() {
    let process = Process::new();
    assert_eq!(process.current().kind, None);
    let usage = process.mta_usage().unwrap();
    assert_eq!((process.current().kind, process.current().implicit), (Some(Kind::Mta), true));
    let another = process.mta_usage().unwrap();
    assert_eq!(process.mta().spawn().unwrap_err().hresult(), 0x8000_4021, "that is the one there is");
    drop(usage);
    assert_eq!(process.current().kind, Some(Kind::Mta), "one guard is left");
    drop(another);
    assert!(process.mta_usage().is_err() || process.current().kind.is_some(), "ending, or made anew");
}
