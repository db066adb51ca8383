//! Cycles in which nobody could go on.

use super::cast::{Chart, Invoice, Letter, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, like};
use apartment::{CallError, CallOptions, Outcome, Reentrancy};
use std::thread;

scenarios! {
    /// Each of two apartments lets in its own chain only, and each chain wants into the other one. The call that would
    /// close the cycle fails at once; the other one goes on.
    dl_1_crossed_chains: "Two chains cross", ["DL-1", "DL-2", "DI-12"];
    /// As long as one of them lets in everybody there is no cycle.
    dl_1_no_false_alarm: "Two chains cross, and one apartment is classic", ["DL-1", "DI-12"];
    /// The callee joins the apartment that waits for it and lets in nothing: the join fails.
    dl_1_join_that_closes_a_ring: "A join that would close a cycle", ["DL-1", "WA-3"];
    /// `word` is full and waits for `excel`, holding what fills it; `excel` would wait for room in `word`.
    dl_2_room_ring: "A wait for room that would close a cycle", ["DL-2", "MB-3", "MB-5"];
    /// The callback of a chain cannot come into an apartment that lets in nothing: the chain would wait for itself.
    dl_2_callback_under_none: "A callback into an apartment that lets in nothing", ["DL-2", "DI-12"];
}

fn dl_1_crossed_chains(stage: &Play) -> Result<(), CallError> {
    let errors = crossed(stage, Reentrancy::SameCausality)?;
    assert!(matches!(errors.1, Err(CallError::Deadlock(_))), "{errors:?}");
    errors.0
}

fn dl_1_no_false_alarm(stage: &Play) -> Result<(), CallError> {
    let results = crossed(stage, Reentrancy::Classic)?;
    results.0?;
    results.1
}

type Results = (Result<(), CallError>, Result<(), CallError>);

/// `word` calls `excel`, which calls `word`, both for chains of their own.
fn crossed(stage: &Play, of_word: Reentrancy) -> Result<Results, CallError> {
    let word = stage.sta("word").reentrancy(of_word).spawn()?;
    let excel = stage.sta("excel").reentrancy(Reentrancy::SameCausality).spawn()?;
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    let (sheet, chart) = (excel.create(|| Workbook)?, excel.create(|| Chart)?);
    stage.begin();
    let (key, closed) = gate();
    let results = thread::scope(|scope| {
        let second = stage.actor(scope, "second", || sheet.call(|_| (closed.pass(), invoice.call(|_| ())).1).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        let first = stage.actor(scope, "first", || letter.call(|_| chart.call(|_| ())).unwrap());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.until(word.apartment(), like!(WaitBegan));
        stage.later();
        key.open();
        (first.join().expect("no panic"), second.join().expect("no panic"))
    });
    stage.end();
    Ok(results)
}

fn dl_1_join_that_closes_a_ring(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").reentrancy(Reentrancy::None).spawn()?;
    let excel = stage.sta("excel").spawn()?;
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let at_word = word.apartment().clone();
    stage.begin();
    let error = letter.call(|_| sheet.call(move |_| word.join().unwrap_err()).unwrap())?;
    stage.until(&at_word, like!(ThreadLeft));
    stage.end();
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    Ok(())
}

fn dl_2_room_ring(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").capacity(1).reentrancy(Reentrancy::SameCausality).spawn()?;
    let excel = stage.sta("excel").reentrancy(Reentrancy::SameCausality).spawn()?;
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    let (sheet, chart) = (excel.create(|| Workbook)?, excel.create(|| Chart)?);
    stage.begin();
    let (key, closed) = gate();
    let asks = || {
        closed.pass();
        invoice.with(&CallOptions::new().wait_for_room()).call(|_| ()).unwrap_err()
    };
    let error = thread::scope(|scope| {
        let second = stage.actor(scope, "second", || sheet.call(|_| asks()).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        let first = stage.actor(scope, "first", || letter.call(|_| chart.call(|_| ()).unwrap()).unwrap());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.until(word.apartment(), like!(WaitBegan));
        stage.later();
        letter.post(|_| ()).unwrap();
        stage.until(word.apartment(), like!(Held));
        stage.later();
        key.open();
        first.join().expect("no panic");
        second.join().expect("no panic")
    });
    stage.until_nth(2, word.apartment(), like!(Ended));
    stage.end();
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    Ok(())
}

fn dl_2_callback_under_none(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").reentrancy(Reentrancy::None).spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, invoice) = (word.create(|| Letter)?, excel.create(|| Workbook)?, word.create(|| Invoice)?);
    stage.begin();
    let error = letter.call(|_| sheet.call(|_| invoice.call(|_| ()).unwrap_err()).unwrap())?;
    stage.end();
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotStarted);
    Ok(())
}
