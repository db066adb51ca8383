//! What filters answer, and what becomes of who was refused.

use super::cast::{Invoice, Letter, Workbook, answers, lets_retry, refuses};
use crate::harness::{Play, scenarios};
use crate::stage::{Answers, hresult, incoming, like, millis};
use apartment::{CallError, CallOptions, CallType, Outcome, RejectedCall, Retry, ServerCall, WaitFor, What};
use std::cell::{Cell, RefCell};
use std::thread;

scenarios! {
    /// `excel` is busy twice. `word`'s filter says at once, then after 150 ms; `excel`'s filter is asked three times,
    /// the method runs once.
    mf_6_retry_twice: "Busy twice, retried at once and after 150 ms", ["MF-6", "MF-2"];
    /// A caller without a filter is not asked: the call fails, and its method has not run.
    mf_5_rejected_without_a_filter: "Rejected, and no filter at the caller", ["MF-5"];
    /// As busy, a caller without a filter learns that it might try again; nobody tries for it.
    mf_5_busy_without_a_filter: "Busy, and no filter at the caller", ["MF-5"];
    /// The caller's filter is asked, and gives up.
    mf_6_rejected_and_given_up: "Rejected, and the caller's filter gives up", ["MF-6"];
    /// A refusal for good is tried again all the same, if the caller's filter says so.
    mf_6_rejected_and_retried: "Rejected, and the caller's filter tries again", ["MF-6"];
    /// While `word` waits for `excel` its filter refuses the customer, who is of another causality, and lets in the
    /// callback, which is of its own.
    mf_3_third_party_is_refused: "A third party is refused, the callback is let in", ["MF-3", "DI-5", "MF-5"];
    /// The customer finds `total` borrowed by a call that waits for `excel`. It is told so as if `word` were busy, tries
    /// again after 150 ms, and gets its turn.
    di_13_busy_object_is_retried: "Somebody else has borrowed the object", ["DI-13", "MF-6"];
    /// The call that holds the object waits for this very call: trying again could not help, so nobody is asked.
    di_13_own_ancestor_holds_the_object: "The object is borrowed further up in the same chain", ["DI-13"];
}

/// How often it was called.
struct Counter(Cell<u32>);

/// A sum that is borrowed to change it.
struct Total(u32);

fn mf_6_retry_twice(stage: &Play) -> Result<(), CallError> {
    let answers = || answers([Retry::Now, Retry::After(millis(150))]);
    let excel = stage.sta("excel").filter(|| refuses(2, ServerCall::RetryLater)).spawn()?;
    let word = stage.sta("word").filter(answers).spawn()?;
    let (sheet, letter) = (excel.create(|| Counter(Cell::new(0)))?, word.create(|| Letter)?);
    stage.begin();
    thread::scope(|scope| {
        lets_retry(stage, scope, millis(150), word.apartment());
        letter.call(|_| sheet.call(|runs| runs.0.set(runs.0.get() + 1)).unwrap())
    })?;
    stage.end();
    assert_eq!(stage.count(excel.apartment(), like!(Filtered)), 3);
    assert_eq!(sheet.call(|runs| runs.0.get())?, 1);
    Ok(())
}

/// A caller and a callee with these filters.
fn refused(
    stage: &Play,
    with: ServerCall,
    filter: Option<fn() -> Answers>,
) -> Result<Result<(), CallError>, CallError> {
    let excel = stage.sta("excel").filter(move || refuses(1, with)).spawn()?;
    let word = stage.sta("word");
    let word = match filter {
        Some(filter) => word.filter(filter),
        None => word,
    };
    let word = word.spawn()?;
    let (sheet, letter) = (excel.create(|| Workbook)?, word.create(|| Letter)?);
    stage.begin();
    let result = letter.call(|_| sheet.call(|_| ()))?;
    stage.end();
    Ok(result)
}

fn mf_5_rejected_without_a_filter(stage: &Play) -> Result<(), CallError> {
    let error = refused(stage, ServerCall::Rejected, None)?.unwrap_err();
    assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_REJECTED, Outcome::NotStarted));
    Ok(())
}

fn mf_5_busy_without_a_filter(stage: &Play) -> Result<(), CallError> {
    let error = refused(stage, ServerCall::RetryLater, None)?.unwrap_err();
    assert_eq!((error.hresult(), error.outcome()), (hresult::RETRY_LATER, Outcome::NotStarted));
    Ok(())
}

fn mf_6_rejected_and_given_up(stage: &Play) -> Result<(), CallError> {
    let error = refused(stage, ServerCall::Rejected, Some(|| answers([Retry::GiveUp])))?.unwrap_err();
    assert_eq!(error.hresult(), hresult::CALL_REJECTED);
    Ok(())
}

fn mf_6_rejected_and_retried(stage: &Play) -> Result<(), CallError> {
    refused(stage, ServerCall::Rejected, Some(|| answers([Retry::Now])))?
}

fn mf_3_third_party_is_refused(stage: &Play) -> Result<(), CallError> {
    let filter = || {
        incoming(|call| match call.call_type {
            CallType::TopLevelCallPending => ServerCall::Rejected,
            _ => ServerCall::Handled,
        })
    };
    let word = stage.sta("word").filter(filter).spawn()?;
    let excel = stage.sta("excel").spawn()?;
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let invoice = word.create(|| Invoice)?;
    stage.begin();
    thread::scope(|scope| {
        let while_it_waits = || {
            let customer = stage.actor(scope, "customer", || invoice.call(|_| ()).unwrap_err().hresult());
            assert_eq!(customer.join().unwrap(), hresult::CALL_REJECTED);
            stage.later();
            letter.call(|_| ()).unwrap();
        };
        letter.call(|_| sheet.call(|_| while_it_waits()).unwrap())
    })?;
    stage.end();
    Ok(())
}

fn di_13_busy_object_is_retried(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (total, sheet) = (word.create(|| RefCell::new(Total(0)))?, excel.create(|| Workbook)?);
    stage.begin();
    thread::scope(|scope| {
        let while_it_is_held = || {
            stage.later();
            stage.actor(scope, "customer", || {
                let again = CallOptions::new().retry(|_: &RejectedCall| Retry::After(millis(150)));
                total.with(&again).call_mut(|total| total.0 += 1).unwrap();
            });
            stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::RetryTime, .. }));
            stage.later();
        };
        total.call_mut(|total| {
            sheet.call(|_| while_it_is_held()).unwrap();
            total.0 += 10;
        })?;
        stage.clock.advance(millis(149));
        Ok::<_, CallError>(())
    })?;
    stage.end();
    assert_eq!(total.call_ref(|total| total.0)?, 11);
    Ok(())
}

fn di_13_own_ancestor_holds_the_object(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (total, sheet) = (word.create(|| RefCell::new(Total(0)))?, excel.create(|| Workbook)?);
    stage.begin();
    let error = total.call_mut(|_| sheet.call(|_| total.call_mut(|_| ()).unwrap_err()).unwrap())?;
    stage.end();
    assert_eq!((error.hresult(), error.outcome()), (hresult::RETRY, Outcome::NotStarted));
    Ok(())
}
