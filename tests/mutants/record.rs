//! What is known of mutants, a line for each and each stage: so a hunt can be stopped at any time and goes on there. Of a file
//! that has changed nothing is known any more, for its mutants are others; the record says which text it is about.

use crate::mutant::Mutant;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A test fails.
    Killed(String),
    /// No test fails that comes by it.
    Survived,
    /// No test comes by it.
    Unmet,
    /// No test fails, and that one was not over in many times the time that it takes.
    Late(String),
    /// It does not compile.
    Unviable,
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Found::Killed(test) => write!(f, "killed by {test}"),
            Found::Survived => f.write_str("survived"),
            Found::Unmet => f.write_str("unmet"),
            Found::Late(test) => write!(f, "late in {test}"),
            Found::Unviable => f.write_str("unviable"),
        }
    }
}

/// Of all mutants.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) viable: usize,
    /// Of the viable ones, how many fail a model, and how many fail any test.
    pub(crate) by_models: usize,
    pub(crate) by_any: usize,
    /// Nothing is known of them; they may be viable or not.
    pub(crate) unknown: usize,
    /// What is changed in those that fail no test, and in how many places of that function.
    pub(crate) survivors: BTreeMap<String, usize>,
}

pub(crate) struct Record {
    file: File,
    /// By mutant, what each stage has found.
    known: BTreeMap<String, Vec<(String, Found)>>,
}

impl Record {
    /// The record in that file, which is made if it is not there, of these mutants in their files as they are now. Lines look
    /// like this:
    ///
    /// ```text
    /// text: src/call/record.rs: 5dd8aaeb6f3c6e0a1b0ad17c4bb6c40ad5e6a7d1
    /// models-0: killed by calls::post: src/call/record.rs:179:43: replace | with ^ in Ticket<V>::next
    /// ```
    pub(crate) fn open(path: &Path, mutants: &[Mutant]) -> Result<Record> {
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let texts = texts(mutants)?;
        let (mut kept, mut known) = (String::new(), BTreeMap::<_, Vec<_>>::new());
        for line in texts.values() {
            writeln!(kept, "{line}")?;
        }
        for line in text.lines().filter(|line| !line.starts_with("text: ")) {
            let (stage, found, mutant) = parse(line).with_context(|| format!("{}: {line}", path.display()))?;
            let file = mutant.split(':').next().unwrap_or_default();
            if texts.get(file).is_some_and(|line| text.lines().any(|known| known == line)) {
                writeln!(kept, "{line}")?;
                known.entry(mutant).or_default().push((stage, found));
            }
        }
        fs::write(path, kept)?;
        Ok(Record { file: OpenOptions::new().append(true).open(path)?, known })
    }

    pub(crate) fn add(&mut self, stage: &str, mutant: &str, found: Found) -> Result<()> {
        writeln!(self.file, "{stage}: {found}: {mutant}")?;
        self.known.entry(mutant.to_owned()).or_default().push((stage.to_owned(), found));
        Ok(())
    }

    /// Whether it needs no further stage, or not this one.
    pub(crate) fn settles(&self, stage: &str, mutant: &str) -> bool {
        let known = self.known.get(mutant).map_or(&[][..], |known| known);
        known.iter().any(|(at, found)| at == stage || matches!(found, Found::Killed(_) | Found::Unviable))
    }

    /// What is known of these.
    pub(crate) fn score(&self, mutants: &[Mutant]) -> Score {
        let mut score = Score::default();
        for mutant in mutants {
            let Some(known) = self.known.get(&mutant.name) else {
                score.unknown += 1;
                continue;
            };
            if known.iter().any(|(_, found)| *found == Found::Unviable) {
                continue;
            }
            let killed: Vec<_> = known.iter().filter(|(_, found)| matches!(found, Found::Killed(_))).collect();
            score.viable += 1;
            score.by_models += usize::from(killed.iter().any(|(stage, _)| stage.starts_with("models")));
            score.by_any += usize::from(!killed.is_empty());
            if killed.is_empty() {
                *score.survivors.entry(mutant.change()).or_default() += 1;
            }
        }
        score
    }
}

/// By file, the line that says which text it has.
fn texts(mutants: &[Mutant]) -> Result<BTreeMap<&str, String>> {
    let files: BTreeSet<_> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    let said = Command::new("git").arg("hash-object").args(&files).output()?;
    ensure!(said.status.success(), "git does not say which texts the files are");
    let said = String::from_utf8(said.stdout)?;
    Ok(files.into_iter().zip(said.lines()).map(|(file, text)| (file, format!("text: {file}: {text}"))).collect())
}

fn parse(line: &str) -> Result<(String, Found, String)> {
    let (stage, rest) = line.split_once(": ").context("it begins with a stage")?;
    // The mutant's own name begins with its file.
    let (found, mutant) = rest.split_once(": src/").context("it ends with a mutant")?;
    let found = match (found, found.strip_prefix("killed by "), found.strip_prefix("late in ")) {
        (_, Some(test), _) => Found::Killed(test.to_owned()),
        (_, _, Some(test)) => Found::Late(test.to_owned()),
        ("survived", ..) => Found::Survived,
        ("unmet", ..) => Found::Unmet,
        ("unviable", ..) => Found::Unviable,
        _ => bail!("nothing is found by {found}"),
    };
    Ok((stage.to_owned(), found, format!("src/{mutant}")))
}
