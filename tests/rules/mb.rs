//! MB: the mailbox.

use crate::support::{Gate, Log, at, count, hold, join, must_end, nth, recorded};
use apartment::{
    Apartment, CallError, CallKind, CallOptions, CancelHandle, Clock, Event, IncomingCall, MailboxFull, MessageClass,
    MessageFilter, Outcome, PendingAnswer, PendingMessage, PostOptions, Process, Proxy, Reentrancy, RejectedCall,
    Retry, ServerCall, WaitFor, What, current_call, register_filter,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const SYS_CALL_FAILED: u32 = 0x8001_0100;
const NOT_SUPPORTED: u32 = 0x8000_4021;

/// The diagnosis of a mailbox that refused.
fn full(error: &CallError) -> &MailboxFull {
    assert_eq!((error.hresult(), error.outcome()), (SYS_CALL_FAILED, Outcome::NotStarted), "{error}");
    match error {
        CallError::MailboxFull(full) => full,
        other => panic!("{other}"),
    }
}

/// A caller or sender has come into the line for room.
fn waits_for_room(event: &Event) -> bool {
    matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. })
}

fn queued(what: &What) -> bool {
    matches!(what, What::Queued { .. })
}

/// Waits until that many stand in the line of a mailbox that is full.
fn line_is<T: 'static>(object: &Proxy<T>, waiting: usize) {
    while full(object.post(|_| ()).unwrap_err().error()).waiting != waiting {
        thread::yield_now();
    }
}

fn count_up(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

// ---- MB-1

#[test]
fn mb_1_a_mailbox_has_room_for_10_000_by_default() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| Cell::new(0)).unwrap();
    assert_eq!(sta.apartment().capacity(), 10_000);
    let held = hold(&object);
    for _ in 0..10_000 {
        object.post(|n| n.set(n.get() + 1)).unwrap();
    }
    assert_eq!(full(object.post(|_| ()).unwrap_err().error()).queued, 10_000);
    held.open();
    assert_eq!(object.with(&CallOptions::new().wait_for_room()).call(Cell::get).unwrap(), 10_000);
}

#[test]
fn mb_1_any_capacity_from_1_can_be_chosen() {
    let process = Process::new();
    for capacity in [1, 2, 17] {
        let entered = process.sta("entered").capacity(capacity).enter().unwrap();
        let object = entered.create(|| Cell::new(0)).unwrap();
        assert_eq!(entered.apartment().capacity(), capacity);
        for _ in 0..capacity {
            object.post(|n| n.set(n.get() + 1)).unwrap();
        }
        full(object.post(|_| ()).unwrap_err().error());
        assert_eq!(entered.pump(), capacity);
        assert_eq!(object.call(Cell::get).unwrap(), capacity);
        entered.leave();
    }
}

#[test]
fn mb_1_a_capacity_of_0_is_an_invalid_argument() {
    let process = Process::new();
    let errors = [
        process.sta("sta").capacity(0).spawn().unwrap_err(),
        process.sta("sta").capacity(0).enter().unwrap_err(),
        process.mta().capacity(0).spawn().unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, CallError::InvalidArgument { .. }), "{error}");
    }
    assert_eq!(process.main_sta(), None);
    assert!(process.mta().spawn().is_ok());
}

#[test]
fn mb_1_each_mailbox_has_its_own_room() {
    let process = Process::new();
    let full_one = process.sta("full").capacity(1).spawn().unwrap();
    let other = process.sta("other").capacity(1).spawn().unwrap();
    let (at_full, at_other) = (full_one.create(|| ()).unwrap(), other.create(|| 7).unwrap());
    let _held = hold(&at_full);
    at_full.post(|()| ()).unwrap();
    full(&at_full.call(|()| ()).unwrap_err());
    assert_eq!(at_other.call(|n| *n).unwrap(), 7);
}

#[test]
fn mb_1_room_is_held_from_acceptance_to_start() {
    let process = Process::new();
    let entered = process.sta("entered").capacity(3).enter().unwrap();
    let object = entered.create(|| ()).unwrap();
    let log = Log::new();
    for n in 1..=3 {
        let (log, apartment) = (log.clone(), entered.apartment().clone());
        object.post(move |()| log.add(apartment.queued())).unwrap();
        assert_eq!(entered.apartment().queued(), n);
    }
    full(object.post(|()| ()).unwrap_err().error());
    assert_eq!(entered.pump(), 3);
    // What runs holds none.
    assert_eq!(log.take(), [2, 1, 0]);
    assert_eq!(entered.apartment().queued(), 0);
}

#[test]
fn mb_1_the_entries_behind_the_one_that_runs_keep_their_room_and_are_seen_by_nested_waits() {
    must_end(|| {
        let process = Process::new();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let a = process.sta("a").capacity(3).enter().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let log = Log::new();
        let gate = Gate::new();
        let stop = gate.stop();
        // The first calls out, and its call cannot end before the second has run: in its wait.
        let first = log.clone();
        let posted = at_a.clone();
        at_a.post(move |()| {
            first.add("first begins");
            // Two entries are behind it, so there is room for one more.
            posted.post(|()| ()).unwrap();
            full(posted.post(|()| ()).unwrap_err().error());
            at_b.call(|()| stop.wait()).unwrap();
            first.add("first ends");
        })
        .unwrap();
        let second = log.clone();
        at_a.post(move |()| {
            second.add("second");
            gate.open();
        })
        .unwrap();
        let third = log.clone();
        at_a.post(move |()| third.add("third")).unwrap();
        a.pump();
        let told = log.take();
        let place = |what: &str| told.iter().position(|told| *told == what).unwrap();
        assert!(place("first begins") < place("second") && place("second") < place("first ends"), "{told:?}");
        assert!(place("second") < place("third"), "{told:?}");
    });
}

