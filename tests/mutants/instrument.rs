//! The files of the core with all their mutants in them, each behind its switch. No line moves.

use crate::mutant::{Genre, Mutant, Place};
use crate::places::Places;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// What was made of one file.
pub(crate) struct Instrumented {
    pub(crate) text: String,
    /// Which bytes of it are whose.
    pub(crate) places: Vec<(Vec<usize>, Range<usize>)>,
}

/// Writes the core's files into the tree, but for the mutants that are to be left out: file by file, what is whose.
pub(crate) fn instrument(
    from: &Path,
    tree: &Path,
    mutants: &[Mutant],
    out: &BTreeSet<usize>,
) -> Result<BTreeMap<String, Instrumented>> {
    let mut files: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in (1..).zip(mutants) {
        let file = files.entry(&mutant.file).or_default();
        if !out.contains(&number) {
            file.push((number, mutant));
        }
    }
    let mut all = BTreeMap::new();
    for (file, mutants) in files {
        let text = fs::read_to_string(from.join(file)).with_context(|| file.to_owned())?;
        let instrumented = one(&text, &mutants).with_context(|| file.to_owned())?;
        fs::write(tree.join(file), &instrumented.text)?;
        all.insert(file.to_owned(), instrumented);
    }
    Ok(all)
}

fn one(text: &str, mutants: &[(usize, &Mutant)]) -> Result<Instrumented> {
    let places = Places::of(&syn::parse_file(text)?);
    let mut edits = Edits::new(text);
    // Several may change the same operator or guard: they share a switch.
    let mut same: BTreeMap<(bool, Place), Vec<(usize, &str)>> = BTreeMap::new();
    for &(number, mutant) in mutants {
        let (begin, replacement) = (mutant.span.start, mutant.replacement.as_str());
        match mutant.genre {
            Genre::FnValue => {
                edits.put(number, begin, format!("if crate::switch::on({number}) {{ return {replacement}; }} "));
            }
            Genre::UnaryOperator => {
                if let Some(&end) = places.unary.get(&begin) {
                    edits.wrap(vec![number], begin, end, format!("crate::switch::not({number}, ("), "))");
                    edits.take_out(begin, 1);
                }
            }
            Genre::BinaryOperator => same.entry((true, begin)).or_default().push((number, replacement)),
            Genre::MatchArmGuard => same.entry((false, begin)).or_default().push((number, replacement)),
            Genre::MatchArm => match places.arms.get(&begin) {
                Some(arm) if arm.guard.is_some() => {
                    let (begin, end) = arm.guard.expect("it was there just now");
                    edits.wrap(vec![number], begin, end, format!("!crate::switch::on({number}) && ("), ")");
                }
                Some(arm) => edits.put(number, arm.pattern_end, format!(" if !crate::switch::on({number})")),
                None => {}
            },
            Genre::StructField => {
                if let Some(field) = places.fields.get(&begin) {
                    let colon = if field.is_short { format!("{}: ", field.name) } else { String::new() };
                    let instead = format!("({}).{}", edits.text(field.rest), field.name);
                    let open = format!("{colon}if crate::switch::on({number}) {{ {instead} }} else {{ ");
                    edits.wrap(vec![number], field.value.0, field.value.1, open, " }");
                }
            }
        }
    }
    for ((is_operator, begin), mutants) in same {
        let switches = mutants.iter().fold(String::new(), |mut switches, (number, replacement)| {
            write!(switches, "({number} {replacement})").expect("a string takes all");
            switches
        });
        let numbers: Vec<_> = mutants.iter().map(|(number, _)| *number).collect();
        if is_operator {
            if let Some(binary) = places.binary.get(&begin) {
                edits.wrap(numbers, binary.begin, binary.end, format!("crate::operator!([{switches}] "), ")");
                edits.around(begin, binary.operator_end, ", ");
            }
        } else if let Some(end) = places.guard(begin) {
            // A `!` that it begins with is within it.
            edits.wrap_in(1, numbers, begin, end, format!("crate::guard!([{switches}] "), ")");
        }
    }
    Ok(edits.carry_out())
}

