//! What calls cost, next to the same jobs written by hand with `std::sync::mpsc` and with `crossbeam-channel`.
//!
//! `cargo bench --bench calls` prints a table: the time of one call (or post) through this library, and that time as a
//! multiple of what the program written by hand needs: below 1 this library is faster. `-- TEXT` runs only the cases whose
//! name has that text. `-- --test`, and `cargo test --bench calls`, run each case shortly and check what it computes.
//!
//! All programs of a case take turns within a round, and each round begins with another one; a figure is the median of
//! its rounds. The ratios are of one run on one machine: compare them, not nanoseconds of different days.
//!
//! What a round trip between threads costs depends above all on where the scheduler puts them: two threads that share a
//! core switch, two idle cores wake each other up, two busy ones may meet while they spin, which the channels do before
//! they sleep. Where there is `taskset`, `taskset -c 0` keeps everything on one core, and the figures still.

mod apartments;
mod by_hand;
mod channels;

use apartment::{CallError, Process, Proxy};
use channels::{Channels, Crossbeam, Std};
use std::cell::Cell;
use std::hint::{black_box, spin_loop};
use std::rc::Rc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 41;
/// What a machine that is busy with other things makes of the rounds: no new one begins after this time.
const TIME: Duration = Duration::from_secs(20);
const FEWEST_ROUNDS: usize = 5;
/// How long one program runs at a time.
const TURN: Duration = Duration::from_millis(10);
/// How many posts go out before a call waits until they have run.
const BATCH: u64 = 1_000;
/// Long enough for a thread that waits for work to have given up spinning and gone to sleep.
const PAUSE: Duration = Duration::from_micros(100);

/// Does the job so many times, tells how long that took, and what the last one gave.
type Program<'a> = Box<dyn FnMut(u64) -> (Duration, u64) + 'a>;

/// A program, and what has been measured of it.
struct Entrant<'a> {
    program: Program<'a>,
    /// How many times it does its job in one turn.
    count: u64,
    /// How often it has done its job, and what it has counted.
    done: u64,
    nanos: Vec<f64>,
}

/// Two programs written by hand, one for each kind of channel.
struct ByHand<'a> {
    /// In which way, where there is more than one.
    how: &'static str,
    with_std: Entrant<'a>,
    with_crossbeam: Entrant<'a>,
}

/// A job and the programs that do it.
struct Case<'a> {
    name: &'static str,
    /// How many calls one job is.
    calls: u32,
    ours: Entrant<'a>,
    by_hand: Vec<ByHand<'a>>,
}

impl<'a> Entrant<'a> {
    fn new(program: Program<'a>) -> Self {
        Self { program, count: 1, done: 0, nanos: Vec::new() }
    }

    fn run(&mut self) -> Duration {
        let (took, counted) = (self.program)(self.count);
        self.done += self.count;
        assert_eq!(counted, self.done, "each job counts by one");
        took
    }

    /// Twice, so that what it keeps between its turns is checked too.
    fn test(&mut self) {
        self.count = 25;
        self.run();
        self.run();
    }

    /// Warms up, and finds out how many jobs are one turn: by its best time, for whoever else needs the machine
    /// makes some of them longer.
    fn warm_up(&mut self) {
        let mut best = f64::MAX;
        self.count = 1;
        loop {
            let began = Instant::now();
            self.run();
            // What it does besides its job counts here: a turn is a turn.
            best = best.min(began.elapsed().as_secs_f64() / self.count as f64);
            if self.count as f64 * best >= TURN.as_secs_f64() / 2.0 {
                break;
            }
            self.count *= 2;
        }
        self.count = ((TURN.as_secs_f64() / best) as u64).max(1);
    }

    fn measure(&mut self) {
        let took = self.run();
        self.nanos.push(took.as_nanos() as f64 / self.count as f64);
    }

    fn median(&mut self) -> f64 {
        self.nanos.sort_by(f64::total_cmp);
        self.nanos[self.nanos.len() / 2]
    }
}

