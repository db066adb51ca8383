//! Programs that are drawn, too: what each thread does is chosen at random with the schedule.

use super::Scenario;
use super::common::{Count, Homely, join, start};
use crate::seen::saw;
use apartment::{CallOptions, CancelHandle, Clock, Outcome, Process, Proxy, Reentrancy, Sta};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::time::Duration;

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "anything",
    threads: 26,
    rules: "MB-8, CK-5, LT-1, LT-2, DL-1",
    outcomes: &["answered", "turned away", "cancelled", "late", "deadlock", "refused room", "quit"],
    program: anything,
}];

const SECOND: Duration = Duration::from_secs(1);
const STAS: usize = 4;
const THREADS: usize = 20;

/// A step of a thread: calls that nest as deep as they like, posts, quits, cancels, time that passes.
#[derive(Clone)]
struct World {
    objects: Vec<Proxy<Homely>>,
    clock: Clock,
    cancel: CancelHandle,
    ran: Count,
}

impl World {
    /// A call that may go on from where it runs. How many calls have run in all of it is what was counted.
    fn call(&self, depth: usize) {
        let object = &self.objects[thread_rng().gen_range(0..STAS)];
        let options = match thread_rng().gen_range(0..6) {
            0 => CallOptions::new().within(SECOND),
            1 => CallOptions::new().cancel(&self.cancel),
            2 => CallOptions::new().wait_for_room().within(SECOND * 3),
            _ => CallOptions::new(),
        };
        let deeper = depth < 2 && thread_rng().gen_ratio(1, 2);
        let lent = &mut 0;
        let called = object.with(&options).call(|_| {
            *lent += 1;
            self.ran.add();
            if deeper {
                self.call(depth + 1);
            }
        });
        let lent = *lent;
        match called {
            Ok(()) => {
                assert_eq!(lent, 1);
                saw("answered");
            }
            Err(error) => {
                assert_eq!(lent, usize::from(error.outcome() != Outcome::NotStarted), "{error}");
                saw(match error.hresult() {
                    0x8001_0108 => "turned away",
                    0x8001_0002 => "cancelled",
                    0x8001_011F => "late",
                    0x8004_E005 => "deadlock",
                    0x8001_0100 => "refused room",
                    other => panic!("{other:x}: {error}"),
                });
            }
        }
    }

    fn post(&self) -> usize {
        let object = &self.objects[thread_rng().gen_range(0..STAS)];
        let world = self.clone();
        let calls = thread_rng().gen_ratio(1, 4);
        let posted = object.post(move |_| {
            world.ran.add();
            if calls {
                world.call(1);
            }
        });
        usize::from(posted.is_ok())
    }
}

/// Twenty threads do one or two things each, in and between four STAs of all policies, two of them with small mailboxes.
fn anything() {
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).build();
    let policies = [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None, Reentrancy::Classic];
    let drops = Count::default();
    let stas: Vec<Sta> = policies
        .iter()
        .zip([2, 100, 2, 100])
        .map(|(policy, room)| process.sta("one").reentrancy(*policy).capacity(room).spawn().unwrap())
        .collect();
    let at = |sta: &Sta| {
        let drops = drops.clone();
        sta.create(move || Homely::new(&drops)).unwrap()
    };
    let objects = stas.iter().map(at).collect();
    let world = World { objects, clock, cancel: CancelHandle::new(), ran: Count::default() };
    let ended = Count::default();
    let threads = start(THREADS, {
        let (world, process) = (world.clone(), process.clone());
        move |number| {
            // Some of them call from an STA, and are called by nobody.
            let own = (number < 4).then(|| process.sta("caller").enter().unwrap());
            let mut posted = 0;
            for _ in 0..thread_rng().gen_range(1..3) {
                match thread_rng().gen_range(0..12) {
                    0 => world.clock.advance(SECOND),
                    1 => world.cancel.cancel(),
                    2 => {
                        world.objects[thread_rng().gen_range(0..STAS)].apartment().unwrap().quit();
                        saw("quit");
                    }
                    3..=5 => posted += world.post(),
                    _ => world.call(0),
                }
            }
            drop(own);
            posted
        }
    });
    // Who waits for a time is in no deadlock, and would wait for ever.
    let timer = start(1, {
        let (clock, ended) = (world.clock.clone(), ended.clone());
        move |_| {
            while ended.get() == 0 {
                clock.advance(SECOND);
                thread::yield_now();
            }
        }
    });
    let posted: usize = join(threads).into_iter().sum();
    let ran = world.ran.clone();
    drop(world);
    stas.into_iter().for_each(|sta| {
        sta.quit();
        sta.join().unwrap();
    });
    ended.add();
    join(timer);
    assert!(ran.get() >= posted, "what was accepted has run");
    assert_eq!(drops.get(), STAS);
}
