//! WA: waiting for other things than calls.

use crate::stage::{gate, incoming, like, play, secs};
use crate::support::{TOO_MUCH, at, in_child, is_child, join, must_end};
use apartment::{
    AsyncOptions, CallError, CallOptions, CancelHandle, Clock, IncomingCall, MessageClass, MessageFilter, Outcome,
    Process, Reentrancy, ServerCall, Serves, Signal, WaitEnd, WaitFor, What, Worker, blocking_wait_all,
    blocking_wait_any, implements, interface, wait_all, wait_any,
};
use std::cell::{Cell, RefCell};
use std::panic::{panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

const CALL_PENDING: u32 = 0x8001_0115;
const NO_SYNC: u32 = 0x8001_0120;
const NOW: Option<Duration> = Some(Duration::ZERO);

type Any = fn(&[&Signal], Option<Duration>) -> Result<usize, CallError>;
type All = fn(&[&Signal], Option<Duration>) -> Result<(), CallError>;

const ANY: [Any; 2] = [wait_any, blocking_wait_any];
const ALL: [All; 2] = [wait_all, blocking_wait_all];

#[track_caller]
fn number<T>(result: Result<T, CallError>) -> u32 {
    result.map(drop).expect_err("the wait is not to succeed").hresult()
}

fn add(count: &AtomicU32) {
    count.fetch_add(1, SeqCst);
}

/// Whether a wait for signals is meant, and what it serves.
fn waits(serves: Serves) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::WaitBegan { on: WaitFor::Events, serves: is, .. } if *is == serves)
}

// ---- WA-1: the event

#[test]
fn wa_1_a_signal_with_manual_reset_stays_set_and_one_with_auto_reset_lets_one_go_on() {
    for any in ANY {
        let (manual, auto) = (Signal::manual(), Signal::auto());
        assert!(!manual.is_set() && !auto.is_set());
        for signal in [&manual, &auto] {
            signal.set();
            signal.set();
            assert!(signal.is_set() && signal.is_set(), "a look takes nothing");
        }
        assert_eq!(any(&[&manual], NOW).unwrap(), 0);
        assert_eq!(any(&[&manual], NOW).unwrap(), 0);
        assert_eq!(any(&[&auto], NOW).unwrap(), 0);
        assert_eq!(number(any(&[&auto], NOW)), CALL_PENDING, "set twice is set once");
        auto.set();
        for signal in [&manual, &auto] {
            signal.reset();
            signal.reset();
            assert!(!signal.is_set());
            assert_eq!(number(any(&[signal], NOW)), CALL_PENDING);
        }
    }
}

#[test]
fn wa_1_clones_are_the_same_signal() {
    let auto = Signal::auto();
    let clone = auto.clone();
    clone.set();
    assert_eq!(wait_any(&[&auto], NOW).unwrap(), 0);
    assert!(!clone.is_set());
    assert!(format!("{clone:?}").contains("auto: true, set: false"), "{clone:?}");
}

#[test]
fn wa_1_any_takes_the_first_that_is_set_and_no_other() {
    for any in ANY {
        let [a, b, c] = [(); 3].map(|()| Signal::auto());
        b.set();
        c.set();
        assert_eq!(any(&[&a, &b, &c], None).unwrap(), 1);
        assert!(!b.is_set() && c.is_set());
        assert_eq!(any(&[&a, &b, &c], None).unwrap(), 2);
    }
}

#[test]
fn wa_1_all_takes_nothing_as_long_as_one_is_missing_and_then_all() {
    for all in ALL {
        let (manual, [a, b]) = (Signal::manual(), [(); 2].map(|()| Signal::auto()));
        manual.set();
        a.set();
        assert_eq!(number(all(&[&manual, &a, &b], NOW)), CALL_PENDING);
        assert_eq!(number(all(&[&b, &a], NOW)), CALL_PENDING);
        assert!(a.is_set(), "what it looked at stays set");
        b.set();
        all(&[&manual, &a, &b], None).unwrap();
        assert!(manual.is_set() && !a.is_set() && !b.is_set());
        // Resetting one that was taken, and setting it again, is as ever.
        a.reset();
        a.set();
        assert_eq!(wait_any(&[&a], NOW).unwrap(), 0);
    }
}

#[test]
fn wa_1_a_signal_may_be_named_twice() {
    let (auto, other) = (Signal::auto(), Signal::auto());
    auto.set();
    wait_all(&[&auto, &auto.clone()], None).unwrap();
    assert!(!auto.is_set());
    other.set();
    assert_eq!(wait_any(&[&auto, &auto, &other], None).unwrap(), 2);
}

#[test]
fn wa_1_a_thousand_signals_are_waited_for_at_once() {
    must_end(|| {
        let signals: Vec<_> = (0..1_000).map(|_| Signal::auto()).collect();
        let all: Vec<_> = signals.iter().collect();
        let (sets, last) = (signals.clone(), signals[999].clone());
        let worker = Worker::spawn("sets", move || sets.iter().for_each(Signal::set)).unwrap();
        wait_all(&all, Some(Duration::MAX)).unwrap();
        assert!(signals.iter().all(|signal| !signal.is_set()));
        worker.join().unwrap().unwrap();
        let worker = Worker::spawn("sets", move || last.set()).unwrap();
        assert_eq!(wait_any(&all, Some(Duration::MAX)).unwrap(), 999);
        worker.join().unwrap().unwrap();
    });
}

