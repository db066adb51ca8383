//! Signals that are set, taken and claimed at once, and waits that serve meanwhile.
#![cfg(loom)]

use apartment::{Clock, Process, Signal, Worker, wait_all, wait_any};
use apartment_models::{Borrowed, Model, Seen};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

const NOW: Option<Duration> = Some(Duration::ZERO);

/// A signal with auto reset is set once, and two wait: exactly one of them takes it.
#[test]
fn one_set_against_two_waiters() {
    let seen = Seen::new(&["the first", "the second"]);
    let see = seen.clone();
    Model::new("one set against two waiters").preemptions(4).check(move || {
        let (signal, stop) = (Signal::auto(), Signal::manual());
        let waits = || {
            let (signal, stop) = (signal.clone(), stop.clone());
            thread::spawn(move || {
                let took = wait_any(&[&signal, &stop], None).unwrap() == 0;
                stop.set();
                took
            })
        };
        let (first, second) = (waits(), waits());
        signal.set();
        let took = (first.join().unwrap(), second.join().unwrap());
        assert!(took.0 != took.1, "one goes on");
        see.saw(if took.0 { "the first" } else { "the second" });
    });
    seen.all();
}

/// All of two, each set by a thread of its own: the waiter goes on after both, and what they wrote is its.
#[test]
fn all_against_two_setters() {
    Model::new("all of two, against two setters").unbounded().check(|| {
        let signals = [Signal::auto(), Signal::auto()];
        let written = Arc::new([Borrowed::new(), Borrowed::new()]);
        let sets = |at: usize| {
            let (signal, written) = (signals[at].clone(), written.clone());
            thread::spawn(move || {
                written[at].add();
                signal.set();
            })
        };
        let setters = [sets(0), sets(1)];
        wait_all(&[&signals[0], &signals[1]], None).unwrap();
        assert_eq!((written[0].get(), written[1].get()), (1, 1));
        assert!(!signals[0].is_set() && !signals[1].is_set());
        setters.into_iter().for_each(|setter| setter.join().unwrap());
    });
}

/// Both are set, and two want both, each beginning with another: one has both, the other nothing, and neither waits.
#[test]
fn two_want_all_in_opposite_orders() {
    let seen = Seen::new(&["the first", "the second"]);
    let see = seen.clone();
    Model::new("two want all, in opposite orders").preemptions(5).check(move || {
        let (a, b) = (Signal::auto(), Signal::auto());
        a.set();
        b.set();
        let other = thread::spawn({
            let (a, b) = (a.clone(), b.clone());
            move || wait_all(&[&b, &a], NOW).is_ok()
        });
        let took = wait_all(&[&a, &b], NOW).is_ok();
        assert!(took != other.join().unwrap(), "one has them");
        assert!(!a.is_set() && !b.is_set());
        see.saw(if took { "the first" } else { "the second" });
    });
    seen.all();
}

/// Who wants all of two, against one who wants the first of them, and one who resets the second: what was set is taken
/// once, or reset, and who fails has taken nothing.
#[test]
fn all_against_any_and_a_reset() {
    let seen = Seen::new(&["all", "any", "any, and all after it was set again"]);
    let see = seen.clone();
    Model::new("all against any and a reset").preemptions(4).check(move || {
        let (a, b, kept) = (Signal::auto(), Signal::auto(), Signal::manual());
        a.set();
        b.set();
        kept.set();
        let all = thread::spawn({
            let (a, b, kept) = (a.clone(), b.clone(), kept.clone());
            move || wait_all(&[&kept, &b, &a], NOW).is_ok()
        });
        let any = wait_any(&[&a], NOW).is_ok();
        if any {
            // Nobody but the other takes it from here on.
            a.set();
        }
        let all = all.join().unwrap();
        assert!(any || all, "it was set all the time");
        assert_eq!((a.is_set(), b.is_set()), (any && !all, !all), "who fails takes nothing");
        see.saw(match (any, all) {
            (true, true) => "any, and all after it was set again",
            (true, false) => "any",
            _ => "all",
        });
    });
    seen.all();
}

/// A reset against one who wants all: it has taken all, or the reset came first.
#[test]
fn all_against_a_reset() {
    let seen = Seen::new(&["all", "reset"]);
    let see = seen.clone();
    Model::new("all against a reset").threads(2).unbounded().check(move || {
        let (a, b, kept) = (Signal::auto(), Signal::auto(), Signal::manual());
        [&a, &b, &kept].into_iter().for_each(Signal::set);
        let other = thread::spawn({
            let (a, kept) = (a.clone(), kept.clone());
            move || {
                kept.reset();
                a.reset();
            }
        });
        let all = wait_all(&[&a, &kept, &b], NOW).is_ok();
        other.join().unwrap();
        assert_eq!(b.is_set(), !all);
        assert!(!a.is_set() && !kept.is_set());
        see.saw(if all { "all" } else { "reset" });
    });
    seen.all();
}