#[test]
fn mb_1_an_entry_keeps_its_room_while_the_filter_is_asked_about_it() {
    struct Asked(Apartment, Log<usize>);
    impl MessageFilter for Asked {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            self.1.add(self.0.queued());
            ServerCall::Handled
        }
    }
    let log = Log::new();
    let ui = Process::new().sta("ui").enter().unwrap();
    let object = ui.create(|| ()).unwrap();
    register_filter(Some(Rc::new(Asked(ui.apartment().clone(), log.clone())))).unwrap();
    join(thread::spawn(move || (0..3).for_each(|_| object.post(|()| ()).unwrap())));
    ui.pump();
    // The one that is asked about included.
    assert_eq!(log.take(), [3, 2, 1]);
}

// ---- MB-2

#[test]
fn mb_2_full_mailbox_fails_at_once_and_nothing_is_queued() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(2).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    object.post(|()| ()).unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    // Its owner does nothing meanwhile, so nobody but the mailbox itself has answered.
    let error = join(thread::spawn({
        let (object, ran) = (object.clone(), Arc::clone(&ran));
        move || object.call(|()| ran.store(true, Ordering::Relaxed)).unwrap_err()
    }));
    full(&error);
    let refused = |what: &What| matches!(what, What::Refused { error } if error.hresult == SYS_CALL_FAILED);
    assert_eq!(count(&recording, |e| refused(&e.what)), 1);
    assert_eq!(count(&recording, at(db.apartment(), queued)), 2);
    assert_eq!(db.apartment().queued(), 2);
    assert_eq!(db.pump(), 2);
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn mb_2_a_refused_post_hands_its_closure_back() {
    let process = Process::new();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| RefCell::new(Vec::new())).unwrap();
    object.post(|_| ()).unwrap();
    let line = String::from("kept");
    let refused = object.post(move |lines| lines.borrow_mut().push(line)).unwrap_err();
    full(refused.error());
    db.pump();
    // The same closure, with what it had captured: sent again, it runs.
    object.post(refused.into_closure()).unwrap();
    db.pump();
    assert_eq!(object.call_ref(|lines| lines.clone()).unwrap(), ["kept"]);
}

#[test]
fn mb_2_a_refused_message_hands_its_closure_back() {
    let process = Process::new();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let run = {
        let ran = Arc::clone(&ran);
        move || count_up(&ran)
    };
    let (error, run) = db.apartment().post_message(MessageClass::User, run).unwrap_err().into_parts();
    full(&error);
    db.pump();
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    run();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[test]
fn mb_2_making_an_object_is_refused_like_a_call() {
    let process = Process::new();
    let sta = process.sta("sta").capacity(1).spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let _held = hold(&object);
    object.post(|()| ()).unwrap();
    let made = AtomicBool::new(false);
    full(&sta.create(|| made.store(true, Ordering::Relaxed)).unwrap_err());
    assert!(!made.load(Ordering::Relaxed));
}

#[test]
fn mb_2_the_error_is_the_diagnosis() {
    let (process, _) = recorded();
    let db = process.sta("db").capacity(2).spawn().unwrap();
    let object = db.create(|| ()).unwrap();
    let gate = Gate::new();
    let stop = gate.stop();
    process.clock().advance(secs(100));
    let line = line!() + 1;
    object.post(move |()| stop.wait()).unwrap();
    gate.met();
    object.post(|()| ()).unwrap();
    object.post(|()| ()).unwrap();
    process.clock().advance(Duration::from_millis(12_400));
    let error = object.call(|()| ()).unwrap_err();
    let told = full(&error);
    assert_eq!((&*told.callee.name, told.callee.id), ("db", db.apartment().id()));
    assert_eq!((told.queued, told.capacity, told.waiting), (2, 2, 0));
    let (target, since) = told.executing.expect("it stands at the gate");
    assert_eq!((target.object, target.type_name, target.method), (Some(object.object_id()), "()", None));
    assert_eq!((target.location.file(), target.location.line()), (file!(), line));
    assert_eq!((since, told.idle_for), (Duration::from_millis(12_400), Duration::from_millis(12_400)));
    let text = error.to_string();
    for part in ["apartment \"db\" refused a call", "2 of 2 queued", "mb.rs", "for 12.4 s and dispatched nothing"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn mb_2_the_diagnosis_counts_those_who_wait_for_room() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).spawn().unwrap();
    let object = db.create(|| ()).unwrap();
    let held = hold(&object);
    object.post(|()| ()).unwrap();
    let waiters: Vec<_> = (1..=3)
        .map(|n| {
            let object = object.clone();
            let waiter = thread::spawn(move || object.with(&CallOptions::new().wait_for_room()).call(|()| ()));
            recording.until(nth(n, waits_for_room));
            assert_eq!(full(&object_refused(&db)).waiting, n);
            waiter
        })
        .collect();
    held.open();
    for waiter in waiters {
        join(waiter).unwrap();
    }
}

/// What an STA that is full says.
fn object_refused(sta: &apartment::Sta) -> CallError {
    sta.create(|| ()).unwrap_err()
}

#[test]
fn mb_2_the_diagnosis_of_an_idle_apartment_names_no_call() {
    let (process, _) = recorded();
    let ui = process.sta("ui").capacity(1).enter().unwrap();
    let object = ui.create(|| ()).unwrap();
    process.clock().advance(secs(2));
    object.post(|()| ()).unwrap();
    ui.pump();
    process.clock().advance(secs(3));
    object.post(|()| ()).unwrap();
    let error = CallError::from(object.post(|()| ()).unwrap_err());
    let told = full(&error);
    // What it served last has ended.
    assert!(told.executing.is_none(), "{error}");
    assert_eq!(told.idle_for, secs(3));
}

#[test]
fn mb_2_the_diagnosis_names_the_innermost_call_that_still_runs() {
    must_end(|| {
        let (process, recording) = recorded();
        let clock = process.clock().clone();
        let a = process.sta("a").capacity(1).spawn().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (outer, inner, at_b) = (a.create(|| ()).unwrap(), a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let refused = || {
            let error = CallError::from(outer.post(|()| ()).unwrap_err());
            let full = full(&error);
            let (target, since) = full.executing.unwrap();
            (target.object.unwrap(), since, full.idle_for)
        };
        // The outer call calls `b`; meanwhile another caller's comes in and stops too.
        let [gate_outer, gate_inner, gate_b] = [(); 3].map(|()| Gate::new());
        let (stop_outer, stop_inner, stop_b) = (gate_outer.stop(), gate_inner.stop(), gate_b.stop());
        let first = thread::spawn({
            let outer = outer.clone();
            move || {
                outer.call(|()| {
                    at_b.call(|()| stop_b.wait()).unwrap();
                    stop_outer.wait();
                })
            }
        });
        gate_b.met();
        clock.advance(secs(5));
        let second = thread::spawn({
            let inner = inner.clone();
            move || inner.call(|()| stop_inner.wait())
        });
        gate_inner.met();
        clock.advance(secs(1));
        outer.post(|()| ()).unwrap();
        assert_eq!(refused(), (inner.object_id(), secs(1), secs(1)));
        // What the outer one waits for is there before the inner one ends: it goes on without another look.
        gate_b.open();
        recording.until(nth(2, at(b.apartment(), |what| matches!(what, What::Ended { .. }))));
        gate_inner.open();
        join(second).unwrap();
        gate_outer.met();
        clock.advance(secs(6));
        // The post may have been served in the wait after all.
        let served = outer.post(|()| ()).is_ok();
        assert_eq!(refused(), (outer.object_id(), secs(12), secs(if served { 6 } else { 7 })));
        gate_outer.open();
        join(first).unwrap();
    });
}

// ---- MB-3

#[test]
fn mb_3_who_waits_for_room_gets_it_when_an_entry_starts() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).spawn().unwrap();
    let object = db.create(|| RefCell::new(Vec::new())).unwrap();
    let held = hold(&object);
    object.post(|lines| lines.borrow_mut().push("first")).unwrap();
    let waiter = thread::spawn({
        let object = object.clone();
        move || object.with(&CallOptions::new().wait_for_room()).call(|lines| lines.borrow_mut().push("waiter"))
    });
    recording.until(waits_for_room);
    assert!(!waiter.is_finished());
    assert_eq!(db.apartment().queued(), 1);
    held.open();
    join(waiter).unwrap();
    assert_eq!(object.call_ref(|lines| lines.clone()).unwrap(), ["first", "waiter"]);
}

