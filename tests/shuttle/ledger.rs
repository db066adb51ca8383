//! What has passed, and how much it was: in memory, and in a file with which a long run goes on where it was stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// A job that has passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ran {
    pub(crate) job: String,
    pub(crate) scenario: String,
    pub(crate) schedules: usize,
    pub(crate) steps: usize,
    pub(crate) threads: usize,
    pub(crate) seconds: f64,
    pub(crate) saw: BTreeMap<String, u64>,
}

impl Ran {
    /// As a line, which [`Ran::read`] reads: its fields, and what was seen, separated by tabs.
    pub(crate) fn line(&self) -> String {
        let Self { job, scenario, schedules, steps, threads, seconds, saw } = self;
        let saw: String = saw.iter().map(|(outcome, count)| format!("\t{count} {outcome}")).collect();
        format!("ran\t{job}\t{scenario}\t{schedules}\t{steps}\t{threads}\t{seconds:.3}{saw}")
    }

    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("ran\t")?.split('\t');
        Some(Self {
            job: fields.next()?.to_owned(),
            scenario: fields.next()?.to_owned(),
            schedules: fields.next()?.parse().ok()?,
            steps: fields.next()?.parse().ok()?,
            threads: fields.next()?.parse().ok()?,
            seconds: fields.next()?.parse().ok()?,
            saw: fields
                .map(|saw| {
                    let (count, outcome) = saw.split_once(' ')?;
                    Some((outcome.to_owned(), count.parse().ok()?))
                })
                .collect::<Option<_>>()?,
        })
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, schedules, seconds, .. } = self;
        write!(f, "{job}: {schedules} schedules, {seconds:.1} s")
    }
}

pub(crate) struct Ledger {
    entries: Vec<Ran>,
    names: BTreeSet<String>,
    file: Option<File>,
}

impl Ledger {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let mut own = Self { entries: Vec::new(), names: BTreeSet::new(), file: None };
        let Some(path) = path else { return Ok(own) };
        let failed = |error| format!("{}: {error}", path.display());
        if path.exists() {
            // A line that was cut is of a job that is then run again.
            for ran in std::fs::read_to_string(path).map_err(failed)?.lines().filter_map(Ran::read) {
                own.names.insert(ran.job.clone());
                own.entries.push(ran);
            }
        }
        own.file = Some(OpenOptions::new().create(true).append(true).open(path).map_err(failed)?);
        Ok(own)
    }

    pub(crate) fn has(&self, job: &str) -> bool {
        self.names.contains(job)
    }

    pub(crate) fn enter(&mut self, ran: Ran) -> Result<(), String> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", ran.line()).map_err(|error| format!("the ledger: {error}"))?;
        }
        self.names.insert(ran.job.clone());
        self.entries.push(ran);
        Ok(())
    }

    /// All that ran of a scenario, taken together.
    pub(crate) fn sum(&self, scenario: &str) -> Ran {
        let mut sum = Ran::default();
        for ran in self.entries.iter().filter(|ran| ran.scenario == scenario) {
            sum.schedules += ran.schedules;
            sum.steps += ran.steps;
            sum.threads = sum.threads.max(ran.threads);
            sum.seconds += ran.seconds;
            for (outcome, count) in &ran.saw {
                *sum.saw.entry(outcome.clone()).or_default() += count;
            }
        }
        sum
    }

    pub(crate) fn schedules(&self) -> usize {
        self.entries.iter().map(|ran| ran.schedules).sum()
    }
}
