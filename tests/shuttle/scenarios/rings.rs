//! Rings of STAs, all of which call at once.

use super::Scenario;
use super::common::{Count, join, start};
use crate::seen::saw;
use apartment::{Apartment, CallError, Entered, Process, Proxy, Reentrancy};
use shuttle::sync::Barrier;
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use std::cell::OnceCell;
use std::sync::{Arc, Mutex};

pub(super) const ALL: &[Scenario] = &[
    Scenario { name: "ring_of_64", threads: 64, rules: "DI-8", outcomes: &[], program: || ring(64, 1) },
    Scenario { name: "ring_of_8", threads: 8, rules: "DI-5, DI-6, DI-8", outcomes: &[], program: || ring(8, 4) },
    Scenario {
        name: "ring_that_lets_nobody_in",
        threads: 7,
        rules: "DI-12, DL-1, DL-2",
        outcomes: &["the first is told", "another is told"],
        program: ring_that_lets_nobody_in,
    },
];

struct Place {
    number: usize,
    next: OnceCell<Proxy<Place>>,
}

impl Place {
    /// Goes on to the next, and so on, that many steps; the sum of all numbers on the way.
    fn go(&self, steps: usize) -> Result<usize, CallError> {
        match steps {
            0 => Ok(self.number),
            _ => Ok(self.number + self.next.get().unwrap().call(|next| next.go(steps - 1))??),
        }
    }
}

/// Where a member finds the end at which it gets its next one's proxy.
type Seat = Mutex<Option<Receiver<Proxy<Place>>>>;

/// What the members of a ring share.
#[derive(Clone)]
struct Ring {
    process: Process,
    size: usize,
    /// Where each gets its next one's proxy, and where it sends its own.
    get: Arc<Vec<Seat>>,
    give: Vec<Sender<Proxy<Place>>>,
    apartments: Arc<Mutex<Vec<Apartment>>>,
    through: Count,
}

impl Ring {
    fn new(size: usize) -> Self {
        let (give, get): (Vec<_>, Vec<_>) = (0..size).map(|_| channel()).unzip();
        Self {
            process: Process::new(),
            size,
            get: Arc::new(get.into_iter().map(|end| Mutex::new(Some(end))).collect()),
            give,
            apartments: Arc::default(),
            through: Count::default(),
        }
    }

    /// This thread's place, and the next one.
    fn sit(&self, here: &Entered, number: usize) -> Proxy<Place> {
        let place = here.create(|| Place { number, next: OnceCell::new() }).unwrap();
        let own = place.local().unwrap();
        self.apartments.lock().unwrap().push(here.apartment().clone());
        self.give[(number + self.size - 1) % self.size].send(place).unwrap();
        let get = self.get[number].lock().unwrap().take().unwrap();
        let next = get.recv().unwrap();
        own.next.set(next.clone()).unwrap_or_else(|_| unreachable!("it is set once"));
        next
    }

    /// Its own calls are through, the others may still have to come by: it serves until all are.
    fn serve(&self, here: &Entered) {
        if self.through.add() == self.size {
            let apartments = std::mem::take(&mut *self.apartments.lock().unwrap());
            apartments.iter().for_each(Apartment::quit);
        }
        here.run();
        assert_eq!(here.apartment().queued(), 0);
    }
}

/// Each of them calls its next, and through it the one after that, all at once.
fn ring(size: usize, steps: usize) {
    let ring = Ring::new(size);
    let member = move |number: usize| {
        let here = ring.process.sta("member").enter().unwrap();
        let next = ring.sit(&here, number);
        let sum = next.call(|next| next.go(steps - 1)).unwrap().unwrap();
        assert_eq!(sum, (1..=steps).map(|step| (number + step) % size).sum());
        if steps == 1 {
            // Nobody else comes to the next one.
            next.apartment().unwrap().quit();
            here.run();
        } else {
            ring.serve(&here);
        }
    };
    let others = start(size - 1, {
        let member = member.clone();
        move |number| member(number + 1)
    });
    member(0);
    join(others);
}

/// Each calls its next while it lets nobody in, all at once: one is told, and that frees all others.
fn ring_that_lets_nobody_in() {
    let ring = Ring::new(6);
    let all_sit = Arc::new(Barrier::new(6));
    let members = start(6, move |number| {
        let here = ring.process.sta("member").reentrancy(Reentrancy::None).enter().unwrap();
        let next = ring.sit(&here, number);
        all_sit.wait();
        let called = next.call(|next| next.number);
        let told = match called {
            Ok(next) => {
                assert_eq!(next, (number + 1) % 6);
                false
            }
            Err(CallError::Deadlock(deadlock)) => {
                assert_eq!(deadlock.cycle.len(), 6, "the whole cycle: {deadlock}");
                true
            }
            Err(other) => panic!("{other}"),
        };
        ring.serve(&here);
        told
    });
    let told = join(members);
    assert_eq!(told.iter().filter(|told| **told).count(), 1, "one is told: {told:?}");
    saw(if told[0] { "the first is told" } else { "another is told" });
}