#[test]
fn mb_3_a_post_may_wait_for_room_too() {
    let process = Process::new();
    let db = process.sta("db").capacity(1).spawn().unwrap();
    let object = db.create(|| RefCell::new(Vec::new())).unwrap();
    let held = hold(&object);
    object.post(|lines| lines.borrow_mut().push("first")).unwrap();
    let waiter = thread::spawn({
        let object = object.clone();
        move || object.with(&PostOptions::new().wait_for_room()).post(|lines| lines.borrow_mut().push("waiter"))
    });
    line_is(&object, 1);
    held.open();
    join(waiter).unwrap();
    let all = CallOptions::new().wait_for_room();
    assert_eq!(object.with(&all).call_ref(|lines| lines.clone()).unwrap(), ["first", "waiter"]);
}

#[test]
fn mb_3_waiters_get_room_in_the_order_they_came_and_nobody_overtakes_them() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    let log = Log::new();
    object
        .post({
            let (log, object) = (log.clone(), object.clone());
            move |()| {
                log.add(0);
                // This one's room has become free, and went to the first of the line.
                assert_eq!(full(object.post(|()| ()).unwrap_err().error()).waiting, 4);
            }
        })
        .unwrap();
    let waiters: Vec<_> = (1..=5)
        .map(|n| {
            let waiter = thread::spawn({
                let (object, log) = (object.clone(), log.clone());
                move || object.with(&CallOptions::new().wait_for_room()).call(|()| log.add(n))
            });
            recording.until(nth(n, waits_for_room));
            waiter
        })
        .collect();
    // Not even while there is a line and somebody comes who would not wait.
    full(object.post(|()| ()).unwrap_err().error());
    assert_eq!(db.pump(), 6);
    for waiter in waiters {
        join(waiter).unwrap();
    }
    assert_eq!(log.take(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(count(&recording, |e| matches!(e.what, What::Ended { panicked: Some(_) })), 0);
}

#[test]
fn mb_3_cancelling_ends_the_wait_for_room() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    let cancel = CancelHandle::new();
    let ran = Arc::new(AtomicBool::new(false));
    let waiter = thread::spawn({
        let (object, cancel, ran) = (object.clone(), cancel.clone(), Arc::clone(&ran));
        move || {
            let options = CallOptions::new().wait_for_room().cancel(&cancel);
            object.with(&options).call(|()| ran.store(true, Ordering::Relaxed))
        }
    });
    recording.until(waits_for_room);
    cancel.cancel();
    let error = must_end(move || join(waiter)).unwrap_err();
    assert!(matches!(error, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{error}");
    // It is out of the line.
    assert_eq!(full(object.post(|()| ()).unwrap_err().error()).waiting, 0);
    assert_eq!(db.pump(), 1);
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn mb_3_the_call_s_deadline_ends_the_wait_for_room() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    let waiter = |options: fn() -> CallOptions<'static>, n| {
        let waiter = thread::spawn({
            let object = object.clone();
            move || object.with(&options()).call(|()| panic!("it must not run"))
        });
        recording.until(nth(n, waits_for_room));
        waiter
    };
    let first = waiter(|| CallOptions::new().within(secs(5)).wait_for_room(), 1);
    // The earlier of the two ends counts.
    let second = waiter(|| CallOptions::new().within(secs(5)).wait_for_room_within(secs(9)), 2);
    process.clock().advance(secs(4));
    assert_eq!(full(object.post(|()| ()).unwrap_err().error()).waiting, 2);
    process.clock().advance(secs(1));
    for waiter in [first, second] {
        let error = must_end(move || join(waiter)).unwrap_err();
        assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
    }
    assert_eq!(full(object.post(|()| ()).unwrap_err().error()).waiting, 0);
    assert_eq!(db.pump(), 1);
}

#[test]
fn mb_3_a_wait_for_room_may_have_an_end_of_its_own() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    let waiter = thread::spawn({
        let object = object.clone();
        move || {
            let options = CallOptions::new().within(secs(9)).wait_for_room_within(secs(5));
            object.with(&options).call(|()| panic!("it must not run"))
        }
    });
    let turned = recording.until(waits_for_room);
    assert!(matches!(turned.what, What::WaitTurned { until: Some(until), .. } if until == secs(5)));
    process.clock().advance(secs(5));
    let error = must_end(move || join(waiter)).unwrap_err();
    full(&error);
    assert_eq!(db.pump(), 1);
}

