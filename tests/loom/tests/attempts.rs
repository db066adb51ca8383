//! Attempts: what a call that is rejected meets before it is tried again, and what it leaves.
#![cfg(loom)]

use apartment::{CallOptions, IncomingCall, MessageFilter, PostOptions, Process, RejectedCall, Retry, ServerCall};
use apartment_models::{Borrowed, Model, Seen};
use loom::alloc::Track;
use loom::thread;
use std::cell::Cell;

/// Refuses the first calls, that many.
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
}

/// A callee refuses a call, and is asked to quit before the caller tries again: that comes too late, and is told so.
#[test]
fn retry_against_quit() {
    let seen = Seen::new(&["too late", "ran"]);
    let see = seen.clone();
    Model::new("a retry against quit").preemptions(4).check(move || {
        let here = Process::new().sta("callee").filter(|| Refuses(Cell::new(1))).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let options = CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
            match object.with(&options).call(|()| lent.add()) {
                Ok(()) => {
                    assert_eq!(lent.get(), 1);
                    "ran"
                }
                Err(error) => {
                    assert_eq!((error.hresult(), lent.get()), (0x8001_0108, 0));
                    "too late"
                }
            }
        });
        // The one that is refused, and the next one, if it has come by then.
        while here.pump() == 0 {
            thread::yield_now();
        }
        drop(here);
        see.saw(caller.join().unwrap());
    });
    seen.all();
}

/// An owned call is refused, and runs when it is tried again. Nothing of either attempt is left: neither what it carries, which
/// loom tracks, nor a share of the call, which would keep its object.
#[test]
fn retry_leaves_nothing() {
    Model::new("a retry leaves nothing").preemptions(3).check(|| {
        let here = Process::new().sta("callee").filter(|| Refuses(Cell::new(1))).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let weak = object.downgrade();
        let caller = thread::spawn(move || {
            let carried = Track::new(1_u32);
            let options = CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
            let one = object.with(&options).call_owned(move |()| *carried.get_ref());
            assert_eq!(one.unwrap(), 1);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
        assert!(weak.upgrade().is_none(), "a share of the call is left, and with it its object");
    });
}

/// The same where the caller gives up: the closure never runs, and goes all the same.
#[test]
fn giving_up_leaves_nothing() {
    Model::new("giving up leaves nothing").preemptions(3).check(|| {
        let here = Process::new().sta("callee").filter(|| Refuses(Cell::new(2))).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let weak = object.downgrade();
        let caller = thread::spawn(move || {
            let carried = Track::new(1_u32);
            let options = CallOptions::new().retry(|call: &RejectedCall| match call.attempts {
                1 => Retry::Now,
                _ => Retry::GiveUp,
            });
            let error = object.with(&options).call_owned(move |()| *carried.get_ref()).unwrap_err();
            assert_eq!(error.hresult(), 0x8001_0001);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
        assert!(weak.upgrade().is_none(), "a share of the call is left, and with it its object");
    });
}

/// A full mailbox refuses a post, and says that it is full, whoever else could take it; one that may wait is taken.
#[test]
fn full_and_still_there() {
    Model::new("full, and still there").unbounded().check(|| {
        let here = Process::new().sta("callee").capacity(1).enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let own = object.clone();
        own.post(|n| n.set(1)).unwrap();
        // Its owner does not look before this is over: there is no room, and somebody who waits for it waits for ever.
        let sender = thread::spawn(move || {
            let refused = object.post(|n| n.set(2)).unwrap_err();
            assert_eq!(refused.error().hresult(), 0x8001_0100, "{}", refused.error());
            object
        });
        let object = sender.join().unwrap();
        let patient = thread::spawn(move || {
            object.with(&PostOptions::new().wait_for_room()).post(|n| n.set(n.get() + 10)).unwrap();
            object.apartment().unwrap().quit();
        });
        here.run();
        assert_eq!(local.get(), 11);
        drop(local);
        drop(here);
        patient.join().unwrap();
    });
}
