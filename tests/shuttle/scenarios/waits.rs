//! Waits for signals and workers, which serve meanwhile.

use super::Scenario;
use super::common::{Count, join, start};
use crate::seen::saw;
use apartment::{Process, Signal, Worker, wait_all, wait_any};
use std::cell::Cell;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "signals_taken_once",
        threads: 10,
        rules: "WA-1, WA-2",
        outcomes: &["all in one", "spread"],
        program: signals_taken_once,
    },
    Scenario {
        name: "workers_that_call_who_joins_them",
        threads: 6,
        rules: "WA-1, WA-3, LT-1",
        outcomes: &["called in a join"],
        program: workers_that_call_who_joins_them,
    },
];

/// Five setters set a signal with auto reset once each; four waiters take until they are told to stop, and what is set is
/// taken as often as it was found set: never more often than it was set, and at least once.
fn signals_taken_once() {
    const SETTERS: usize = 5;
    let (signal, other, stop) = (Signal::auto(), Signal::auto(), Signal::manual());
    let (set, taken) = (Count::default(), Count::default());
    let waiters = start(4, {
        let (signal, other, stop, set, taken) =
            (signal.clone(), other.clone(), stop.clone(), set.clone(), taken.clone());
        move |number| {
            let mut took = 0;
            loop {
                let which = if number == 0 {
                    // Who wants both of two takes neither as long as one is not set.
                    match wait_any(&[&stop, &signal], None).unwrap() {
                        0 => 0,
                        _ => {
                            other.set();
                            wait_all(&[&other], None).unwrap();
                            1
                        }
                    }
                } else {
                    wait_any(&[&stop, &signal], None).unwrap()
                };
                if which == 0 {
                    return took;
                }
                took += 1;
                assert!(taken.add() <= set.get(), "taken more often than set");
            }
        }
    });
    let setters = start(SETTERS, {
        let (signal, set) = (signal.clone(), set.clone());
        move |_| {
            set.add();
            signal.set();
        }
    });
    join(setters);
    while signal.is_set() {
        shuttle::thread::yield_now();
    }
    stop.set();
    let took = join(waiters);
    assert!(taken.get() >= 1 && !signal.is_set() && !other.is_set());
    saw(if took.iter().filter(|took| **took > 0).count() == 1 { "all in one" } else { "spread" });
}

/// An STA starts four workers, each of which calls it, waits for the one before it and sets a signal; then it joins them,
/// serving. Another STA waits for all signals.
fn workers_that_call_who_joins_them() {
    const WORKERS: usize = 4;
    let process = Process::new();
    let here = process.sta("home").enter().unwrap();
    let object = here.create(|| Cell::new(0)).unwrap();
    let signals: Vec<Signal> = (0..WORKERS).map(|_| Signal::manual()).collect();
    let calls = Count::default();
    let workers: Vec<Worker<usize>> = (0..WORKERS)
        .map(|number| {
            let (object, signals, calls) = (object.clone(), signals.clone(), calls.clone());
            let work = move || {
                let sum = object.call(|sum| {
                    calls.add();
                    sum.set(sum.get() + number);
                    sum.get()
                });
                if number > 0 {
                    wait_any(&[&signals[number - 1]], None).unwrap();
                }
                signals[number].set();
                sum.unwrap()
            };
            Worker::spawn("worker", work).unwrap()
        })
        .collect();
    let waiter = start(1, {
        let signals = signals.clone();
        move |_| {
            let here = process.sta("waiter").enter().unwrap();
            wait_all(&signals.iter().collect::<Vec<_>>(), None).unwrap();
            drop(here);
        }
    });
    for worker in workers {
        let before = calls.get();
        let sum = worker.join().unwrap().unwrap();
        assert!(sum <= 6);
        if calls.get() > before {
            saw("called in a join");
        }
    }
    join(waiter);
    assert_eq!((object.local().unwrap().get(), calls.get()), (6, WORKERS));
}
