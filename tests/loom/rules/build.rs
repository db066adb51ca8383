//! Writes the tests of the rules once more, for the model checker: each test's body becomes a model, and what the tests take
//! from the system, threads, channels and locks, they take from `crate::meet`. No line moves, so a failure names its line.
//! `exceptions.txt` says which tests stay behind (`out`), and which are looked at without interruptions alone (`0`).

use proc_macro2::LineColumn;
use std::path::{Path, PathBuf};
use std::{env, fs};
use syn::visit::{Visit, visit_item_fn};

/// What stands for what.
const INSTEAD: [(&str, &str); 9] = [
    ("std::thread::", "crate::meet::thread::"),
    ("std::thread;", "crate::meet::thread;"),
    ("std::sync::", "crate::meet::sync::"),
    ("thread_local!", "crate::meet::thread_local!"),
    ("pollster::block_on", "loom::future::block_on"),
    ("use apartment::Doorbell;", "use crate::meet::Doorbell;"),
    ("use super::{Host, NotWoken, Parked, Parking, Wake};", "use apartment::{Host, NotWoken, Parked, Parking, Wake};"),
    ("crossbeam_channel", "crate::meet"),
    ("use crate::late::when_the_locals_are_gone;", ""),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=exceptions.txt");
    if env::var_os("CARGO_CFG_LOOM").is_none() {
        return;
    }
    // As it is run: what was built for a copy of the project elsewhere may serve here, too.
    let from = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where")).join("../../rules");
    let to = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("rules");
    println!("cargo::rerun-if-changed={}", from.display());
    let list = fs::read_to_string("exceptions.txt").expect("a list of exceptions");
    let mut exceptions = Exceptions(list.lines().map(Exception::of).collect());

    let main = fs::read_to_string(from.join("main.rs")).expect("the rules' tests have a root");
    let mut root = String::new();
    for file in main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')) {
        // What a model has in their place stands beside this file.
        if ["patience", "programs"].contains(&file) || exceptions.of(&format!("{file}::*")) == Some("out") {
            continue;
        }
        let to = to.join(file).with_extension("rs");
        rewrite(&from.join(file).with_extension("rs"), &to, file, &mut exceptions);
        root += &format!("#[allow(unused, clippy::all)]\n#[path = {to:?}]\nmod {file};\n");
    }
    fs::write(to.join("root.rs"), root).expect("it can be written");
    // The library's own host that rings in a channel, for loops that stand on the model's.
    let doorbell = Path::new("../../../src/host/doorbell.rs");
    println!("cargo::rerun-if-changed={}", doorbell.display());
    let text = fs::read_to_string(doorbell).expect("the library has a doorbell");
    let text: String = text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect();
    fs::write(to.join("doorbell.rs"), with_the_models(text)).expect("it can be written");
    exceptions.check();
}

/// A test, or `FILE::*`, and what becomes of it.
struct Exception<'a> {
    name: &'a str,
    what: &'a str,
    met: usize,
}

impl<'a> Exception<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(name), Some(what @ ("out" | "0")), Some(_why)) => Self { name, what, met: 0 },
            _ => panic!("an exception is a test, `out` or `0`, and why: {line}"),
        }
    }
}

struct Exceptions<'a>(Vec<Exception<'a>>);

impl<'a> Exceptions<'a> {
    fn of(&mut self, name: &str) -> Option<&'a str> {
        let exception = self.0.iter_mut().find(|exception| exception.name == name)?;
        exception.met += 1;
        Some(exception.what)
    }

    fn check(&self) {
        for Exception { name, met, .. } in &self.0 {
            assert!(*met == 1, "exceptions.txt names {name}, of which there are {met}");
        }
    }
}

/// A file of tests and those below it.
fn rewrite(from: &Path, to: &Path, module: &str, exceptions: &mut Exceptions<'_>) {
    let text = fs::read_to_string(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("the folder can be made");
    let mut written = String::new();
    for line in as_models(&text, module, exceptions).lines() {
        if let Some(inner) = line.strip_prefix("mod ").and_then(|line| line.strip_suffix(';')) {
            let below = |file: &Path| file.with_extension("").join(inner).with_extension("rs");
            rewrite(&below(from), &below(to), &format!("{module}::{inner}"), exceptions);
            written += &format!("#[path = {:?}] ", below(to));
        }
        written += line;
        written += "\n";
    }
    fs::write(to, written).expect("it can be written");
}

fn as_models(text: &str, module: &str, exceptions: &mut Exceptions<'_>) -> String {
    let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{module}: {error} at {:?}", error.span().start()));
    let mut tests = Tests::default();
    tests.visit_file(&file);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut insert = |place: LineColumn, text: &str| {
        let line = &mut lines[place.line - 1];
        let at = line.char_indices().nth(place.column).map_or(line.len(), |(at, _)| at);
        line.insert_str(at, text);
    };
    let mut gone = Vec::new();
    for Test { name, first, open, close, end } in tests.0 {
        let name = format!("{module}::{name}");
        let bound = match exceptions.of(&name) {
            Some("out") => {
                gone.push(first.line - 1..end.line);
                continue;
            }
            Some(bound) => bound,
            None => "1",
        };
        insert(close, "}) ");
        insert(open, &format!(" crate::meet::model({name:?}, {bound}, || {{"));
    }
    for lines_of_one in gone {
        lines[lines_of_one].fill(String::new());
    }
    with_the_models(lines.join("\n"))
}

fn with_the_models(text: String) -> String {
    INSTEAD.iter().fold(text, |text, (what, instead)| text.replace(what, instead))
}

/// A test: where its attributes begin, between what its body is, and where it ends.
struct Test {
    name: String,
    first: LineColumn,
    open: LineColumn,
    close: LineColumn,
    end: LineColumn,
}

#[derive(Default)]
struct Tests(Vec<Test>);

impl<'a> Visit<'a> for Tests {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        if function.attrs.iter().any(|attribute| attribute.path().is_ident("test")) {
            let braces = function.block.brace_token.span;
            let (open, close) = (braces.open().end(), braces.close().start());
            let first = function.attrs[0].pound_token.span.start();
            self.0.push(Test { name: function.sig.ident.to_string(), first, open, close, end: braces.close().end() });
        }
        visit_item_fn(self, function);
    }
}
