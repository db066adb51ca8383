//! Runs one scenario in schedules that one scheduler draws, keeping each schedule as it is drawn.

use crate::scenarios::Scenario;
use crate::schedule::{Found, Step};
use clap::ValueEnum;
use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId,
    UncontrolledNondeterminismCheckScheduler, UrwRandomScheduler,
};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// Who draws the schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawn {
    /// Each thread that can run is as likely as the others, at each step.
    Random,
    /// Probabilistic concurrency testing: by priorities, which change once.
    Pct2,
    /// The same with two changes.
    Pct3,
    /// The same with four changes.
    Pct5,
    /// Uniform random walk: each interleaving as likely as the others, as far as it can be told before.
    Urw,
    /// At random, and each schedule twice: the second time everything must go as the first time, or nothing would replay.
    Twice,
}

impl Drawn {
    /// Those that look for failures.
    pub(crate) const ALL: [Self; 5] = [Self::Random, Self::Pct2, Self::Pct3, Self::Pct5, Self::Urw];

    fn scheduler(self, seed: u64, schedules: usize) -> Box<dyn Scheduler> {
        match self {
            Self::Random => Box::new(RandomScheduler::new_from_seed(seed, schedules)),
            Self::Pct2 => Box::new(PctScheduler::new_from_seed(seed, 2, schedules)),
            Self::Pct3 => Box::new(PctScheduler::new_from_seed(seed, 3, schedules)),
            Self::Pct5 => Box::new(PctScheduler::new_from_seed(seed, 5, schedules)),
            Self::Urw => Box::new(UrwRandomScheduler::new_from_seed(seed, schedules)),
            Self::Twice => {
                let random = RandomScheduler::new_from_seed(seed, schedules);
                Box::new(UncontrolledNondeterminismCheckScheduler::new(random))
            }
        }
    }
}

impl std::fmt::Display for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value().expect("none is hidden");
        f.write_str(value.get_name())
    }
}

/// The schedules that were drawn.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    /// How many there were.
    pub(crate) schedules: usize,
    /// Steps of all of them.
    pub(crate) steps: usize,
    /// The most threads that one had.
    pub(crate) threads: usize,
    /// The last one.
    seed: u64,
    last: Vec<Step>,
}

thread_local! {
    /// Of this thread, on which shuttle runs all of its.
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// A program may stop without a word: a file is then told what there was. The number of each schedule as it begins, or from
/// one of them on each of its steps.
pub(crate) enum Tells {
    Nobody,
    Numbers(File),
    Steps { of: usize, to: File },
}

/// A scheduler that keeps what another one draws.
struct Keeps {
    inner: Box<dyn Scheduler>,
    tells: Tells,
}

impl Keeps {
    fn step(&mut self, step: Step) {
        KEPT.with_borrow_mut(|kept| self.keep(kept, step));
    }

    fn keep(&mut self, kept: &mut Kept, step: Step) {
        kept.steps += 1;
        kept.last.push(step);
        if let Step::Thread(thread) = step {
            kept.threads = kept.threads.max(thread + 1);
        }
        if let Tells::Steps { of, to } = &mut self.tells
            && *of == kept.schedules
        {
            let word = match step {
                Step::Thread(thread) => format!(" {thread}"),
                Step::Random => " r".to_owned(),
            };
            to.write_all(word.as_bytes()).expect("the file of a schedule can be written");
        }
    }
}

impl Scheduler for Keeps {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.inner.new_execution()?;
        let number = KEPT.with_borrow_mut(|kept| {
            kept.schedules += 1;
            kept.seed = schedule.seed;
            kept.last.clear();
            kept.schedules
        });
        let told = match &mut self.tells {
            Tells::Numbers(to) => to.rewind().and_then(|()| writeln!(to, "{number:20}")),
            Tells::Steps { of, to } if *of == number => write!(to, "random numbers: {}\nsteps:", schedule.seed),
            _ => Ok(()),
        };
        told.expect("the file of a schedule can be written");
        Some(schedule)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let next = self.inner.next_task(runnable, current, is_yielding)?;
        self.step(Step::Thread(next.into()));
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.step(Step::Random);
        self.inner.next_u64()
    }
}

/// Stacks deep enough for nested waits; what of them is not touched costs nothing.
const STACK: usize = 512 * 1024;
/// A schedule with more steps is taken for one without an end. The longest here have some thousands.
const STEPS: usize = 1_000_000;

fn run(scenario: &Scenario, inner: Box<dyn Scheduler>, tells: Tells) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::None;
    Runner::new(Keeps { inner, tells }, config).run(scenario.program);
}

/// From here on whatever panics is said, and ends this program: a scenario's own panics, which the engine contains, are raised
/// without the hook, so what comes to it is a failure, and there is nothing to unwind for.
fn fail_at_a_panic(say: impl Fn(String) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.payload().downcast_ref().copied()).unwrap_or("no message");
        let at = panic.location().map(|at| format!("{}:{}: ", at.file(), at.line()));
        say(at.unwrap_or_default() + text);
        std::process::exit(1);
    }));
}

/// Draws that many; the first that fails is printed, and ends this program.
pub(crate) fn draw(scenario: &'static Scenario, drawn: Drawn, seed: u64, schedules: usize, tells: Tells) -> Kept {
    fail_at_a_panic(move |failed| {
        let kept = KEPT.with_borrow(Kept::clone);
        let found = Found {
            scenario: scenario.name.to_owned(),
            drawn: format!("{drawn}, round {seed}, schedule {} of {schedules}", kept.schedules),
            failed,
            seed: kept.seed,
            steps: kept.last,
        };
        print!("{}", found.text());
    });
    run(scenario, drawn.scheduler(seed, schedules), tells);
    KEPT.with_borrow(Kept::clone)
}

/// Runs what was found once more; if it fails again, that is printed, and ends this program.
pub(crate) fn replay(scenario: &'static Scenario, found: &Found) {
    fail_at_a_panic(|failed| println!("again: {failed}"));
    run(scenario, Box::new(ReplayScheduler::new_from_schedule(found.schedule())), Tells::Nobody);
}

/// Where a schedule is kept that fails.
pub(crate) fn file_of(folder: &Path, scenario: &str, drawn: Drawn, seed: u64) -> PathBuf {
    folder.join(format!("{scenario}-{drawn}-{seed}.schedule"))
}
