//! Threads that end while they are in an apartment, against those who count on them.
#![cfg(loom)]

use apartment::{CallError, CallOptions, Clock, Outcome, Process, Worker};
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::cell::Cell;
use std::mem::forget;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// An object that counts its drops, and knows where they have to happen.
struct Object(thread::ThreadId, Arc<AtomicU32>);

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.0, "an object is dropped on its apartment's thread");
        self.1.fetch_add(1, SeqCst);
    }
}

/// How a call has ended that cannot run: its apartment dies while it is queued, or before it comes.
fn how(result: Result<(), CallError>) -> &'static str {
    let error = result.expect_err("nobody serves it");
    assert_eq!(error.outcome(), Outcome::NotStarted);
    match error {
        CallError::ServerDiedDne { .. } => "died",
        CallError::Disconnected(_) => "disconnected",
        other => panic!("{other}"),
    }
}

/// A thread leaks its guard and ends, against a call that comes: its caller is answered, whatever comes first, and has what
/// it lent again. The object goes with the thread.
#[test]
fn leaked_guard_against_a_call() {
    let seen = Seen::new(&["died", "disconnected"]);
    let see = seen.clone();
    Model::new("a leaked guard against a call").unbounded().check(move || {
        let drops = Arc::new(AtomicU32::new(0));
        let counts = drops.clone();
        let owner = thread::spawn(move || {
            let here = Process::new().sta("dies").enter().unwrap();
            let object = here.create(|| Object(thread::current().id(), counts)).unwrap();
            let caller = thread::spawn(move || {
                let lent = Borrowed::new();
                let how = how(object.call(|_| lent.add()));
                assert_eq!(lent.get(), 0);
                how
            });
            forget(here);
            caller
        });
        see.saw(owner.join().unwrap().join().unwrap());
        assert_eq!(drops.load(SeqCst), 1, "dropped once, and not leaked");
    });
    seen.all();
}

/// The same against one who stands in the line for room.
#[test]
fn leaked_guard_against_the_line() {
    let seen = Seen::new(&["died", "disconnected"]);
    let see = seen.clone();
    Model::new("a leaked guard against the line for room").preemptions(4).check(move || {
        let owner = thread::spawn(move || {
            let here = Process::new().sta("dies").capacity(1).enter().unwrap();
            let object = here.create(|| ()).unwrap();
            let dropped = Arc::new(());
            let held = dropped.clone();
            object.post(move |()| drop(held)).unwrap();
            let caller = thread::spawn(move || how(object.with(&CallOptions::new().wait_for_room()).call(|()| ())));
            forget(here);
            (caller, dropped)
        });
        let (caller, dropped) = owner.join().unwrap();
        let how = caller.join().unwrap();
        assert_eq!(Arc::strong_count(&dropped), 1, "what never ran is dropped");
        see.saw(how);
    });
    // Room is never free, so nobody is accepted.
    let all = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| seen.all()));
    assert!(all.is_err(), "who stands in the line is turned away, and is not in the queue");
}

/// The last reference goes while a thread that has leaked its guard ends.
#[test]
fn leaked_guard_against_the_last_release() {
    Model::new("a leaked guard against the last release").unbounded().check(|| {
        let drops = Arc::new(AtomicU32::new(0));
        let counts = drops.clone();
        let owner = thread::spawn(move || {
            let here = Process::new().sta("dies").enter().unwrap();
            let object = here.create(|| Object(thread::current().id(), counts)).unwrap();
            let other = thread::spawn(move || drop(object));
            forget(here);
            other
        });
        owner.join().unwrap().join().unwrap();
        assert_eq!(drops.load(SeqCst), 1);
    });
}

/// A process ends while a thread of it that has leaked its guard does: it is waited for, and nobody is left in it.
#[test]
fn leaked_guard_against_the_process_end() {
    Model::new("a leaked guard against the process' end").preemptions(4).check(|| {
        let process = Process::builder().clock(Clock::driven()).build();
        let here = {
            let process = process.clone();
            thread::spawn(move || {
                let here = process.sta("dies").enter();
                forget(here);
            })
        };
        let ended = process.end(Duration::from_secs(1)).unwrap();
        assert!(ended.still_in.is_empty());
        here.join().unwrap();
    });
}

/// A worker panics while it is joined by the STA that it has called.
#[test]
fn a_workers_panic_against_its_join() {
    Model::new("a worker's panic against its join").preemptions(3).check(|| {
        let here = Process::new().sta("ui").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let calls = object.clone();
        let worker = Worker::spawn("worker", move || {
            let fault = calls.call(|_| resume_unwind(Box::new("the method's"))).map(|()| ());
            assert!(matches!(fault, Err(CallError::ServerFault { .. })));
            calls.call(|n| n.set(n.get() + 1)).unwrap();
            resume_unwind(Box::new(7_u32));
        });
        let payload = worker.unwrap().join().unwrap().map(|()| ()).unwrap_err();
        assert_eq!(*payload.downcast::<u32>().unwrap(), 7);
        assert_eq!(object.call(Cell::get).unwrap(), 1);
        drop(object);
        drop(here);
    });
}
