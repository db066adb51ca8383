//! Calls that call back, in and through STAs and the MTA.

use super::Scenario;
use super::common::{Count, join, start};
use crate::seen::saw;
use apartment::{CallError, Outcome, Process, current_call};
use std::cell::Cell;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "hub_that_calls_back",
        threads: 18,
        rules: "DI-5, DI-6, CA-1",
        outcomes: &["nested", "flat"],
        program: hub_that_calls_back,
    },
    Scenario {
        name: "pool_at_its_maximum",
        threads: 8,
        rules: "DI-4, DI-7, DI-14, DL-2",
        outcomes: &["all went through", "some were told"],
        program: pool_at_its_maximum,
    },
];

/// Seventeen STAs call one, which calls each of them back while it serves it, and serves the others while it waits.
fn hub_that_calls_back() {
    const CALLERS: usize = 17;
    let process = Process::new();
    let here = process.sta("hub").enter().unwrap();
    let hub = here.create(|| (Cell::new(0), Cell::new(0))).unwrap();
    let done = Count::default();
    let callers = start(CALLERS, {
        let hub = hub.clone();
        move |number| {
            let here = process.sta("caller").enter().unwrap();
            let own = here.create(|| Cell::new(number)).unwrap();
            let sum = hub.call(|(depth, deepest)| {
                depth.set(depth.get() + 1);
                deepest.set(deepest.get().max(depth.get()));
                let chain = current_call().unwrap().chain();
                let back = own.call(|own| {
                    assert_eq!(current_call().unwrap().chain(), chain, "a callback is of the same chain");
                    own.replace(0)
                });
                depth.set(depth.get() - 1);
                back.map(|back| back + 1)
            });
            assert_eq!(sum.unwrap().unwrap(), number + 1);
            assert_eq!(own.local().unwrap().get(), 0, "called back, once");
            if done.add() == CALLERS {
                hub.apartment().unwrap().quit();
            }
        }
    });
    here.run();
    join(callers);
    let local = hub.local().unwrap();
    assert_eq!(local.0.get(), 0);
    saw(if local.1.get() > 1 { "nested" } else { "flat" });
}

/// Four callers call the MTA, through it an STA, and through that the MTA again, whose pool may have three threads: where all
/// of them are blocked so, somebody is told, and everybody ends.
fn pool_at_its_maximum() {
    const CALLERS: usize = 4;
    let process = Process::new();
    let here = process.sta("between").enter().unwrap();
    let mta = process.mta().threads(1).max_threads(3).spawn().unwrap();
    let (outer, inner) = (Count::default(), Count::default());
    let shared = mta.create(|| ()).unwrap();
    let between = here.create(|| ()).unwrap();
    let done = Count::default();
    let callers = start(CALLERS, {
        let (shared, between, outer, inner) = (shared.clone(), between.clone(), outer.clone(), inner.clone());
        let process = process.clone();
        move |number| {
            // One in no apartment would call the MTA's objects on its own thread.
            let own = process.sta("caller").enter().unwrap();
            let called = shared.call(|()| {
                outer.add();
                between.call(|()| {
                    shared.call(|()| {
                        inner.add();
                        number
                    })
                })
            });
            let result = match called {
                Ok(Ok(Ok(answer))) => {
                    assert_eq!(answer, number);
                    (1, 1)
                }
                Ok(Ok(Err(error)) | Err(error)) => (1, told(&error)),
                Err(error) => (told(&error), 0),
            };
            if done.add() == CALLERS {
                between.apartment().unwrap().quit();
            }
            drop(own);
            result
        }
    });
    here.run();
    let results = join(callers);
    let (outers, inners) = results.iter().fold((0, 0), |sum, result| (sum.0 + result.0, sum.1 + result.1));
    assert_eq!((outer.get(), inner.get()), (outers, inners), "what was not told has run, and nothing else");
    assert_eq!(mta.apartment().queued(), 0);
    saw(if inners == CALLERS { "all went through" } else { "some were told" });
}

/// Of a deadlock, and so it did not run.
fn told(error: &CallError) -> usize {
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotStarted);
    0
}
