//! A letter that a spreadsheet fills in, while somebody is typing into the spreadsheet:
//! `cargo run --example spreadsheet -- SHEET.csv --letter LETTER.txt`.
//!
//! ```text
//!    word ─── recalculate, cell, set, … ──▶ excel       word   this thread: the letter, and a filter with patience
//!         ◀── step ─────────────────────────            excel  the workbook, and a filter that keeps its door
//!         ◀── changed (one-way) ────────────
//! ```
//!
//! It is the COM specification's own story about message filters. While the person types a formula, excel's filter sends
//! every call away: `RetryLater`. Word's filter tries again, each time later; when its patience is at an end it asks the
//! person at the terminal whether to go on, to switch to excel, or to give up. Who switches finishes the formula, and
//! the next attempt gets through. Excel then calls word for each cell that it works out, while word waits for excel, and
//! word calls excel back for what the cell shows.
//!
//! To play with: `--edit D8` puts the person into another cell; type `=B8/0`, or `=D8`, or nonsense. `--set B2=1500` has
//! word ask what if. `--typing 5` has the person done after five seconds, unasked; `--answer go-on,switch --formula "=99"`
//! is a script.

mod excel;
mod formula;
mod grid;
mod letter;
mod office;
mod person;
mod value;
mod word;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, thread};

use apartment::{MessageClass, Sta, register_filter};
use clap::Parser;

use crate::excel::{Typing, Workbook};
use crate::letter::Letter;
use crate::office::Sheet;
use crate::person::{Answer, Answers, say};
use crate::value::Pos;
use crate::word::{Document, patience};

/// Fills in a letter from a spreadsheet, in which somebody is typing.
///
/// In the letter, {B7} stands for what the cell B7 shows, and {B7:2} for its number with two decimals.
#[derive(Parser)]
#[command(name = "spreadsheet")]
struct Args {
    /// The spreadsheet: comma-separated values, and formulas that begin with `=` [default: a budget]
    sheet: Option<PathBuf>,
    /// The letter [default: one about the budget]
    #[arg(long, value_name = "FILE")]
    letter: Option<PathBuf>,
    /// What word writes into the sheet first; may be given several times
    #[arg(long, value_name = "CELL=CONTENT", value_parser = cell_and_content)]
    set: Vec<(Pos, String)>,
    /// The cell that somebody is typing into
    #[arg(long, value_name = "CELL", default_value = "B2")]
    edit: Pos,
    /// What is typed, once switched to; without it, and without `--answer`, the terminal is asked
    #[arg(long, value_name = "CONTENT", allow_hyphen_values = true)]
    formula: Option<String>,
    /// After how long the typing ends by itself [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_hyphen_values = true)]
    typing: Option<Duration>,
    /// For how long word tries by itself before it asks
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2", allow_hyphen_values = true)]
    patience: Duration,
    /// What to answer when asked, in turn, instead of asking at the terminal; after the last one: give-up
    #[arg(long, value_name = "ANSWER", value_delimiter = ',', ignore_case = true)]
    answer: Option<Vec<Answer>>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "that is no number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "that is no time that can be waited for".to_owned())
}

fn cell_and_content(text: &str) -> Result<(Pos, String), String> {
    let (cell, content) = text.split_once('=').ok_or("a cell, `=` and its content are expected, such as B7=12")?;
    Ok((cell.parse()?, content.to_owned()))
}

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let Err(failure) = run(Args::parse()) else { return ExitCode::SUCCESS };
    eprintln!("spreadsheet: {failure}");
    ExitCode::FAILURE
}

fn run(args: Args) -> Result<(), Failure> {
    let shipped = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/spreadsheet").join(name);
    let path = args.letter.unwrap_or_else(|| shipped("letter.txt"));
    let letter = Letter::read(&read(&path)?).map_err(|why| format!("{}, {why}", path.display()))?;
    let sheet = args.sheet.unwrap_or_else(|| shipped("budget.csv"));
    let csv = read(&sheet)?;

    let word = Sta::builder("word").enter()?;
    let excel = Sta::spawn("excel")?;
    let typing = match (&args.formula, &args.answer) {
        (None, None) => Typing::AtTheTerminal,
        (formula, _) => Typing::Script(formula.clone()),
    };
    let workbook = excel.try_create(|| Workbook::open(&csv, typing))?;
    let workbook = workbook.map_err(|error| format!("{}: {error}", sheet.display()))?;
    let sheet = workbook.cast::<dyn Sheet>();
    let document = word.create(|| Document { sheet: sheet.clone() })?;
    sheet.advise(&document.cast())?;
    let (answers, there) = (Answers::new(args.answer), excel.apartment().clone());
    register_filter(Some(Rc::new(patience(args.patience, answers, there, workbook.clone()))))?;

    workbook.call(|workbook| workbook.begin_formula(args.edit))?;
    let text = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        if let Some(time) = args.typing {
            let (workbook, excel) = (workbook.clone(), excel.apartment());
            scope.spawn(move || match is_done.recv_timeout(time) {
                Err(RecvTimeoutError::Timeout) => {
                    // A key is a message, which no filter refuses. In excel the call is direct.
                    let enter = move || drop(workbook.call(Workbook::end_formula));
                    excel.post_message(MessageClass::Input, enter)
                }
                _ => Ok(()),
            });
        }
        let text = word::write(&letter, &args.set, &sheet, &document.cast());
        drop(done);
        text
    });
    let text = text.map_err(|error| format!("the letter is not written: {error}"))?;
    say("word", "writes the letter:");
    let mut out = io::stdout();
    match writeln!(out, "\n{}", text.trim_end()).and_then(|()| out.flush()) {
        // Whoever has closed the pipe does not want it.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write the letter: {error}").into()),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}
