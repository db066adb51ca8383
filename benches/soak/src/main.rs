//! A soak: calls of every kind through `apartment`, each result checked, while memory, threads and handles are watched.
//!
//! `cargo run --release --manifest-path benches/soak/Cargo.toml` makes 100 million calls; `-- --seconds 60` ends earlier, and
//! `--out FOLDER` writes the samples, the plot and the counts.
//!
//! A run is a row of *rounds*. A round is a process of apartments of all sorts and some *drivers*, threads in an STA, in the
//! MTA or in no apartment, that make calls on all of it and on each other; everything is let go at its end. That is a *rest
//! point*: objects made and dropped must be even, closures accepted must have run once, those refused not at all, and what
//! the program holds is compared with other rest points ([`flat`]). An STA and an MTA live through all rounds.
//!
//! What is done is a function of the seed and of the round's number; in which order the threads do it, is the system's. A check
//! that fails ends the program with status 1 and names seed, round, driver and kind; what grows, with 2; a thread that does
//! not get on is a hang, and ends it with 3. In all cases the processes' snapshots are printed.

mod census;
mod count;
mod desk;
mod driver;
mod flat;
mod kinds;
mod options;
mod plot;
mod refusing;
mod report;
mod sample;
mod watch;
mod world;

use anyhow::{Context, Result};
use clap::Parser;
use driver::Driver;
use kinds::{Kind, Mix, Tally};
use options::Options;
use report::Progress;
use sample::{Sample, Sampler};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use watch::Busy;
use world::{Residents, World};

/// What a step of the program's own is called.
const OWN: usize = usize::MAX;
/// How often the middle of a round is looked at.
const LOOK: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let options = Options::parse();
    // Panics that are meant say nothing.
    let says = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(desk::MEANT) {
            says(panic);
        }
    }));
    watch::begin(Duration::from_secs(options.patience));
    match run(&options) {
        Ok(code) => code,
        Err(error) => watch::stop(&format!("{error:#}"), 1),
    }
}

/// A run, so far.
struct Run<'o> {
    options: &'o Options,
    sampler: Sampler,
    samples: Vec<Sample>,
    tallies: Vec<Tally>,
    calls: u64,
    /// At the first rest point.
    threads: usize,
}

fn run(options: &Options) -> Result<ExitCode> {
    let mut leaked = Vec::with_capacity(1 << 16);
    let mut run = Run {
        options,
        // So that these do not grow themselves.
        samples: Vec::with_capacity(1 << 16),
        tallies: vec![Tally::default(); Kind::ALL.len()],
        calls: 0,
        threads: 0,
        sampler: Sampler::new()?,
    };
    let mix = Mix::new(options.only.as_deref())?;
    let residents = Residents::new(options.threads as usize)?;
    let mut progress = Progress::new(options.calls);
    let busy = Busy::program();
    let mut round = options.round;
    while run.calls < options.calls && run.in_time() {
        watch::round(options.seed, round);
        run.round(round, &mix, &residents, &busy, &mut progress)?;
        round += 1;
        if options.leak > 0 {
            leaked.push(vec![0_u8; options.leak]);
        }
        if options.leak_threads && round.is_multiple_of(20) {
            thread::spawn(thread::park);
        }
        if options.hang && round == 3 {
            thread::park();
        }
    }
    progress.end();
    let (rounds, last) = (round - options.round, run.samples.last().copied().unwrap_or_default());
    println!("{}\n\n{}", report::line(&last, rounds), report::kinds(&run.tallies));
    let title = report::title(&run.samples, rounds, options.seed);
    let findings = flat::judge(&run.samples);
    if let Some(folder) = &options.out {
        report::write(folder, &run.samples, &run.tallies, &title, findings.as_deref())?;
        println!("written to {}", folder.display());
    }
    println!("{title}: each did what it must");
    let Some(findings) = findings else {
        println!("{rounds} rounds are too few to say whether anything grows");
        return Ok(ExitCode::from(4));
    };
    findings.iter().for_each(|finding| println!("{finding}"));
    Ok(if findings.iter().all(flat::Finding::is_flat) { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

impl Run<'_> {
    fn in_time(&self) -> bool {
        self.sampler.elapsed() < self.options.time()
    }

    fn round(
        &mut self,
        round: u64,
        mix: &Mix,
        residents: &Residents,
        busy: &Busy,
        progress: &mut Progress,
    ) -> Result<()> {
        let Options { seed, threads, per_round, .. } = *self.options;
        let mut rng = fastrand::Rng::with_seed(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let drivers = threads as usize;
        let share = per_round.min(self.options.calls - self.calls).div_ceil(threads);
        busy.step(OWN);
        let world = World::new(residents, drivers, &mut rng)?;
        let seeds: Vec<_> = (0..drivers).map(|_| rng.u64(..)).collect();
        let mut made = 0;
        let (began, left) = (Instant::now(), self.options.time().saturating_sub(self.sampler.elapsed()));
        let in_time = || began.elapsed() < left;
        thread::scope(|scope| -> Result<()> {
            let (done, dones) = channel();
            for (index, seed) in seeds.into_iter().enumerate() {
                let (world, done) = (&world, done.clone());
                let drive = move || match Driver::run(world, index, seed, share, mix, in_time) {
                    Ok(tallies) => done.send(tallies).expect("the program waits for it"),
                    Err(error) => watch::stop(&format!("{error:#}"), 1),
                };
                thread::Builder::new().name(format!("driver {index}")).spawn_scoped(scope, drive)?;
            }
            drop(done);
            loop {
                // The drivers are watched by themselves.
                busy.step(OWN);
                match dones.recv_timeout(LOOK) {
                    Ok(tallies) => {
                        made += tallies.iter().map(|tally| tally.calls).sum::<u64>();
                        self.tallies.iter_mut().zip(&tallies).for_each(|(all, own)| all.add(own));
                    }
                    Err(RecvTimeoutError::Timeout) => self.sample(false, round, progress)?,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            Ok(())
        })?;
        self.calls += made;
        busy.step(OWN);
        world.end(rng.bool())?;
        busy.step(OWN);
        self.rest(residents).with_context(|| format!("at the end of round {round}"))?;
        busy.step(OWN);
        self.sample(true, round, progress)
    }

    /// Waits until what a round has left is gone: references are dropped in the residents in their turn, and threads that
    /// have been joined leave the system a moment later.
    fn rest(&mut self, residents: &Residents) -> Result<()> {
        let began = Instant::now();
        while !census::all_dropped() && began.elapsed() < Duration::from_secs(self.options.patience) / 2 {
            residents.sta.create(|| ())?.call(|()| ())?;
            thread::sleep(Duration::from_millis(1));
        }
        census::even()?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            let threads = self.sampler.take(0, true)?.threads;
            if self.threads == 0 || threads <= self.threads {
                self.threads = threads;
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn sample(&mut self, at_rest: bool, round: u64, progress: &mut Progress) -> Result<()> {
        let sample = self.sampler.take(self.calls, at_rest)?;
        self.samples.push(sample);
        progress.at(&sample, round, self.options.seed);
        Ok(())
    }
}
