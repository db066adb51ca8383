//! Methods that panic among those that do not.

use super::Scenario;
use super::common::{Count, Homely, join, start};
use crate::seen::saw;
use apartment::{CallError, Process};
use std::panic::resume_unwind;

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "panics_among_calls",
    threads: 9,
    rules: "LT-4, CK-5, MB-8",
    outcomes: &["served in between"],
    program: panics_among_calls,
}];

/// Six callers call an STA, three of them through another one; every second method panics, at the far end of its chain or on
/// the way back. Each caller is told of its own, and all others are served.
fn panics_among_calls() {
    const CALLERS: usize = 6;
    let process = Process::new();
    let here = process.sta("home").enter().unwrap();
    let other = process.sta("other").spawn().unwrap();
    let (drops, inside, posted) = (Count::default(), Count::default(), Count::default());
    let object = here.create(|| Homely::new(&drops)).unwrap();
    let through = other.create(|| ()).unwrap();
    let done = Count::default();
    let callers = start(CALLERS, {
        let (object, inside, posted) = (object.clone(), inside.clone(), posted.clone());
        move |number| {
            let lent = &mut 0;
            let work = |_: &Homely| {
                *lent += 1;
                if inside.add() > 1 {
                    saw("served in between");
                }
                match number % 2 {
                    0 => number,
                    // Without the hook: with that, a message for each schedule.
                    _ => resume_unwind(Box::new(format!("number {number}"))),
                }
            };
            let result = if number < 3 { object.call(work) } else { through.call(|()| object.call(work)).unwrap() };
            assert_eq!(*lent, 1, "what was lent is back");
            match result {
                Ok(answer) => assert_eq!((answer, number % 2), (number, 0)),
                Err(CallError::ServerFault { message, .. }) => {
                    assert_eq!((&*message, number % 2), (format!("number {number}").as_str(), 1));
                }
                Err(other) => panic!("{other}"),
            }
            let posts = posted.clone();
            object.post(move |_| posts.count()).unwrap();
            if done.add() == CALLERS {
                object.apartment().unwrap().quit();
            }
        }
    });
    let posters = start(1, {
        let (object, posted) = (object.clone(), posted.clone());
        move |_| {
            let posts = posted.clone();
            let _ = object.post(move |_| {
                posts.add();
                resume_unwind(Box::new("nobody is told"));
            });
        }
    });
    here.run();
    join(callers);
    join(posters);
    assert_eq!(inside.get(), CALLERS);
    assert!(posted.get() >= CALLERS);
    drop(other);
    drop(object);
    drop(here);
    assert_eq!(drops.get(), 1);
}
