//! Cases, entrants, rounds: who is measured, and in which order.

use crate::count::{Usage, allocations, counting, usage};
use crate::options::Options;
use crate::place::{Place, Placement, pin};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// How an entrant stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the others are compared with.
    Base,
    /// Ours in another way.
    Variant,
    /// What its users would otherwise write.
    Peer,
    /// Something easier than what is measured, for comparison.
    OtherJob,
    /// The least that can be had: the others are compared with it, too.
    Limit,
}

/// A measurement that has begun.
pub(crate) struct Meter {
    allocations: u64,
    usage: Option<Usage>,
    began: Instant,
}

/// What was measured in between.
pub(crate) struct Metered {
    pub(crate) took: Duration,
    pub(crate) allocations: u64,
    /// If it is counted.
    pub(crate) usage: Option<Usage>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { allocations: allocations(), usage: usage(), began: Instant::now() }
    }

    pub(crate) fn stop(self) -> Metered {
        let took = self.began.elapsed();
        let used =
            |(now, then): (Usage, Usage)| Usage { switches: now.switches - then.switches, cpu: now.cpu - then.cpu };
        let usage = usage().zip(self.usage).map(used);
        Metered { took, allocations: allocations() - self.allocations, usage }
    }
}

impl Metered {
    /// Both together.
    pub(crate) fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let both = |(one, two): (Usage, Usage)| Usage { switches: one.switches + two.switches, cpu: one.cpu + two.cpu };
        let usage = self.usage.zip(other.usage).map(both);
        Self { took: self.took + other.took, allocations: self.allocations + other.allocations, usage }
    }
}

/// What one entrant did in one turn.
pub(crate) struct Turn {
    pub(crate) metered: Metered,
    /// What took that: so many calls, or whatever is measured.
    pub(crate) ops: u64,
    /// What was counted over there in all turns so far, and what should have been.
    pub(crate) counted: u64,
    pub(crate) expected: u64,
}

/// How long callers waited for their calls, and how often each of them had its turn.
pub(crate) struct Waits {
    /// Nanoseconds.
    pub(crate) median: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    /// How many calls the caller with the fewest made, as a part of what each would have made had all made as many.
    pub(crate) least_share: f64,
}

/// Does its job about that many times.
pub(crate) type Program = Box<dyn FnMut(u64) -> Turn>;

/// An entrant that is ready.
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) waits: Option<Box<dyn Fn() -> Waits>>,
}

impl From<Program> for Job {
    fn from(program: Program) -> Self {
        Self { program, waits: None }
    }
}

/// Somebody who can be measured.
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    start: Box<dyn FnOnce(Place) -> Job + Send>,
}

impl Entrant {
    /// `start` runs on the thread that calls, which is where the place has it.
    pub(crate) fn new<J: Into<Job>>(
        name: impl Into<String>,
        kind: Kind,
        start: impl FnOnce(Place) -> J + Send + 'static,
    ) -> Self {
        Self { name: name.into(), kind, start: Box::new(|place| start(place).into()) }
    }
}

/// What was measured of one entrant.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// One for each round, in the case's unit; none if that is not counted here.
    pub(crate) values: Vec<f64>,
    /// Per operation.
    pub(crate) allocations: f64,
    pub(crate) switches: Option<f64>,
    pub(crate) waits: Option<Waits>,
}

/// What was measured in one case.
pub(crate) struct Measured {
    pub(crate) workload: &'static str,
    pub(crate) title: String,
    pub(crate) placement: Placement,
    pub(crate) unit: &'static str,
    pub(crate) notes: &'static str,
    /// Whether it matters what the most was.
    pub(crate) tells_most: bool,
    pub(crate) rows: Vec<Row>,
}

/// What a case is called.
pub(crate) fn heading(workload: &str, title: &str, placement: Placement) -> String {
    format!("{workload}: {title}, {placement}")
}

/// A job, and who does it.
pub(crate) struct Case {
    pub(crate) workload: &'static str,
    pub(crate) title: String,
    pub(crate) place: Place,
    pub(crate) unit: &'static str,
    pub(crate) notes: &'static str,
    pub(crate) entrants: Vec<Entrant>,
}

/// An entrant that has its turns.
struct Player {
    row: Row,
    job: Job,
    /// How many times it does its job in one turn.
    count: u64,
    sleeps: Vec<f64>,
}

