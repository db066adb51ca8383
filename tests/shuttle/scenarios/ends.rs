//! Apartments, objects and whole processes that end while they are used.

use super::Scenario;
use super::common::{Count, Homely, join, start};
use crate::seen::saw;
use apartment::{CallError, Outcome, Process, Proxy, Sta};
use std::time::Duration;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "quit_in_a_storm",
        threads: 14,
        rules: "LT-1, LT-2, MB-8, DI-11",
        outcomes: &["call ran", "call turned away", "post ran", "post handed back"],
        program: quit_in_a_storm,
    },
    Scenario {
        name: "process_ends_under_chains",
        threads: 10,
        rules: "LT-8, MB-8",
        outcomes: &["went through", "broke off", "never began", "not made any more"],
        program: process_ends_under_chains,
    },
    Scenario {
        name: "disconnects",
        threads: 9,
        rules: "LT-5, LT-1",
        outcomes: &["ran", "disconnected", "called back"],
        program: disconnects,
    },
];

const DISCONNECTED: u32 = 0x8001_0108;

/// Six post and five call, two times each, while somebody asks the apartment to quit: what was accepted has run, what was not
/// came back, and the objects are dropped at home.
fn quit_in_a_storm() {
    let process = Process::new();
    let sta = process.sta("home").capacity(100).spawn().unwrap();
    let (drops, ran) = (Count::default(), Count::default());
    let made = drops.clone();
    let object = sta.create(move || Homely::new(&made)).unwrap();
    let posters = start(6, {
        let (object, ran) = (object.clone(), ran.clone());
        move |_| {
            let post = |_| {
                let runs = ran.clone();
                let posted = object.post(move |_| runs.count());
                match posted {
                    Ok(()) => 1,
                    Err(error) => {
                        assert_eq!(error.error().hresult(), DISCONNECTED);
                        drop(error.into_closure());
                        saw("post handed back");
                        0
                    }
                }
            };
            (0..2).map(post).sum::<usize>()
        }
    });
    let callers = start(5, {
        let (object, ran) = (object.clone(), ran.clone());
        move |_| {
            let call = |_| {
                let lent = &mut 0;
                let called = object.call(|_| {
                    *lent += 1;
                    ran.add();
                });
                match called {
                    Ok(()) => assert_eq!(*lent, 1),
                    Err(error) => {
                        assert_eq!((error.hresult(), error.outcome(), *lent), (DISCONNECTED, Outcome::NotStarted, 0));
                        saw("call turned away");
                    }
                }
                *lent
            };
            (0..2).map(call).sum::<usize>()
        }
    });
    let quitter = start(1, {
        let apartment = sta.apartment().clone();
        move |_| apartment.quit()
    });
    let posted: usize = join(posters).into_iter().sum();
    let called: usize = join(callers).into_iter().sum();
    join(quitter);
    drop(object);
    sta.join().unwrap();
    assert_eq!((ran.get(), drops.get()), (posted + called, 1), "accepted is run, once");
    if called > 0 {
        saw("call ran");
    }
    if posted > 0 {
        saw("post ran");
    }
}

/// A process of four STAs, through which three callers go and come back, ends while they do, and while somebody makes one
/// more.
fn process_ends_under_chains() {
    let process = Process::new();
    let drops = Count::default();
    let stas: Vec<Sta> = (0..4).map(|_| process.sta("one").spawn().unwrap()).collect();
    let at = |sta: &Sta| {
        let drops = drops.clone();
        sta.create(move || Homely::new(&drops)).unwrap()
    };
    let objects: Vec<Proxy<Homely>> = stas.iter().map(at).collect();
    let (began, came) = (Count::default(), Count::default());
    let callers = start(3, {
        let (objects, began, came) = (objects.clone(), began.clone(), came.clone());
        move |number| {
            let (first, second) = (&objects[number], &objects[(number + 1) % 4]);
            let called = first.call(|_| {
                began.add();
                second.call(|_| first.call(|_| came.add()))
            });
            let (began, came, error) = match called {
                Ok(Ok(Ok(_))) => (1, 1, None),
                Ok(Ok(Err(error)) | Err(error)) => (1, 0, Some(error)),
                Err(error) => (0, 0, Some(error)),
            };
            if let Some(error) = error {
                assert_eq!((error.hresult(), error.outcome()), (DISCONNECTED, Outcome::NotStarted), "{error}");
            }
            (began, came)
        }
    });
    let maker = start(1, {
        let process = process.clone();
        move |_| match process.sta("one more").spawn() {
            Ok(sta) => drop(sta),
            Err(error) => {
                assert_eq!(error.hresult(), 0x8008_0008, "{error}");
                saw("not made any more");
            }
        }
    });
    let ended = process.end(Duration::from_secs(1)).unwrap();
    assert!(ended.still_in.is_empty());
    let results = join(callers);
    join(maker);
    for result in &results {
        saw(match result {
            (_, 1) => "went through",
            (1, _) => "broke off",
            _ => "never began",
        });
    }
    let sums = results.iter().fold((0, 0), |sum, result| (sum.0 + result.0, sum.1 + result.1));
    assert_eq!((began.get(), came.get()), sums, "what failed has not run");
    assert_eq!(drops.get(), 4);
    drop((objects, stas));
}

/// Four callers, each of whom is called back, and two posters, while two disconnect the object: when a disconnecting has
/// returned, nothing runs on it and nothing will.
fn disconnects() {
    let process = Process::new();
    let here = process.sta("home").enter().unwrap();
    let drops = Count::default();
    let object = here.create(|| Homely::new(&drops)).unwrap();
    let away = Count::default();
    let done = Count::default();
    let apartment = here.apartment().clone();
    let quits = move || {
        if done.add() == 8 {
            apartment.quit();
        }
    };
    let callers = start(4, {
        let (object, away, quits) = (object.clone(), away.clone(), quits.clone());
        move |number| {
            let own = (number < 2).then(|| process.sta("caller").enter().unwrap());
            let back = own.as_ref().map(|own| own.create(|| ()).unwrap());
            let called = object.call(|_| {
                assert_eq!(away.get(), 0, "nothing runs once it is disconnected");
                if let Some(back) = &back {
                    back.call(|()| saw("called back")).unwrap();
                }
                assert_eq!(away.get(), 0, "a disconnecting waits for what runs");
            });
            match called {
                Ok(()) => saw("ran"),
                Err(error) => {
                    assert_eq!((error.hresult(), error.outcome()), (DISCONNECTED, Outcome::NotStarted));
                    saw("disconnected");
                }
            }
            quits();
        }
    });
    let posters = start(2, {
        let (object, away, quits) = (object.clone(), away.clone(), quits.clone());
        move |_| {
            let away = away.clone();
            let posted = object.post(move |_| assert_eq!(away.get(), 0));
            if let Err(error) = posted {
                assert!(matches!(error.error(), CallError::Disconnected(_)));
            }
            quits();
        }
    });
    let disconnectors = start(2, {
        let (object, away) = (object.clone(), away.clone());
        move |_| {
            object.disconnect().unwrap();
            away.add();
            assert!(object.call(|_| ()).is_err());
            quits();
        }
    });
    here.run();
    join(callers);
    join(posters);
    join(disconnectors);
    assert!(object.local().is_none());
    drop(object);
    drop(here);
    assert_eq!(drops.get(), 1);
}