#[test]
fn wa_1_each_set_of_a_signal_with_auto_reset_lets_exactly_one_waiter_go_on() {
    play(|s| {
        let auto = Signal::auto();
        let (woke, woken) = channel();
        let stas = [(); 5].map(|()| s.sta("waits").spawn().unwrap());
        for (at, sta) in stas.iter().enumerate() {
            let (auto, woke) = (auto.clone(), woke.clone());
            sta.create(|| ())?.post(move |()| woke.send((at, wait_any(&[&auto], None).unwrap())).unwrap())?;
            s.until(sta.apartment(), waits(Serves::Everything));
        }
        let mut awake = Vec::new();
        for _ in &stas {
            assert!(woken.try_recv().is_err(), "nobody goes on who was not let");
            auto.set();
            awake.push(woken.recv().unwrap().0);
            assert!(!auto.is_set());
        }
        awake.sort();
        assert_eq!(awake, [0, 1, 2, 3, 4]);
        Ok(())
    });
}

#[test]
fn wa_1_a_signal_with_manual_reset_lets_all_waiters_go_on() {
    play(|s| {
        let manual = Signal::manual();
        let (woke, woken) = channel();
        let stas = [(); 4].map(|()| s.sta("waits").spawn().unwrap());
        for sta in &stas {
            let (manual, woke) = (manual.clone(), woke.clone());
            let waits_for = move |(): &()| woke.send(wait_all(&[&manual], None)).unwrap();
            sta.create(|| ())?.post(waits_for)?;
            s.until(sta.apartment(), waits(Serves::Everything));
        }
        manual.set();
        stas.iter().try_for_each(|_| woken.recv().unwrap())
    });
}

/// Every set of a signal with auto reset is taken by exactly one of many that wait for any, for all, and for all in the
/// other order.
#[test]
fn wa_1_what_many_take_at_once_is_what_was_set() {
    must_end(|| {
        const SETS: u32 = 3_000;
        let (signals, stop) = (Arc::new([(); 3].map(|()| Signal::auto())), Signal::manual());
        let taken = Arc::new([(); 3].map(|()| AtomicU32::new(0)));
        let setters: Vec<_> = (0..3)
            .map(|at| {
                let signals = Arc::clone(&signals);
                thread::spawn(move || {
                    for _ in 0..SETS {
                        while signals[at].is_set() {
                            thread::yield_now();
                        }
                        signals[at].set();
                    }
                })
            })
            .collect();
        let takes = |which: &'static [usize], all: bool| {
            let (signals, stop, taken) = (Arc::clone(&signals), stop.clone(), Arc::clone(&taken));
            thread::spawn(move || {
                let mut wanted: Vec<_> = which.iter().map(|at| &signals[*at]).collect();
                while !stop.is_set() {
                    if all {
                        match wait_all(&wanted, NOW) {
                            Ok(()) => which.iter().for_each(|at| add(&taken[*at])),
                            Err(_) => thread::yield_now(),
                        }
                    } else {
                        wanted.push(&stop);
                        if let Some(at) = which.get(wait_any(&wanted, None).unwrap()) {
                            add(&taken[*at]);
                        }
                        wanted.pop();
                    }
                }
            })
        };
        let takers = [takes(&[0, 1], true), takes(&[2, 1, 0], true), takes(&[1, 2], true), takes(&[0, 1, 2], false)];
        setters.into_iter().for_each(join);
        stop.set();
        takers.into_iter().for_each(join);
        for (signal, taken) in signals.iter().zip(&*taken) {
            assert_eq!(taken.load(SeqCst) + u32::from(signal.is_set()), SETS);
        }
    });
}

#[test]
fn wa_1_a_signal_is_set_and_looked_at_and_waited_for_while_thread_locals_are_destroyed() {
    struct Last(RefCell<Option<(Signal, Signal, Signal)>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let (here, other, done) = self.0.take().unwrap();
            here.set();
            wait_any(&[&other], None).unwrap();
            assert!(!other.is_set());
            done.set();
        }
    }
    thread_local! {
        static LAST: Last = const { Last(RefCell::new(None)) };
    }
    must_end(|| {
        let [here, other, done] = [(); 3].map(|()| Signal::auto());
        let theirs = (here.clone(), other.clone(), done.clone());
        thread::spawn(move || LAST.with(|last| *last.0.borrow_mut() = Some(theirs)));
        wait_any(&[&here], None).unwrap();
        other.set();
        wait_any(&[&done], None).unwrap();
    });
}

// ---- WA-1: waiting

#[test]
fn wa_1_a_destructor_that_waits_is_served_in_and_what_panics_there_ends_no_wait() {
    struct Waits(Signal, Sender<usize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.1.send(wait_any(&[&self.0], None).unwrap()).unwrap();
            panic!("in the destructor, after its wait")
        }
    }
    play(|s| {
        let sta = s.sta("sta").spawn()?;
        let (set, (tell, told)) = (Signal::auto(), channel());
        let sets = set.clone();
        let (waits, other) = (sta.create(move || Waits(sets, tell))?, sta.create(|| ())?);
        drop(waits);
        s.until(sta.apartment(), self::waits(Serves::Everything));
        // Served in that wait; the second fails, and the wait goes on.
        other.call(|()| ())?;
        other.call(|()| -> () { panic!("in a call that the wait serves") }).unwrap_err();
        assert!(told.try_recv().is_err());
        let tells = set.clone();
        other.call(move |()| tells.set())?;
        assert_eq!(told.recv().unwrap(), 0);
        other.call(|()| ())?;
        assert_eq!(s.count(sta.apartment(), like!(Contained { place: "a destructor" })), 1);
        Ok(())
    });
}