#[test]
fn mb_3_a_time_for_room_does_not_limit_the_call_that_got_it() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).spawn().unwrap();
    let object = db.create(|| ()).unwrap();
    let first = hold(&object);
    object.post(|()| ()).unwrap();
    let waiter = thread::spawn({
        let (object, clock) = (object.clone(), process.clock().clone());
        move || {
            let options = CallOptions::new().wait_for_room_within(secs(5));
            object.with(&options).call(|()| clock.advance(secs(50)))
        }
    });
    recording.until(waits_for_room);
    first.open();
    must_end(move || join(waiter)).unwrap();
}

#[test]
fn mb_3_a_post_s_wait_for_room_ends_with_its_closure_handed_back() {
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).build();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    let wait = |options: PostOptions| {
        let waiter = thread::spawn({
            let object = object.clone();
            let kept = String::from("kept");
            move || {
                let (error, run) = object.with(&options).post(move |()| drop(kept)).unwrap_err().into_parts();
                run(&());
                error
            }
        });
        line_is(&object, 1);
        waiter
    };
    let waiter = wait(PostOptions::new().within(secs(5)).wait_for_room());
    clock.advance(secs(5));
    let error = must_end(move || join(waiter));
    assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
    let waiter = wait(PostOptions::new().within(secs(5)).wait_for_room_within(secs(2)));
    clock.advance(secs(2));
    full(&must_end(move || join(waiter)));
    let waiter = wait(PostOptions::new().wait_for_room());
    db.apartment().quit();
    let error = must_end(move || join(waiter));
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    assert_eq!(db.pump(), 1);
}

#[test]
fn mb_3_an_sta_pumps_while_it_waits_for_room() {
    must_end(|| {
        let process = Process::new();
        let b = process.sta("b").capacity(1).spawn().unwrap();
        let at_b = b.create(|| 7).unwrap();
        let a = process.sta("a").enter().unwrap();
        let at_a = a.create(|| Cell::new(0)).unwrap();
        let other = |held: Gate| {
            let at_a = at_a.clone();
            // It opens the gate only after it was served in `a`, which waits.
            thread::spawn(move || {
                at_a.call(|n| n.set(n.get() + 1)).unwrap();
                held.open();
            })
        };
        let held = hold(&at_b);
        at_b.post(|_| ()).unwrap();
        let third = other(held);
        assert_eq!(at_b.with(&CallOptions::new().wait_for_room()).call(|n| *n).unwrap(), 7);
        join(third);
        assert_eq!(at_a.call(Cell::get).unwrap(), 1);

        let held = hold(&at_b);
        at_b.post(|_| ()).unwrap();
        let third = other(held);
        at_b.with(&PostOptions::new().wait_for_room()).post(|_| ()).unwrap();
        join(third);
        assert_eq!(at_a.call(Cell::get).unwrap(), 2);
    });
}

