//! One-way and input-synchronized calls, and who may not call out.

use super::cast::{Chart, Letter, Table, Workbook, changed, focus};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, incoming, like};
use apartment::{CallError, CallKind, CantCallOut, HeldBy, Proxy, ServerCall};
use std::sync::{Arc, OnceLock};
use std::thread;

scenarios! {
    /// The sender goes on; what it sent runs when its receiver comes to it.
    ck_2_sender_goes_on: "The sender of a one-way call goes on", ["CK-2", "CA-1"];
    /// `excel`'s filter refuses everything; a one-way call it cannot refuse.
    ck_2_one_way_is_not_rejected: "A one-way call cannot be rejected", ["CK-2", "MF-4"];
    /// While `excel` serves a one-way method of `word` it may not call `word` back: `word` has not asked for it. It may
    /// call others.
    ck_2_one_way_method_does_not_call_back: "A one-way method may not call its sender back", ["CK-2"];
    /// A posted closure is ours, not COM's, and may.
    ck_2_posted_closure_calls_back: "A posted closure may call its sender back", ["CK-2"];
    /// Whoever is served input-synchronized must not wait for anybody.
    ck_3_input_synchronized_does_not_call_out: "An input-synchronized method may not call out", ["CK-3"];
    /// `word`'s input-synchronized call is out: other calls stay in its queue, another input-synchronized one comes in.
    ck_3_its_wait_serves_its_kind_alone: "The wait of an input-synchronized call", ["CK-3", "DI-12"];
    /// What a filter is asked it has to answer by itself.
    ck_4_filter_does_not_call: "A filter may not call out", ["CK-4"];
}

fn ck_2_sender_goes_on(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let (key, closed) = gate();
    stage.begin();
    let to = sheet.clone();
    letter.call(|_| to.post(move |_| closed.pass()).unwrap())?;
    stage.until(excel.apartment(), like!(Began));
    letter.call(|_| changed(&sheet, |_| ()).unwrap())?;
    stage.later();
    key.open();
    stage.until_nth(2, excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn ck_2_one_way_is_not_rejected(stage: &Play) -> Result<(), CallError> {
    let filter =
        || incoming(|call| if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected });
    let excel = stage.sta("excel").filter(filter).spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    changed(&sheet, |_| ())?;
    stage.until(excel.apartment(), like!(Ended));
    stage.later();
    sheet.call(|_| ()).unwrap_err();
    stage.end();
    Ok(())
}

/// `word` sends something to `excel`, which calls it back, and `db`.
fn calls_back(stage: &Play, post: impl FnOnce(&Proxy<Workbook>, CallsBack) + Send) -> Result<(), CallError> {
    let (word, excel, db) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?, stage.sta("db").spawn()?);
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    let result = Arc::new(OnceLock::new());
    let (at_db, back, tells) = (table.clone(), letter.clone(), Arc::clone(&result));
    stage.begin();
    let (key, closed) = gate();
    let calls_back: CallsBack = Box::new(move |_| {
        closed.pass();
        at_db.call(|_| ()).unwrap();
        tells.set(back.call(|_| ())).unwrap();
    });
    letter.call(|_| post(&sheet, calls_back))?;
    stage.until(excel.apartment(), like!(Began));
    stage.later();
    key.open();
    stage.until(excel.apartment(), like!(Ended));
    stage.end();
    match result.get().expect("it has ended") {
        Ok(()) => Ok(()),
        Err(error) => Err(error.clone()),
    }
}

type CallsBack = Box<dyn FnOnce(&Workbook) + Send>;

fn ck_2_one_way_method_does_not_call_back(stage: &Play) -> Result<(), CallError> {
    let error = calls_back(stage, |sheet, calls_back| changed(sheet, calls_back).unwrap()).unwrap_err();
    assert!(matches!(error, CallError::CantCallOut(CantCallOut::InAsyncCall)), "{error}");
    Ok(())
}

fn ck_2_posted_closure_calls_back(stage: &Play) -> Result<(), CallError> {
    calls_back(stage, |sheet, calls_back| sheet.post(calls_back).unwrap())
}

fn ck_3_input_synchronized_does_not_call_out(stage: &Play) -> Result<(), CallError> {
    let (word, excel, db) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?, stage.sta("db").spawn()?);
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    stage.begin();
    let error = letter.call(|_| focus(&sheet, |_| table.call(|_| ()).unwrap_err()).unwrap())?;
    stage.end();
    assert!(matches!(error, CallError::CantCallOut(CantCallOut::InInputSyncCall)), "{error}");
    Ok(())
}

fn ck_3_its_wait_serves_its_kind_alone(stage: &Play) -> Result<(), CallError> {
    let (word, excel, db) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?, stage.sta("db").spawn()?);
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    let chart = word.create(|| Chart)?;
    stage.begin();
    let (key, closed) = gate();
    thread::scope(|scope| {
        let focused = stage.actor(scope, "user", || letter.call(|_| focus(&sheet, |_| closed.pass()).unwrap()));
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        letter.post(|_| ())?;
        stage.until(word.apartment(), like!(Held { by: HeldBy::InputSynchronized }));
        stage.later();
        table.call(|_| focus(&chart, |_| ()).unwrap())?;
        stage.later();
        key.open();
        focused.join().expect("no panic")
    })?;
    stage.until_nth(3, word.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn ck_4_filter_does_not_call(stage: &Play) -> Result<(), CallError> {
    let db = stage.sta("db").spawn()?;
    let table = db.create(|| Table)?;
    let filter = move || {
        incoming(move |call| {
            if call.kind == CallKind::Create {
                return ServerCall::Handled;
            }
            match table.call(|_| ()) {
                Err(CallError::CantCallOut(CantCallOut::InFilter)) => ServerCall::RetryLater,
                _ => ServerCall::Handled,
            }
        })
    };
    let excel = stage.sta("excel").filter(filter).spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    sheet.call(|_| ()).unwrap_err();
    stage.end();
    Ok(())
}