impl Case {
    /// Measures what the options ask for; nothing if that is nobody.
    pub(crate) fn measure(mut self, options: &Options) -> Option<Measured> {
        if !options.wants(&heading(self.workload, &self.title, self.place.placement)) {
            if !self.entrants.iter().any(|entrant| options.wants(&entrant.name)) {
                return None;
            }
            let compared = |kind| matches!(kind, Kind::Base | Kind::Limit);
            self.entrants.retain(|entrant| compared(entrant.kind) || options.wants(&entrant.name));
        }
        let Self { workload, title, place, unit, notes, entrants } = self;
        let (rounds, turn) = (options.rounds() as usize, options.turn());
        // A thread of its own: it stays where the place has it, and so do the threads that it starts.
        let rows = thread::spawn(move || {
            pin(place.caller);
            measure(entrants, place, rounds, turn)
        });
        let rows = rows.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Some(Measured { workload, title, placement: place.placement, unit, notes, tells_most: false, rows })
    }
}

fn measure(entrants: Vec<Entrant>, place: Place, rounds: usize, turn: Duration) -> Vec<Row> {
    let mut players: Vec<_> = entrants.into_iter().map(|entrant| Player::new(entrant, place)).collect();
    players.iter_mut().for_each(|player| player.warm_up(turn));
    let number = players.len();
    for round in 0..rounds {
        for turn in 0..number {
            players[(round + turn) % number].measure();
        }
    }
    players.into_iter().map(Player::end).collect()
}

impl Player {
    fn new(Entrant { name, kind, start }: Entrant, place: Place) -> Self {
        let row = Row { name, kind, values: Vec::new(), allocations: 0.0, switches: None, waits: None };
        Self { row, job: start(place), count: 1, sleeps: Vec::new() }
    }

    fn run(&mut self) -> Turn {
        let turn = (self.job.program)(self.count);
        assert_eq!(turn.counted, turn.expected, "{}: each job counts by one", self.row.name);
        turn
    }

    /// Finds out how many jobs are one turn: by its best time, for whoever else needs the machine makes some longer.
    fn warm_up(&mut self, turn: Duration) {
        let (mut best, mut long_enough) = (f64::MAX, 0);
        while long_enough < 3 {
            let Turn { metered, ops, .. } = self.run();
            best = best.min(metered.took.as_secs_f64() / ops as f64);
            let wanted = (turn.as_secs_f64() / best) as u64;
            // Some take a time of their own, whatever they are asked for.
            if wanted <= 2 * ops.max(self.count) {
                long_enough += 1;
            } else {
                self.count = wanted.min(self.count * 4);
                long_enough = 0;
            }
        }
        self.count = ((turn.as_secs_f64() / best) as u64).max(1);
    }

    fn measure(&mut self) {
        let Turn { metered, ops, .. } = self.run();
        self.row.values.push(metered.took.as_nanos() as f64 / ops as f64);
        self.sleeps.extend(metered.usage.map(|usage| usage.switches as f64 / ops as f64));
    }

    fn end(mut self) -> Row {
        let Turn { metered, ops, .. } = counting(|| self.run());
        self.row.allocations = metered.allocations as f64 / ops as f64;
        self.row.switches = (!self.sleeps.is_empty()).then(|| quantile(&self.sleeps, 0.5));
        self.row.waits = self.job.waits.map(|waits| waits());
        self.row
    }
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.values, 0.5)
    }

    /// How many times as long it takes as the other one: the median of the rounds' ratios.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        let ratios: Vec<_> = self.values.iter().zip(&other.values).map(|(value, other)| value / other).collect();
        quantile(&ratios, 0.5)
    }
}

/// The value that this part of the values are not above.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// One call after the other; each says what has been counted.
pub(crate) fn repeat(mut call: impl FnMut() -> u64 + 'static) -> Program {
    let mut expected = 0;
    Box::new(move |ops| {
        let meter = Meter::start();
        let mut counted = 0;
        for _ in 0..ops {
            counted = black_box(call());
        }
        let metered = meter.stop();
        expected += ops;
        Turn { metered, ops, counted, expected }
    })
}

/// One call after the other, with a pause before each that is long enough for a callee to fall asleep. The pauses take
/// no time; that the callee falls asleep in them counts. The caller stays awake, and lets others have its core.
pub(crate) fn repeat_with_pauses(mut call: impl FnMut() -> u64 + 'static) -> Program {
    const PAUSE: Duration = Duration::from_micros(1_500);
    let mut expected = 0;
    Box::new(move |ops| {
        // Turns are as long as their pauses.
        let ops = ops.clamp(5, 20);
        let meter = Meter::start();
        let (mut took, mut counted) = (Duration::ZERO, 0);
        for _ in 0..ops {
            let rest = Instant::now();
            while rest.elapsed() < PAUSE {
                thread::yield_now();
            }
            let began = Instant::now();
            counted = black_box(call());
            took += began.elapsed();
        }
        let metered = Metered { took, ..meter.stop() };
        expected += ops;
        Turn { metered, ops, counted, expected }
    })
}
