//! Calls whose callers are futures: polled, woken and dropped while their callees run.
#![cfg(loom)]

use apartment::{
    AsyncOptions, CancelHandle, Clock, IncomingCall, MessageFilter, Outcome, Process, RejectedCall, Retry, ServerCall,
};
use apartment_models::{Model, Seen};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// An executor of one future, whose thread sleeps until it is woken.
struct Sleeper {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let sleeper = Arc::new(Sleeper { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(Arc::clone(&sleeper));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = sleeper.woken.lock().unwrap();
        while !std::mem::take(&mut *woken) {
            woken = sleeper.changed.wait(woken).unwrap();
        }
    }
}

/// A future is polled while its call is answered: whoever comes first, it is woken or sees the reply.
#[test]
fn reply_against_the_poll() {
    Model::new("a reply against the poll of its future").preemptions(5).check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| 7).unwrap();
        let caller = thread::spawn(move || {
            assert_eq!(block_on(object.call_async(|n| *n)).unwrap(), 7);
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// The same with a cancel, of a callee that never looks at its queue.
#[test]
fn cancel_against_the_poll() {
    Model::new("a cancel against the poll of a future").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let caller = thread::spawn({
            let cancel = cancel.clone();
            move || {
                let options = AsyncOptions::new().cancel(&cancel);
                let call = object.with(&options).call_async(|()| unreachable!("nobody looks"));
                let error = block_on(call).unwrap_err();
                assert_eq!((error.hresult(), error.outcome()), (0x8001_0002, Outcome::NotStarted));
            }
        });
        cancel.cancel();
        caller.join().unwrap();
        assert_eq!(here.apartment().queued(), 0);
    });
}

/// A result that is tracked for leaks and says where it was dropped.
struct Result {
    dropped: Arc<Dropped>,
    _leaks: loom::alloc::Track<()>,
}

#[derive(Default)]
struct Dropped {
    at_home: AtomicUsize,
    elsewhere: AtomicUsize,
}

impl Drop for Result {
    fn drop(&mut self) {
        let at_home = apartment_is_here();
        let count = if at_home { &self.dropped.at_home } else { &self.dropped.elsewhere };
        count.fetch_add(1, Relaxed);
    }
}

fn apartment_is_here() -> bool {
    Process::new().current().apartment.is_some()
}

/// A future is dropped while its call is about to start, runs, or is answered: it never runs, or its result goes once,
/// where it is.
#[test]
fn drop_against_the_start() {
    let seen = Seen::new(&["taken back", "detached", "replied"]);
    let see = seen.clone();
    Model::new("the drop of a future against the start of its call").threads(2).unbounded().check(move || {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let (dropped, ran) = (Arc::new(Dropped::default()), Arc::new(AtomicUsize::new(0)));
        let caller = thread::spawn({
            let (dropped, ran) = (dropped.clone(), ran.clone());
            move || {
                let call = object.call_async(move |()| {
                    ran.fetch_add(1, Relaxed);
                    thread::yield_now();
                    Result { dropped, _leaks: loom::alloc::Track::new(()) }
                });
                drop(call);
                object.apartment().unwrap().quit();
            }
        });
        here.run();
        drop(here);
        caller.join().unwrap();
        let counts = (ran.load(Relaxed), dropped.at_home.load(Relaxed), dropped.elsewhere.load(Relaxed));
        see.saw(match counts {
            (0, 0, 0) => "taken back",
            (1, 1, 0) => "detached",
            (1, 0, 1) => "replied",
            other => panic!("{other:?}"),
        });
    });
    seen.all();
}

/// Says that it is busy.
struct Busy;

impl MessageFilter for Busy {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        ServerCall::RetryLater
    }
}

/// A rejected future rests, and its deadline passes on a third thread, wherever all three are by then: its callee, awake or
/// asleep, wakes it.
#[test]
fn alarm_against_the_callees_sleep() {
    Model::new("an alarm against the sleep of the callee").preemptions(3).check(|| {
        let clock = Clock::driven();
        let process = Process::builder().clock(clock.clone()).build();
        let here = process.sta("callee").filter(|| Busy).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let rests = |_: &RejectedCall| Retry::After(SECOND * 100);
            let options = AsyncOptions::new().within(SECOND).retry(rests);
            let call = object.with(&options).call_async(|()| unreachable!("it is busy"));
            let time = thread::spawn(move || clock.advance(SECOND));
            let error = block_on(call).unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (0x8001_011F, Outcome::NotStarted));
            time.join().unwrap();
            object.apartment().unwrap().quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}
