//! Calls whose callers need not wait: left while they run, and what becomes of their results.
#![cfg(loom)]

use apartment::{CallOptions, CancelHandle, Outcome, Process, is_cancelled};
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A result that is counted, tracked for leaks, and knows where it is to be dropped unless somebody takes it.
struct Result {
    home: thread::ThreadId,
    dropped_at_home: Arc<AtomicUsize>,
    taken: bool,
    _leaks: loom::alloc::Track<()>,
}

impl Result {
    fn here(dropped_at_home: &Arc<AtomicUsize>) -> Result {
        let (home, dropped_at_home) = (thread::current().id(), Arc::clone(dropped_at_home));
        Result { home, dropped_at_home, taken: false, _leaks: loom::alloc::Track::new(()) }
    }

    fn take(mut self) {
        self.taken = true;
    }
}

impl Drop for Result {
    fn drop(&mut self) {
        if !self.taken {
            assert_eq!(thread::current().id(), self.home, "a result that nobody has goes at home");
            self.dropped_at_home.fetch_add(1, Relaxed);
        }
    }
}

/// A cancel against an owned call, wherever that is: the caller has the result, or the callee drops it, once, at home; or
/// the call never ran.
#[test]
fn cancel_against_the_reply_of_an_owned_call() {
    let seen = Seen::new(&["replied", "not started", "left"]);
    let see = seen.clone();
    Model::new("cancel against the reply of an owned call").preemptions(2).check(move || {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let dropped = Arc::new(AtomicUsize::new(0));
        let caller = thread::spawn({
            let (cancel, made) = (cancel.clone(), dropped.clone());
            move || {
                let options = CallOptions::new().cancel(&cancel);
                let result = object.with(&options).call_owned(move |()| {
                    thread::yield_now();
                    Result::here(&made)
                });
                object.apartment().unwrap().quit();
                match result {
                    Ok(result) => {
                        result.take();
                        "replied"
                    }
                    Err(error) if error.outcome() == Outcome::NotStarted => "not started",
                    Err(_) => "left",
                }
            }
        });
        let canceller = thread::spawn(move || cancel.cancel());
        here.run();
        drop(here);
        canceller.join().unwrap();
        let outcome = caller.join().unwrap();
        assert_eq!(dropped.load(Relaxed), usize::from(outcome == "left"), "{outcome}");
        see.saw(outcome);
    });
    seen.all();
}

/// The first call is left while it runs, and its callee replies while the same thread makes the next one: the late result
/// goes at home, and the next call has its own.
#[test]
fn late_result_against_the_next_call() {
    Model::new("a late result against the next call").preemptions(3).check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let made = dropped.clone();
        let cancel = CancelHandle::new();
        let caller = thread::spawn({
            let cancel = cancel.clone();
            move || {
                let options = CallOptions::new().cancel(&cancel);
                let handle = cancel.clone();
                let first = object.with(&options).call_owned(move |()| {
                    handle.cancel();
                    thread::yield_now();
                    assert!(is_cancelled(), "its caller may have left, and may call somebody else by now");
                    Result::here(&made)
                });
                assert_eq!(first.err().expect("it was cancelled while it ran").outcome(), Outcome::MayHaveRun);
                let lent = Borrowed::new();
                let second = object.call(|()| lent.add());
                second.expect("the next call is nobody's to cancel");
                assert_eq!(lent.get(), 1);
                object.apartment().unwrap().quit();
            }
        });
        here.run();
        drop(here);
        caller.join().unwrap();
        assert_eq!(dropped.load(Relaxed), 1);
    });
}
