//! The command line.

use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// Measures `apartment` and its peers.
#[derive(Parser)]
pub(crate) struct Options {
    /// Only the cases with all these words in their title, and elsewhere only the entrants with them in their name
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// A few short rounds: to see that it works, not to compare
    #[arg(long)]
    quick: bool,
    /// How many turns each entrant has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Where the table and the plot are written to; `docs/performance` if everything is measured in full, else nowhere
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Options {
    /// How many turns each entrant has.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 30 })
    }

    /// About how long one turn takes.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(if self.quick { 1 } else { 10 })
    }

    /// How many apartments are made to see what memory one takes.
    pub(crate) fn crowd(&self) -> usize {
        if self.quick { 100 } else { 1_000 }
    }

    /// Whether what has this title or name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.only.as_ref().is_none_or(|text| text.to_lowercase().split_whitespace().all(|word| name.contains(word)))
    }

    /// Where the table and the plot go.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let whole = self.only.is_none() && !self.quick;
        let ours = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance").into();
        self.out.clone().or_else(|| whole.then(ours))
    }
}
