//! What a waiting apartment lets in.

use super::cast::{Chart, Invoice, Letter, Table, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, like};
use apartment::{CallError, Reentrancy};
use std::thread;

scenarios! {
    /// `word` lets in nothing while it waits, and serves what was held when it is done.
    di_12_none_holds_all: "Under none everything is held", ["DI-12", "DI-3"];
    /// A release is no call: it comes in under every policy, and the object is dropped inside the wait.
    di_12_release_comes_in_under_none: "Under none a release comes in", ["DI-12", "LT-1"];
    /// Both have a call out and let in their own chain only. The chain that passed through both may come back to both.
    di_12_chain_re_enters_two: "A chain comes back to two apartments that hold others", ["DI-12", "CA-1"];
    /// Here at most one wait may be nested in another one: the invoice is served inside the first wait, and waits itself.
    /// The chart stays queued until that inner wait has ended.
    di_12_waits_nested_too_deep: "Waits do not pile up without bound", ["DI-12", "DI-6"];
}

fn di_12_none_holds_all(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").reentrancy(Reentrancy::None).spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, invoice) = (word.create(|| Letter)?, excel.create(|| Workbook)?, word.create(|| Invoice)?);
    stage.begin();
    let (key, closed) = gate();
    thread::scope(|scope| {
        let call = stage.actor(scope, "first", || letter.call(|_| sheet.call(|_| closed.pass()).unwrap()));
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        let customer = stage.actor(scope, "second", || invoice.call(|_| ()));
        stage.until(word.apartment(), like!(Held));
        stage.later();
        key.open();
        call.join().expect("no panic")?;
        customer.join().expect("no panic")
    })?;
    stage.end();
    Ok(())
}

fn di_12_release_comes_in_under_none(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").reentrancy(Reentrancy::None).spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, invoice) = (word.create(|| Letter)?, excel.create(|| Workbook)?, word.create(|| Invoice)?);
    stage.begin();
    let apartment = word.apartment();
    let drops = move || {
        stage.note("excel drops the last reference to the invoice");
        stage.later();
        drop(invoice);
        stage.until(apartment, like!(ObjectDropped));
        stage.later();
    };
    letter.call(|_| sheet.call(|_| drops()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_12_chain_re_enters_two(stage: &Play) -> Result<(), CallError> {
    let closed = |name| stage.sta(name).reentrancy(Reentrancy::SameCausality);
    let (word, excel) = (closed("word").spawn()?, closed("excel").spawn()?);
    let db = stage.sta("db").spawn()?;
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    let (invoice, chart) = (word.create(|| Invoice)?, excel.create(|| Chart)?);
    stage.begin();
    let comes_back = || {
        chart.call(|_| ()).unwrap();
        invoice.call(|_| ()).unwrap();
    };
    letter.call(|_| sheet.call(|_| table.call(|_| comes_back()).unwrap()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_12_waits_nested_too_deep(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").nested_waits(1).spawn()?;
    let (excel, db) = (stage.sta("excel").spawn()?, stage.sta("db").spawn()?);
    let (letter, invoice, chart) = (word.create(|| Letter)?, word.create(|| Invoice)?, word.create(|| Chart)?);
    let (sheet, table) = (excel.create(|| Workbook)?, db.create(|| Table)?);
    stage.begin();
    let (excel_key, excel_gate) = gate();
    let (db_key, db_gate) = gate();
    let (at_excel, at_db) = (sheet.clone(), table.clone());
    letter.post(move |_| at_excel.call(|_| excel_gate.pass()).unwrap())?;
    stage.until(excel.apartment(), like!(Began));
    stage.later();
    invoice.post(move |_| at_db.call(|_| db_gate.pass()).unwrap())?;
    stage.until(db.apartment(), like!(Began));
    stage.later();
    chart.post(|_| ())?;
    stage.until(word.apartment(), like!(Held));
    stage.later();
    db_key.open();
    // Inside the outer wait there is room for it again.
    stage.until_nth(2, word.apartment(), like!(Ended));
    stage.later();
    excel_key.open();
    stage.until_nth(3, word.apartment(), like!(Ended));
    stage.end();
    Ok(())
}
