//! Deadlines and cancels that race with the call they are meant for, and with the one after it.
#![cfg(loom)]

use apartment::{CallOptions, CancelHandle, Clock, Outcome, Process, is_cancelled};
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The deadline passes on the callee's thread while the call is on its way, is queued, or is about to be taken. Whoever
/// wins, the error tells whether it ran.
#[test]
fn revoke_by_deadline_against_the_dispatch() {
    let seen = Seen::new(&["ran", "timed out, not started"]);
    let see = seen.clone();
    Model::new("revoke by deadline against the dispatch").preemptions(4).check(move || {
        let clock = Clock::driven();
        let here = Process::builder().clock(clock.clone()).build().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            object.post(move |()| clock.advance(SECOND)).unwrap();
            let lent = Borrowed::new();
            let result = object.within(SECOND).call(|()| lent.add());
            object.apartment().unwrap().quit();
            match result {
                Ok(()) => {
                    assert_eq!(lent.get(), 1);
                    "ran"
                }
                Err(error) => {
                    assert_eq!((error.hresult(), error.outcome()), (0x8001_011F, Outcome::NotStarted));
                    assert_eq!(lent.get(), 0);
                    "timed out, not started"
                }
            }
        });
        here.run();
        drop(here);
        see.saw(caller.join().unwrap());
    });
    seen.all();
}

/// The deadline passes on a third thread: also while the call runs. A borrowing call then waits until the callee has let
/// go, and fails all the same.
#[test]
fn deadline_against_a_running_call() {
    let seen = Seen::new(&["ran", "timed out, not started", "timed out, may have run"]);
    let see = seen.clone();
    Model::new("deadline against a running call").preemptions(2).check(move || {
        let clock = Clock::driven();
        let here = Process::builder().clock(clock.clone()).build().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            let result = object.within(SECOND).call(|()| {
                lent.add();
                thread::yield_now();
                lent.add();
            });
            object.apartment().unwrap().quit();
            match result.map_err(|error| (error.hresult(), error.outcome())) {
                Ok(()) => {
                    assert_eq!(lent.get(), 2);
                    "ran"
                }
                Err((0x8001_011F, Outcome::NotStarted)) => {
                    assert_eq!(lent.get(), 0);
                    "timed out, not started"
                }
                Err((0x8001_011F, Outcome::MayHaveRun)) => {
                    assert_eq!(lent.get(), 2, "the caller left before the callee let go");
                    "timed out, may have run"
                }
                Err(other) => panic!("{other:x?}"),
            }
        });
        let time = thread::spawn(move || clock.advance(SECOND));
        here.run();
        drop(here);
        time.join().unwrap();
        see.saw(caller.join().unwrap());
    });
    seen.all();
}

/// A handle is cancelled while the call it was for comes back and the next one, through the same record, goes out: the
/// next one is none of its business.
#[test]
fn late_cancel_against_reuse() {
    Model::new("a late cancel against the record's reuse").preemptions(3).check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let cancel = CancelHandle::new();
            let options = CallOptions::new().cancel(&cancel);
            let own = object.clone();
            let handle = cancel.clone();
            let first = object.with(&options).call(|()| {
                // Runs on the callee's thread as soon as it is done with this call.
                own.post(move |()| handle.cancel()).unwrap();
            });
            first.expect("its reply was recorded before the cancel");
            let second = Borrowed::new();
            object.call(|()| second.add()).unwrap();
            assert_eq!(second.get(), 1);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// A cancel reaches the call wherever it is: not yet made, on its way, queued, or running; and the caller is answered
/// though the callee never looks at its queue.
#[test]
fn cancel_against_a_callee_that_does_not_pump() {
    Model::new("cancel against a callee that does not pump").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").capacity(1).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let caller = thread::spawn({
            let (object, cancel) = (object.clone(), cancel.clone());
            move || {
                let options = CallOptions::new().cancel(&cancel);
                let error = object.with(&options).call(|()| unreachable!("nobody looks")).unwrap_err();
                assert_eq!((error.hresult(), error.outcome()), (0x8001_0002, Outcome::NotStarted));
            }
        });
        cancel.cancel();
        caller.join().unwrap();
        assert_eq!(here.apartment().queued(), 0, "it left the queue and gave its room back");
    });
}

/// A cancel against a running call: the callee is asked, and the reply that was recorded first wins.
#[test]
fn cancel_against_the_reply() {
    let seen = Seen::new(&["replied", "not started", "may have run", "asked while it ran"]);
    let see = seen.clone();
    Model::new("cancel against the reply").preemptions(2).check(move || {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let asked = see.clone();
        let caller = thread::spawn({
            let cancel = cancel.clone();
            move || {
                let options = CallOptions::new().cancel(&cancel);
                let lent = Borrowed::new();
                let result = object.with(&options).call(|()| {
                    lent.add();
                    if is_cancelled() {
                        asked.saw("asked while it ran");
                    }
                });
                object.apartment().unwrap().quit();
                match result.map_err(|error| error.outcome()) {
                    Ok(()) => ("replied", lent.get()),
                    Err(Outcome::NotStarted) => ("not started", lent.get() + 1),
                    Err(Outcome::MayHaveRun) => ("may have run", lent.get()),
                }
            }
        });
        let canceller = thread::spawn(move || cancel.cancel());
        here.run();
        drop(here);
        canceller.join().unwrap();
        let (outcome, ran) = caller.join().unwrap();
        assert_eq!(ran, 1, "{outcome}");
        see.saw(outcome);
    });
    seen.all();
}