/// What is reset before another is set: they are never set at once, and who wants all never has them.
#[test]
fn all_against_what_is_never_set_at_once() {
    never_set_at_once("all, against what is never set at once", Signal::auto);
}

/// The same with one that stays set until it is reset.
#[test]
fn all_against_what_is_never_set_at_once_and_stays() {
    never_set_at_once("all, against what is never set at once, and stays", Signal::manual);
}

fn never_set_at_once(name: &'static str, make: fn() -> Signal) {
    Model::new(name).threads(2).unbounded().check(move || {
        let (first, second) = (make(), Signal::auto());
        first.set();
        let other = thread::spawn({
            let (first, second) = (first.clone(), second.clone());
            move || {
                first.reset();
                second.set();
            }
        });
        assert!(wait_all(&[&first, &second], NOW).is_err(), "they were never set at once");
        other.join().unwrap();
        assert!(second.is_set());
    });
}

/// Setting one that is set already is no loss: whoever takes it sees what the setter has done, or it is set still.
#[test]
fn a_second_set_against_one_who_takes() {
    let seen = Seen::new(&["seen", "set still"]);
    let see = seen.clone();
    Model::new("a second set against one who takes").threads(2).unbounded().check(move || {
        let (a, b, done) = (Signal::auto(), Signal::auto(), Arc::new(AtomicU32::new(0)));
        a.set();
        b.set();
        let setter = thread::spawn({
            let (a, done) = (a.clone(), done.clone());
            move || {
                done.store(1, Relaxed);
                a.set();
            }
        });
        wait_all(&[&a, &b], None).unwrap();
        let sees = done.load(Relaxed) == 1;
        setter.join().unwrap();
        assert!(sees || a.is_set(), "the second set is lost");
        see.saw(if a.is_set() { "set still" } else { "seen" });
    });
    seen.all();
}

/// An STA waits for a signal; whoever sets it calls the STA first, and a third party does, too.
#[test]
fn a_set_against_a_wait_that_serves() {
    Model::new("a set against a wait that serves").preemptions(2).check(|| {
        let here = Process::new().sta("ui").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let done = Signal::auto();
        let setter = thread::spawn({
            let (object, done) = (object.clone(), done.clone());
            move || {
                object.call(|n| n.set(n.get() + 1)).unwrap();
                done.set();
            }
        });
        let third = thread::spawn({
            let object = object.clone();
            move || object.post(|n| n.set(n.get() + 10)).unwrap()
        });
        assert_eq!(wait_any(&[&done], None).unwrap(), 0);
        assert_eq!(object.call(Cell::get).unwrap() % 10, 1);
        setter.join().unwrap();
        third.join().unwrap();
        here.pump();
        assert_eq!(object.call(Cell::get).unwrap(), 11);
        drop(here);
    });
}

/// A wait of an STA ends by its time, or by a signal that is set in the same moment.
#[test]
fn a_set_against_the_time() {
    let seen = Seen::new(&["set", "time"]);
    let see = seen.clone();
    Model::new("a set against the time").preemptions(4).check(move || {
        let clock = Clock::driven();
        let here = Process::builder().clock(clock.clone()).build().sta("ui").enter().unwrap();
        let done = Signal::auto();
        let setter = thread::spawn({
            let done = done.clone();
            move || {
                clock.advance(Duration::from_secs(1));
                done.set();
            }
        });
        let result = wait_any(&[&done], Some(Duration::from_secs(1)));
        setter.join().unwrap();
        assert_eq!(done.is_set(), result.is_err(), "a wait that fails takes nothing");
        see.saw(if result.is_ok() { "set" } else { "time" });
        drop(here);
    });
    seen.all();
}

/// A worker calls the STA that joins it.
#[test]
fn join_against_the_workers_callback() {
    Model::new("join against the worker's callback").preemptions(3).check(|| {
        let here = Process::new().sta("ui").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let needs = object.clone();
        let worker = Worker::spawn("worker", move || needs.call(|n| n.replace(5)).unwrap());
        assert_eq!(worker.unwrap().join().unwrap().unwrap(), 0);
        assert_eq!(object.call(Cell::get).unwrap(), 5);
        drop(object);
        drop(here);
    });
}

/// A worker that ends while it is joined, or while it is dropped: what it gives arrives, or is dropped once.
#[test]
fn a_workers_end_against_its_handle() {
    Model::new("a worker's end against its handle").unbounded().check(|| {
        let given = Arc::new(());
        let (one, two) = (given.clone(), given.clone());
        let joined = Worker::spawn("joined", move || one).unwrap();
        assert!(Arc::ptr_eq(&joined.join().unwrap().unwrap(), &given));
        let detached = Worker::spawn("detached", move || two).unwrap();
        let ended = detached.ended().clone();
        drop(detached);
        wait_any(&[&ended], None).unwrap();
    });
}
