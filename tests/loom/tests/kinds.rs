//! Input-synchronized calls: what lets them in, and what they let nobody do.
#![cfg(loom)]

use apartment::__private::call;
use apartment::{CallKind, Method, Process, Proxy, Reentrancy};
use apartment_models::{Borrowed, Model};
use loom::sync::mpsc;
use loom::thread;
use std::cell::Cell;

static FOCUS: Method = Method::new("Sheet", "focus", 0, CallKind::InputSynchronized);

/// A lets nothing in while it waits for B, whose callback is input-synchronized: that comes in.
#[test]
fn focus_during_a_wait_that_lets_nothing_in() {
    Model::new("an input-synchronized call during a wait of policy none").preemptions(5).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| 1).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").reentrancy(Reentrancy::None).capacity(1).enter().unwrap();
            let a = here.create(|| Cell::new(10)).unwrap();
            let lent = Borrowed::new();
            let sum = b.call(|b_value| {
                // It takes the only room, and stays queued.
                a.post(|value| value.set(value.get() + 1)).unwrap();
                let back = call(&a, &FOCUS, |value| {
                    lent.add();
                    value.get()
                });
                b.apartment().quit();
                b_value + back.unwrap()
            });
            assert_eq!(sum.unwrap(), 11, "it overtook the post");
            assert_eq!(lent.get(), 1);
            assert_eq!(here.pump(), 1);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// An apartment that sends its proxy to the other side, and then focuses the one that it got.
fn cross(process: &Process, send: &mpsc::Sender<Proxy<u32>>, receive: &mpsc::Receiver<Proxy<u32>>, own: u32) {
    let here = process.sta("one of two").reentrancy(Reentrancy::None).enter().unwrap();
    let object = here.create(|| own).unwrap();
    send.send(object).unwrap();
    let other = receive.recv().unwrap();
    assert_eq!(call(&other, &FOCUS, |n| *n).unwrap(), 3 - own);
    // Its own call is through: the other may go when this one has been answered, and the other way round.
    other.apartment().quit();
    drop(other);
    here.run();
}

/// Two STAs focus each other at once: each serves the other's call while it waits for its own.
#[test]
fn crossing_input_synchronized_calls() {
    Model::new("crossing input-synchronized calls").preemptions(3).check(|| {
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

/// A focuses B, and B would call back: A, which serves input-synchronized calls only, could not answer, so B is refused.
/// What B posts meanwhile A serves afterwards.
#[test]
fn calling_out_of_an_input_synchronized_call() {
    Model::new("calling out of an input-synchronized call").preemptions(4).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| Cell::new(0)).unwrap();
            let refused = call(&b, &FOCUS, |()| {
                a.post(|value| value.set(1)).unwrap();
                let refused = a.call(Cell::get).unwrap_err();
                b.apartment().quit();
                refused
            });
            assert_eq!(refused.unwrap().hresult(), 0x8001_010D);
            assert_eq!(a.call(Cell::get).unwrap(), 0, "the post was held");
            assert_eq!(here.pump(), 1);
            assert_eq!(a.call(Cell::get).unwrap(), 1);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}
