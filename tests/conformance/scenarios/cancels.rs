//! Cancels and deadlines.

use super::cast::{Letter, Table, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, hresult, like, millis};
use apartment::{CallError, CallOptions, CancelHandle, Outcome, Topic, is_cancelled};
use crossbeam_channel::unbounded;
use std::thread;

scenarios! {
    /// The callee would take 500 ms. Asked to stop at 100 ms it sees that with `is_cancelled` and returns; its caller had
    /// to wait for that, for it may have lent something. The next call knows nothing of it.
    ca_2_cancelled_while_it_runs: "A call is cancelled while it runs", ["CA-2", "CK-5"];
    /// What has not started leaves the queue at once and never runs.
    ca_2_cancelled_in_the_queue: "A call is cancelled before it starts", ["CA-2", "MB-7"];
    /// `word` got 300 ms for everything. What `excel` asks of `db` has what is left of them, and ends with them.
    ca_3_deadline_is_inherited: "Nested calls have what is left of the time", ["CA-3", "CA-2"];
    /// An owned call is given up at once: its caller goes on, and the late result is dropped where it was made.
    ca_2_owned_call_is_left: "An owned call is left, and its result dropped at home", ["CA-2"];
    /// A call that waits in a queue has until its deadline; then it leaves the queue.
    ca_3_deadline_in_the_queue: "A deadline passes while the call is queued", ["CA-3", "MB-7"];
    /// A future is dropped while its call is still queued: that is taken back, and never runs.
    ck_7_future_dropped_before_its_start: "A future is dropped before its call starts", ["CK-7", "CA-2"];
    /// What runs is not asked to stop: it runs to its end without a caller, and its result is dropped where it was made.
    ck_7_future_dropped_while_it_runs: "A future is dropped while its call runs", ["CK-7", "CA-2"];
}

fn ca_2_cancelled_while_it_runs(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    let cancel = CancelHandle::new();
    stage.begin();
    let (tick, ticks) = unbounded();
    // Five steps of 100 ms.
    let works = || (0..5).take_while(|_| ticks.recv().is_ok() && !is_cancelled()).count();
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || {
            let error = sheet.with(&CallOptions::new().cancel(&cancel)).call(|_| works()).unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_CANCELED, Outcome::MayHaveRun));
            sheet.call(|_| assert!(!is_cancelled())).unwrap();
        });
        stage.until(excel.apartment(), like!(Began));
        stage.clock.advance(millis(100));
        cancel.cancel();
        tick.send(()).expect("the callee works");
        customer.join().expect("the customer's own asserts");
    });
    stage.end();
    Ok(())
}

fn ca_2_cancelled_in_the_queue(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, letter) = (excel.create(|| Workbook)?, excel.create(|| Letter)?);
    let cancel = CancelHandle::new();
    stage.hide(Topic::Objects);
    stage.begin();
    let (key, closed) = gate();
    letter.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    thread::scope(|scope| {
        let customer = stage
            .actor(scope, "customer", || sheet.with(&CallOptions::new().cancel(&cancel)).call(|_| ()).unwrap_err());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.later();
        cancel.cancel();
        let error = customer.join().expect("the customer's call only fails");
        assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_CANCELED, Outcome::NotStarted));
    });
    stage.later();
    key.open();
    stage.until(excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn ca_3_deadline_is_inherited(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let db = stage.sta("db").spawn()?;
    let (letter, sheet, table) = (word.create(|| Letter)?, excel.create(|| Workbook)?, db.create(|| Table)?);
    stage.begin();
    let (tick, ticks) = unbounded::<()>();
    let error = thread::scope(|scope| {
        let finds = || {
            ticks.recv().expect("it is told when it has been asked to stop");
            assert!(is_cancelled());
        };
        scope.spawn(|| {
            stage.until(excel.apartment(), like!(Began));
            stage.clock.advance(millis(100));
            tick.send(()).expect("excel waits for it");
            stage.until(db.apartment(), like!(Began));
            stage.clock.advance(millis(200));
            stage.until(excel.apartment(), like!(CancelAsked));
            stage.until(db.apartment(), like!(CancelAsked));
            tick.send(()).expect("db waits for it");
        });
        let asks = || {
            ticks.recv().expect("it is told when 100 ms are over");
            table.call(|_| finds()).unwrap_err().hresult()
        };
        letter.call(|_| sheet.within(millis(300)).call(|_| assert_eq!(asks(), hresult::TIMED_OUT)).unwrap_err())
    })?;
    assert_eq!(error.hresult(), hresult::TIMED_OUT);
    stage.end();
    Ok(())
}

/// A result that stays alive until it is dropped.
struct Sum;

fn ca_2_owned_call_is_left(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    let cancel = CancelHandle::new();
    stage.begin();
    let (key, closed) = gate();
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || {
            let works = move |_: &Workbook| {
                closed.pass();
                Sum
            };
            sheet.with(&CallOptions::new().cancel(&cancel)).call_owned(works).map(drop).unwrap_err()
        });
        stage.until(excel.apartment(), like!(Began));
        stage.clock.advance(millis(100));
        cancel.cancel();
        let error = customer.join().expect("the customer's call only fails");
        assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_CANCELED, Outcome::MayHaveRun));
    });
    stage.clock.advance(millis(400));
    key.open();
    stage.until(excel.apartment(), like!(Ended));
    stage.until(excel.apartment(), like!(ResultDropped));
    stage.end();
    Ok(())
}

fn ca_3_deadline_in_the_queue(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, letter) = (excel.create(|| Workbook)?, excel.create(|| Letter)?);
    stage.begin();
    let (key, closed) = gate();
    letter.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || sheet.within(millis(100)).call(|_| ()).unwrap_err());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.until_any(|event| matches!(event.what, apartment::What::WaitBegan { .. }));
        stage.clock.advance(millis(100));
        let error = customer.join().expect("the customer's call only fails");
        assert_eq!((error.hresult(), error.outcome()), (hresult::TIMED_OUT, Outcome::NotStarted));
    });
    stage.later();
    key.open();
    stage.until(excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn ck_7_future_dropped_before_its_start(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, letter) = (excel.create(|| Workbook)?, excel.create(|| Letter)?);
    stage.begin();
    let (key, closed) = gate();
    letter.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    stage.later();
    let call = sheet.call_async(|_| panic!("it does not run"));
    stage.later();
    drop(call);
    stage.later();
    key.open();
    stage.until(excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn ck_7_future_dropped_while_it_runs(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    let (key, closed) = gate();
    let call = sheet.call_async(move |_| {
        closed.pass();
        assert!(!is_cancelled());
        Sum
    });
    stage.until(excel.apartment(), like!(Began));
    stage.later();
    drop(call);
    stage.later();
    key.open();
    stage.until(excel.apartment(), like!(ResultDropped));
    stage.end();
    Ok(())
}
