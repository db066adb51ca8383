//! The `word` apartment: the document, and the filter that asks the person.

use std::cell::Cell;
use std::time::{Duration, Instant};

use apartment::{
    Apartment, MessageClass, MessageFilter, Proxy, RejectedCall, Retry, RetryFor, RetryPolicy, implements,
};

use crate::Failure;
use crate::excel::Workbook;
use crate::letter::Letter;
use crate::office::{Listener, Progress, Sheet, SheetError};
use crate::person::{Answer, Answers, say};
use crate::value::Pos;

/// What excel calls while word waits for excel.
pub(crate) struct Document {
    pub(crate) sheet: Proxy<dyn Sheet>,
}

implements!(Document: dyn Progress, dyn Listener);

impl Progress for Document {
    fn step(&self, at: Pos, nth: usize, of: usize) -> Result<(), SheetError> {
        let value = self.sheet.cell(at)?;
        say("word", format_args!("is called back: {nth} of {of} is worked out; {at} shows {value}"));
        Ok(())
    }
}

impl Listener for Document {
    fn changed(&self, at: Pos, content: &str) -> Result<(), SheetError> {
        say("word", format_args!("is told that {at} holds `{content}` now"));
        Ok(())
    }
}

/// Writes the letter: has the sheet recalculated, what if these cells held that, and asks it for what the letter needs.
pub(crate) fn write(
    letter: &Letter,
    what_if: &[(Pos, String)],
    sheet: &impl Sheet,
    document: &Proxy<dyn Progress>,
) -> Result<String, Failure> {
    if let Some(at) = sheet.edited()? {
        say("word", format_args!("sees that somebody is typing into {at}: no filter can refuse to show that"));
    }
    for (at, content) in what_if {
        say("word", format_args!("asks excel to write `{content}` into {at}"));
        sheet.set(*at, content)?;
    }
    say("word", "asks excel to recalculate");
    let done = sheet.recalculate(document)?;
    say("word", format_args!("has its answer: {} formulas are worked out", done.formulas));
    for cycle in done.cycles {
        let names: Vec<_> = cycle.iter().chain(cycle.first()).map(Pos::to_string).collect();
        say("word", format_args!("hears of cells that ask for themselves: {}", names.join(" -> ")));
    }
    say("word", format_args!("asks excel for the {} cells of the letter", letter.places().len()));
    letter.fill(|place| {
        sheet.cell(place.cell).map_err(|error| format!("line {} of the letter: {error}", place.line).into())
    })
}

/// The filter: tries for a while on its own, then asks the person, and so on.
pub(crate) struct Patience {
    retry: RetryFor,
    answers: Answers,
    excel: Apartment,
    workbook: Proxy<Workbook>,
    /// How long the call had been tried, and how often, when the person was asked last.
    asked: Cell<(Duration, u32)>,
}

impl Patience {
    pub(crate) fn new(patience: Duration, answers: Answers, excel: Apartment, workbook: Proxy<Workbook>) -> Patience {
        Patience { retry: RetryFor::new(patience), answers, excel, workbook, asked: Cell::default() }
    }

    fn ask(&self, call: &RejectedCall) -> Retry {
        let thinks = Instant::now();
        let question = format!("{} has been busy for {:.1} s. What now?", call.callee.name, call.elapsed.as_secs_f64());
        let answer = self.answers.next("word", &question);
        self.asked.set((call.elapsed + thinks.elapsed(), call.attempts));
        match answer {
            Answer::GiveUp => Retry::GiveUp,
            Answer::GoOn => Retry::After(Duration::from_millis(100)),
            Answer::Switch => {
                // No call can leave from here, but a message can. Behind it comes the next attempt.
                let workbook = self.workbook.clone();
                let activate = move || drop(workbook.call(|workbook| workbook.activate()));
                match self.excel.post_message(MessageClass::Activation, activate) {
                    Ok(()) => Retry::Now,
                    Err(refused) => {
                        say("word", refused.error());
                        Retry::GiveUp
                    }
                }
            }
        }
    }
}

impl MessageFilter for Patience {
    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        if call.attempts == 1 {
            self.asked.take();
        }
        let (elapsed, attempts) = self.asked.get();
        let mut lately = call.clone();
        lately.elapsed = call.elapsed.saturating_sub(elapsed);
        lately.attempts = call.attempts.saturating_sub(attempts);
        match RetryPolicy::retry_rejected(&self.retry, &lately) {
            Retry::After(delay) => {
                say(
                    "word",
                    format_args!("was sent away ({:?}), tries again in {:.1} s", call.rejected, delay.as_secs_f64()),
                );
                Retry::After(delay)
            }
            _ => self.ask(call),
        }
    }
}
