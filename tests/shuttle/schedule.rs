//! A schedule that failed, as a file: which scenario, who drew it, and which thread ran at each step.

use shuttle::scheduler::Schedule;
use std::fmt::Write;
use std::path::Path;

/// What a schedule file says. Its form is lines of `name: value`; the steps are numbers of threads in the order of their
/// making, `7*3` for three of the same, and `r` where the program asked for a random number.
pub(crate) struct Found {
    pub(crate) scenario: String,
    pub(crate) drawn: String,
    pub(crate) failed: String,
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Thread(usize),
    Random,
}

impl Step {
    fn word(self) -> String {
        match self {
            Self::Thread(thread) => thread.to_string(),
            Self::Random => "r".to_owned(),
        }
    }
}

impl Found {
    pub(crate) fn text(&self) -> String {
        let Self { scenario, drawn, failed, seed, steps } = self;
        let failed = failed.replace('\n', " ");
        let mut text =
            format!("scenario: {scenario}\ndrawn: {drawn}\nfailed: {failed}\nrandom numbers: {seed}\nsteps:");
        for run in steps.chunk_by(|a, b| a == b) {
            let (word, count) = (run[0].word(), run.len());
            let written = if count == 1 { write!(text, " {word}") } else { write!(text, " {word}*{count}") };
            written.expect("a String takes everything");
        }
        text.push('\n');
        text
    }

    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let line = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim).ok_or_else(|| format!("{}: no line '{name}:'", path.display()))
        };
        let number = |word: &str| word.parse().map_err(|_| format!("{}: {word:?} is no number", path.display()));
        let mut steps = Vec::new();
        for word in line("steps")?.split_whitespace() {
            let (step, count) = word.split_once('*').unwrap_or((word, "1"));
            let step = if step == "r" { Step::Random } else { Step::Thread(number(step)? as usize) };
            steps.resize(steps.len() + number(count)? as usize, step);
        }
        Ok(Self {
            scenario: line("scenario")?.to_owned(),
            drawn: line("drawn")?.to_owned(),
            failed: line("failed")?.to_owned(),
            seed: number(line("random numbers")?)?,
            steps,
        })
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let mut schedule = Schedule::new(self.seed);
        for step in &self.steps {
            match step {
                Step::Thread(thread) => schedule.push_task((*thread).into()),
                Step::Random => schedule.push_random(),
            }
        }
        schedule
    }
}
