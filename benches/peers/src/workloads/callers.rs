//! W3: calls from 2, 4 and 64 callers at a time; how long each call takes, and whether somebody starves.

use crate::crew::Crew;
use crate::measure::{Case, Entrant, Job, Meter, Turn, Waits};
use crate::peers::{Client, Mutex, Peer, Served, for_all, for_each};
use crate::place::Place;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn cases(place: Place, turn: Duration) -> Vec<Case> {
    [2, 4, 64].into_iter().map(|callers| case(place, callers, turn)).collect()
}

fn case(place: Place, callers: usize, turn: Duration) -> Case {
    // Long enough for each of the callers to have its share of a core now and then.
    let time = 2 * turn;
    let mut entrants = for_all!(calls(callers, time));
    entrants.extend(for_each!(calls(callers, time): Mutex));
    let notes = "Half of a turn takes the time of all calls, without looking at a clock in between; the other half takes \
                 each call's own. Least share: the calls of the caller that made the fewest, of what each would have \
                 made had all made as many.";
    let title = format!("calls from {callers}");
    Case { workload: "W3", title, place, unit: "ns per call", notes, entrants }
}

/// Until the flag is set, with each call's time or without.
#[derive(Clone)]
struct Order {
    stop: Arc<AtomicBool>,
    timed: bool,
}

/// What one caller did.
struct Report {
    calls: u64,
    /// If they were to be timed.
    nanos: Option<Histogram<u64>>,
}

/// What all callers did in all turns.
struct Sum {
    calls: Vec<u64>,
    nanos: Histogram<u64>,
}

/// From a nanosecond to ten seconds, within one in a hundred.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 2).expect("such a histogram can be made")
}

/// Each kind of calls is made for that time in each turn.
fn calls<P: Peer>(callers: usize, time: Duration) -> Entrant {
    Entrant::new(P::NAME, P::KIND, move |place: Place| {
        let mut served = Served::<P>::start(place);
        let clients: Vec<_> = (0..callers).map(|_| served.another_client()).collect();
        let crew =
            Crew::new(place.caller, clients.into_iter().map(|mut client| move |order| call(&mut client, &order)));
        let sum = Rc::new(RefCell::new(Sum { calls: vec![0; callers], nanos: histogram() }));
        let all = Rc::clone(&sum);
        let mut expected = 0;
        let program = move |_| {
            let meter = Meter::start();
            let counts: Vec<_> = work(&crew, time, false).into_iter().map(|report| report.calls).collect();
            let metered = meter.stop();
            let ops = counts.iter().sum();
            let mut all = all.borrow_mut();
            all.calls.iter_mut().zip(counts).for_each(|(all, calls)| *all += calls);
            expected += ops + 1;
            for report in work(&crew, time, true) {
                expected += report.calls;
                let added = report.nanos.map_or(Ok(()), |nanos| all.nanos.add(nanos));
                added.expect("the histograms are alike");
            }
            Turn { metered, ops, counted: served.client().settle(), expected }
        };
        Job { program: Box::new(program), waits: Some(Box::new(move || sum.borrow().waits())) }
    })
}

fn work(crew: &Crew<Order, Report>, time: Duration, timed: bool) -> Vec<Report> {
    let stop = Arc::new(AtomicBool::new(false));
    let order = Order { stop: Arc::clone(&stop), timed };
    crew.order(|| order.clone());
    thread::sleep(time);
    stop.store(true, Relaxed);
    crew.reports()
}

fn call(client: &mut impl Client, Order { stop, timed }: &Order) -> Report {
    let mut report = Report { calls: 0, nanos: timed.then(histogram) };
    // Each caller gets to make one.
    loop {
        match &mut report.nanos {
            Some(nanos) => {
                let began = Instant::now();
                client.call();
                nanos.saturating_record(began.elapsed().as_nanos() as u64);
            }
            None => {
                client.call();
            }
        }
        report.calls += 1;
        if stop.load(Relaxed) {
            return report;
        }
    }
}

impl Sum {
    fn waits(&self) -> Waits {
        let at = |part| self.nanos.value_at_quantile(part);
        let mean = self.calls.iter().sum::<u64>() as f64 / self.calls.len() as f64;
        let least = self.calls.iter().min().copied().unwrap_or(0) as f64;
        Waits { median: at(0.5), p99: at(0.99), p999: at(0.999), least_share: least / mean }
    }
}