/// What is inserted into a text.
struct Edits<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    insertions: Vec<Insertion>,
    /// What is taken out, by where it begins.
    gone: BTreeMap<usize, usize>,
}

struct Insertion {
    at: usize,
    /// Of those at one place: what closes comes first, the innermost first; then what opens, the outermost first.
    order: i64,
    text: String,
    /// Whose beginning it is, and whose end.
    opens: Option<usize>,
    closes: Option<usize>,
    numbers: Vec<usize>,
}

impl<'t> Edits<'t> {
    fn new(text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, insertions: Vec::new(), gone: BTreeMap::new() }
    }

    fn at(&self, place: Place) -> usize {
        let begin = self.lines[place.line - 1];
        let line = &self.text[begin..];
        begin + line.char_indices().nth(place.column - 1).map_or(line.len(), |(at, _)| at)
    }

    fn text(&self, (begin, end): (Place, Place)) -> &'t str {
        &self.text[self.at(begin)..self.at(end)]
    }

    fn insert(&mut self, at: usize, order: i64, text: String, opens: Option<usize>, closes: Option<usize>) {
        self.insertions.push(Insertion { at, order, text, opens, closes, numbers: Vec::new() });
    }

    /// What stands by itself.
    fn put(&mut self, number: usize, place: Place, text: String) {
        let (at, key) = (self.at(place), self.insertions.len());
        // A pattern's guard comes before what opens behind it, a body's first statement before all that is in it.
        self.insert(at, i64::MIN / 2, text, Some(key), Some(key));
        self.insertions[key].numbers = vec![number];
    }

    /// What stands around something.
    fn wrap(&mut self, numbers: Vec<usize>, begin: Place, end: Place, open: String, close: &str) {
        self.wrap_in(0, numbers, begin, end, open, close);
    }

    /// The same; of several around one thing, the higher layer is the outer one.
    fn wrap_in(&mut self, layer: i64, numbers: Vec<usize>, begin: Place, end: Place, open: String, close: &str) {
        let (begin, end, key) = (self.at(begin), self.at(end), self.insertions.len());
        let length = 2 * i64::try_from(end - begin).expect("a file is not that long") + layer;
        self.insert(begin, -length, open, Some(key), None);
        self.insertions[key].numbers = numbers;
        self.insert(end, i64::MIN + length, close.to_owned(), None, Some(key));
    }

    /// The same before and behind.
    fn around(&mut self, begin: Place, end: Place, text: &str) {
        for at in [self.at(begin), self.at(end)] {
            self.insert(at, 0, text.to_owned(), None, None);
        }
    }

    fn take_out(&mut self, begin: Place, length: usize) {
        self.gone.insert(self.at(begin), length);
    }

    fn carry_out(mut self) -> Instrumented {
        let mut begins = BTreeMap::new();
        let mut places = Vec::new();
        let numbers: Vec<_> = self.insertions.iter().map(|insertion| insertion.numbers.clone()).collect();
        self.insertions.sort_by_key(|insertion| (insertion.at, insertion.order));
        let (mut text, mut done) = (String::new(), 0);
        let copy = |text: &mut String, done: &mut usize, to: usize| {
            while *done < to {
                match self.gone.range(*done..to).next() {
                    Some((&begin, &length)) => {
                        text.push_str(&self.text[*done..begin]);
                        *done = begin + length;
                    }
                    None => {
                        text.push_str(&self.text[*done..to]);
                        *done = to;
                    }
                }
            }
        };
        for insertion in &self.insertions {
            copy(&mut text, &mut done, insertion.at);
            if let Some(key) = insertion.opens {
                begins.insert(key, text.len());
            }
            text.push_str(&insertion.text);
            if let Some(key) = insertion.closes {
                places.push((numbers[key].clone(), begins[&key]..text.len()));
            }
        }
        copy(&mut text, &mut done, self.text.len());
        Instrumented { text, places }
    }
}
