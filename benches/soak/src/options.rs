//! The command line.

use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// Makes calls of every kind until there were enough, checks each, and watches memory, threads and handles.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// End after so many calls.
    #[arg(long, default_value_t = 100_000_000)]
    pub(crate) calls: u64,
    /// End after so many seconds, if that is earlier.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// What is done is a function of this; in which order the threads do it, is not.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Begin with this round.
    #[arg(long, default_value_t = 0)]
    pub(crate) round: u64,
    /// How many threads make calls.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub(crate) threads: u64,
    /// How many calls a round has, about.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) per_round: u64,
    /// Only the kinds that have this in their name.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// A thread that does not get on for so many seconds hangs.
    #[arg(long, default_value_t = 60)]
    pub(crate) patience: u64,
    /// Where to write `soak.csv`, `soak.svg` and `soak.md`.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Leak so many bytes in each round, to see that it is noticed.
    #[arg(long, default_value_t = 0, hide = true)]
    pub(crate) leak: usize,
    /// Leave a thread behind in each twentieth round, to see that it is noticed.
    #[arg(long, hide = true)]
    pub(crate) leak_threads: bool,
    /// Hang in the third round, to see what is said then.
    #[arg(long, hide = true)]
    pub(crate) hang: bool,
}

impl Options {
    pub(crate) fn time(&self) -> Duration {
        self.seconds.map_or(Duration::MAX, Duration::from_secs)
    }
}
