//! Rings: three apartments, each of which calls the next, and the last one the first.
#![cfg(loom)]

use apartment::{CallError, Process, Reentrancy};
use apartment_models::{Borrowed, Model, big_spawn};
use loom::thread;

/// A calls B, B calls C, and C calls A: each in the call before. C is on the model's main thread.
fn around(reentrancy: Reentrancy) {
    let process = Process::new();
    let c = process.sta("c").enter().unwrap();
    let at_c = c.create(|| 100_u32).unwrap();
    let first = big_spawn(move || {
        let b = process.sta("b").spawn().unwrap();
        let here = process.sta("a").reentrancy(reentrancy).enter().unwrap();
        let (a, at_b) = (here.create(|| 1_u32).unwrap(), b.create(|| 10_u32).unwrap());
        let lent = Borrowed::new();
        let sum = at_b.call(|ten| {
            let rest = at_c.call(|hundred| {
                let one = a.call(|one| {
                    lent.add();
                    *one
                });
                one.unwrap() + hundred
            });
            at_c.apartment().unwrap().quit();
            rest.unwrap() + ten
        });
        assert_eq!(sum.unwrap(), 111);
        assert_eq!(lent.get(), 1);
        drop(at_b);
        drop(b);
        drop(here);
    });
    c.run();
    drop(c);
    first.join().unwrap();
}

/// A → B → C → A: the call that comes back around is served in the wait of the first.
#[test]
fn around_three() {
    Model::new("a ring of three").preemptions(2).check(|| around(Reentrancy::Classic));
}

/// The same where A lets in nothing but what it waits for itself: C's call is of its chain, over two apartments.
#[test]
fn around_three_of_the_same_causality() {
    Model::new("a ring of three, same causality").preemptions(2).check(|| around(Reentrancy::SameCausality));
}

/// The same where A is asked to quit before it waits: a callback comes in though the door is closing.
#[test]
fn around_three_while_it_quits() {
    Model::new("a ring of three, whose first is quitting").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("a").enter().unwrap();
        let a = here.create(|| ()).unwrap();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        here.apartment().quit();
        let quits = at_b.call(|()| a.call(|()| ())).unwrap();
        assert!(quits.is_ok(), "it belongs to a chain that A has out: {quits:?}");
        let late = thread::spawn(move || a.call(|()| ()).unwrap_err().hresult());
        assert_eq!(late.join().unwrap(), 0x8001_0108, "one of another chain comes too late");
        drop(at_b);
        drop(b);
        drop(here);
    });
}

/// The same where A lets in nothing while it waits: the ring cannot close, and C, who would close it, is told so. All others
/// go on.
#[test]
fn around_three_where_nobody_comes_in() {
    Model::new("a ring of three, where nobody comes in").preemptions(2).check(|| {
        let process = Process::new();
        let c = process.sta("c").enter().unwrap();
        let at_c = c.create(|| ()).unwrap();
        let first = big_spawn(move || {
            let b = process.sta("b").spawn().unwrap();
            let here = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
            let (a, at_b) = (here.create(|| ()).unwrap(), b.create(|| ()).unwrap());
            let closes = at_b.call(|()| at_c.call(|()| a.call(|()| ())).unwrap()).unwrap();
            assert!(matches!(closes, Err(CallError::Deadlock(_))), "{closes:?}");
            at_c.apartment().unwrap().quit();
            drop(at_b);
            drop(b);
            drop(here);
        });
        c.run();
        drop(c);
        first.join().unwrap();
    });
}