impl<'a> ByHand<'a> {
    fn new(how: &'static str, with_std: Program<'a>, with_crossbeam: Program<'a>) -> Self {
        Self { how, with_std: Entrant::new(with_std), with_crossbeam: Entrant::new(with_crossbeam) }
    }
}

impl<'a> Case<'a> {
    fn new(name: &'static str, calls: u32, ours: Program<'a>, by_hand: Vec<ByHand<'a>>) -> Self {
        Self { name, calls, ours: Entrant::new(ours), by_hand }
    }

    fn entrants(&mut self) -> Vec<&mut Entrant<'a>> {
        let by_hand = self.by_hand.iter_mut().flat_map(|pair| [&mut pair.with_std, &mut pair.with_crossbeam]);
        std::iter::once(&mut self.ours).chain(by_hand).collect()
    }

    /// Everybody has one turn.
    fn round(&mut self, number: usize) {
        let mut entrants = self.entrants();
        let first = number % entrants.len();
        entrants.rotate_left(first);
        entrants.into_iter().for_each(Entrant::measure);
    }

    fn print(&mut self) {
        let ours = self.ours.median();
        let each = ours / f64::from(self.calls);
        if self.by_hand.is_empty() {
            println!("{:<60} | {each:>9.0} | {:>10} | {:>11}", self.name, "-", "-");
        }
        for pair in &mut self.by_hand {
            let (std, crossbeam) = (ours / pair.with_std.median(), ours / pair.with_crossbeam.median());
            let name = format!("{}{}", self.name, pair.how);
            println!("{name:<60} | {each:>9.0} | {std:>10.2} | {crossbeam:>11.2}");
        }
    }
}

/// One job after the other.
fn repeat<'a>(mut job: impl FnMut() -> u64 + 'a) -> Program<'a> {
    Box::new(move |count| {
        let began = Instant::now();
        let counted = (0..count).map(|_| black_box(job())).last();
        (began.elapsed(), counted.unwrap_or(0))
    })
}

/// One job after the other, with a pause before each in which the callee falls asleep. The pauses do not count.
fn repeat_with_pauses<'a>(mut job: impl FnMut() -> u64 + 'a) -> Program<'a> {
    Box::new(move |count| {
        let (mut took, mut counted) = (Duration::ZERO, 0);
        for _ in 0..count {
            let rest = Instant::now();
            while rest.elapsed() < PAUSE {
                spin_loop();
            }
            let began = Instant::now();
            counted = black_box(job());
            took += began.elapsed();
        }
        (took, counted)
    })
}

/// Batches of posts, a call after each batch; a job is one of either.
fn batches<'a>(mut post: impl FnMut() + 'a, mut call: impl FnMut() -> u64 + 'a) -> Program<'a> {
    Box::new(move |count| {
        let began = Instant::now();
        let mut counted = 0;
        for number in 1..=count {
            if number == count || number % BATCH == 0 {
                counted = call();
            } else {
                post();
            }
        }
        (began.elapsed(), counted)
    })
}

/// The jobs of a caller that is an STA: the calling thread is one while they are done, and has a counter at home.
fn from_sta<'a>(process: &'a Process, job: impl Fn(&Proxy<Cell<u64>>) -> u64 + 'a) -> Program<'a> {
    let mut counted = 0;
    Box::new(move |count| {
        let sta = process.sta("caller").enter().expect("a thread in no apartment can enter one");
        let here = sta.create(|| Cell::new(counted)).expect("an object can be made at home");
        let (took, now) = repeat(|| job(&here))(count);
        counted = now;
        (took, now)
    })
}

