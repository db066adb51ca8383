//! The `word` apartment: the document, and the filter that asks the person.

use std::time::Duration;

use apartment::{
    Apartment, BusyAnswer, BusyCall, BusyDialogue, MessageClass, MessageFilter, Proxy, RejectedCall, Retry, implements,
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

/// The filter: tries for a while on its own, then asks the person, and so on; and says so.
pub(crate) struct Patience<F>(F);

/// One with that much patience, which asks so; who switches to excel has the workbook shown.
pub(crate) fn patience(
    patience: Duration,
    answers: Answers,
    excel: Apartment,
    workbook: Proxy<Workbook>,
) -> Patience<impl MessageFilter> {
    let ask = move |busy: &BusyCall| {
        let seconds = busy.elapsed.as_secs_f64();
        match answers.next("word", &format!("{} has been busy for {seconds:.1} s. What now?", busy.callee.name)) {
            Answer::GoOn => BusyAnswer::GoOn,
            Answer::Switch => BusyAnswer::SwitchTo,
            Answer::GiveUp => BusyAnswer::GiveUp,
        }
    };
    let switch = move |_: &BusyCall| {
        // No call can leave from here, but a message can. Behind it comes the next attempt.
        let workbook = workbook.clone();
        let activate = move || drop(workbook.call(|workbook| workbook.activate()));
        if let Err(refused) = excel.post_message(MessageClass::Activation, activate) {
            say("word", refused.error());
        }
    };
    // There is no input here that a call could keep waiting.
    Patience(BusyDialogue::new(ask).on_switch(switch).retry_delay(patience).input_delay(Duration::MAX))
}

impl<F: MessageFilter> MessageFilter for Patience<F> {
    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        let answer = self.0.retry_rejected(call);
        if let Retry::After(delay) = answer {
            let delay = delay.as_secs_f64();
            say("word", format_args!("was sent away ({:?}), tries again in {delay:.1} s", call.rejected));
        }
        answer
    }
}
