//! How the cost of a call grows, ours alone: with what waits in the queue, with the number of apartments, with the depth
//! of a chain, and with the number of objects in an apartment.

use super::callbacks::chains;
use super::chain::{Pair, add, counter};
use crate::measure::{Case, Entrant, Kind, Meter, Metered, Program, Turn, repeat};
use crate::place::{Place, Placement};
use apartment::{Error, PostOptions, Process, Proxy, Reentrancy, StaBuilder};
use std::cell::Cell;
use std::sync::mpsc::channel;

/// The longest queue that is measured fits in.
const CAPACITY: usize = 20_000;

pub(crate) fn cases(place: Place) -> Vec<Case> {
    if place.placement == Placement::Unpinned {
        return Vec::new();
    }
    let case = |title: &str, unit, notes, entrants| {
        let title = format!("by {title}");
        Case { workload: "growth", title, place, unit, notes, entrants }
    };
    vec![
        case(
            "posts held in the queue",
            "ns per call",
            "A callback gets through to an apartment that waits for its chain alone, with that many posts before it.",
            sizes([1, 10, 100, 1_000, 10_000], "posts", past_held_posts),
        ),
        case(
            "posts served before",
            "ns per entry",
            "A call that comes behind that many posts, from the moment that the first one may run; of all entries one's \
             part. A short queue hardly shares the wake-up.",
            sizes([1, 10, 100, 1_000, 10_000], "posts", behind_posts),
        ),
        case(
            "apartments",
            "ns per call",
            "Each in its turn. A single one may still be awake when its next call comes; of several the next one sleeps.",
            sizes([1, 10, 100, 1_000], "apartments", round_robin),
        ),
        case("depth of a chain", "ns per call", "", sizes([1, 2, 4, 8, 16, 32, 64], "calls", chains)),
        case(
            "objects in the apartment",
            "ns per call",
            "To one of them at random.",
            sizes([1, 10, 100, 1_000, 10_000, 100_000], "objects", random_objects),
        ),
    ]
}

/// One entrant for each size; the others are compared with the smallest.
fn sizes<const N: usize>(sizes: [u64; N], what: &str, start: fn(Place, u64) -> Program) -> Vec<Entrant> {
    let entrant = |(index, size)| {
        let kind = if index == 0 { Kind::Base } else { Kind::Variant };
        Entrant::new(format!("{what}: {size}"), kind, move |place| start(place, size))
    };
    sizes.into_iter().enumerate().map(entrant).collect()
}

fn past_held_posts(place: Place, held: u64) -> Program {
    let order = |builder: StaBuilder| builder.capacity(CAPACITY).reentrancy(Reentrancy::SameCausality);
    let pair = Pair::start(place, order);
    let mut expected = 0;
    Box::new(move |ops| {
        let (here, there) = (&pair.here, &pair.there);
        let from_there = |_: &Cell<u64>| {
            let before = here.call(Cell::get)?;
            for _ in 0..held {
                here.post(|counter| counter.set(counter.get() + 1))?;
            }
            let meter = Meter::start();
            let counted = (0..ops).try_fold(before, |_, _| here.call(add))?;
            let metered = meter.stop();
            assert_eq!(counted, before + ops, "the posts wait");
            Ok::<_, Error>(metered)
        };
        let metered = here.call(|_| there.call(from_there)).and_then(|called| called).expect("both answer");
        let metered = metered.expect("both answer, and there is room");
        expected += ops + held;
        Turn { metered, ops, counted: pair.counted(), expected }
    })
}

fn behind_posts(place: Place, posts: u64) -> Program {
    let process = Process::new();
    let (counter, home) = counter(process.sta("counter").capacity(CAPACITY), place.callee);
    let mut expected = 0;
    Box::new(move |count| {
        let _home = &home;
        let batches = count.div_ceil(posts + 1);
        let ops = batches * (posts + 1);
        let (mut counted, mut sum) = (0, None::<Metered>);
        for _ in 0..batches {
            let (open, gate) = channel::<()>();
            // The apartment stands still until all are in its queue.
            counter.post(move |_| gate.into_iter().for_each(drop)).expect("there is room");
            for _ in 0..posts {
                counter.post(|counter| counter.set(counter.get() + 1)).expect("there is room");
            }
            let meter = Meter::start();
            drop(open);
            counted = counter.call(add).expect("the apartment answers");
            sum = Some(meter.stop().and(sum));
        }
        expected += ops;
        Turn { metered: sum.expect("there is a batch at least"), ops, counted, expected }
    })
}

fn round_robin(place: Place, apartments: u64) -> Program {
    let process = Process::new();
    let counters: Vec<_> = (0..apartments).map(|_| counter(process.sta("counter"), place.callee)).collect();
    // An apartment's first call is not like the others.
    assert!(counters.iter().all(|(counter, _)| matches!(counter.call(add), Ok(1))), "each apartment answers");
    let (mut next, mut counted) = (0, 0);
    repeat(move || {
        let (counter, _home) = &counters[next];
        next = (next + 1) % counters.len();
        let before = 1 + counted / apartments;
        counted += counter.call(add).expect("the apartment answers") - before;
        counted
    })
}

fn random_objects(place: Place, objects: u64) -> Program {
    let process = Process::new();
    let (first, home) = counter(process.sta("counter"), place.callee);
    // Made at home, where that is no call.
    let make = || (0..objects).map(|_| home.create(|| Cell::new(0_u64))).collect::<Result<Vec<_>, _>>();
    let all = first.call(|_| make()).and_then(|made| made).expect("objects can be made");
    // Nor is the first entry for an object.
    let patient = PostOptions::new().wait_for_room();
    let first_post = |object: &Proxy<Cell<u64>>| object.with(&patient).post(|object| object.set(object.get() + 1));
    all.iter().try_for_each(first_post).expect("the apartment lives");
    let mut counts = vec![1; all.len()];
    let mut random = fastrand::Rng::with_seed(6);
    let mut counted = 0;
    repeat(move || {
        let _home = &home;
        let index = random.usize(..all.len());
        let count = all[index].call(add).expect("the apartment answers");
        counted += count - counts[index];
        counts[index] = count;
        counted
    })
}