/// The jobs, and who does them.
fn cases(process: &Process) -> Result<Vec<Case<'_>>, CallError> {
    use apartments::{Counter, Pool};
    let counter = || Counter::spawn(process);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);

    let (called, asleep, posted) = (counter()?, counter()?, Rc::new(counter()?));
    let (callee, partner, deep_partner) = (counter()?, counter()?, counter()?);
    let pool = Pool::spawn(process, threads)?;
    let (posts, end) = (Rc::clone(&posted), posted);
    Ok(vec![
        Case::new(
            "a call from outside",
            1,
            repeat(move || called.add()),
            vec![
                ByHand::new(" (by hand: a reply channel per call)", add_once::<Std>(), add_once::<Crossbeam>()),
                ByHand::new(" (by hand: one reply channel)", repeat(add::<Std>()), repeat(add::<Crossbeam>())),
            ],
        ),
        Case::new(
            "a call from outside to a sleeper",
            1,
            repeat_with_pauses(move || asleep.add()),
            vec![ByHand::new("", repeat_with_pauses(add::<Std>()), repeat_with_pauses(add::<Crossbeam>()))],
        ),
        Case::new(
            "a call between STAs",
            1,
            from_sta(process, move |_| callee.add()),
            vec![ByHand::new("", nested::<Std>(0), nested::<Crossbeam>(0))],
        ),
        Case::new(
            "A to B to A: one of 2 calls",
            2,
            from_sta(process, move |here| partner.call(here, 1)),
            vec![ByHand::new("", nested::<Std>(1), nested::<Crossbeam>(1))],
        ),
        Case::new(
            "A to B to A, 8 times nested: one of 16 calls",
            16,
            from_sta(process, move |here| deep_partner.call(here, 15)),
            vec![ByHand::new("", nested::<Std>(15), nested::<Crossbeam>(15))],
        ),
        Case::new(
            "a post",
            1,
            batches(move || posts.add_silently(), move || end.add()),
            vec![ByHand::new("", posts_by_hand::<Std>(), posts_by_hand::<Crossbeam>())],
        ),
        Case::new("a direct call, at home", 1, from_sta(process, apartments::add), vec![]),
        Case::new(
            "a call from an STA to the MTA",
            1,
            from_sta(process, move |_| pool.add()),
            vec![ByHand::new("", pooled::<Std>(threads), pooled::<Crossbeam>(threads))],
        ),
    ])
}

fn add_once<C: Channels>() -> Program<'static> {
    let counter = by_hand::Counter::<C>::spawn();
    repeat(move || counter.add_once())
}

fn add<C: Channels>() -> impl FnMut() -> u64 {
    let counter = by_hand::Counter::<C>::spawn();
    move || counter.add()
}

fn nested<C: Channels>(nested: u32) -> Program<'static> {
    let mut partner = by_hand::Partner::<C>::spawn();
    repeat(move || partner.call(nested))
}

fn posts_by_hand<C: Channels>() -> Program<'static> {
    let counter = Rc::new(by_hand::Counter::<C>::spawn());
    let end = Rc::clone(&counter);
    batches(move || counter.add_silently(), move || end.add())
}

fn pooled<C: Channels>(threads: usize) -> Program<'static> {
    let pool = by_hand::Pool::<C>::spawn(threads);
    repeat(move || pool.add())
}

fn main() -> Result<(), CallError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    // `cargo bench` says `--bench`; `cargo test` does not.
    let test = has("--test") || !has("--bench");
    let texts: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();

    let process = Process::new();
    let mut cases = cases(&process)?;
    cases.retain(|case| texts.iter().all(|text| case.name.contains(*text)));
    if test {
        for case in &mut cases {
            case.entrants().into_iter().for_each(Entrant::test);
            println!("{} ... ok", case.name);
        }
        return Ok(());
    }

    let began = Instant::now();
    cases.iter_mut().flat_map(Case::entrants).for_each(Entrant::warm_up);
    let mut rounds = 0;
    while rounds < ROUNDS && (rounds < FEWEST_ROUNDS || began.elapsed() < TIME) {
        cases.iter_mut().for_each(|case| case.round(rounds));
        rounds += 1;
    }
    println!("{:<60} | ns per op | x std mpsc | x crossbeam", "case");
    println!("{:-<60}-|-----------|------------|------------", "");
    cases.iter_mut().for_each(Case::print);
    println!("medians of {rounds} rounds in {:.0?}", began.elapsed());
    Ok(())
}
