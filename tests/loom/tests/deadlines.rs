//! Deadlines and cancels, against what is there already: a reply, an inner wait, an edge in the graph of waits.
#![cfg(loom)]

use apartment::{CallError, CallOptions, CancelHandle, Clock, Outcome, Process, Reentrancy};
use apartment_models::{Borrowed, Model, Seen, big_spawn};
use loom::sync::mpsc;
use loom::thread;
use std::cell::Cell;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The deadline passes in the call itself, on the callee's thread: whoever looks at the clock first, the reply has come too
/// late.
#[test]
fn deadline_inside_the_call() {
    Model::new("a deadline inside the call").preemptions(3).check(|| {
        let clock = Clock::driven();
        let here = Process::builder().clock(clock.clone()).build().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let error = object
                .within(SECOND)
                .call(|()| {
                    lent.add();
                    object.apartment().unwrap().quit();
                    clock.advance(SECOND);
                })
                .unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (0x8001_011F, Outcome::MayHaveRun));
            assert_eq!(lent.get(), 1);
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// The deadline passes on the callee's thread right after the call: a reply that was recorded before wins.
#[test]
fn deadline_after_the_reply() {
    let seen = Seen::new(&["replied", "timed out, not started"]);
    let see = seen.clone();
    Model::new("a deadline after the reply").preemptions(4).check(move || {
        let clock = Clock::driven();
        let here = Process::builder().clock(clock.clone()).build().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let result = object.within(SECOND).call(|()| lent.add());
            match result.map_err(|error| error.outcome()) {
                Ok(()) => ("replied", lent.get()),
                Err(Outcome::NotStarted) => ("timed out, not started", lent.get() + 1),
                Err(Outcome::MayHaveRun) => panic!("it was answered, and then time passed"),
            }
        });
        let served = here.pump();
        clock.advance(SECOND);
        drop(here);
        let (outcome, ran) = caller.join().unwrap();
        assert_eq!(ran, 1, "{outcome}");
        assert!(served == 0 || outcome == "replied", "it was answered in time, and {outcome}");
        see.saw(outcome);
    });
    seen.all();
}

/// B takes A's call back, and calls A, whose wait for it may not have ended yet: neither lets anybody in, but A waits for
/// nobody any more. Nobody is told of a deadlock.
#[test]
fn call_of_one_whose_call_was_cancelled() {
    Model::new("a call of one whose call was cancelled").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").reentrancy(Reentrancy::None).enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let (send, receive) = mpsc::channel();
        let other = thread::spawn({
            let cancel = cancel.clone();
            move || {
                let here = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
                send.send(here.create(|| 1).unwrap()).unwrap();
                let options = CallOptions::new().cancel(&cancel);
                let error = b.with(&options).call(|()| unreachable!("nobody looks")).unwrap_err();
                assert_eq!((error.hresult(), error.outcome()), (0x8001_0002, Outcome::NotStarted));
                here.run();
            }
        });
        let a = receive.recv().unwrap();
        cancel.cancel();
        let result = a.call(|n| *n);
        assert!(!matches!(result, Err(CallError::Deadlock(_))), "{result:?}");
        assert_eq!(result.unwrap(), 1);
        a.apartment().unwrap().quit();
        drop(a);
        drop(here);
        other.join().unwrap();
    });
}

/// A's call is past its deadline while A, in the wait for it, serves a post that calls out: the inner wait looks after the
/// outer call, too, and that fails once the inner one is through.
#[test]
fn outer_deadline_in_an_inner_wait() {
    Model::new("the outer deadline in an inner wait").preemptions(3).check(|| {
        let clock = Clock::driven();
        let process = Process::builder().clock(clock.clone()).build();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = big_spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| Cell::new(0)).unwrap();
            let local = a.local().unwrap();
            let inner = b.clone();
            let posts = a.post(move |came_back| {
                let lent = Borrowed::new();
                // B runs it after what it has got from A before, which is past its deadline then.
                inner.call(|()| lent.add()).unwrap();
                came_back.set(lent.get());
            });
            posts.unwrap();
            let lent = Borrowed::new();
            let outer = b.within(SECOND).call(|()| {
                clock.advance(SECOND);
                lent.add();
            });
            assert_eq!(outer.unwrap_err().hresult(), 0x8001_011F);
            assert_eq!(lent.get(), 1);
            here.pump();
            assert_eq!(local.get(), 1, "the inner call came back");
            b.apartment().unwrap().quit();
            drop(here);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}
