//! The command line, and what it starts: each scenario with each scheduler is a job, a child process of its own, so that one
//! that stops its program takes nobody along.

use crate::draw::{Drawn, Kept, Tells, draw, file_of, replay};
use crate::ledger::{Ledger, Ran};
use crate::scenarios::{Scenario, named, scenarios};
use crate::schedule::Found;
use crate::seen;
use clap::{Parser, Subcommand};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::time::Instant;

/// Programs of many threads, run in schedules that are drawn at random.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs scenarios, each with each scheduler.
    Run(Run),
    /// Runs a schedule that failed, from its file, once more.
    Replay { file: PathBuf },
    /// Says what scenarios there are.
    List,
    /// One job, in this process.
    #[command(hide = true)]
    Job {
        scenario: String,
        drawn: Drawn,
        round: u64,
        schedules: usize,
        /// Where it says how far it is, or what it does.
        tells: PathBuf,
        /// Of this schedule, each step; else the number of each schedule.
        #[arg(long)]
        steps_of: Option<usize>,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Only this one; may be given several times.
    #[arg(long)]
    scenario: Vec<String>,
    /// Only with this scheduler; may be given several times.
    #[arg(long)]
    drawn: Vec<Drawn>,
    /// How many schedules a scheduler draws for a scenario in a round.
    #[arg(long, default_value_t = 20_000)]
    schedules: usize,
    /// Which rounds, such as 1..3 for the first two. The number of a round is the seed of all that is drawn in it.
    #[arg(long, default_value = "1..2", value_parser = rounds)]
    rounds: Range<u64>,
    /// How many jobs at once.
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    /// What has passed is written here, and what is here already is not run again.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Where schedules that fail are kept; beside this program otherwise.
    #[arg(long)]
    found: Option<PathBuf>,
}

fn rounds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("not of the form 1..3")?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
    Ok(number(from)?..number(to)?)
}

/// A scenario with a scheduler and a seed.
struct Job {
    scenario: &'static Scenario,
    drawn: Drawn,
    round: u64,
    schedules: usize,
}

pub(crate) fn main() -> ExitCode {
    let done = match Arguments::parse().what {
        What::Run(run) => run.all(),
        What::Replay { file } => again(&file),
        What::List => {
            for scenario in scenarios() {
                println!("{:32} {:2} threads  {}", scenario.name, scenario.threads, scenario.rules);
            }
            Ok(())
        }
        What::Job { scenario, drawn, round, schedules, tells, steps_of } => {
            named(&scenario).and_then(|scenario| Job { scenario, drawn, round, schedules }.here(&tells, steps_of))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn again(file: &Path) -> Result<(), String> {
    let found = Found::read(file)?;
    println!("{}, drawn by {}, failed with: {}", found.scenario, found.drawn, found.failed);
    replay(named(&found.scenario)?, &found);
    println!("it passes");
    Ok(())
}

impl Run {
    fn all(self) -> Result<(), String> {
        let all: Vec<_> = match self.scenario.as_slice() {
            [] => scenarios().collect(),
            names => names.iter().map(|name| named(name)).collect::<Result<_, _>>()?,
        };
        let drawn = if self.drawn.is_empty() { &Drawn::ALL[..] } else { &self.drawn };
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("found"));
        let found = self.found.clone().or_else(beside).ok_or("where schedules are to be kept?")?;
        std::fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        let ledger = Mutex::new(Ledger::open(self.ledger.as_deref())?);
        let mut jobs = VecDeque::new();
        for round in self.rounds.clone() {
            for &scenario in &all {
                let of = |&drawn| Job { scenario, drawn, round, schedules: self.schedules };
                jobs.extend(drawn.iter().map(of).filter(|job| !ledger.lock().expect("unbroken").has(&job.name())));
            }
        }
        let jobs = Mutex::new(jobs);
        let failed = Mutex::new(Vec::new());
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.at_once {
                scope.spawn(|| {
                    let next = || jobs.lock().expect("unbroken").pop_front();
                    while let Some(job) = next() {
                        let result = job.in_a_child(&found).and_then(|ran| {
                            println!("{ran}");
                            ledger.lock().expect("unbroken").enter(ran)
                        });
                        if let Err(error) = result {
                            eprintln!("{}: {error}", job.name());
                            failed.lock().expect("unbroken").push(job.name());
                        }
                    }
                });
            }
        });
        let mut failed = failed.into_inner().expect("unbroken");
        let ledger = ledger.into_inner().expect("unbroken");
        println!("\n{:32} {:>9} {:>7} {:>11} {:>8}", "scenario", "schedules", "threads", "steps each", "seconds");
        for scenario in &all {
            let sum = ledger.sum(scenario.name);
            let each = sum.steps / sum.schedules.max(1);
            println!("{:32} {:>9} {:>7} {:>11} {:>8.1}", scenario.name, sum.schedules, sum.threads, each, sum.seconds);
            for (outcome, count) in &sum.saw {
                println!("    {count:>9} {outcome}");
            }
            if sum.schedules > 0 && sum.threads != scenario.threads {
                failed.push(format!("{} (it has {} threads)", scenario.name, sum.threads));
            }
            for outcome in scenario.outcomes.iter().filter(|&&outcome| !sum.saw.contains_key(outcome)) {
                failed.push(format!("{} (never: {outcome})", scenario.name));
            }
        }
        println!(
            "{} schedules of {} scenarios, {:.0} seconds",
            ledger.schedules(),
            all.len(),
            began.elapsed().as_secs_f64()
        );
        if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
    }
}

