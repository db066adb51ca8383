//! A copy of the project with all mutants in it that the compiler takes together.

use crate::instrument::{Instrumented, instrument};
use crate::mutant::{Genre, Mutant};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Which mutants are not in a tree.
#[derive(Default)]
pub(crate) struct Out {
    /// What cannot be switched, and what does not compile beside the others.
    pub(crate) unknown: BTreeSet<usize>,
    /// What compiles nowhere.
    pub(crate) unviable: BTreeSet<usize>,
}

/// Makes the tree at `to`, and says which mutants are not in it.
pub(crate) fn make(from: &Path, to: &Path, mutants: &[Mutant]) -> Result<Out> {
    copy(from, to)?;
    let (mut out, mut unviable) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let files = instrument(from, to, mutants, &out)?;
        let blamed = check(to, mutants, &files)?;
        if blamed.is_empty() {
            let there: BTreeSet<_> =
                files.values().flat_map(|file| &file.places).flat_map(|(numbers, _)| numbers).copied().collect();
            let unknown = (1..=mutants.len()).filter(|number| !there.contains(number) && !unviable.contains(number));
            return Ok(Out { unknown: unknown.collect(), unviable });
        }
        println!("{} do not compile beside the others", blamed.len());
        unviable.extend(blamed.iter().filter(|(_, is_certain)| **is_certain).map(|(number, _)| *number));
        out.extend(blamed.into_keys());
    }
}

/// All that git knows, as it is now, and the switch.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(from)
        .output()?;
    ensure!(listed.status.success(), "git does not list the files");
    for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (from.join(file), to.join(file));
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        let text = fs::read(&from).with_context(|| from.display().to_string())?;
        // What has not changed is not built again.
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::write(&to, text)?;
        }
    }
    let root = to.join("src/lib.rs");
    let text = fs::read_to_string(&root)?;
    let (before, after) = text.split_once("\nmod ").context("the library has modules")?;
    fs::write(&root, format!("{before}\n#[macro_use]\npub mod switch;\nmod {after}"))?;
    fs::write(to.join("src/switch.rs"), include_str!("switch.rs"))?;
    let manifest = to.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    // The library denies what a mutant may do.
    Ok(fs::write(&manifest, text.replace("= \"deny\"", "= \"allow\""))?)
}

#[derive(Deserialize)]
struct Said {
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    code: Option<Code>,
    spans: Vec<Span>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    line_start: usize,
    is_primary: bool,
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

/// Compiles the library: the mutants without which it might, and whether they are certain to compile nowhere.
fn check(tree: &Path, mutants: &[Mutant], files: &BTreeMap<String, Instrumented>) -> Result<BTreeMap<usize, bool>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["check", "--package", "apartment", "--features", "loom", "--message-format", "json"]);
    let output = cargo.current_dir(tree).env("RUSTFLAGS", "--cfg loom").output()?;
    let mut blamed = BTreeMap::new();
    if output.status.success() {
        return Ok(blamed);
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(Said { message: Some(message) }) = serde_json::from_str(line) else { continue };
        if message.level != "error" || message.spans.is_empty() {
            continue;
        }
        let (found, is_certain) = blame(&message, mutants, files);
        if found.is_empty() {
            bail!("no mutant is to blame for this: {}", message.rendered.unwrap_or_default());
        }
        for number in found {
            *blamed.entry(number).or_insert(false) |= is_certain;
        }
    }
    ensure!(!blamed.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(blamed)
}

/// Whose text the compiler points to; else, the values and arms of the function that it points into. It is certain of a value
/// by itself that a type has no such thing: no other mutant has to do with that.
fn blame(message: &Message, mutants: &[Mutant], files: &BTreeMap<String, Instrumented>) -> (Vec<usize>, bool) {
    let mut spans: Vec<_> = message.spans.iter().map(written).collect();
    spans.sort_by_key(|span| !span.is_primary);
    let is = |codes: &[&str]| message.code.as_ref().is_some_and(|code| codes.contains(&code.code.as_str()));
    let non_exhaustive = is(&["E0004"]);
    for span in spans {
        let Some(file) = files.get(&span.file_name) else { continue };
        let within = file.places.iter().filter(|(_, place)| place.contains(&span.byte_start));
        let smallest = within.min_by_key(|(_, place)| place.len());
        if let (Some((numbers, _)), false) = (smallest, non_exhaustive) {
            let is_value =
                |number: &usize| mutants[number - 1].genre == Genre::FnValue && mutants[number - 1].has_a_type();
            return (numbers.clone(), span.is_primary && is(&["E0277", "E0599"]) && numbers.iter().all(is_value));
        }
        let genre = if non_exhaustive { Genre::MatchArm } else { Genre::FnValue };
        let there: BTreeSet<_> = file.places.iter().flat_map(|(numbers, _)| numbers).copied().collect();
        let of_function = (1..).zip(mutants).filter(|(number, mutant)| {
            there.contains(number)
                && mutant.file == span.file_name
                && mutant.genre == genre
                && mutant.has_line(span.line_start)
        });
        let of_function: Vec<_> = of_function.map(|(number, _)| number).collect();
        if !of_function.is_empty() {
            return (of_function, false);
        }
    }
    (Vec::new(), false)
}

/// Where something stands that a macro has made.
fn written(span: &Span) -> &Span {
    span.expansion.as_ref().map_or(span, |expansion| written(&expansion.span))
}
