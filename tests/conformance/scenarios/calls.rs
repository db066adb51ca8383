//! Calls from apartment to apartment, and back.

use super::cast::{Invoice, Letter, Table, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, like, millis};
use apartment::{CallError, Proxy};
use std::thread;

scenarios! {
    /// `word` waits for `excel`; inside that wait it serves an invoice, which waits for `db`. `excel` answers first, and
    /// has to wait for its turn: `word` comes back from the inner call, then from the outer one.
    di_6_early_reply_waits_for_its_turn: "Nested waits unwind last in, first out", ["DI-6", "DI-5"];
    /// A chain that comes round: `word` serves the call of `db` inside its wait for `excel`.
    di_5_ring_of_three: "A call goes round: A, B, C, A", ["DI-5", "DI-8", "CA-1"];
    /// Both wait for the other, and each serves the other's call meanwhile.
    di_8_two_call_each_other: "Two STAs call each other at once", ["DI-8", "DI-5"];
    /// A call at home is a plain call of a function: no queue, no other thread.
    di_2_call_at_home: "A call inside one apartment", ["DI-2"];
    /// Whoever is in no apartment may call, and stands still until the answer comes.
    ap_5_call_from_no_apartment: "A thread in no apartment calls", ["AP-5", "CK-1"];
    /// The thread of the pool that has called `word` is blocked; another one serves the callback.
    di_7_callback_into_the_mta: "A callback into the MTA", ["DI-7", "DI-4"];
    /// `word` calls into the MTA, and serves the callback inside its wait as from any other apartment.
    di_7_through_the_mta_and_back: "From an STA to the MTA and back", ["DI-7", "DI-5", "CA-1"];
    /// Two calls of one object of the MTA run at the same time, each on a thread of its own.
    di_4_two_calls_at_once_in_the_mta: "Two calls at once on an object of the MTA", ["DI-4"];
    /// Each level waits for the next one, on the same two threads.
    di_8_recursion: "Recursion between two apartments", ["DI-8"];
    /// Of one object's methods a second one comes in while the first one waits. An apartment that must not be re-entered
    /// says so (`DI-12`).
    di_13_object_is_re_entered: "An object is re-entered while it calls out", ["DI-13", "DI-5"];
}

fn di_6_early_reply_waits_for_its_turn(stage: &Play) -> Result<(), CallError> {
    let (word, excel, db) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?, stage.sta("db").spawn()?);
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    let invoice = word.create(|| Invoice)?;
    stage.begin();
    let (outer_key, outer) = gate();
    let (inner_key, inner) = gate();
    thread::scope(|scope| {
        stage.actor(scope, "first", || letter.call(|_| sheet.call(|_| outer.pass()).unwrap()).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        stage.actor(scope, "second", || invoice.call(|_| table.call(|_| inner.pass()).unwrap()).unwrap());
        stage.until(db.apartment(), like!(Began));
        stage.clock.advance(millis(99));
        outer_key.open();
        stage.until(excel.apartment(), like!(Ended));
        stage.clock.advance(millis(100));
        inner_key.open();
    });
    stage.end();
    Ok(())
}

fn di_5_ring_of_three(stage: &Play) -> Result<(), CallError> {
    let (word, excel, db) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?, stage.sta("db").spawn()?);
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    let invoice = word.create(|| Invoice)?;
    stage.begin();
    letter.call(|_| sheet.call(|_| table.call(|_| invoice.call(|_| ()).unwrap()).unwrap()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_8_two_call_each_other(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let (invoice, table) = (word.create(|| Invoice)?, excel.create(|| Table)?);
    stage.begin();
    let (first_key, first) = gate();
    let (second_key, second) = gate();
    let both_are_called = || stage.until_nth(2, excel.apartment(), like!(Queued));
    thread::scope(|scope| {
        stage.actor(scope, "first", || {
            // Neither ends before the other one is served.
            let serves = |_: &Table| drop(stage.until_nth(2, word.apartment(), like!(Began)));
            letter.call(|_| (first.pass(), table.call(serves).unwrap())).unwrap();
        });
        stage.until(word.apartment(), like!(Began));
        stage.actor(scope, "second", || {
            let serves = |_: &Invoice| {
                stage.until(excel.apartment(), like!(Ended));
                stage.later();
            };
            sheet.call(|_| (second.pass(), invoice.call(serves).unwrap())).unwrap();
        });
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        first_key.open();
        both_are_called();
        stage.later();
        second_key.open();
    });
    stage.end();
    Ok(())
}

fn di_2_call_at_home(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").spawn()?;
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    stage.begin();
    letter.call(|_| invoice.call(|_| ()).unwrap())?;
    stage.end();
    Ok(())
}

fn ap_5_call_from_no_apartment(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    thread::scope(|scope| stage.actor(scope, "customer", || sheet.call(|_| ())).join().expect("no panic"))?;
    stage.end();
    Ok(())
}

fn di_7_callback_into_the_mta(stage: &Play) -> Result<(), CallError> {
    let (mta, word) = (stage.mta().threads(1).spawn()?, stage.sta("word").spawn()?);
    let (table, letter) = (mta.create(|| Table)?, word.create(|| Letter)?);
    let invoice: Proxy<Invoice> = mta.create(|| Invoice)?;
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    sheet.call(|_| table.call(|_| letter.call(|_| invoice.call(|_| ()).unwrap()).unwrap()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_7_through_the_mta_and_back(stage: &Play) -> Result<(), CallError> {
    let (mta, word) = (stage.mta().threads(1).spawn()?, stage.sta("word").spawn()?);
    let (table, letter, invoice) = (mta.create(|| Table)?, word.create(|| Letter)?, word.create(|| Invoice)?);
    stage.begin();
    letter.call(|_| table.call(|_| invoice.call(|_| ()).unwrap()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_4_two_calls_at_once_in_the_mta(stage: &Play) -> Result<(), CallError> {
    let mta = stage.mta().threads(2).spawn()?;
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, mta.create(|| Table)?);
    stage.begin();
    let calls = || {
        let ((key, gate), table) = (gate(), table.clone());
        (key, move || table.call(|_| gate.pass()).unwrap())
    };
    let ((first_key, first), (second_key, second)) = (calls(), calls());
    letter.post(move |_| first())?;
    stage.until(mta.apartment(), like!(Began));
    stage.later();
    sheet.post(move |_| second())?;
    stage.until_nth(2, mta.apartment(), like!(Began));
    stage.later();
    first_key.open();
    stage.until(word.apartment(), like!(Ended));
    stage.later();
    second_key.open();
    stage.until(excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn di_8_recursion(stage: &Play) -> Result<(), CallError> {
    fn count_down(from: u32, letter: &Proxy<Letter>, sheet: &Proxy<Workbook>) {
        if from > 0 {
            letter.call(|_| sheet.call(|_| count_down(from - 1, letter, sheet)).unwrap()).unwrap();
        }
    }
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.begin();
    count_down(3, &letter, &sheet);
    stage.end();
    Ok(())
}

fn di_13_object_is_re_entered(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.begin();
    thread::scope(|scope| {
        let third = || {
            let customer = stage.actor(scope, "customer", || letter.call(|_| ()).unwrap());
            customer.join().expect("no panic");
            stage.later();
        };
        letter.call(|_| sheet.call(|_| third()).unwrap())
    })?;
    stage.end();
    Ok(())
}
