//! Cycles in which nobody could go on.

use super::cast::{Chart, Invoice, Letter, Table, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, like};
use apartment::{CallError, Outcome, PostOptions, Reentrancy, Topic};
use std::thread;

scenarios! {
    /// As long as one of them lets in everybody there is no cycle.
    dl_1_no_false_alarm: "Two chains cross, and one apartment is classic", ["DL-1", "DI-12"];
    /// The callee joins the apartment that waits for it and lets in nothing: the join fails.
    dl_1_join_that_closes_a_ring: "A join that would close a cycle", ["DL-1", "WA-3"];
    /// `word` waits for `excel` and holds what fills its mailbox; `excel` would wait for room there, to post one more.
    dl_2_room_ring: "A wait for room that would close a cycle", ["DL-2", "MB-3", "MB-5"];
    /// The callback of a chain cannot come into an apartment that lets in nothing: the chain would wait for itself.
    dl_2_callback_under_none: "A callback into an apartment that lets in nothing", ["DL-2", "DI-12"];
    /// The MTA may have one thread, and that waits for `word`. Nobody could serve a call that `word` makes for it.
    dl_2_pool_at_its_maximum: "A pool at its maximum", ["DL-2", "DI-4", "DI-7"];
    /// `word` serves a call of `db`, and waits in it for `excel`; on top of that wait it serves the second customer. If that
    /// waited for `db`, the call below could never come back there.
    dl_2_buried_call: "A call waits for one that is buried below it", ["DL-2", "DI-6", "DI-12"];
}

/// The call of each is out, and `word` lets the other one's in.
fn dl_1_no_false_alarm(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").spawn()?;
    let excel = stage.sta("excel").reentrancy(Reentrancy::SameCausality).spawn()?;
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    let (sheet, chart) = (excel.create(|| Workbook)?, excel.create(|| Chart)?);
    stage.begin();
    let (key, closed) = gate();
    let serves = |_: &Invoice| drop(stage.until(excel.apartment(), like!(Held)));
    let calls = || {
        closed.pass();
        invoice.call(serves).unwrap();
    };
    thread::scope(|scope| {
        stage.actor(scope, "second", || sheet.call(|_| calls()).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        stage.actor(scope, "first", || letter.call(|_| chart.call(|_| ()).unwrap()).unwrap());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.later();
        key.open();
    });
    stage.end();
    Ok(())
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
    let excel = stage.sta("excel").spawn()?;
    let (letter, invoice, sheet) = (word.create(|| Letter)?, word.create(|| Invoice)?, excel.create(|| Workbook)?);
    stage.begin();
    let posts = || {
        invoice.post(|_| ()).unwrap();
        stage.until(word.apartment(), like!(Held));
        invoice.with(&PostOptions::new().wait_for_room()).post(|_| ()).unwrap_err().into_parts().0
    };
    let error = letter.call(|_| sheet.call(|_| posts()).unwrap())?;
    stage.until_nth(2, word.apartment(), like!(Ended));
    stage.end();
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    Ok(())
}

fn dl_2_callback_under_none(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").reentrancy(Reentrancy::None).spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, invoice) = (word.create(|| Letter)?, excel.create(|| Workbook)?, word.create(|| Invoice)?);
    stage.begin();
    // Whether `word` has seen what it holds before it is taken back is open.
    stage.hide(Topic::Holds);
    let error = letter.call(|_| sheet.call(|_| invoice.call(|_| ()).unwrap_err()).unwrap())?;
    stage.end();
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotStarted);
    Ok(())
}

fn dl_2_pool_at_its_maximum(stage: &Play) -> Result<(), CallError> {
    let (mta, word) = (stage.mta().threads(1).max_threads(1).spawn()?, stage.sta("word").spawn()?);
    let (table, chart) = (mta.create(|| Table)?, mta.create(|| Chart)?);
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    stage.begin();
    let calls = || {
        stage.later();
        chart.call(|_| ()).unwrap_err()
    };
    let error = letter.call(|_| table.call(|_| invoice.call(|_| calls()).unwrap()).unwrap())?;
    stage.end();
    assert!(matches!(error, CallError::Deadlock(_)), "{error}");
    Ok(())
}

fn dl_2_buried_call(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let db = stage.sta("db").reentrancy(Reentrancy::None).spawn()?;
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    let (sheet, table, chart) = (excel.create(|| Workbook)?, db.create(|| Table)?, db.create(|| Chart)?);
    stage.begin();
    // Whether `db` has seen what it holds before it is taken back is open.
    stage.hide(Topic::Holds);
    let (key, closed) = gate();
    let below = || letter.call(|_| sheet.call(|_| closed.pass()).unwrap()).unwrap();
    let above = || chart.call(|_| ()).unwrap_err();
    thread::scope(|scope| {
        stage.actor(scope, "first", || table.call(|_| below()).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        let error = stage.actor(scope, "second", || invoice.call(|_| above()).unwrap()).join().expect("no panic");
        assert!(matches!(error, CallError::Deadlock(_)), "{error}");
        stage.later();
        key.open();
    });
    stage.end();
    Ok(())
}
