//! Rejected calls that are tried again.
#![cfg(loom)]

use apartment::{CallOptions, IncomingCall, MessageFilter, Process, RejectedCall, Retry, ServerCall};
use apartment_models::{Borrowed, Model};
use loom::thread;
use std::cell::{Cell, RefCell};

/// Refuses that many calls and lets in the others.
struct Refuses(Cell<u32>);

impl MessageFilter for Refuses {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        match self.0.get() {
            0 => ServerCall::Handled,
            left => {
                self.0.set(left - 1);
                ServerCall::RetryLater
            }
        }
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        Retry::Now
    }
}

/// A callee's filter refuses twice; the caller's policy tries again, and the third attempt runs. The same closure, the
/// same record, the same generation: nothing left over from an attempt touches the next.
#[test]
fn retry() {
    Model::new("retry").preemptions(4).check(|| {
        let here = Process::new().sta("callee").filter(|| Refuses(Cell::new(2))).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let options = CallOptions::new().retry(|call: &RejectedCall| {
                assert!(call.attempts <= 2);
                Retry::Now
            });
            object.with(&options).call(|()| lent.add()).unwrap();
            assert_eq!(lent.get(), 1);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// B's filter refuses A's call once. A's filter tries again, and A serves B's callback, which its own filter refuses
/// once: B tries again, too.
#[test]
fn retry_both_ways() {
    Model::new("retry both ways").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("b").filter(|| Refuses(Cell::new(1))).enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").filter(|| Refuses(Cell::new(1))).enter().unwrap();
            let a = here.create(|| 5).unwrap();
            let back = b.call(|()| {
                let back = a.call(|n| *n);
                b.apartment().unwrap().quit();
                back
            });
            assert_eq!(back.unwrap().unwrap(), 5);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// A busy object (rule DI-13): A's call finds it borrowed by a call that is itself out, is told so, tries again, and
/// runs once the borrow is back.
#[test]
fn retry_of_a_busy_object() {
    Model::new("retry of a busy object").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("home").enter().unwrap();
        let object = here.create(|| RefCell::new(0)).unwrap();
        let caller = thread::spawn({
            let object = object.clone();
            move || {
                let options = CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
                object.with(&options).call_mut(|n| *n += 1).unwrap();
                object.apartment().unwrap().quit();
            }
        });
        let other = process.sta("other").spawn().unwrap();
        // Direct, and out of the apartment while it holds the object: what comes in meanwhile finds it busy.
        object
            .call_mut(|n| {
                other.create(|| ()).unwrap();
                *n += 10;
            })
            .unwrap();
        here.run();
        assert_eq!(object.call_ref(|n| *n).unwrap(), 11);
        drop(other);
        drop(here);
        caller.join().unwrap();
    });
}