#[test]
fn mb_3_an_sta_that_waits_for_room_in_its_own_mailbox_makes_it() {
    must_end(|| {
        let ui = Process::new().sta("ui").capacity(1).enter().unwrap();
        let object = ui.create(|| RefCell::new(Vec::new())).unwrap();
        for n in 0..10 {
            let options = PostOptions::new().wait_for_room();
            object.with(&options).post(move |seen| seen.borrow_mut().push(n)).unwrap();
        }
        assert_eq!(ui.pump(), 1);
        assert_eq!(object.call_ref(Clone::clone).unwrap(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn mb_3_cancelling_the_call_it_is_made_in_ends_the_wait_for_room() {
    let (process, recording) = recorded();
    let a = process.sta("a").spawn().unwrap();
    let b = process.sta("b").capacity(1).enter().unwrap();
    let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    at_b.post(|()| ()).unwrap();
    let cancel = CancelHandle::new();
    let caller = thread::spawn({
        let (cancel, at_b) = (cancel.clone(), at_b.clone());
        move || {
            let mut inner = None;
            let options = CallOptions::new().cancel(&cancel);
            let outer = at_a.with(&options).call(|()| {
                inner = Some(at_b.with(&CallOptions::new().wait_for_room()).call(|()| panic!("it must not run")));
            });
            (inner.unwrap().unwrap_err(), outer.unwrap_err())
        }
    });
    recording.until(waits_for_room);
    cancel.cancel();
    let (inner, outer) = must_end(move || join(caller));
    assert!(matches!(inner, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{inner}");
    assert!(matches!(outer, CallError::CallCanceled { outcome: Outcome::MayHaveRun }), "{outer}");
    assert_eq!(full(at_b.post(|()| ()).unwrap_err().error()).waiting, 0);
    assert_eq!(b.pump(), 1);
}

#[test]
fn mb_3_a_thread_of_the_mta_blocks_while_it_waits_for_room() {
    must_end(|| {
        let (process, recording) = recorded();
        let b = process.sta("b").capacity(1).spawn().unwrap();
        let mta = process.mta().threads(1).spawn().unwrap();
        let sta = process.sta("sta").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let object = mta.create(|| ()).unwrap();
        let held = hold(&at_b);
        at_b.post(|()| ()).unwrap();
        let waits = thread::spawn({
            let (caller, object) = (sta.create(|| ()).unwrap(), object.clone());
            move || {
                caller.call(|()| {
                    object.call(|()| {
                        at_b.with(&CallOptions::new().wait_for_room()).call(|()| ()).unwrap();
                        thread::current().id()
                    })
                })
            }
        });
        recording.until(waits_for_room);
        // The pool's only thread waits and is not re-entered: another serves this.
        let other = process.sta("other").spawn().unwrap();
        let served = other.create(|| ()).unwrap().call(|()| object.call(|()| thread::current().id())).unwrap().unwrap();
        held.open();
        assert_ne!(join(waits).unwrap().unwrap(), served);
    });
}

// ---- MB-4

/// What a call out of a full apartment finds there: an STA of capacity 1 that holds all other chains, calls `inside`
/// on the thread of another, and has one entry queued meanwhile.
fn with_a_full_mailbox(inside: impl FnOnce(&Apartment, &Proxy<Cell<u32>>) + Send + 'static) {
    must_end(|| {
        let process = Process::new();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let a = process.sta("a").capacity(1).reentrancy(Reentrancy::SameCausality).enter().unwrap();
        let at_a = a.create(|| Cell::new(0)).unwrap();
        let apartment = a.apartment().clone();
        at_b.call(|()| {
            at_a.post(|n| n.set(n.get() + 100)).unwrap();
            // New work is refused …
            full(at_a.post(|_| ()).unwrap_err().error());
            inside(&apartment, &at_a);
            full(at_a.post(|_| ()).unwrap_err().error());
        })
        // … and the reply comes.
        .unwrap();
        assert_eq!(a.apartment().queued(), 1);
        drop(at_a);
        a.pump();
        assert_eq!(a.apartment().queued(), 0);
    });
}

#[test]
fn mb_4_a_reply_needs_no_room() {
    with_a_full_mailbox(|_, _| ());
}

#[test]
fn mb_4_a_callback_of_a_chain_that_waits_needs_no_room_and_is_not_counted() {
    with_a_full_mailbox(|apartment, at_a| {
        let during = at_a
            .call(|n| {
                n.set(1);
                apartment.queued()
            })
            .unwrap();
        assert_eq!(during, 1, "the post alone");
        assert_eq!(apartment.queued(), 1);
        // However deep it comes from.
        let c = Process::new().sta("c").spawn().unwrap();
        let through = c.create(|| ()).unwrap();
        assert_eq!(through.call(|()| at_a.call(Cell::get)).unwrap().unwrap(), 1);
    });
}

#[test]
fn mb_4_a_callback_is_not_counted_in_what_the_events_say() {
    let (process, recording) = recorded();
    let a = process.sta("a").capacity(1).spawn().unwrap();
    let b = process.sta("b").spawn().unwrap();
    let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    at_a.call(|()| at_b.call(|()| at_a.call(|()| ()))).unwrap().unwrap().unwrap();
    let counts: Vec<_> = recording.events().into_iter().filter(|e| e.apartment == Some(a.apartment().id())).collect();
    let counts = counts.into_iter().filter_map(|e| match e.what {
        What::Queued { queued, capacity } => Some((queued, capacity)),
        _ => None,
    });
    // The making of the object, the call, the callback.
    assert_eq!(counts.collect::<Vec<_>>(), [(1, 1), (1, 1), (0, 1)]);
}

#[test]
fn mb_4_a_release_needs_no_room() {
    struct Told(Gate);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.open();
        }
    }
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").capacity(1).reentrancy(Reentrancy::SameCausality).enter().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let (full_one, object) = (a.create(|| ()).unwrap(), a.create(|| Told(gate)).unwrap());
        at_b.call(move |()| {
            full_one.post(|()| ()).unwrap();
            full(full_one.post(|()| ()).unwrap_err().error());
            drop(object);
            // It is dropped while the mailbox is full, in the wait of `a`.
            stop.wait();
            assert_eq!(full_one.apartment().unwrap().queued(), 1);
        })
        .unwrap();
        assert_eq!(a.pump(), 1);
    });
}

#[test]
fn mb_4_quit_needs_no_room() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).spawn().unwrap();
    let object = db.create(|| ()).unwrap();
    let held = hold(&object);
    object.post(|()| ()).unwrap();
    full(&object.call(|()| ()).unwrap_err());
    db.quit();
    recording.until(at(db.apartment(), |what| matches!(what, What::DoorClosed)));
    assert_eq!(db.apartment().queued(), 1);
    held.open();
    must_end(move || db.join()).unwrap();
}

// ---- MB-5

/// Leaves every application message in the queue.
struct Leaves;

impl MessageFilter for Leaves {
    fn message_pending(&self, _: &PendingMessage) -> PendingAnswer {
        PendingAnswer::wait_no_process()
    }
}

#[test]
fn mb_5_messages_that_a_filter_leaves_in_the_queue_keep_their_room() {
    must_end(|| {
        let (process, recording) = recorded();
        let ui = process.sta("ui").capacity(2).filter(|| Leaves).enter().unwrap();
        let apartment = ui.apartment().clone();
        let object = ui.create(|| ()).unwrap();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        at_b.call(|()| {
            for n in 1..=2 {
                let ran = Arc::clone(&ran);
                apartment.post_message(MessageClass::User, move || count_up(&ran)).unwrap();
                // The filter has been asked, and left it.
                recording.until(nth(n, at(&apartment, |what| matches!(what, What::PendingAsked { .. }))));
                assert_eq!(apartment.queued(), n);
            }
            // The mailbox has filled while its owner waits without processing.
            full(apartment.post_message(MessageClass::User, || ()).unwrap_err().error());
            full(object.post(|()| ()).unwrap_err().error());
        })
        .unwrap();
        assert_eq!((ran.load(Ordering::Relaxed), apartment.queued()), (0, 2));
        full(object.post(|()| ()).unwrap_err().error());
        assert_eq!(ui.pump(), 2);
        assert_eq!((ran.load(Ordering::Relaxed), apartment.queued()), (2, 0));
    });
}

// ---- MB-6

#[test]
fn mb_6_entries_of_one_sender_run_in_the_order_they_were_sent() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let log = Log::new();
    let held = hold(&object);
    for n in 0..300 {
        let log = log.clone();
        if n % 3 == 0 {
            sta.apartment().post_message(MessageClass::User, move || log.add(n)).unwrap();
        } else {
            object.post(move |()| log.add(n)).unwrap();
        }
    }
    held.open();
    object.call(|()| log.add(300)).unwrap();
    sta.create(|| log.add(301)).unwrap();
    assert_eq!(log.take(), (0..302).collect::<Vec<_>>());
}

