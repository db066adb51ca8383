//! All mutants of the core in one program: each is behind a switch, and a process is one of them. So all are compiled once, and
//! one costs what the tests take that it has to pass. `.ci/mutants` says what is done with it.

mod hunt;
mod instrument;
mod mutant;
mod places;
mod programs;
mod record;
mod tree;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use hunt::Stage;
use mutant::Mutant;
use record::{Found, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All mutants of the core in one program.
#[derive(Parser)]
struct Options {
    /// What `cargo mutants --list --json` says.
    #[arg(long)]
    list: PathBuf,
    /// A file with the names of those that are not in the program.
    #[arg(long)]
    out: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Makes a copy of this project with them, and the file of those that are not in it
    Tree {
        /// What is known; those are added that do not compile
        #[arg(long)]
        record: PathBuf,
        to: PathBuf,
    },
    /// Runs the tests against each that is left
    Hunt {
        /// What is known
        #[arg(long)]
        record: PathBuf,
        /// What this is called there: of models it begins with `models`
        #[arg(long)]
        stage: String,
        /// Where the tests run
        #[arg(long)]
        folder: PathBuf,
        /// How often a thread of a model is interrupted at most; without, each model says so itself
        #[arg(long)]
        bound: Option<u32>,
        /// Tests that take longer, in seconds, are left out
        #[arg(long, default_value_t = 3600)]
        longest: u64,
        #[arg(required = true)]
        programs: Vec<PathBuf>,
    },
    /// Says which of those that are not in the program are left to cargo-mutants
    Left {
        #[arg(long)]
        record: PathBuf,
        #[arg(long)]
        stage: String,
    },
    /// Takes in what cargo-mutants has found out itself of those that are not in the program: its folder `mutants.out`
    Take {
        #[arg(long)]
        record: PathBuf,
        #[arg(long)]
        stage: String,
        outcomes: PathBuf,
    },
    /// Says how many there are, and how many fail; fails if one that survives is not explained, or one is that does not
    Score {
        #[arg(long)]
        record: PathBuf,
        /// Why survivors survive
        #[arg(long)]
        survivors: PathBuf,
    },
}

fn main() -> Result<()> {
    let Options { list, out, what } = Options::parse();
    let mutants = Mutant::list(&list)?;
    match what {
        What::Tree { record, to } => {
            let mut record = Record::open(&record, &mutants)?;
            let tree = tree::make(&std::env::current_dir()?, &to, &mutants)?;
            for number in &tree.unviable {
                let mutant = &mutants[number - 1].name;
                if !record.settles("tree", mutant) {
                    record.add("tree", mutant, Found::Unviable)?;
                }
            }
            let left = &tree.unknown | &tree.unviable;
            println!(
                "{} of {} mutants are in {}, and {} of the others compile nowhere",
                mutants.len() - left.len(),
                mutants.len(),
                to.display(),
                tree.unviable.len()
            );
            let names: String = left.iter().map(|number| mutants[number - 1].name.clone() + "\n").collect();
            Ok(fs::write(out, names)?)
        }
        What::Hunt { record, stage, folder, bound, longest, programs } => {
            let record = Record::open(&record, &mutants)?;
            let out = names(&out)?;
            let out = (1..).zip(&mutants).filter(|(_, mutant)| out.contains(&mutant.name));
            let out = out.map(|(number, _)| number).collect();
            let longest = Duration::from_secs(longest);
            let stage = Stage { name: &stage, programs: &programs, folder, bound, longest };
            hunt::hunt(&stage, &mutants, &out, record)
        }
        What::Left { record, stage } => {
            let record = Record::open(&record, &mutants)?;
            for mutant in names(&out)?.iter().filter(|mutant| !record.settles(&stage, mutant)) {
                println!("{mutant}");
            }
            Ok(())
        }
        What::Take { record, stage, outcomes } => {
            let mut record = Record::open(&record, &mutants)?;
            for (file, found) in [
                ("caught.txt", Found::Killed("a test that cargo-mutants ran".to_owned())),
                ("missed.txt", Found::Survived),
                ("timeout.txt", Found::Late("a test that cargo-mutants ran".to_owned())),
                ("unviable.txt", Found::Unviable),
            ] {
                for mutant in fs::read_to_string(outcomes.join(file)).unwrap_or_default().lines() {
                    if !record.settles(&stage, mutant) {
                        record.add(&stage, mutant, found.clone())?;
                    }
                }
            }
            Ok(())
        }
        What::Score { record, survivors } => {
            let score = Record::open(&record, &mutants)?.score(&mutants);
            let part = |of: usize| 100.0 * of as f64 / score.viable.max(1) as f64;
            println!(
                "{} viable mutants: {} fail a model ({:.1} %), {} fail any test ({:.1} %); nothing is known of {}",
                score.viable,
                score.by_models,
                part(score.by_models),
                score.by_any,
                part(score.by_any),
                score.unknown
            );
            let text = fs::read_to_string(&survivors).with_context(|| survivors.display().to_string())?;
            let mut explained = BTreeMap::<_, usize>::new();
            for change in text.lines().filter_map(explains) {
                *explained.entry(change.to_owned()).or_default() += 1;
            }
            for (change, places) in &score.survivors {
                let lines = explained.remove(change).unwrap_or_default();
                if lines != *places {
                    println!("{places} survive, {lines} are explained: {change}");
                    explained.insert(change.clone(), lines);
                }
            }
            for change in explained.keys().filter(|change| !score.survivors.contains_key(*change)) {
                println!("explained, but it does not survive: {change}");
            }
            ensure!(explained.is_empty(), "{} is not the list of those that survive", survivors.display());
            ensure!(score.unknown == 0, "nothing is known of {}", score.unknown);
            Ok(())
        }
    }
}

/// Which mutant a line of the list of survivors is about.
fn explains(line: &str) -> Option<&str> {
    line.strip_prefix("- `")?.split_once('`').map(|(mutant, _)| mutant)
}

/// The names that a file holds, line by line.
fn names(file: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.lines().map(str::to_owned).collect())
}
