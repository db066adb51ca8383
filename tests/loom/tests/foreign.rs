//! An event loop's own thread as an STA: its loop sleeps elsewhere, and has to be woken.
#![cfg(loom)]

use apartment::{Budget, Clock, Host, NotWoken, Parked, Parking, Process, Reentrancy, Wake, dispatch};
use apartment_models::{Model, big_stack};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A loop that sleeps until somebody wakes it, and hears nothing of as many wakes as it swallows.
#[derive(Clone)]
struct Loop(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    woken: bool,
    swallows: usize,
}

impl Loop {
    fn new(swallows: usize) -> Self {
        Self(Arc::new(Inner { state: Mutex::new(State { woken: false, swallows }), changed: Condvar::new() }))
    }

    fn until_woken(&self) {
        let mut state = self.0.state.lock().unwrap();
        while !std::mem::take(&mut state.woken) {
            state = self.0.changed.wait(state).unwrap();
        }
    }

    fn until_swallowed(&self) {
        let mut state = self.0.state.lock().unwrap();
        while state.swallows > 0 {
            state = self.0.changed.wait(state).unwrap();
        }
    }
}

impl Host for Loop {
    fn waker(&self) -> Box<dyn Wake> {
        let Self(inner) = self.clone();
        Box::new(move || {
            let mut state = inner.state.lock().unwrap();
            match state.swallows.checked_sub(1) {
                Some(left) => state.swallows = left,
                None => state.woken = true,
            }
            inner.changed.notify_all();
            Ok::<(), NotWoken>(())
        })
    }

    fn park(&self, _: &Parking) -> Parked {
        self.until_woken();
        Parked::Looped
    }
}

/// The same, and inside a wait it dispatches.
struct Dispatches(Loop);

impl Host for Dispatches {
    fn waker(&self) -> Box<dyn Wake> {
        self.0.waker()
    }

    fn park(&self, _: &Parking) -> Parked {
        self.0.until_woken();
        let _ = dispatch(Budget::ALL).unwrap();
        Parked::Looped
    }
}

/// How often it was called. std's own: no part of the model.
#[derive(Default)]
struct Ran(Arc<AtomicUsize>);

impl Ran {
    fn run(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A post against a loop that dispatches once it is woken: it is served, whenever it comes.
#[test]
fn arrival_against_a_dispatch() {
    Model::new("an arrival against a loop's dispatch").preemptions(4).check(|| {
        let process = Process::new();
        let own = Loop::new(0);
        let ui = process.sta("ui").host(own.clone()).enter().unwrap();
        let here = ui.create(Ran::default).unwrap();
        let ran = here.local().unwrap().0.clone();
        let posts = here.clone();
        let other = thread::spawn(move || {
            posts.post(Ran::run).unwrap();
            posts.post(Ran::run).unwrap();
        });
        // Looked at without the library, which would look at the mailbox.
        while ran.load(Relaxed) < 2 {
            own.until_woken();
            let _ = ui.dispatch(Budget::ALL);
        }
        other.join().unwrap();
    });
}

/// The loop's thread makes a call; the callee and a third thread post to it meanwhile. Under policy *none* its wait holds
/// what comes, and consumes the ring: the loop has to be woken for it.
#[test]
fn arrival_against_a_wait_that_lets_nothing_in() {
    Model::new("an arrival against a loop's wait of policy none").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let own = Loop::new(0);
            let ui = process.sta("ui").reentrancy(Reentrancy::None).host(own.clone()).enter().unwrap();
            let here = ui.create(Ran::default).unwrap();
            let ran = here.local().unwrap().0.clone();
            let worker = process.sta("worker").spawn().unwrap();
            let job = worker.create(|| ()).unwrap();
            let posts = here.clone();
            let third = thread::spawn(move || posts.post(Ran::run).unwrap());
            job.call(|()| ()).unwrap();
            while ran.load(Relaxed) == 0 {
                own.until_woken();
                let _ = ui.dispatch(Budget::ALL);
            }
            third.join().unwrap();
            drop(job);
            drop(worker);
        });
    });
}

/// The loop runs inside the wait for a call, which holds a post of another chain: the callback wakes it all the same.
#[test]
fn callback_against_a_held_entry() {
    Model::new("a callback against an entry that is held").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let own = Loop::new(0);
            let ui = process.sta("ui").reentrancy(Reentrancy::SameCausality).host(own.clone()).enter().unwrap();
            let here = ui.create(|| Cell::new(0)).unwrap();
            let worker = process.sta("worker").spawn().unwrap();
            let job = worker.create(|| ()).unwrap();
            let seen = job.call(|()| {
                here.post(|n| n.set(n.get() + 10)).unwrap();
                here.call(|n| n.replace(1))
            });
            assert_eq!(seen.unwrap().unwrap(), 0, "the post is of another chain");
            own.until_woken();
            assert_eq!(ui.dispatch(Budget::ALL).served, 1);
            assert_eq!(here.call(Cell::get).unwrap(), 11);
            drop(job);
            drop(worker);
        });
    });
}

/// The loop dispatches inside the wait for a call, which calls back. While the callback is on its way from the queue to the
/// stack its thread still seems to sleep, and yet nobody is in a cycle.
#[test]
fn callback_taken_inside_a_wait() {
    Model::new("a callback that a loop takes inside a wait").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let ui =
                process.sta("ui").reentrancy(Reentrancy::SameCausality).host(Dispatches(Loop::new(0))).enter().unwrap();
            let here = ui.create(|| Cell::new(0)).unwrap();
            let worker = process.sta("worker").spawn().unwrap();
            let job = worker.create(|| ()).unwrap();
            assert_eq!(job.call(|()| here.call(|n| n.replace(1))).unwrap().unwrap(), 0);
            drop(job);
            drop(worker);
        });
    });
}

/// The loop swallows a wake; the caller that waits repeats it when it is late, also if time passes before it sleeps.
#[test]
fn wake_swallowed_once() {
    Model::new("a wake is swallowed once").preemptions(3).check(|| {
        let clock = Clock::driven();
        let process = Process::builder().clock(clock.clone()).build();
        let own = Loop::new(1);
        let ui = process.sta("ui").host(own.clone()).enter().unwrap();
        let here = ui.create(|| 7).unwrap();
        let calls = here.clone();
        let caller = thread::spawn(move || calls.call(|n| *n).unwrap());
        let swallowing = own.clone();
        let time = thread::spawn(move || {
            swallowing.until_swallowed();
            clock.advance(Duration::from_millis(100));
        });
        own.until_woken();
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        assert_eq!(caller.join().unwrap(), 7);
        time.join().unwrap();
    });
}
