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

/// How many of something were made and dropped in all executions together: a thread's locals go after it can be joined, so
/// only then it is known. It is std's own, and no part of the model.
#[derive(Clone, Default)]
struct Count(Arc<[AtomicU32; 2]>);

struct One(Count);

impl Count {
    fn one(&self) -> One {
        self.0[0].fetch_add(1, SeqCst);
        One(self.clone())
    }

    /// Each was dropped once, and none was leaked.
    fn all_gone(&self) {
        let [made, dropped] = [0, 1].map(|at| self.0[at].load(SeqCst));
        assert!(made > 0 && made == dropped, "{made} made, {dropped} dropped");
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, SeqCst);
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
    let (seen, count) = (Seen::new(&["died", "disconnected"]), Count::default());
    let (see, counts) = (seen.clone(), count.clone());
    Model::new("a leaked guard against a call").unbounded().check(move || {
        let counts = counts.clone();
        let owner = thread::spawn(move || {
            let here = Process::new().sta("dies").enter().unwrap();
            let object = here.create(|| counts.one()).unwrap();
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
    });
    seen.all();
    count.all_gone();
}

/// The same against one who stands in the line for room, which is never free: it is turned away. What holds the room, and
/// never runs, is dropped.
#[test]
fn leaked_guard_against_the_line() {
    let count = Count::default();
    let counts = count.clone();
    Model::new("a leaked guard against the line for room").preemptions(4).check(move || {
        let counts = counts.clone();
        let owner = thread::spawn(move || {
            let here = Process::new().sta("dies").capacity(1).enter().unwrap();
            let object = here.create(|| counts.one()).unwrap();
            let held = counts.one();
            object.post(move |_| drop(held)).unwrap();
            let lent = counts.one();
            let caller =
                thread::spawn(move || how(object.with(&CallOptions::new().wait_for_room()).call(|_| drop(lent))));
            forget(here);
            caller
        });
        assert_eq!(owner.join().unwrap().join().unwrap(), "disconnected");
    });
    count.all_gone();
}

/// The last reference goes while a thread that has leaked its guard ends.
#[test]
fn leaked_guard_against_the_last_release() {
    let count = Count::default();
    let counts = count.clone();
    Model::new("a leaked guard against the last release").unbounded().check(move || {
        let counts = counts.clone();
        let owner = thread::spawn(move || {
            let here = Process::new().sta("dies").enter().unwrap();
            let object = here.create(|| counts.one()).unwrap();
            let other = thread::spawn(move || drop(object));
            forget(here);
            other
        });
        owner.join().unwrap().join().unwrap();
    });
    count.all_gone();
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
            let fault = calls.call(|_| resume_unwind(Box::new("the method's")));
            assert!(matches!(fault, Err(CallError::ServerFault { .. })));
            calls.call(|n| n.set(n.get() + 1)).unwrap();
            resume_unwind(Box::new(7_u32));
        });
        let payload = worker.unwrap().join().unwrap().unwrap_err();
        assert_eq!(*payload.downcast::<u32>().unwrap(), 7);
        assert_eq!(object.call(Cell::get).unwrap(), 1);
        drop(object);
        drop(here);
    });
}
