//! Input-synchronized calls: what lets them in, and what they let nobody do.
#![cfg(loom)]

use apartment::{CallError, Process, Proxy, Reentrancy, implements, interface};
use apartment_models::{Borrowed, Model};
use loom::sync::mpsc;
use loom::thread;
use std::cell::Cell;

interface! {
    trait Desk {
        fn focus(&self, inside: &mut (dyn FnMut(u32) + Send)) -> Result<(), CallError> as input_sync;
    }
}

struct Table(Cell<u32>);

impl Desk for Table {
    fn focus(&self, inside: &mut (dyn FnMut(u32) + Send)) -> Result<(), CallError> {
        inside(self.0.get());
        Ok(())
    }
}

implements!(Table: dyn Desk);

/// A lets nothing in while it waits for B, whose callback is input-synchronized: that comes in.
#[test]
fn focus_during_a_wait_that_lets_nothing_in() {
    Model::new("an input-synchronized call during a wait of policy none").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").reentrancy(Reentrancy::None).capacity(1).enter().unwrap();
            let a = here.create(|| Table(Cell::new(10))).unwrap();
            let lent = Borrowed::new();
            let seen = b.call(|()| {
                // It takes the only room, and stays queued.
                a.post(|table| table.0.set(11)).unwrap();
                let mut seen = 0;
                let back = a.cast::<dyn Desk>().focus(&mut |value| {
                    lent.add();
                    seen = value;
                });
                b.apartment().unwrap().quit();
                back.map(|()| seen)
            });
            assert_eq!(seen.unwrap().unwrap(), 10, "it overtook the post");
            assert_eq!(lent.get(), 1);
            assert_eq!(here.pump(), 1);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// An apartment that sends its proxy to the other side, and then focuses the one that it got.
fn cross(process: &Process, send: &mpsc::Sender<Proxy<dyn Desk>>, receive: &mpsc::Receiver<Proxy<dyn Desk>>, own: u32) {
    let here = process.sta("one of two").reentrancy(Reentrancy::None).enter().unwrap();
    let table = here.create(|| Table(Cell::new(own))).unwrap();
    send.send(table.cast()).unwrap();
    drop(table);
    let other = receive.recv().unwrap();
    let mut seen = 0;
    other.focus(&mut |value| seen = value).unwrap();
    assert_eq!(seen, 3 - own);
    // Its own call is through: the other may go when this one has been answered, and the other way round.
    other.apartment().unwrap().quit();
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
        let b = here.create(|| Table(Cell::new(0))).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| Cell::new(0)).unwrap();
            let mut refused = None;
            let focused = b.cast::<dyn Desk>().focus(&mut |_| {
                a.post(|value| value.set(1)).unwrap();
                refused = a.call(Cell::get).err();
                b.apartment().unwrap().quit();
            });
            focused.unwrap();
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