impl Job {
    fn name(&self) -> String {
        format!("{} {} round {} of {}", self.scenario.name, self.drawn, self.round, self.schedules)
    }

    /// The job itself.
    fn here(&self, tells: &Path, steps_of: Option<usize>) -> Result<(), String> {
        let into = OpenOptions::new().append(steps_of.is_some()).write(true).create(true).open(tells);
        let into = into.map_err(|error| format!("{}: {error}", tells.display()))?;
        let tells = match steps_of {
            Some(of) => Tells::Steps { of, to: into },
            None => Tells::Numbers(into),
        };
        let began = Instant::now();
        let kept = draw(self.scenario, self.drawn, self.round, self.schedules, tells);
        println!("{}", self.ran(&kept, began).line());
        Ok(())
    }

    fn ran(&self, kept: &Kept, began: Instant) -> Ran {
        Ran {
            job: self.name(),
            scenario: self.scenario.name.to_owned(),
            schedules: kept.schedules,
            steps: kept.steps,
            threads: kept.threads,
            seconds: began.elapsed().as_secs_f64(),
            saw: seen::all().into_iter().map(|(outcome, count)| (outcome.to_owned(), count)).collect(),
        }
    }

    fn child(&self, tells: &Path, steps_of: Option<usize>) -> Result<Output, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(own);
        child.args(["job", self.scenario.name, &self.drawn.to_string(), &self.round.to_string()]);
        child.arg(self.schedules.to_string()).arg(tells);
        child.args(steps_of.map(|number| format!("--steps-of={number}")));
        // It would take the place of our seeds.
        child.env_remove("SHUTTLE_RANDOM_SEED");
        child.output().map_err(|error| format!("a child cannot be started: {error}"))
    }

    /// The job in a process of its own. What fails is printed, and kept in a file that replays it.
    fn in_a_child(&self, found: &Path) -> Result<Ran, String> {
        let file = file_of(found, self.scenario.name, self.drawn, self.round);
        let numbers = file.with_extension("number");
        drop(std::fs::remove_file(&file));
        let output = self.child(&numbers, None)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            drop(std::fs::remove_file(&numbers));
            return said.lines().find_map(Ran::read).ok_or_else(|| format!("it says nothing of what ran: {said}"));
        }
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        if output.status.code().is_some_and(|code| code == 1) {
            std::fs::write(&file, &said).map_err(|error| format!("{}: {error}", file.display()))?;
        } else {
            // It stopped without a word: once more, writing each step of the schedule in which it did.
            let number = std::fs::read_to_string(&numbers).ok().and_then(|text| text.trim().parse().ok());
            let number: usize = number.ok_or("it stopped before its first schedule")?;
            let drawn = format!("{}, round {}, schedule {number} of {}", self.drawn, self.round, self.schedules);
            let head = format!("scenario: {}\ndrawn: {drawn}\nfailed: {}\n", self.scenario.name, output.status);
            std::fs::write(&file, head).map_err(|error| format!("{}: {error}", file.display()))?;
            self.child(&file, Some(number))?;
        }
        drop(std::fs::remove_file(&numbers));
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        eprintln!("{text}");
        Err(format!("a schedule fails. Once more: .ci/shuttle replay {}", file.display()))
    }
}
