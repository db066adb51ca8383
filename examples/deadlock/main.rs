//! Two chains that cross: `cargo run --example deadlock`.
//!
//! *word* and *excel* let in only their own chain while a call of theirs is out (rule DI-12). An author writes a letter,
//! which asks *excel* for a sum; an accountant fills a sheet, which asks *word* for an address. Both ask at once: each
//! waits for the other, and neither may come in. In COM both hang, and nobody says why. Here the call that would close the
//! cycle fails with it, printed as a ring: who waits for whom, in which method, called from where. The other one goes on.
//!
//! Then the same again with a cure: one of the two lets in everybody. Which of them can is for the application to say.
//!
//! The clock is driven and stands still: the pictures show what came before what, and no times.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;

use apartment::{CallError, Clock, Error, Process, Proxy, Reentrancy, What, implements, interface};

interface! {
    trait Text {
        fn write(&self, sheet: &Proxy<dyn Sheet>) -> Result<(), CallError>;
        fn address(&self) -> Result<(), CallError>;
    }

    trait Sheet {
        fn fill(&self, text: &Proxy<dyn Text>) -> Result<(), CallError>;
        fn sum(&self) -> Result<(), CallError>;
    }
}

/// Each has begun before it asks the other.
static BOTH: Barrier = Barrier::new(2);

struct Letter;

impl Text for Letter {
    fn write(&self, sheet: &Proxy<dyn Sheet>) -> Result<(), CallError> {
        BOTH.wait();
        sheet.sum()
    }

    fn address(&self) -> Result<(), CallError> {
        Ok(())
    }
}
implements!(Letter: dyn Text);

struct Workbook;

impl Sheet for Workbook {
    fn fill(&self, text: &Proxy<dyn Text>) -> Result<(), CallError> {
        BOTH.wait();
        text.address()
    }

    fn sum(&self) -> Result<(), CallError> {
        Ok(())
    }
}
implements!(Workbook: dyn Sheet);

fn main() -> ExitCode {
    let mut told = String::new();
    let result = [Reentrancy::SameCausality, Reentrancy::Classic].into_iter().try_for_each(|of_word| {
        told.push_str(&story(of_word)?);
        Ok::<_, Error>(())
    });
    // A reader that has gone away misses nothing.
    let _ = write!(io::stdout(), "{told}");
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn story(of_word: Reentrancy) -> Result<String, Error> {
    let process = Process::builder().clock(Clock::driven()).record(1_000).build();
    let recording = process.recording().expect("it was made to record");
    let word = process.sta("word").reentrancy(of_word).spawn()?;
    let excel = process.sta("excel").reentrancy(Reentrancy::SameCausality).spawn()?;
    let letter: Proxy<dyn Text> = word.create(|| Letter)?.cast();
    let sheet: Proxy<dyn Sheet> = excel.create(|| Workbook)?.cast();
    let begin = recording.events().last().map_or(0, |event| event.seq);

    let results = thread::scope(|scope| {
        let author = scope.spawn(|| letter.write(&sheet));
        let accountant = scope.spawn(|| sheet.fill(&letter));
        [("author", author.join()), ("accountant", accountant.join())]
    });
    let mut told =
        format!("word lets in {}\n", if of_word == Reentrancy::Classic { "everybody" } else { "its own chain" });
    for (who, result) in results {
        told += &match result.expect("neither panics") {
            Ok(()) => format!("  the {who} is done\n"),
            Err(CallError::Deadlock(cycle)) => format!("  the {who} is told\n{cycle}\n"),
            Err(other) => return Err(other),
        };
    }
    let mut diagram = recording.diagram().since(begin);
    for event in recording.events() {
        if let What::CallMade(made) = &event.what {
            match made.target.method.map(|method| method.name) {
                Some("write") => diagram = diagram.named(event.thread, "author"),
                Some("fill") => diagram = diagram.named(event.thread, "accountant"),
                _ => {}
            }
        }
    }
    Ok(format!("{told}\n{diagram}\n"))
}