#[test]
fn wa_1_an_sta_that_waits_serves_calls_and_keeps_application_messages() {
    play(|s| {
        let ui = s.sta("ui").enter()?;
        let log = ui.create(|| RefCell::new(Vec::new()))?;
        let (done, at_ui, apartment) = (Signal::auto(), log.clone(), ui.apartment().clone());
        ui.apartment().post_message(MessageClass::Paint, {
            let log = log.clone();
            move || log.local().unwrap().borrow_mut().push("message")
        })?;
        let tells = done.clone();
        let other = thread::spawn(move || {
            // A call, a post, and a chain of which nobody here knows.
            at_ui.call(|log| log.borrow_mut().push("call")).unwrap();
            at_ui.post(|log| log.borrow_mut().push("post")).unwrap();
            at_ui.call(|_| ()).unwrap();
            tells.set();
        });
        assert_eq!(wait_any(&[&done], None)?, 0);
        join(other);
        assert_eq!(log.call(|log| log.take())?, ["call", "post"]);
        ui.pump();
        assert_eq!(log.call(|log| log.take())?, ["message"]);
        let ended = s.all(&apartment, like!(WaitEnded { by: WaitEnd::Done }));
        assert_eq!((s.count(&apartment, waits(Serves::Everything)), ended.len()), (1, 1));
        Ok(())
    });
}

#[test]
fn wa_1_what_a_wait_serves_is_what_the_policy_says() {
    use Reentrancy::{Classic, None as Nothing, SameCausality};
    play(|s| {
        let set = Signal::manual();
        for (policy, in_none, in_a_call) in [
            (Classic, Serves::Everything, Serves::Everything),
            (SameCausality, Serves::Everything, Serves::Chain),
            (Nothing, Serves::InputSynchronized, Serves::InputSynchronized),
        ] {
            let sta = s.sta("sta").reentrancy(policy).spawn()?;
            let object = sta.create(|| ())?;
            // In a message nothing is a call.
            let waiting = set.clone();
            sta.apartment().post_message(MessageClass::User, move || drop(wait_any(&[&waiting], None)))?;
            s.until(sta.apartment(), waits(in_none));
            set.set();
            object.call(|()| ())?;
            set.reset();
            let waiting = set.clone();
            s.begin();
            object.post(move |()| drop(wait_all(&[&waiting], None)))?;
            s.until(sta.apartment(), waits(in_a_call));
            set.set();
            drop(sta);
            set.reset();
        }
        Ok(())
    });
}

#[test]
fn wa_1_a_blocking_wait_serves_nothing_not_even_a_release() {
    struct Tells(Sender<&'static str>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send("released").unwrap();
        }
    }
    play(|s| {
        for all in [false, true] {
            let sta = s.sta("sta").spawn()?;
            let (tell, told) = channel();
            let (object, goes) = (sta.create(|| ())?, sta.create(|| Tells(tell.clone()))?);
            let (go, to) = (Signal::auto(), tell.clone());
            let waiting = go.clone();
            object.post(move |()| {
                match all {
                    true => blocking_wait_all(&[&waiting], None).unwrap(),
                    false => assert_eq!(blocking_wait_any(&[&waiting], None).unwrap(), 0),
                }
                to.send("woke").unwrap();
            })?;
            s.until(sta.apartment(), waits(Serves::Nothing));
            drop(goes);
            object.post(move |()| tell.send("posted").unwrap())?;
            go.set();
            drop(sta);
            assert_eq!(told.iter().collect::<Vec<_>>(), ["woke", "released", "posted"]);
        }
        Ok(())
    });
}

/// In handling a call: waits for the signal as long as it takes.
struct Waits(Signal);

impl MessageFilter for Waits {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        drop(wait_any(&[&self.0], None));
        ServerCall::Handled
    }
}

#[test]
fn ck_4_a_wait_inside_a_filters_method_does_not_pump() {
    play(|s| {
        let (go, filter) = (Signal::manual(), Signal::manual());
        let waiting = filter.clone();
        let sta = s.sta("sta").filter(move || Waits(waiting)).spawn()?;
        filter.set();
        let object = sta.create(|| RefCell::new(Vec::new()))?;
        filter.reset();
        let wakes = go.clone();
        object.post(move |log| {
            log.borrow_mut().push("first");
            wakes.set();
        })?;
        s.until(sta.apartment(), waits(Serves::Nothing));
        // It would run if the filter's wait pumped, and it would be waited for.
        object.post(|log| log.borrow_mut().push("second"))?;
        assert!(!go.is_set());
        filter.set();
        wait_any(&[&go], None)?;
        assert_eq!(object.call(|log| log.take())?, ["first", "second"]);
        assert_eq!(s.count(sta.apartment(), waits(Serves::Everything)), 0);
        Ok(())
    });
}

