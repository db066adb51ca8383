//! Scenarios that are to fail, for the test of how a failure is shown and replayed. They are in no run.

use super::Scenario;
use apartment::Process;
use shuttle::sync::atomic::{AtomicU32, Ordering::Relaxed};
use shuttle::thread;
use std::sync::Arc;

pub(super) const ALL: &[Scenario] = &[
    Scenario { name: "planted_race", threads: 4, rules: "none", outcomes: &[], program: planted_race },
    Scenario { name: "planted_wait", threads: 2, rules: "none", outcomes: &[], program: planted_wait },
    Scenario { name: "planted_stop", threads: 4, rules: "none", outcomes: &[], program: planted_stop },
];

/// Three callers count in two steps, outside of the apartment.
fn count(when_lost: fn(u32)) {
    let home = Process::new().sta("home").enter().unwrap();
    let object = home.create(|| ()).unwrap();
    let counter = Arc::new(AtomicU32::new(0));
    let callers = [0; 3].map(|_| {
        let (object, counter) = (object.clone(), counter.clone());
        thread::spawn(move || {
            let seen = counter.load(Relaxed);
            object.call(|()| ()).unwrap();
            counter.store(seen + 1, Relaxed);
        })
    });
    while counter.load(Relaxed) == 0 {
        home.pump();
        thread::yield_now();
    }
    object.apartment().unwrap().quit();
    let quits = callers.into_iter();
    home.run();
    quits.for_each(|caller| caller.join().unwrap());
    when_lost(counter.load(Relaxed));
}

fn planted_race() {
    count(|counted| assert_eq!(counted, 3, "a count was lost"));
}

/// The same, and it stops the program.
fn planted_stop() {
    count(|counted| {
        if counted != 3 {
            std::process::abort()
        }
    });
}

/// Nobody serves.
fn planted_wait() {
    let home = Process::new().sta("home").enter().unwrap();
    let object = home.create(|| ()).unwrap();
    thread::spawn(move || object.call(|()| ()).unwrap()).join().unwrap();
}
