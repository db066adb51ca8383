//! A mutant, as cargo-mutants lists it: `cargo mutants --list --json`.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

#[derive(Deserialize)]
pub(crate) struct Mutant {
    /// Its file, line, column, and what is changed: as cargo-mutants prints it. It is known by this everywhere.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) genre: Genre,
    /// What stands there instead; nothing where something is only taken away.
    #[serde(default)]
    pub(crate) replacement: String,
    pub(crate) span: Lines,
    function: Option<Function>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Deserialize)]
struct Function {
    function_name: String,
    return_type: String,
    span: Lines,
}

#[derive(Deserialize)]
pub(crate) struct Lines {
    pub(crate) start: Place,
    end: Place,
}

/// A line and a column, both from 1 on.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Mutant {
    /// All of a list, but what only keeps what a builder is given; a mutant's number is its place there, from 1 on.
    pub(crate) fn list(file: &Path) -> Result<Vec<Mutant>> {
        let file = File::open(file).with_context(|| format!("{}", file.display()))?;
        let mut mutants: Vec<Mutant> = serde_json::from_reader(BufReader::new(file))?;
        mutants.retain(|mutant| !mutant.is_of_a_builder());
        Ok(mutants)
    }

    /// cargo-mutants' own patterns do not reach a builder's fields.
    fn is_of_a_builder(&self) -> bool {
        self.function.as_ref().is_some_and(|function| {
            let of = function.function_name.split("::").next().unwrap_or_default().trim_end_matches("<'a>");
            let is_builder = |name: &str| name.ends_with("Builder") || name.ends_with("Options");
            is_builder(&function.return_type) || is_builder(of) && function.return_type == "-> Self"
        })
    }

    /// Its name without its place in the file, which moves.
    pub(crate) fn change(&self) -> String {
        let change = self.name.splitn(4, ':').nth(3).unwrap_or(&self.name);
        format!("{}:{change}", self.file)
    }

    /// Whether its function says what it gives back: of an `impl Trait`, the first value does.
    pub(crate) fn has_a_type(&self) -> bool {
        self.function.as_ref().is_some_and(|function| !function.return_type.contains("impl "))
    }

    /// Whether the line belongs to the function that is changed; of a change outside of functions, to the change.
    pub(crate) fn has_line(&self, line: usize) -> bool {
        let span = self.function.as_ref().map_or(&self.span, |function| &function.span);
        (span.start.line..=span.end.line).contains(&line)
    }
}