interface! {
    trait Sheet {
        fn focus(&self, until: &Signal) -> Result<usize, CallError> as input_sync;
    }
}

struct Page;

implements!(Page: dyn Sheet);

impl Sheet for Page {
    fn focus(&self, until: &Signal) -> Result<usize, CallError> {
        wait_any(&[until], None)
    }
}

#[test]
fn ck_3_a_wait_inside_an_input_synchronized_call_does_not_pump() {
    play(|s| {
        let (a, b) = (s.sta("a").spawn()?, s.sta("b").spawn()?);
        let (at_a, at_b, go) = (a.create(|| ())?, b.create(|| Page)?, Signal::manual());
        let (until, sheet) = (go.clone(), at_b.clone().cast::<dyn Sheet>());
        at_a.post(move |()| assert_eq!(sheet.focus(&until).unwrap(), 0))?;
        s.until(b.apartment(), waits(Serves::Nothing));
        let (began, begins) = channel();
        at_b.post(move |_| began.send(()).unwrap())?;
        assert!(begins.try_recv().is_err());
        go.set();
        begins.recv().unwrap();
        let ended = s.all(b.apartment(), like!(WaitEnded { by: WaitEnd::Done }));
        let post = s.all(b.apartment(), like!(Began));
        assert!(ended[0].seq < post.last().unwrap().seq);
        Ok(())
    });
}

#[test]
fn wa_1_a_thread_of_the_pool_that_waits_counts_as_blocked() {
    for any in ANY {
        play(move |s| {
            let mta = s.mta().threads(1).max_threads(2).spawn()?;
            let (object, go) = (mta.create(|| ())?, Signal::auto());
            let (waiting, sets, other) = (go.clone(), go.clone(), object.clone());
            object.post(move |()| assert_eq!(any(&[&waiting], None).unwrap(), 0))?;
            s.until(mta.apartment(), waits(Serves::Nothing));
            // The pool has room for one thread that runs; it grows by another.
            other.post(move |()| sets.set())?;
            drop((object, other));
            drop(mta);
            Ok(())
        });
    }
}

#[test]
fn mf_3_a_wait_for_signals_is_no_call_that_is_pending() {
    play(|s| {
        let (kinds, seen) = channel();
        let answers = move |call: &IncomingCall| {
            kinds.send((call.call_type, call.elapsed)).unwrap();
            ServerCall::Handled
        };
        let sta = s.sta("sta").filter(move || incoming(answers)).spawn()?;
        let (object, go) = (sta.create(|| ())?, Signal::auto());
        let waiting = go.clone();
        sta.apartment().post_message(MessageClass::User, move || drop(wait_any(&[&waiting], None)))?;
        s.until(sta.apartment(), waits(Serves::Everything));
        object.call(|()| ())?;
        go.set();
        drop(sta);
        let seen: Vec<_> = seen.iter().collect();
        assert_eq!(seen, [(apartment::CallType::TopLevel, None); 2]);
        Ok(())
    });
}

#[test]
fn di_6_a_wait_below_another_goes_on_when_that_has_ended_and_takes_nothing_before() {
    play(|s| {
        let sta = s.sta("sta").spawn()?;
        let object = sta.create(|| RefCell::new(Vec::new()))?;
        let [outer, inner] = [(); 2].map(|()| Signal::auto());
        for (name, signal) in [("outer", &outer), ("inner", &inner)] {
            let signal = signal.clone();
            s.begin();
            object.post(move |log| {
                wait_any(&[&signal], None).unwrap();
                log.borrow_mut().push(name);
            })?;
            s.until(sta.apartment(), waits(Serves::Everything));
        }
        outer.set();
        // A third one, on top: the thread has looked since.
        object.call(|_| ())?;
        assert!(outer.is_set(), "nobody has taken it: it is there for whoever comes first");
        inner.set();
        drop(sta);
        assert!(!outer.is_set() && !inner.is_set());
        Ok(())
    });
}

// ---- WA-2

#[test]
fn wa_2_what_is_set_already_is_returned_at_once_and_nothing_is_pumped() {
    play(|s| {
        let ui = s.sta("ui").enter()?;
        let object = ui.create(|| Cell::new(0))?;
        let (auto, other) = (Signal::auto(), Signal::auto());
        object.post(|n| n.set(1))?;
        for any in ANY {
            auto.set();
            assert_eq!(any(&[&other, &auto], None)?, 1);
            assert_eq!(object.call(Cell::get)?, 0);
        }
        for all in ALL {
            auto.set();
            other.set();
            all(&[&other, &auto], NOW)?;
            assert_eq!(object.call(Cell::get)?, 0);
        }
        assert_eq!(s.count(ui.apartment(), like!(WaitBegan)), 0);
        assert_eq!((ui.pump(), object.call(Cell::get)?), (1, 1));
        Ok(())
    });
}

#[test]
fn wa_2_nothing_to_wait_for_is_no_sync() {
    for any in ANY {
        assert!(matches!(any(&[], None), Err(CallError::NoSync)));
        assert_eq!(number(any(&[], NOW)), NO_SYNC);
    }
    for all in ALL {
        assert!(matches!(all(&[], None), Err(CallError::NoSync)));
        assert_eq!(number(all(&[], NOW)), NO_SYNC);
    }
}

