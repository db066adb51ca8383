//! What apartments that have nothing to do cost the processors, ours alone: all the time, and after a burst of calls.

use super::Look;
use super::chain::{add, counter};
use super::memory::Sleeper;
use crate::count::{counting, usage};
use crate::measure::{Kind, Measured, Meter, Metered, Row, heading, quantile};
use crate::options::Options;
use crate::place::{Place, Placement, pin};
use apartment::{Process, Spin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// The caller and the callee of a burst have a core each; for the others it makes no difference where they sleep.
pub(crate) fn looks(place: Place) -> Option<Look> {
    match place.placement {
        Placement::Cross => Some(after_a_burst),
        Placement::Same => None,
        Placement::Unpinned => Some(at_rest),
    }
}

/// Somebody who sleeps. Each look is at one time of sleep: what all threads of this process did then.
struct Idler {
    name: &'static str,
    kind: Kind,
    start: fn(Place) -> Box<dyn FnMut() -> Metered>,
}

/// So many apartments, or threads.
const CROWD: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

fn at_rest(place: Place, options: &Options) -> Option<Measured> {
    let idlers = vec![
        Idler { name: "limit: 100 parked threads", kind: Kind::Limit, start: |_| parked_threads() },
        Idler { name: "100 STAs, and an MTA with a thread", kind: Kind::Base, start: |_| apartments() },
    ];
    let measured = Measured {
        workload: "idle",
        title: "nothing to do for a second".into(),
        placement: place.placement,
        unit: "µs of CPU time",
        notes: "Of the whole process, which has a thread more: it sleeps for this second.",
        tells_most: true,
        rows: Vec::new(),
    };
    measure(measured, idlers, place, options, 5)
}

fn parked_threads() -> Box<dyn FnMut() -> Metered> {
    let threads: Vec<_> = (0..CROWD).map(|_| Sleeper::start()).collect();
    Box::new(move || {
        let _threads = &threads;
        sleep(SECOND)
    })
}

/// Each of them, the MTA's thread too, has been called once.
fn apartments() -> Box<dyn FnMut() -> Metered> {
    let process = Process::new();
    let mta = process.mta().threads(1).spawn().expect("there is no other MTA");
    let shared = mta.create(|| AtomicU64::new(0)).expect("an object can be made");
    let counters: Vec<_> = (0..CROWD).map(|_| counter(process.sta("counter"), None)).collect();
    for (counter, _) in &counters {
        // From an STA it is a call to a thread of the pool.
        let called = counter.call(|counter| {
            let one = add(counter);
            shared.call(|sum| sum.fetch_add(one, Relaxed))
        });
        called.and_then(|called| called).expect("both answer");
    }
    let sum = shared.call(|sum| sum.load(Relaxed)).expect("the MTA answers");
    assert_eq!(sum, CROWD as u64, "each of them has been called once");
    Box::new(move || {
        let (_counters, _mta) = (&counters, &mta);
        sleep(SECOND)
    })
}

const BURST: u64 = 10_000;
/// Far more than spinning may take.
const AFTERWARDS: Duration = Duration::from_millis(100);

fn after_a_burst(place: Place, options: &Options) -> Option<Measured> {
    let idlers = vec![
        Idler { name: "limit: nobody has called", kind: Kind::Limit, start: |_| Box::new(|| sleep(AFTERWARDS)) },
        Idler { name: "apartment", kind: Kind::Base, start: |place| bursts(place, Spin::Adaptive) },
        Idler { name: "apartment, never spinning", kind: Kind::Variant, start: |place| bursts(place, Spin::Never) },
    ];
    let measured = Measured {
        workload: "idle",
        title: "100 ms after 10,000 calls".into(),
        placement: place.placement,
        unit: "µs of CPU time",
        notes: "Of the whole process, from the last call's return: the caller falls asleep at once, the callee when it has \
                looked long enough whether there is more, which has to be within a millisecond. The most is of all bursts.",
        tells_most: true,
        rows: Vec::new(),
    };
    measure(measured, idlers, place, options, 20)
}

fn bursts(place: Place, spin: Spin) -> Box<dyn FnMut() -> Metered> {
    let process = Process::builder().spin(spin).build();
    let (counter, home) = counter(process.sta("counter"), place.callee);
    let mut expected = 0;
    Box::new(move || {
        let _home = &home;
        for _ in 1..BURST {
            counter.call(add).expect("the apartment answers");
        }
        // The callee looks, too, for only its own look brings the count of its time up to date while it runs. What it took
        // for the calls before would be missing otherwise, and be counted to its sleep.
        let last = |counter: &_| {
            usage();
            add(counter)
        };
        let counted = counter.call(last).expect("the apartment answers");
        expected += BURST;
        assert_eq!(counted, expected, "each call counts by one");
        sleep(AFTERWARDS)
    })
}

/// Sleeps for that time: what all threads of this process did meanwhile.
fn sleep(time: Duration) -> Metered {
    let meter = Meter::start();
    thread::sleep(time);
    meter.stop()
}

/// Looks at each of them so often at most; they take turns.
fn measure(measured: Measured, idlers: Vec<Idler>, place: Place, options: &Options, most: u32) -> Option<Measured> {
    let heading = heading(measured.workload, &measured.title, measured.placement);
    if !options.wants(&heading) && !idlers.iter().any(|idler| options.wants(idler.name)) {
        return None;
    }
    let rounds = options.rounds().min(most);
    let looks = move || {
        pin(place.caller);
        let mut started: Vec<_> = idlers.into_iter().map(|idler| ((idler.start)(place), Vec::new(), idler)).collect();
        for _ in 0..rounds {
            started.iter_mut().for_each(|(look, seen, _)| seen.push(counting(look)));
        }
        started.into_iter().map(|(_, seen, idler)| row(&idler, &seen)).collect()
    };
    // A thread of its own, as for whatever else is kept on a core.
    let rows = thread::spawn(looks).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Some(Measured { rows, ..measured })
}

/// All figures are of one time of sleep.
fn row(idler: &Idler, seen: &[Metered]) -> Row {
    let used = || seen.iter().filter_map(|metered| metered.usage);
    let switches: Vec<_> = used().map(|usage| usage.switches as f64).collect();
    let allocations: Vec<_> = seen.iter().map(|metered| metered.allocations as f64).collect();
    Row {
        name: idler.name.into(),
        kind: idler.kind,
        values: used().map(|usage| usage.cpu.as_micros() as f64).collect(),
        allocations: quantile(&allocations, 1.0),
        switches: (!switches.is_empty()).then(|| quantile(&switches, 0.5)),
        waits: None,
    }
}
