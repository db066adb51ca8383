//! Calls between apartments: one way, back, across, and while somebody else comes by.
#![cfg(loom)]

use apartment::{Clock, IncomingCall, MessageFilter, Process, Proxy, ServerCall, Sta};
use apartment_models::{Borrowed, Model, Seen};
use loom::sync::mpsc;
use loom::thread;
use std::cell::Cell;
use std::time::Duration;

/// A thread in no apartment calls an STA and lends it something of its own stack.
#[test]
fn call() {
    Model::new("call").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| 1).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let result = object.call(|n| {
                lent.add();
                object.apartment().unwrap().quit();
                n + 1
            });
            assert_eq!(result.unwrap(), 2);
            assert_eq!(lent.get(), 1);
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// Two calls, one after the other, go through one record: the ring that the first one's callee may still be about to
/// give, and whatever else it has left to do, finds the second call and changes nothing about it.
#[test]
fn late_ring_against_reuse() {
    Model::new("a late ring against the record's reuse").preemptions(4).check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let (first, second) = (Borrowed::new(), Borrowed::new());
            object.call(|()| first.add()).unwrap();
            assert_eq!(first.get(), 1);
            object.call(|()| second.add()).unwrap();
            assert_eq!((first.get(), second.get()), (1, 1));
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// Posts run in the order in which their sender made them, and all of them run.
#[test]
fn post() {
    Model::new("post").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let sender = thread::spawn(move || {
            object.post(|seen| seen.set(seen.get() * 10 + 1)).unwrap();
            let apartment = object.apartment().unwrap();
            let last = object.post(move |seen| {
                seen.set(seen.get() * 10 + 2);
                apartment.quit();
            });
            last.unwrap();
        });
        here.run();
        assert_eq!(local.get(), 12);
        drop(local);
        drop(here);
        sender.join().unwrap();
    });
}

/// A → B → A: while A waits for B it serves B's callback.
#[test]
fn callback() {
    Model::new("callback (A calls B calls A)").preemptions(4).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| 1).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| 10).unwrap();
            let lent = Borrowed::new();
            let sum = b.call(|b_value| {
                let back = a.call(|a_value| {
                    lent.add();
                    *a_value
                });
                b.apartment().unwrap().quit();
                b_value + back.unwrap()
            });
            assert_eq!(sum.unwrap(), 11);
            assert_eq!(lent.get(), 1);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// Work comes to A before, while and after A goes into the wait for its own call: it is served in that wait. B answers only
/// once it has been, so a wait that missed it would have no end.
#[test]
fn queued_work_against_the_beginning_of_a_wait() {
    Model::new("queued work against the beginning of a wait").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("a").enter().unwrap();
        let a = here.create(|| Cell::new(0)).unwrap();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let (served, is_served) = mpsc::channel();
        let caller = thread::spawn({
            let a = a.clone();
            move || {
                a.call(|n| n.set(1)).unwrap();
                served.send(()).unwrap();
            }
        });
        at_b.call(move |()| is_served.recv().unwrap()).unwrap();
        assert_eq!(a.call(Cell::get).unwrap(), 1);
        drop(b);
        drop(here);
        caller.join().unwrap();
    });
}

/// An apartment to which the other side sends its proxy, and which then calls it while it is called.
fn cross(process: &Process, send: &mpsc::Sender<Proxy<u32>>, receive: &mpsc::Receiver<Proxy<u32>>, own: u32) {
    let here = process.sta("one of two").enter().unwrap();
    let object = here.create(|| own).unwrap();
    send.send(object).unwrap();
    let other = receive.recv().unwrap();
    assert_eq!(other.call(|n| *n).unwrap(), 3 - own);
    // Its own call is through: the other may go when this one has been answered, and the other way round.
    other.apartment().unwrap().quit();
    drop(other);
    here.run();
}

/// Two STAs call each other at once: each serves the other's call while it waits for its own.
#[test]
fn crossing_calls() {
    Model::new("crossing calls").preemptions(4).check(|| {
        let process = Process::new();
        let (to_first, first) = mpsc::channel();
        let (to_second, second) = mpsc::channel();
        let other = thread::spawn({
            let process = process.clone();
            move || cross(&process, &to_first, &second, 2)
        });
        cross(&process, &to_second, &first, 1);
        other.join().unwrap();
    });
}

/// A waits for B, and B for a third party that calls A: A serves it inside its wait.
#[test]
fn third_party_during_a_wait() {
    Model::new("third party during a wait").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("a").enter().unwrap();
        let a = here.create(|| 7).unwrap();
        let b = process.sta("b").spawn().unwrap();
        let answer = b.create(|| {
            let third = thread::spawn(move || a.call(|n| *n).unwrap());
            third.join().unwrap()
        });
        answer.unwrap();
        drop(b);
    });
}

/// An STA is spawned and its handle dropped: it drains, drops its object on its own thread, and is joined.
#[test]
fn spawn_create_and_join() {
    struct Home(thread::ThreadId);
    impl Drop for Home {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.0);
        }
    }
    let seen = Seen::new(&["joined"]);
    let see = seen.clone();
    Model::new("spawn, create and join").preemptions(3).check(move || {
        let sta: Sta = Process::new().sta("db").spawn().unwrap();
        let object = sta.create(|| Home(thread::current().id())).unwrap();
        drop(sta);
        assert_eq!(object.call(|_| ()).unwrap_err().hresult(), 0x8001_0108);
        see.saw("joined");
    });
    seen.all();
}

/// Lets in what comes when time has passed since the call that is out was made.
struct Later;

impl MessageFilter for Later {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        match call.elapsed {
            Some(Duration::ZERO) => ServerCall::Rejected,
            _ => ServerCall::Handled,
        }
    }
}

/// B lets a second pass and calls A back, which is about to look: A's filter is told no earlier time than B has seen.
#[test]
fn time_of_a_look() {
    Model::new("the time of a look").preemptions(2).check(|| {
        let clock = Clock::driven();
        let process = Process::builder().clock(clock.clone()).build();
        let here = process.sta("a").filter(|| Later).enter().unwrap();
        let a = here.create(|| 5).unwrap();
        let callee = process.sta("b").spawn().unwrap();
        let b = callee.create(|| ()).unwrap();
        let seen = b.call(|()| {
            clock.advance(Duration::from_secs(1));
            a.call(|n| *n)
        });
        assert_eq!(seen.unwrap().unwrap(), 5);
        drop(b);
        drop(callee);
        drop(here);
    });
}
