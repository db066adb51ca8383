//! Calls, callbacks, third parties, filters, retries: what everything else is made of.

use crate::harness::{Play, scenarios};
use crate::stage::{gate, hresult, incoming, like, millis};
use apartment::{CallError, CallKind, CallOptions, Reentrancy, RejectedCall, Retry, ServerCall, Topic, WaitFor};
use std::cell::Cell;
use std::thread;

scenarios! {
    /// The caller's thread stands still; the callee's runs the method, and the answer goes to the caller itself.
    di_1_call_between_stas: "A call from one STA to another", ["DI-1", "CA-1"];
    /// While `word` waits for `excel`, `excel` calls back, and `word` serves that inside its wait.
    di_5_callback: "A callback comes in while its receiver waits", ["DI-5", "CA-1"];
    /// `word` lets in only calls of the chain that is out: the callback runs, the customer's call stays queued until
    /// `word` has come back to its loop.
    di_12_third_party_is_held: "Under same causality a third party is held", ["DI-12", "DI-5"];
    /// `excel` has room for one, and does not serve: the third post is refused at once, nothing of it is queued, and its
    /// closure comes back to its sender.
    mb_2_full_mailbox: "A full mailbox refuses at once", ["MB-2", "MB-1"];
    /// Both let in only their own chains, so neither could serve the other. The call that would close the ring fails at
    /// once and has not run; the other chain completes.
    dl_1_crossed_chains: "Two chains that cross: one of them is told", ["DL-1", "DL-2", "DI-12"];
    /// A method asks its own apartment to quit: its caller gets the result, then the objects are dropped on their thread.
    lt_6_quit_inside_a_method: "Quit asked for inside a method", ["LT-6", "LT-2"];
    /// `excel` is busy at first. The caller's own policy is asked, waits 150 ms, and the second attempt is let in.
    mf_6_retry_later: "Busy once, retried after 150 ms", ["MF-6"];
}

struct Letter;
struct Invoice;
struct Workbook;
struct Total;

fn di_1_call_between_stas(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.begin();
    letter.call(|_| sheet.call(|_| ()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_5_callback(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.begin();
    letter.call(|_| sheet.call(|_| letter.call(|_| ()).unwrap()).unwrap())?;
    stage.end();
    Ok(())
}

fn di_12_third_party_is_held(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").reentrancy(Reentrancy::SameCausality).spawn()?;
    let excel = stage.sta("excel").spawn()?;
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let invoice = word.create(|| Invoice)?;
    stage.begin();
    thread::scope(|scope| {
        let while_it_waits = || {
            stage.actor(scope, "customer", || invoice.call(|_| ()).unwrap());
            stage.until(word.apartment(), like!(Held));
            letter.call(|_| ()).unwrap();
        };
        letter.call(|_| sheet.call(|_| while_it_waits()).unwrap())
    })?;
    stage.end();
    Ok(())
}

fn mb_2_full_mailbox(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").capacity(1).spawn()?;
    let (sheet, letter) = (excel.create(|| Workbook)?, excel.create(|| Letter)?);
    stage.hide(Topic::Objects);
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    sheet.post(|_| ())?;
    let refused = letter.post(|_| ()).unwrap_err();
    assert_eq!(refused.error().hresult(), hresult::SYS_CALL_FAILED);
    stage.later();
    key.open();
    stage.until_nth(2, excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn lt_6_quit_inside_a_method(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.show(Topic::Lives);
    stage.begin();
    sheet.call(|_| excel.quit())?;
    stage.until(excel.apartment(), like!(ThreadLeft));
    stage.end();
    Ok(())
}

fn mf_6_retry_later(stage: &Play) -> Result<(), CallError> {
    once_refused(stage, ServerCall::RetryLater)
}

/// A callee that refuses the first attempt in this way, and a caller that tries again after 150 ms.
pub(crate) fn once_refused(stage: &Play, refusal: ServerCall) -> Result<(), CallError> {
    let filter = move || {
        let refused = Cell::new(false);
        incoming(move |call| match call.kind {
            CallKind::Synchronous if !refused.replace(true) => refusal,
            _ => ServerCall::Handled,
        })
    };
    let excel = stage.sta("excel").filter(filter).spawn()?;
    let (word, sheet) = (stage.sta("word").spawn()?, excel.create(|| Workbook)?);
    let letter = word.create(|| Letter)?;
    stage.begin();
    let again = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(millis(150)));
    thread::scope(|scope| {
        let fills = || letter.call(|_| sheet.with(&again()).call(|_| ()).unwrap()).unwrap();
        let filled = stage.actor(scope, "customer", fills);
        stage.until(word.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
        stage.clock.advance(millis(150));
        filled.join().unwrap();
    });
    stage.end();
    Ok(())
}

fn dl_1_crossed_chains(stage: &Play) -> Result<(), CallError> {
    let same = |name| stage.sta(name).reentrancy(Reentrancy::SameCausality);
    let (word, excel) = (same("word").spawn()?, same("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let (invoice, total) = (word.create(|| Invoice)?, excel.create(|| Total)?);
    // Whether the others see, before that, what they hold is open.
    stage.hide(Topic::Holds);
    let (key, closed) = gate();
    let counts = || {
        closed.pass();
        assert_eq!(invoice.call(|_| ()).unwrap_err().hresult(), 0x8004_E005);
    };
    stage.begin();
    thread::scope(|scope| {
        stage.actor(scope, "accountant", || sheet.call(|_| counts()).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        stage.actor(scope, "author", || letter.call(|_| total.call(|_| ()).unwrap()).unwrap());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.later();
        key.open();
    });
    stage.end();
    Ok(())
}