#[test]
fn mb_6_each_of_many_senders_keeps_its_own_order() {
    const SENDERS: usize = 4;
    const EACH: usize = 500;
    let process = Process::new();
    let sta = process.sta("sta").capacity(7).spawn().unwrap();
    let object = sta.create(|| RefCell::new(Vec::new())).unwrap();
    let senders = (0..SENDERS).map(|sender| {
        let object = object.clone();
        thread::spawn(move || {
            let (post, call) = (PostOptions::new().wait_for_room(), CallOptions::new().wait_for_room());
            for n in 0..EACH {
                if n % 10 == 9 {
                    object.with(&call).call(|seen| seen.borrow_mut().push((sender, n))).unwrap();
                } else {
                    object.with(&post).post(move |seen| seen.borrow_mut().push((sender, n))).unwrap();
                }
            }
        })
    });
    senders.collect::<Vec<_>>().into_iter().for_each(join);
    let seen = object.call_ref(Clone::clone).unwrap();
    for sender in 0..SENDERS {
        let own: Vec<_> = seen.iter().filter(|(of, _)| *of == sender).map(|(_, n)| *n).collect();
        assert_eq!(own, (0..EACH).collect::<Vec<_>>());
    }
}

#[test]
fn mb_6_a_call_that_the_policy_lets_in_overtakes_those_it_holds_and_they_keep_their_order() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").reentrancy(Reentrancy::SameCausality).enter().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let log = Log::new();
        at_b.call(|()| {
            // One sender: three posts, each a chain of its own, then a call of the chain that `a` waits for.
            for n in 1..=3 {
                let log = log.clone();
                at_a.post(move |()| log.add(n)).unwrap();
            }
            at_a.call(|()| log.add(0)).unwrap();
        })
        .unwrap();
        assert_eq!(log.take(), [0]);
        assert_eq!(a.pump(), 3);
        assert_eq!(log.take(), [1, 2, 3]);
    });
}

#[test]
fn mb_6_calls_overtake_application_messages_during_a_wait_and_not_in_the_loop() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").enter().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let log = Log::new();
        let send = |what: &'static str| {
            let log = log.clone();
            a.apartment().post_message(MessageClass::User, move || log.add(what)).unwrap();
        };
        let post = |what: &'static str| {
            let log = log.clone();
            at_a.post(move |()| log.add(what)).unwrap();
        };
        send("message 1");
        post("post 1");
        send("message 2");
        post("post 2");
        at_b.call(|()| at_a.call(|()| log.add("call"))).unwrap().unwrap();
        // The posts came before the callback; neither it nor they have waited for the message in front of them.
        assert_eq!(log.take(), ["post 1", "post 2", "call"]);
        send("message 3");
        post("post 3");
        a.pump();
        assert_eq!(log.take(), ["message 1", "message 2", "message 3", "post 3"]);
    });
}

#[test]
fn mb_6_a_retry_is_a_new_offer_at_the_tail() {
    /// Refuses the first call for now, and lets in everything else.
    struct Later(Cell<bool>);
    impl MessageFilter for Later {
        fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
            let first = call.kind == CallKind::Synchronous && !self.0.replace(true);
            if first { ServerCall::RetryLater } else { ServerCall::Handled }
        }
    }
    let (process, recording) = recorded();
    let a = process.sta("a").filter(|| Later(Cell::new(false))).enter().unwrap();
    let object = a.create(|| ()).unwrap();
    let log = Log::new();
    let caller = thread::spawn({
        let (object, log) = (object.clone(), log.clone());
        move || {
            let options = CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
            object.with(&options).call(|()| log.add("retried"))
        }
    });
    recording.until(at(a.apartment(), queued));
    for what in ["second", "third"] {
        let log = log.clone();
        object.post(move |()| log.add(what)).unwrap();
    }
    // The first look rejects it and takes the next.
    a.pump();
    recording.until(nth(4, at(a.apartment(), queued)));
    a.pump();
    join(caller).unwrap();
    assert_eq!(log.take(), ["second", "third", "retried"]);
}

// ---- MB-7

#[test]
fn mb_7_a_cancelled_call_that_has_not_started_leaves_the_queue_at_once() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(2).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    let log = Log::new();
    let cancel = CancelHandle::new();
    let caller = thread::spawn({
        let (object, cancel, log) = (object.clone(), cancel.clone(), log.clone());
        move || object.with(&CallOptions::new().cancel(&cancel)).call(|()| log.add("cancelled"))
    });
    recording.until(at(db.apartment(), queued));
    let other = log.clone();
    object.post(move |()| other.add("other")).unwrap();
    full(object.post(|()| ()).unwrap_err().error());
    // Its owner does nothing; the room is free when the cancel returns.
    cancel.cancel();
    assert_eq!(db.apartment().queued(), 1);
    let error = must_end(move || join(caller)).unwrap_err();
    assert!(matches!(error, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{error}");
    let revoked = recording.until(at(db.apartment(), |what| matches!(what, What::Revoked { .. })));
    assert!(matches!(revoked.what, What::Revoked { queued: 1, .. }));
    let next = log.clone();
    object.post(move |()| next.add("next")).unwrap();
    assert_eq!(db.pump(), 2);
    assert_eq!(log.take(), ["other", "next"]);
}

#[test]
fn mb_7_a_timed_out_call_that_has_not_started_leaves_the_queue_at_once() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    let log = Log::new();
    let caller = thread::spawn({
        let (object, log) = (object.clone(), log.clone());
        move || object.within(secs(5)).call(|()| log.add("timed out"))
    });
    recording.until(at(db.apartment(), queued));
    process.clock().advance(secs(5));
    let error = must_end(move || join(caller)).unwrap_err();
    assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
    assert_eq!(db.apartment().queued(), 0);
    let next = log.clone();
    object.post(move |()| next.add("next")).unwrap();
    assert_eq!(db.pump(), 1);
    assert_eq!(log.take(), ["next"]);
}

