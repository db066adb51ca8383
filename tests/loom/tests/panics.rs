//! Panics of the user's code, wherever that runs: contained, answered, and nothing else is lost.
#![cfg(loom)]

use apartment::{CallError, CallOptions, IncomingCall, MessageFilter, Process, RejectedCall, Retry, ServerCall};
use apartment_models::{Borrowed, Model, Seen, big_spawn};
use loom::thread;
use std::cell::Cell;
use std::panic::resume_unwind;

/// A panic that no hook prints: there are thousands.
fn panics() -> ! {
    resume_unwind(Box::new("on purpose"))
}

#[track_caller]
fn is_the_panic<T>(result: Result<T, CallError>) {
    match result {
        Err(CallError::ServerFault { message, .. }) => assert_eq!(&*message, "on purpose"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it panicked"),
    }
}

/// A method panics: its caller is told, and has what it lent again.
#[test]
fn in_a_method() {
    Model::new("a panic in a method").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            is_the_panic(object.call(|()| -> u32 {
                lent.add();
                object.apartment().unwrap().quit();
                panics()
            }));
            assert_eq!(lent.get(), 1);
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// A post panics, and what is behind it in the same batch runs: a post, and a call.
#[test]
fn in_a_batch() {
    Model::new("a panic in a batch").preemptions(3).check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let sender = thread::spawn(move || {
            object.post(|_| panics()).unwrap();
            object.post(|n| n.set(1)).unwrap();
            assert_eq!(object.call(Cell::get).unwrap(), 1);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        sender.join().unwrap();
    });
}

/// A calls B, which calls A back, and that panics: B is told, in the middle of its own call, which goes on.
#[test]
fn in_a_callback() {
    Model::new("a panic in a callback").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = big_spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| ()).unwrap();
            let lent = Borrowed::new();
            b.call(|()| {
                is_the_panic(a.call(|()| -> u32 { panics() }));
                lent.add();
            })
            .unwrap();
            assert_eq!(lent.get(), 1);
            b.apartment().unwrap().quit();
            drop(here);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// A panic through two calls: A's callback lets it through B's method, whose caller is told in turn.
#[test]
fn through_two_calls() {
    Model::new("a panic through two calls").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = big_spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| ()).unwrap();
            is_the_panic(b.call(|()| {
                let inner = a.call(|()| -> u32 { panics() });
                b.apartment().unwrap().quit();
                inner.unwrap_or_else(|_| panics())
            }));
            drop(here);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// A filter that panics whatever it is asked.
struct Panics;

impl MessageFilter for Panics {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        panics()
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        panics()
    }
}

/// A filter panics when it is asked about a call: that is rejected, and a post runs.
#[test]
fn in_a_filter() {
    Model::new("a panic in a filter").preemptions(4).check(|| {
        let here = Process::new().sta("callee").filter(|| Panics).enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let error = object.call(|_| lent.add()).unwrap_err();
            assert_eq!((error.hresult(), lent.get()), (0x8001_0001, 0));
            object.post(|n| n.set(1)).unwrap();
            object.apartment().unwrap().quit();
        });
        here.run();
        assert_eq!(local.get(), 1);
        drop(local);
        drop(here);
        caller.join().unwrap();
    });
}

/// The caller's policy panics when it is asked about a retry: it gives up, and the next call is as any other.
#[test]
fn in_a_retry_policy() {
    struct First(Cell<bool>);
    impl MessageFilter for First {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            if self.0.take() { ServerCall::RetryLater } else { ServerCall::Handled }
        }
    }
    Model::new("a panic in a retry policy").preemptions(4).check(|| {
        let here = Process::new().sta("callee").filter(|| First(Cell::new(true))).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let options = CallOptions::new().retry(|_: &RejectedCall| panics());
            let error = object.with(&options).call(|()| lent.add()).unwrap_err();
            assert_eq!((error.hresult(), lent.get()), (0x8001_0001, 0));
            object.with(&options).call(|()| lent.add()).unwrap();
            assert_eq!(lent.get(), 1);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// A constructor panics: whoever creates is told, and the apartment goes on.
#[test]
fn in_a_constructor() {
    Model::new("a panic in a constructor").preemptions(3).check(|| {
        let sta = Process::new().sta("home").spawn().unwrap();
        is_the_panic(sta.create(|| -> u32 { panics() }));
        let object = sta.create(|| 1).unwrap();
        assert_eq!(object.call(|n| *n).unwrap(), 1);
        drop(object);
        drop(sta);
    });
}

/// A destructor panics, at home, when the last reference goes elsewhere: the apartment goes on, and the call behind runs.
#[test]
fn in_a_destructor() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panics()
        }
    }
    let seen = Seen::new(&["it was there", "it came later"]);
    let see = seen.clone();
    Model::new("a panic in a destructor").preemptions(4).check(move || {
        let here = Process::new().sta("home").enter().unwrap();
        let (bomb, object) = (here.create(|| Bomb).unwrap(), here.create(|| ()).unwrap());
        let caller = thread::spawn(move || {
            let weak = bomb.downgrade();
            drop(bomb);
            let gone = object.call(move |()| weak.upgrade().is_none()).unwrap();
            assert!(gone, "the last reference is gone");
            object.apartment().unwrap().quit();
        });
        see.saw(if here.pump() == 0 { "it came later" } else { "it was there" });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
    seen.all();
}

/// A method panics on a thread of the pool: the thread stays, and serves the next call, though the pool cannot grow.
#[test]
fn on_a_pool_thread() {
    Model::new("a panic on a pool's thread").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("sta").enter().unwrap();
        let mta = process.mta().threads(1).max_threads(1).spawn().unwrap();
        let shared = mta.create(|| 1_u32).unwrap();
        let lent = Borrowed::new();
        is_the_panic(shared.call(|_| -> u32 {
            lent.add();
            panics()
        }));
        assert_eq!(lent.get(), 1);
        assert_eq!(shared.call(|one| *one).unwrap(), 1);
        drop(shared);
        drop(mta);
        drop(here);
    });
}
