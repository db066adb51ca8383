//! Deadlines that pass and cancels that come, wherever the calls are by then.

use super::Scenario;
use super::common::{Count, Homely, join, start};
use crate::seen::saw;
use apartment::{AsyncOptions, CallError, CallOptions, CancelHandle, Clock, Outcome, Process, is_cancelled};
use shuttle::future::block_on;
use shuttle::thread;
use std::time::Duration;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "cancels_and_deadlines",
        threads: 11,
        rules: "CA-2, CA-3, CA-4, CK-5, MB-7",
        outcomes: &["ran", "never started", "failed though it ran", "asked while it ran"],
        program: cancels_and_deadlines,
    },
    Scenario {
        name: "futures_and_callers",
        threads: 9,
        rules: "CK-7, CA-2, CA-3",
        outcomes: &["answered", "never started", "failed though it may have run", "dropped unrun", "dropped and run"],
        program: futures_and_callers,
    },
];

const SECOND: Duration = Duration::from_secs(1);

/// Eight callers, each of whom makes two calls: some with a deadline, some with a handle, some that lend and some that own. A
/// timer lets time pass, and one cancels.
fn cancels_and_deadlines() {
    const CALLERS: usize = 8;
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).build();
    let here = process.sta("callee").enter().unwrap();
    let drops = Count::default();
    let object = here.create(|| Homely::new(&drops)).unwrap();
    let cancel = CancelHandle::new();
    let done = Count::default();
    let callers = start(CALLERS, {
        let (object, cancel) = (object.clone(), cancel.clone());
        move |number| {
            for round in 0..2 {
                let ran = Count::default();
                let runs = ran.clone();
                let work = move |_: &Homely| {
                    runs.add();
                    if is_cancelled() {
                        saw("asked while it ran");
                    }
                    thread::yield_now();
                };
                let options = match number % 4 {
                    0 | 1 => CallOptions::new().within(SECOND),
                    _ => CallOptions::new().cancel(&cancel),
                };
                let lends = number % 2 == 0;
                let called = if round == 1 && number > 3 {
                    // The next call of the thread, which nobody cancels.
                    object.call(work)
                } else if lends {
                    object.with(&options).call(work)
                } else {
                    object.with(&options).call_owned(work)
                };
                match called {
                    Ok(()) => {
                        assert_eq!(ran.get(), 1);
                        saw("ran");
                    }
                    Err(error) => {
                        assert!(round == 0 || number <= 3, "{error}");
                        let expected = if number % 4 < 2 { 0x8001_011F } else { 0x8001_0002 };
                        assert_eq!(error.hresult(), expected, "{error}");
                        match error.outcome() {
                            Outcome::NotStarted => {
                                assert_eq!(ran.get(), 0);
                                saw("never started");
                            }
                            _ => {
                                // Who owns leaves at once, and it may only be about to begin.
                                assert!(ran.get() == 1 || !lends);
                                saw("failed though it ran");
                            }
                        }
                    }
                }
            }
            if done.add() == CALLERS {
                object.apartment().unwrap().quit();
            }
        }
    });
    let timer = start(1, move |_| (0..2).for_each(|_| clock.advance(SECOND)));
    let canceller = start(1, move |_| cancel.cancel());
    here.run();
    join(callers);
    join(timer);
    join(canceller);
    assert_eq!(here.apartment().queued(), 0, "no entry stays");
    drop(object);
    drop(here);
    assert_eq!(drops.get(), 1);
}

/// Futures that are waited for, cancelled, too late, or dropped at some time, and two that call meanwhile.
fn futures_and_callers() {
    const FUTURES: usize = 5;
    const CALLERS: usize = 2;
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).build();
    let here = process.sta("callee").enter().unwrap();
    let object = here.create(|| 7).unwrap();
    let cancel = CancelHandle::new();
    let done = Count::default();
    let quits = move |apartment: &apartment::Apartment| {
        if done.add() == FUTURES + CALLERS {
            apartment.quit();
        }
    };
    let futures = start(FUTURES, {
        let (object, quits, cancel) = (object.clone(), quits.clone(), cancel.clone());
        move |number| {
            let ran = Count::default();
            let runs = ran.clone();
            let work = move |seven: &i32| {
                runs.add();
                *seven
            };
            let options = match number {
                1 => AsyncOptions::new().cancel(&cancel),
                2 => AsyncOptions::new().within(SECOND),
                _ => AsyncOptions::new(),
            };
            let future = object.with(&options).call_async(work);
            let apartment = object.apartment().unwrap();
            if number == 4 {
                drop(future);
                // Posts of one sender come in their order: it has begun before this, or never will.
                object.call(|_| ()).unwrap();
                saw(if ran.get() == 1 { "dropped and run" } else { "dropped unrun" });
            } else {
                match block_on(future) {
                    Ok(seven) => {
                        assert_eq!((seven, ran.get()), (7, 1));
                        saw("answered");
                    }
                    Err(error) => {
                        let expected = match number {
                            1 => 0x8001_0002,
                            2 => 0x8001_011F,
                            _ => panic!("{error}"),
                        };
                        assert_eq!(error.hresult(), expected, "{error}");
                        if error.outcome() == Outcome::NotStarted {
                            assert_eq!(ran.get(), 0);
                            saw("never started");
                        } else {
                            saw("failed though it may have run");
                        }
                    }
                }
            }
            quits(&apartment);
        }
    });
    let callers = start(CALLERS, {
        let object = object.clone();
        move |_| {
            for _ in 0..2 {
                assert_eq!(object.call(|seven| *seven).unwrap(), 7);
            }
            quits(&object.apartment().unwrap());
        }
    });
    let ends = start(1, move |_| {
        cancel.cancel();
        clock.advance(SECOND);
    });
    here.run();
    join(futures);
    join(callers);
    join(ends);
    assert_eq!(here.apartment().queued(), 0);
    let error: Result<i32, CallError> = {
        drop(here);
        object.call(|seven| *seven)
    };
    assert_eq!(error.unwrap_err().hresult(), 0x8001_0108);
}