#[test]
fn mb_7_a_timed_out_call_holds_no_room_even_while_its_caller_is_busy() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").spawn().unwrap();
        let b = process.sta("b").capacity(1).enter().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let caller = thread::spawn({
            let (at_a, at_b) = (at_a.clone(), at_b.clone());
            move || at_a.call(|()| at_b.within(secs(5)).call(|()| panic!("it must not run")))
        });
        recording.until(at(b.apartment(), queued));
        // While `a` waits, somebody keeps it busy; so it does not see its deadline pass.
        let held = hold(&at_a);
        process.clock().advance(secs(5));
        at_b.post(|()| ()).unwrap();
        assert_eq!(b.apartment().queued(), 1);
        held.open();
        let error = join(caller).unwrap().unwrap_err();
        assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
        assert_eq!(b.pump(), 1);
    });
}

#[test]
fn mb_7_the_room_of_a_revoked_call_goes_to_the_first_who_waits() {
    let (process, recording) = recorded();
    let db = process.sta("db").capacity(1).enter().unwrap();
    let object = db.create(|| ()).unwrap();
    let cancel = CancelHandle::new();
    let revoked = thread::spawn({
        let (object, cancel) = (object.clone(), cancel.clone());
        move || object.with(&CallOptions::new().cancel(&cancel)).call(|()| ())
    });
    recording.until(at(db.apartment(), queued));
    let waiter = thread::spawn({
        let object = object.clone();
        move || object.with(&CallOptions::new().wait_for_room()).call(|()| 7)
    });
    recording.until(waits_for_room);
    cancel.cancel();
    assert!(join(revoked).is_err());
    recording.until(nth(2, at(db.apartment(), queued)));
    assert_eq!(db.pump(), 1);
    assert_eq!(join(waiter).unwrap(), 7);
}

#[test]
fn mb_7_a_call_cancelled_before_it_is_made_is_never_queued() {
    let (process, recording) = recorded();
    let db = process.sta("db").spawn().unwrap();
    let object = db.create(|| ()).unwrap();
    let cancel = CancelHandle::new();
    cancel.cancel();
    let error = object.with(&CallOptions::new().cancel(&cancel)).call(|()| panic!("it must not run")).unwrap_err();
    assert!(matches!(error, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{error}");
    let error = object.within(Duration::ZERO).call(|()| panic!("it must not run")).unwrap_err();
    assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
    assert_eq!(count(&recording, at(db.apartment(), queued)), 1, "the making of the object");
}

// ---- MB-8

#[test]
fn mb_8_every_accepted_call_runs_exactly_once() {
    const CALLERS: usize = 4;
    const EACH: usize = 400;
    let process = Process::new();
    let sta = process.sta("sta").capacity(2).spawn().unwrap();
    let runs = Arc::new((0..CALLERS * EACH).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    let object = sta.create(|| ()).unwrap();
    let callers = (0..CALLERS).map(|caller| {
        let (object, runs) = (object.clone(), Arc::clone(&runs));
        thread::spawn(move || {
            let mut accepted = Vec::new();
            for n in caller * EACH..(caller + 1) * EACH {
                let sent = if n % 2 == 0 {
                    object.call(|()| count_up(&runs[n]))
                } else {
                    let runs = Arc::clone(&runs);
                    let run = move |_: &()| count_up(&runs[n]);
                    object.post(run).map_err(CallError::from)
                };
                match sent {
                    Ok(()) => accepted.push(n),
                    Err(error) => drop(full(&error)),
                }
            }
            accepted
        })
    });
    let callers: Vec<_> = callers.collect();
    let accepted: Vec<_> = callers.into_iter().flat_map(join).collect();
    drop(sta);
    let ran: Vec<_> = (0..CALLERS * EACH).filter(|n| runs[*n].load(Ordering::Relaxed) > 0).collect();
    assert_eq!(ran, accepted);
    assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) <= 1));
}

#[test]
fn mb_8_a_call_that_races_the_end_of_its_apartment_runs_once_or_says_that_it_did_not() {
    for _ in 0..20 {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let gate = Gate::new();
        let callers = (0..3).map(|_| {
            let (object, ran, stop) = (object.clone(), Arc::clone(&ran), gate.stop());
            thread::spawn(move || {
                stop.wait();
                for done in 0.. {
                    let posted = Arc::clone(&ran);
                    let sent = object.call(|()| count_up(&ran)).and_then(|()| {
                        let run = move |_: &()| count_up(&posted);
                        object.post(run).map_err(|error| {
                            ran.fetch_sub(1, Ordering::Relaxed);
                            error.into()
                        })
                    });
                    if let Err(error) = sent {
                        assert_eq!(error.outcome(), Outcome::NotStarted, "{error}");
                        return done * 2;
                    }
                }
                unreachable!()
            })
        });
        let callers: Vec<_> = callers.collect();
        gate.met_by(3);
        gate.open();
        sta.quit();
        let told: usize = callers.into_iter().map(join).sum();
        must_end(move || sta.join()).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), told);
    }
}

