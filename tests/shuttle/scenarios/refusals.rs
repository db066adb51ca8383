//! Calls that are refused and tried again.

use super::Scenario;
use super::common::{Count, join, start};
use crate::seen::saw;
use apartment::{
    CallError, CallOptions, Clock, IncomingCall, MessageFilter, Outcome, Process, RejectedCall, Retry, ServerCall,
};
use std::cell::{Cell, RefCell};
use std::time::Duration;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "retries_under_load",
        threads: 9,
        rules: "MF-2, MF-5, MF-6, CA-3",
        outcomes: &["ran", "rejected for good", "timed out"],
        program: retries_under_load,
    },
    Scenario {
        name: "busy_object",
        threads: 7,
        rules: "DI-13, MF-6",
        outcomes: &["all at the first attempt", "some tried again"],
        program: busy_object,
    },
];

/// Refuses every second offer that can be refused.
struct EverySecond {
    offers: Cell<usize>,
    let_in: Count,
}

impl MessageFilter for EverySecond {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        assert!(!call.target.type_name.is_empty());
        self.offers.set(self.offers.get() + 1);
        if self.offers.get().is_multiple_of(2) {
            self.let_in.add();
            ServerCall::Handled
        } else {
            ServerCall::RetryLater
        }
    }
}

const REST: Duration = Duration::from_millis(200);

/// Seven callers are refused, try again at once or after a rest, up to three times, some with a deadline. A timer lets time
/// pass as long as somebody is there.
fn retries_under_load() {
    const CALLERS: usize = 7;
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).build();
    let let_in = Count::default();
    let filter = {
        let let_in = let_in.clone();
        move || EverySecond { offers: Cell::new(0), let_in }
    };
    let here = process.sta("callee").filter(filter).enter().unwrap();
    let object = here.create(|| ()).unwrap();
    let done = Count::default();
    let callers = start(CALLERS, {
        let (object, done) = (object.clone(), done.clone());
        move |number| {
            let lent = Cell::new(0);
            let lent_out = &mut 0;
            let retry = move |call: &RejectedCall| match call.attempts {
                3 => Retry::GiveUp,
                _ if number < 4 => Retry::Now,
                _ => Retry::After(REST),
            };
            let options = CallOptions::new().retry(retry);
            let options = if number == 6 { options.within(REST * 2) } else { options };
            let called = object.with(&options).call(|()| *lent_out += 1);
            lent.set(*lent_out);
            if done.add() == CALLERS {
                object.apartment().unwrap().quit();
            }
            match called {
                Ok(()) => {
                    assert_eq!(lent.get(), 1);
                    "ran"
                }
                Err(error) => {
                    let started = error.outcome() != Outcome::NotStarted;
                    assert_eq!(lent.get(), usize::from(started), "{error}");
                    match error {
                        CallError::CallRejected { .. } if !started => "rejected for good",
                        CallError::TimedOut { .. } if number == 6 => {
                            if started {
                                "late"
                            } else {
                                "timed out"
                            }
                        }
                        other => panic!("{other}"),
                    }
                }
            }
        }
    });
    let timer = start(1, move |_| {
        while done.get() < CALLERS {
            clock.advance(REST);
            shuttle::thread::yield_now();
        }
    });
    here.run();
    let results = join(callers);
    join(timer);
    results.iter().for_each(|result| saw(result));
    let ran = results.iter().filter(|result| matches!(**result, "ran" | "late")).count();
    // A call may be let in and revoked before it starts.
    assert!(let_in.get() >= ran && let_in.get() <= ran + 1, "{} let in, {results:?}", let_in.get());
    assert_eq!(here.apartment().queued(), 0);
}

/// Five borrow an object while they call out of its apartment; who comes meanwhile finds it busy, and tries again.
fn busy_object() {
    const CALLERS: usize = 5;
    let process = Process::new();
    let here = process.sta("home").enter().unwrap();
    let other = process.sta("other").spawn().unwrap();
    let object = here.create(|| RefCell::new(Vec::new())).unwrap();
    let there = other.create(|| ()).unwrap();
    let (done, again) = (Count::default(), Count::default());
    let callers = start(CALLERS, {
        let (object, again) = (object.clone(), again.clone());
        move |number| {
            let options = CallOptions::new().retry(|_: &RejectedCall| {
                again.add();
                // Or who has the object might never have its turn.
                shuttle::thread::yield_now();
                Retry::Now
            });
            let called = object.with(&options).call_mut(|numbers| {
                numbers.push(number);
                there.call(|()| numbers.push(number)).unwrap();
            });
            called.unwrap();
            if done.add() == CALLERS {
                object.apartment().unwrap().quit();
            }
        }
    });
    here.run();
    join(callers);
    let numbers = object.local().unwrap().take();
    assert!(numbers.chunks(2).all(|pair| pair[0] == pair[1]), "nobody came between: {numbers:?}");
    let mut firsts: Vec<_> = numbers.chunks(2).map(|pair| pair[0]).collect();
    firsts.sort_unstable();
    assert!(firsts.into_iter().eq(0..CALLERS));
    saw(if again.get() == 0 { "all at the first attempt" } else { "some tried again" });
    drop(other);
}
