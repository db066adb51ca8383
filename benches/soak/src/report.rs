//! What is said of a run, while it goes on and at its end.

use crate::flat::Finding;
use crate::kinds::{Kind, Tally};
use crate::sample::Sample;
use crate::{census, plot};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// How often a line of the table is printed.
const EVERY: Duration = Duration::from_secs(10);

/// The bar, and the lines above it.
pub(crate) struct Progress {
    bar: ProgressBar,
    said: Instant,
}

pub(crate) fn header() -> String {
    format!(
        "{:>8} {:>13} {:>9} {:>8} {:>12} {:>13} {:>8} {:>8}",
        "seconds", "calls", "calls/s", "rounds", "held, KiB", "resident, MiB", "threads", "handles"
    )
}

pub(crate) fn line(sample: &Sample, rounds: u64) -> String {
    let Sample { seconds, calls, held, resident, threads, handles, .. } = sample;
    let (rate, held, resident) = (*calls as f64 / seconds, *held as f64 / 1_024.0, *resident as f64 / 1_048_576.0);
    format!(
        "{seconds:>8.0} {calls:>13} {rate:>9.0} {rounds:>8} {held:>12.1} {resident:>13.1} {threads:>8} {handles:>8}"
    )
}

impl Progress {
    pub(crate) fn new(calls: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} calls, {elapsed}, {msg}");
        let bar = ProgressBar::new(calls).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        println!("{}", header());
        Self { bar, said: Instant::now() }
    }

    pub(crate) fn at(&mut self, sample: &Sample, rounds: u64, seed: u64) {
        self.bar.set_position(sample.calls);
        self.bar.set_message(format!("seed {seed}, round {rounds}"));
        if sample.at_rest && self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            self.bar.suspend(|| println!("{}", line(sample, rounds)));
        }
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// What a run was, in a line.
pub(crate) fn title(samples: &[Sample], rounds: u64, seed: u64) -> String {
    let last = samples.last().copied().unwrap_or_default();
    let machine = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let cores = machine.as_ref().map_or(0, |machine| machine.cpus().len());
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
    format!(
        "{} calls in {} rounds, {:.0} s, {cores} cores, {}, seed {seed}, {day}",
        last.calls,
        rounds,
        last.seconds,
        std::env::consts::ARCH
    )
}

/// How many calls of each kind, and how long one took: of its driver's time, who waits and is waited for included.
pub(crate) fn kinds(tallies: &[Tally]) -> String {
    let mut text = String::from("| kind | calls | µs each |\n|---|---|---|\n");
    for (kind, Tally { calls, time }) in Kind::ALL.iter().zip(tallies).filter(|(_, tally)| tally.calls > 0) {
        let (name, each) = (kind.name.replace("::", ": ").replace('_', " "), time.as_secs_f64() * 1e6 / *calls as f64);
        writeln!(text, "| {name} | {calls} | {each:.1} |").expect("a string grows");
    }
    text
}

pub(crate) fn write(
    folder: &Path,
    samples: &[Sample],
    tallies: &[Tally],
    title: &str,
    findings: Option<&[Finding]>,
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let mut csv = csv::Writer::from_path(folder.join("soak.csv"))?;
    csv.write_record(["seconds", "calls", "at_rest", "held", "resident", "threads", "handles"])?;
    for Sample { seconds, calls, at_rest, held, resident, threads, handles } in samples {
        csv.write_record([
            format!("{seconds:.3}"),
            calls.to_string(),
            at_rest.to_string(),
            held.to_string(),
            resident.to_string(),
            threads.to_string(),
            handles.to_string(),
        ])?;
    }
    csv.flush()?;
    fs::write(folder.join("soak.svg"), plot::svg(samples, title)?)?;
    let (objects, closures) = census::made();
    let mut text = format!("# A soak\n\n{title}; {objects} objects and {closures} counted closures.\n\n");
    if let Some(findings) = findings {
        text += "At rest, in the second quarter of the rounds and in the last: of bytes the medians, of threads and handles the \
                 most.\n\n```text\n";
        for finding in findings {
            writeln!(text, "{finding}")?;
        }
        text += "```\n\n";
    }
    text += &kinds(tallies);
    fs::write(folder.join("soak.md"), text)?;
    Ok(())
}