#[test]
fn mb_8_a_one_way_call_that_cannot_run_is_dropped_and_reported() {
    let (process, recording) = recorded();
    let dropped = Arc::new(());
    let owner = thread::spawn({
        let (process, dropped) = (process.clone(), Arc::clone(&dropped));
        move || {
            let entered = process.sta("dies").enter().unwrap();
            let object = entered.create(|| ()).unwrap();
            object.post(move |()| drop(dropped)).unwrap();
            panic!("the owner's own panic");
        }
    });
    assert!(owner.join().is_err());
    let told = recording.until(|e| matches!(e.what, What::PostDropped { .. }));
    let What::PostDropped { error } = told.what else { unreachable!() };
    assert_eq!((error.hresult, error.outcome), (0x8001_0012, Outcome::NotStarted), "{error:?}");
    let queued = recording.until(|e| matches!(e.what, What::Queued { .. }));
    assert_eq!(told.call, queued.call, "it is known which");
    assert_eq!(Arc::strong_count(&dropped), 1, "its closure is gone");
    assert_eq!(count(&recording, |e| matches!(e.what, What::Began { .. })), 0);
}

// ---- MB-9

#[test]
fn mb_9_calls_and_messages_share_one_capacity() {
    let (process, recording) = recorded();
    let ui = process.sta("ui").capacity(2).enter().unwrap();
    let object = ui.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    ui.apartment().post_message(MessageClass::Paint, || ()).unwrap();
    assert_eq!(ui.apartment().queued(), 2);
    full(object.post(|()| ()).unwrap_err().error());
    full(ui.apartment().post_message(MessageClass::Input, || ()).unwrap_err().error());
    let told = recording.until(at(ui.apartment(), |what| matches!(what, What::MessageQueued { .. })));
    assert!(matches!(told.what, What::MessageQueued { class: MessageClass::Paint, queued: 2, capacity: 2 }));
    assert_eq!(ui.pump(), 2);
}

#[test]
fn mb_9_a_post_is_a_one_way_call_and_a_message_is_no_call() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let object = ui.create(|| ()).unwrap();
    let log = Log::new();
    let inside = |what: &'static str| {
        let log = log.clone();
        move || log.add((what, current_call().map(|call| call.kind()).map_err(|error| error.hresult())))
    };
    object
        .post({
            let tell = inside("post");
            move |()| tell()
        })
        .unwrap();
    ui.apartment().post_message(MessageClass::User, inside("message")).unwrap();
    ui.pump();
    let complete = 0x8001_0117;
    assert_eq!(log.take(), [("post", Ok(CallKind::OneWay)), ("message", Err(complete))]);
}

#[test]
fn mb_9_a_message_has_no_causality() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let b = process.sta("b").spawn().unwrap();
    let (at_ui, at_b) = (ui.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    let log = Log::new();
    let outer = {
        let (log, at_b, apartment) = (log.clone(), at_b.clone(), ui.apartment().clone());
        move |_: &()| {
            log.add(current_call().unwrap().chain());
            let message = move || {
                // A call from a message begins a chain of its own, and a post from one names none that it came from.
                let seen = at_b.call(|()| current_call().unwrap()).unwrap();
                assert_eq!(seen.depth(), 1);
                log.add(seen.chain());
                let log = log.clone();
                at_b.post(move |()| {
                    let call = current_call().unwrap();
                    assert_eq!(call.from_chain(), None);
                    log.add(call.chain());
                })
                .unwrap();
            };
            apartment.post_message(MessageClass::User, message).unwrap();
        }
    };
    at_ui.call(outer).unwrap();
    ui.pump();
    at_b.call(|()| ()).unwrap();
    let chains = log.take();
    assert_eq!(chains.len(), 3);
    assert!(chains[0] != chains[1] && chains[1] != chains[2] && chains[0] != chains[2], "{chains:?}");
}

#[test]
fn mb_9_messages_are_never_shown_to_handle_incoming() {
    struct Shown(Log<CallKind>);
    impl MessageFilter for Shown {
        fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
            self.0.add(call.kind);
            ServerCall::Rejected
        }
    }
    let process = Process::new();
    let shown = Log::new();
    let ui = {
        let shown = shown.clone();
        process.sta("ui").filter(|| Shown(shown)).enter().unwrap()
    };
    let object = ui.create(|| ()).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    join(thread::spawn({
        let (apartment, ran) = (ui.apartment().clone(), Arc::clone(&ran));
        move || {
            for class in [MessageClass::Input, MessageClass::Paint, MessageClass::Activation, MessageClass::User] {
                let ran = Arc::clone(&ran);
                apartment.post_message(class, move || count_up(&ran)).unwrap();
            }
            object.post(|()| ()).unwrap();
        }
    }));
    ui.pump();
    assert_eq!(ran.load(Ordering::Relaxed), 4);
    assert_eq!(shown.take(), [CallKind::OneWay], "the post alone");
}

#[test]
fn mb_9_a_message_is_of_the_class_it_was_sent_with() {
    struct Asked(Log<MessageClass>);
    impl MessageFilter for Asked {
        fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
            self.0.add(message.class);
            PendingAnswer::wait_no_process()
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        let asked = Log::new();
        let ui = {
            let asked = asked.clone();
            process.sta("ui").filter(|| Asked(asked)).enter().unwrap()
        };
        let b = process.sta("b").spawn().unwrap();
        let classes = [MessageClass::Input, MessageClass::Paint, MessageClass::Activation, MessageClass::User];
        let apartment = ui.apartment().clone();
        b.create(|| ())
            .unwrap()
            .call(|()| {
                for class in classes {
                    apartment.post_message(class, || ()).unwrap();
                }
                recording.until(nth(4, at(&apartment, |what| matches!(what, What::PendingAsked { .. }))));
            })
            .unwrap();
        assert_eq!(asked.take(), classes);
        ui.pump();
        let began: Vec<_> = recording
            .events()
            .into_iter()
            .filter_map(|e| match e.what {
                What::MessageBegan { class, .. } => Some(class),
                _ => None,
            })
            .collect();
        // Activation did not wait for the pump.
        let [input, paint, activation, user] = classes;
        assert_eq!(began, [activation, input, paint, user]);
    });
}

#[test]
fn mb_9_the_mta_takes_no_messages() {
    let mta = Process::new().mta().spawn().unwrap();
    let refused = mta.apartment().post_message(MessageClass::User, || ()).unwrap_err();
    assert_eq!(refused.error().hresult(), NOT_SUPPORTED);
    refused.into_closure()();
}