#[test]
fn wa_2_a_wait_ends_when_its_time_is_up_on_the_clock_of_the_threads_apartment() {
    play(|s| {
        let sta = s.sta("sta").spawn()?;
        let mta = s.mta().spawn()?;
        let (at_sta, at_mta) = (sta.create(|| ())?, mta.create(|| ())?);
        let never = Signal::auto();
        for (object, apartment, serves) in [
            (&at_sta, sta.apartment(), [Serves::Everything, Serves::Nothing]),
            (&at_mta, mta.apartment(), [Serves::Nothing, Serves::Nothing]),
        ] {
            for (any, all, serves) in [(ANY[0], ALL[0], serves[0]), (ANY[1], ALL[1], serves[1])] {
                for waits_for_all in [false, true] {
                    s.begin();
                    let (never, (tell, told)) = (never.clone(), channel());
                    object.post(move |()| {
                        let result = match waits_for_all {
                            true => all(&[&never], Some(secs(5))),
                            false => any(&[&never], Some(secs(5))).map(drop),
                        };
                        tell.send(result).unwrap();
                    })?;
                    let began = s.until(apartment, waits(serves));
                    let until = s.clock.now() + secs(5);
                    assert!(matches!(began.what, What::WaitBegan { until: Some(told), .. } if told == until));
                    s.clock.advance(secs(4));
                    assert!(told.try_recv().is_err());
                    s.clock.advance(secs(1));
                    let error = told.recv().unwrap().unwrap_err();
                    assert!(matches!(error, CallError::CallPending), "{error}");
                    assert_eq!((error.hresult(), error.outcome()), (CALL_PENDING, Outcome::NotStarted));
                    s.until(apartment, like!(WaitEnded { by: WaitEnd::TimedOut }));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn wa_2_on_a_thread_in_no_apartment_the_time_is_the_systems() {
    let (never, millis) = (Signal::manual(), Duration::from_millis(1));
    assert_eq!(number(wait_any(&[&never], Some(millis))), CALL_PENDING);
    assert_eq!(number(wait_all(&[&never], Some(millis))), CALL_PENDING);
    // A time beyond the clock's reach is never.
    let (sets, signal) = (never.clone(), &never);
    let other = thread::spawn(move || sets.set());
    assert_eq!(wait_any(&[signal], Some(Duration::MAX)).unwrap(), 0);
    join(other);
}

#[test]
fn wa_2_a_wait_that_fails_takes_nothing_and_leaves_nothing_behind() {
    let (set, never) = (Signal::auto(), Signal::auto());
    set.set();
    for _ in 0..1_000 {
        assert_eq!(number(wait_all(&[&set, &never], NOW)), CALL_PENDING);
        assert_eq!(number(wait_any(&[&never], NOW)), CALL_PENDING);
    }
    assert!(set.is_set());
    never.set();
    wait_all(&[&set, &never], NOW).unwrap();
}

// ---- The call in which it waits

#[test]
fn ca_3_a_wait_ends_with_the_deadline_of_the_call_that_is_served() {
    play(|s| {
        let (sta, mta) = (s.sta("sta").spawn()?, s.mta().spawn()?);
        let (at_sta, at_mta) = (sta.create(|| ())?, mta.create(|| ())?);
        let never = Signal::manual();
        for any in ANY {
            for (object, apartment) in [(&at_sta, sta.apartment()), (&at_mta, mta.apartment())] {
                s.begin();
                let (tell, told) = channel();
                let (object, never) = (object.clone(), never.clone());
                let caller = thread::spawn(move || {
                    // Its own time is longer.
                    let method = |()| tell.send(any(&[&never], Some(secs(60)))).unwrap();
                    object.within(secs(5)).call(|()| method(()))
                });
                s.until(apartment, like!(WaitBegan { on: WaitFor::Events }));
                s.clock.advance(secs(5));
                let ended = told.recv().unwrap().unwrap_err();
                assert!(matches!(ended, CallError::TimedOut { outcome: Outcome::NotStarted }), "{ended}");
                let error = join(caller).unwrap_err();
                assert!(matches!(error, CallError::TimedOut { outcome: Outcome::MayHaveRun }), "{error}");
                s.until(apartment, like!(WaitEnded { by: WaitEnd::TimedOut }));
            }
        }
        Ok(())
    });
}

#[test]
fn ca_3_a_waits_own_time_may_end_before_that_of_the_call() {
    play(|s| {
        let sta = s.sta("sta").spawn()?;
        let object = sta.create(|| ())?;
        let never = Signal::manual();
        let caller = thread::spawn(move || object.within(secs(60)).call(|()| wait_any(&[&never], Some(secs(5)))));
        s.until(sta.apartment(), like!(WaitBegan { on: WaitFor::Events }));
        s.clock.advance(secs(5));
        assert!(matches!(join(caller)?, Err(CallError::CallPending)));
        Ok(())
    });
}

#[test]
fn ca_2_a_wait_ends_when_the_call_that_is_served_is_cancelled() {
    play(|s| {
        let (sta, mta) = (s.sta("sta").spawn()?, s.mta().spawn()?);
        let (at_sta, at_mta) = (sta.create(|| ())?, mta.create(|| ())?);
        let never = Signal::manual();
        for any in ANY {
            for (object, apartment) in [(&at_sta, sta.apartment()), (&at_mta, mta.apartment())] {
                s.begin();
                let ((tell, told), cancel) = (channel(), CancelHandle::new());
                let (object, never, cancels) = (object.clone(), never.clone(), cancel.clone());
                let caller = thread::spawn(move || {
                    let options = CallOptions::new().cancel(&cancels);
                    object.with(&options).call(|()| tell.send(any(&[&never], None)).unwrap())
                });
                s.until(apartment, like!(WaitBegan { on: WaitFor::Events }));
                cancel.cancel();
                let ended = told.recv().unwrap().unwrap_err();
                assert!(matches!(ended, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{ended}");
                let error = join(caller).unwrap_err();
                assert!(matches!(error, CallError::CallCanceled { outcome: Outcome::MayHaveRun }), "{error}");
                s.until(apartment, like!(WaitEnded { by: WaitEnd::Cancelled }));
            }
        }
        Ok(())
    });
}

#[test]
fn ca_2_a_wait_ends_when_its_call_is_cancelled_after_one_on_top_of_it_has_ended() {
    play(|s| {
        let sta = s.sta("sta").spawn()?;
        let at_sta = sta.create(|| ())?;
        let (never, set) = (Signal::manual(), Signal::manual());
        let (tell, told) = channel();
        let cancel = CancelHandle::new();
        let waits = {
            let tell = tell.clone();
            move || tell.send(wait_any(&[&never], None).map(drop)).unwrap()
        };
        let below = at_sta.with(&AsyncOptions::new().cancel(&cancel)).call_async(move |()| waits());
        s.until(sta.apartment(), like!(WaitBegan { on: WaitFor::Events }));
        let waits = {
            let set = set.clone();
            move || tell.send(wait_any(&[&set], None).map(drop)).unwrap()
        };
        let above = at_sta.call_async(move |()| waits());
        s.until_nth(2, sta.apartment(), like!(WaitBegan { on: WaitFor::Events }));
        set.set();
        told.recv().unwrap()?;
        pollster::block_on(above)?;
        cancel.cancel();
        let ended = told.recv().unwrap().unwrap_err();
        assert!(matches!(ended, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{ended}");
        let error = pollster::block_on(below).unwrap_err();
        assert!(matches!(error, CallError::CallCanceled { outcome: Outcome::MayHaveRun }), "{error}");
        Ok(())
    });
}

#[test]
fn ca_2_a_wait_in_a_direct_call_ends_when_that_is_cancelled_from_elsewhere() {
    play(|s| {
        let ui = s.sta("ui").enter()?;
        let (outer, inner) = (ui.create(|| ())?, ui.create(|| ())?);
        let (cancel, never) = (CancelHandle::new(), Signal::manual());
        let (cancels, apartment) = (cancel.clone(), ui.apartment().clone());
        let other = thread::spawn({
            let process = s.process.clone();
            move || {
                let begins = |event: &apartment::Event| {
                    event.apartment == Some(apartment.id())
                        && matches!(event.what, What::WaitBegan { on: WaitFor::Events, .. })
                };
                process.recording().unwrap().until(begins);
                cancels.cancel();
            }
        });
        let mut ended = None;
        let options = CallOptions::new().cancel(&cancel);
        let result = outer.with(&options).call(|()| {
            let _cancelled_too = inner.call(|()| ended = Some(wait_any(&[&never], None)));
        });
        join(other);
        assert!(matches!(ended, Some(Err(CallError::CallCanceled { outcome: Outcome::NotStarted }))), "{ended:?}");
        assert!(matches!(result, Err(CallError::CallCanceled { outcome: Outcome::MayHaveRun })), "{result:?}");
        Ok(())
    });
}

#[test]
fn ca_2_what_is_set_is_taken_though_the_call_is_cancelled() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let object = ui.create(|| ()).unwrap();
    let (cancel, signal) = (CancelHandle::new(), Signal::auto());
    let mut taken = Vec::new();
    let result = object.with(&CallOptions::new().cancel(&cancel)).call(|()| {
        cancel.cancel();
        signal.set();
        taken.push(wait_any(&[&signal], None).map_err(|error| error.hresult()));
        taken.push(wait_any(&[&signal], None).map_err(|error| error.hresult()));
    });
    assert_eq!(taken, [Ok(0), Err(0x8001_0002)]);
    assert_eq!(number(result), 0x8001_0002);
}

#[test]
fn ca_3_a_wait_ends_with_a_deadline_on_the_clock_of_another_process() {
    must_end(|| {
        let clock = Clock::driven();
        let driven = Process::builder().clock(clock.clone()).build();
        let real = Process::builder().record(1_000).build();
        let (ui, recording) = (real.sta("ui").enter().unwrap(), real.recording().unwrap());
        // A direct call, on this thread, of an object that belongs to the other process.
        let free = driven.free_threaded(()).unwrap();
        let waits_here = at(ui.apartment(), |what| matches!(what, What::WaitBegan { on: WaitFor::Events, .. }));
        let advances = thread::spawn(move || {
            recording.until(waits_here);
            clock.advance(secs(5));
        });
        let ended = free.within(secs(5)).call(|()| wait_any(&[&Signal::manual()], None));
        join(advances);
        assert_eq!(number(ended), 0x8001_011F);
    });
}

#[test]
fn ca_3_what_is_left_of_a_deadline_on_another_clock_passes_on_the_clock_of_the_wait() {
    must_end(|| {
        let clock = Clock::driven();
        let here = Process::builder().clock(clock.clone()).record(1_000).build();
        let there = Process::builder().clock(Clock::driven()).build();
        let (ui, recording) = (here.sta("ui").enter().unwrap(), here.recording().unwrap());
        let waits_here = at(ui.apartment(), |what| matches!(what, What::WaitBegan { on: WaitFor::Events, .. }));
        let advances = thread::spawn(move || {
            recording.until(waits_here);
            clock.advance(secs(5));
        });
        // Its own time is longer. The call's own clock stands still: it is not late.
        let free = there.free_threaded(()).unwrap();
        let ended = free.within(secs(5)).call(|()| wait_any(&[&Signal::manual()], Some(secs(60)))).unwrap();
        join(advances);
        assert!(matches!(ended, Err(CallError::TimedOut { outcome: Outcome::NotStarted })), "{ended:?}");
    });
}

// ---- WA-3: workers

#[test]
fn wa_3_an_sta_that_joins_a_worker_which_needs_it_pumps() {
    play(|s| {
        for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
            let ui = s.sta("ui").reentrancy(policy).enter()?;
            let bar = ui.create(|| Cell::new(0))?;
            let to_bar = bar.clone();
            let worker = Worker::spawn("worker", move || {
                (0..100).try_for_each(|_| to_bar.call(|bar| bar.set(bar.get() + 1))).map(|()| "copied")
            })?;
            assert_eq!(worker.join()?.unwrap()?, "copied");
            assert_eq!(bar.call(Cell::get)?, 100);
            assert_eq!(s.count(ui.apartment(), like!(WaitBegan { on: WaitFor::Thread })), 1);
        }
        Ok(())
    });
}

#[test]
fn wa_3_a_workers_join_serves_inside_a_call_and_on_a_thread_of_the_pool() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).max_threads(2).spawn().unwrap();
        let sta = process.sta("sta").spawn().unwrap();
        let (at_mta, at_sta) = (mta.create(|| 1).unwrap(), sta.create(|| 2).unwrap());
        for object in [&at_mta, &at_sta] {
            let needs = object.clone();
            let got = object.call(|n| {
                let worker = Worker::spawn("worker", move || needs.call(|n| *n).unwrap()).unwrap();
                worker.join().unwrap().unwrap() == *n
            });
            assert!(got.unwrap());
        }
    });
}

#[test]
fn wa_3_a_workers_panic_is_given_back_by_its_join() {
    let worker = Worker::spawn("worker", || -> u32 { resume_unwind(Box::new(7_u64)) }).unwrap();
    assert_eq!(*worker.join().unwrap().unwrap_err().downcast::<u64>().unwrap(), 7);
}

#[test]
fn wa_3_a_worker_bears_its_name_and_may_be_an_apartment() {
    let process = Process::new();
    let worker = Worker::spawn("copier", move || {
        let here = process.sta("sta").enter().unwrap();
        let n = here.create(|| Cell::new(1)).unwrap();
        (thread::current().name().map(str::to_owned), n.call(Cell::get).unwrap())
    });
    let worker = worker.unwrap();
    assert!(format!("{worker:?}").contains("copier"));
    assert_eq!(worker.join().unwrap().unwrap(), (Some("copier".to_owned()), 1));
}

#[test]
fn wa_3_a_worker_that_cannot_be_started_says_so_with_the_systems_error() {
    struct Counts(Arc<AtomicU32>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicU32::new(0));
    let held = Counts(Arc::clone(&drops));
    let refused = Worker::builder("worker").stack_size(TOO_MUCH).spawn(move || drop(held)).unwrap_err();
    assert!(matches!(&refused, CallError::SysCallFailed { source, .. } if source.is::<std::io::Error>()), "{refused}");
    assert_eq!((refused.hresult(), drops.load(SeqCst)), (0x8001_0100, 1));
    assert!(refused.to_string().contains("\"worker\""), "{refused}");
    assert_eq!(Worker::builder("worker").stack_size(1 << 20).spawn(|| 5).unwrap().join().unwrap().unwrap(), 5);
}

#[test]
fn wa_3_a_worker_that_would_join_itself_is_told_so() {
    must_end(|| {
        let (give, given) = channel::<Worker<()>>();
        let (tell, told) = channel();
        let worker = Worker::spawn("itself", move || {
            let own = given.recv().unwrap();
            tell.send(own.join().map(drop)).unwrap();
        });
        give.send(worker.unwrap()).unwrap();
        let error = told.recv().unwrap().unwrap_err();
        assert!(matches!(error, CallError::Deadlock(_)), "{error}");
        assert!(error.to_string().contains("waits for the end of worker \"itself\" at tests/rules/wa.rs:"), "{error}");
    });
}

#[test]
fn wa_3_a_worker_that_is_dropped_goes_on_and_what_it_gives_is_dropped() {
    struct Result(Sender<&'static str>);
    impl Drop for Result {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    must_end(|| {
        let (tell, told) = channel();
        let (go, ended) = (Signal::auto(), Signal::auto());
        let goes = go.clone();
        let worker = Worker::spawn("worker", {
            let tell = tell.clone();
            move || {
                wait_any(&[&goes], None).unwrap();
                tell.send("went on").unwrap();
                Result(tell)
            }
        });
        drop(worker.unwrap());
        go.set();
        assert_eq!((told.recv().unwrap(), told.recv().unwrap()), ("went on", "dropped"));
        // And one that has ended before it is dropped.
        let sets = ended.clone();
        let worker = Worker::spawn("worker", move || Result(tell)).unwrap();
        wait_any(&[worker.ended()], None).unwrap();
        sets.set();
        assert!(worker.is_finished());
        drop(worker);
        assert_eq!(told.recv().unwrap(), "dropped");
    });
}

#[test]
fn wa_3_a_detached_worker_whose_result_or_payload_panics_when_dropped_is_contained() {
    const NAME: &str = "wa::wa_3_a_detached_worker_whose_result_or_payload_panics_when_dropped_is_contained";
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic_any(Panics);
        }
    }
    if !is_child() {
        return in_child(NAME);
    }
    must_end(|| {
        for early in [true, false] {
            let workers = [
                Worker::spawn("gives", || Some(Panics)).unwrap(),
                Worker::spawn("panics", || -> Option<Panics> { panic_any(Panics) }).unwrap(),
            ];
            let signals = [workers[0].ended().clone(), workers[1].ended().clone()];
            if early {
                drop(workers);
                wait_all(&[&signals[0], &signals[1]], None).unwrap();
            } else {
                wait_all(&[&signals[0], &signals[1]], None).unwrap();
                // Also while the thread unwinds already.
                let unwinds = thread::spawn(move || {
                    let _workers = workers;
                    panic_any("the owner panics");
                });
                assert_eq!(*unwinds.join().unwrap_err().downcast::<&str>().unwrap(), "the owner panics");
            }
        }
    });
}

#[test]
fn wa_3_a_worker_is_waited_for_with_others_and_for_a_time() {
    play(|s| {
        let ui = s.sta("ui").enter()?;
        let (go, other) = (Signal::auto(), Signal::manual());
        let goes = go.clone();
        let worker = Worker::spawn("worker", move || wait_any(&[&goes], None))?;
        let (clock, apartment) = (s.clock.clone(), ui.apartment().clone());
        let advances = thread::spawn({
            let recording = s.process.recording().unwrap();
            move || {
                recording
                    .until(|event| event.apartment == Some(apartment.id()) && waits(Serves::Everything)(&event.what));
                clock.advance(secs(5));
            }
        });
        assert_eq!(number(wait_any(&[worker.ended(), &other], Some(secs(5)))), CALL_PENDING);
        join(advances);
        go.set();
        assert_eq!(wait_any(&[&other, worker.ended()], None)?, 1);
        // What somebody does to the signal does not concern the join.
        worker.ended().reset();
        assert_eq!(worker.join()?.unwrap()?, 0);
        Ok(())
    });
}

#[test]
fn wa_3_a_join_does_not_depend_on_what_is_done_to_the_workers_signal() {
    must_end(|| {
        for _ in 0..50 {
            let worker = Worker::spawn("worker", || 1).unwrap();
            let theirs = worker.ended().clone();
            theirs.set();
            let resets = thread::spawn(move || (0..100).for_each(|_| theirs.reset()));
            assert_eq!(worker.join().unwrap().unwrap(), 1);
            join(resets);
        }
    });
}

#[test]
fn wa_3_who_is_no_sta_waits_for_the_workers_locals_and_an_sta_does_not() {
    struct Last(RefCell<Option<Box<dyn FnOnce()>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    thread_local! {
        static LAST: Last = const { Last(RefCell::new(None)) };
    }
    play(|s| {
        let (key, closed) = gate();
        let sta = s.sta("sta").spawn()?;
        let at_sta = sta.create(|| ())?;
        let holds = |last: Box<dyn FnOnce() + Send>| {
            Worker::spawn("worker", move || LAST.with(|slot| *slot.0.borrow_mut() = Some(last)))
        };
        // Its locals' destructors stand at a gate, which is opened after the join.
        let worker = holds(Box::new(move || closed.pass()))?;
        at_sta.call(move |()| worker.join().map(drop))??;
        key.open();
        let ran = Arc::new(AtomicU32::new(0));
        let runs = Arc::clone(&ran);
        holds(Box::new(move || add(&runs)))?.join()?.unwrap();
        assert_eq!(ran.load(SeqCst), 1);
        Ok(())
    });
}

#[test]
fn wa_3_an_mtas_handle_dropped_while_its_thread_unwinds_asks_to_quit_and_does_not_join() {
    play(|s| {
        let mta = s.mta().spawn()?;
        let (apartment, object, (key, closed)) = (mta.apartment().clone(), mta.create(|| ())?, gate());
        object.post(move |()| closed.pass())?;
        s.until(&apartment, like!(Began));
        let unwinds = thread::spawn(move || {
            let _mta = mta;
            panic_any("the owner's own panic");
        });
        assert!(unwinds.join().is_err());
        assert_eq!(number(object.call(|()| ())), crate::stage::hresult::DISCONNECTED);
        key.open();
        s.until(&apartment, like!(ApartmentEnded { abnormal: false }));
        Ok(())
    });
}
