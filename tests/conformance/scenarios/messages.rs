//! Application messages while a call is out.

use super::cast::{Invoice, Letter, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, hresult, like, millis, pending, secs};
use apartment::{
    BusyAnswer, BusyCall, BusyDialogue, BusyState, CallError, MessageClass, PendingAnswer, PendingMessage,
    RejectWhileOut, Sta, StaBuilder, What,
};
use std::thread;

scenarios! {
    /// What the user types while `word` waits stays queued, and is served in order when the call is over.
    di_10_messages_wait_in_order: "Messages wait for the end of the call, in order", ["DI-10", "MB-6"];
    /// Without a filter, painting goes on while a call is out and input stays: nothing is thrown away.
    mf_8_paint_is_served: "Painting goes on during a call", ["MF-8", "DI-10"];
    /// A filter that wants nothing processed: not even painting; switching to the application works all the same.
    mf_8_nothing_but_activation: "A filter lets in nothing but activation", ["MF-8"];
    /// The user presses a key, and the filter takes that as a wish to stop: the call is cancelled.
    mf_8_filter_cancels_the_call: "A filter cancels the call that is out", ["MF-8", "CA-2"];
    /// A filter that wants to be asked again about the same message after 200 ms, and cancels then.
    mf_8_asked_again: "Asked again about the same message", ["MF-8", "CA-2"];
    /// While a guard is held, callers are told to come back later.
    mf_10_busy_guard: "Busy as long as a guard is held", ["MF-10", "MF-5"];
    /// With the standard filter third parties are sent away while a call is out, callbacks are not.
    mf_10_reject_while_out: "Third parties are sent away while a call is out", ["MF-10", "MF-3"];
    /// What is typed ahead stays for three seconds. Then somebody is asked whether to go on, and what was typed is thrown
    /// away, for it was not meant for that question.
    mf_10_busy_dialogue_throws_input_away: "The busy dialogue is shown", ["MF-10", "MF-8"];
}

/// `word` waits for `excel` while that happens; then that many messages are served.
fn while_out(
    stage: &Play,
    word: StaBuilder,
    happens: impl FnOnce(&Sta),
    left: usize,
) -> Result<Result<(), CallError>, CallError> {
    let (word, excel) = (word.spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.begin();
    let (key, closed) = gate();
    let result = thread::scope(|scope| {
        let call = stage.actor(scope, "customer", || letter.call(|_| sheet.call(|_| closed.pass())).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        happens(&word);
        stage.later();
        key.open();
        call.join().expect("no panic")
    });
    if left > 0 {
        stage.until_nth(left, word.apartment(), like!(MessageEnded));
    }
    stage.end();
    Ok(result)
}

/// `word`, with a filter that answers so.
fn answering(stage: &Play, answer: fn(&PendingMessage) -> PendingAnswer) -> StaBuilder {
    stage.sta("word").filter(move || pending(answer))
}

fn send(word: &Sta, class: MessageClass) {
    word.apartment().post_message(class, || ()).unwrap();
}

/// Sends a message, and waits until the filter has been asked that many times.
fn asked(stage: &Play, word: &Sta, class: MessageClass, times: usize) {
    send(word, class);
    stage.until_nth(times, word.apartment(), like!(PendingAsked));
    stage.later();
}

/// Until the callee has been asked to stop.
fn cancelled(stage: &Play) {
    stage.until_any(|event| matches!(event.what, What::CancelAsked { .. }));
}

fn di_10_messages_wait_in_order(stage: &Play) -> Result<(), CallError> {
    let types = |word: &Sta| {
        for class in [MessageClass::Input, MessageClass::User, MessageClass::Input] {
            send(word, class);
            stage.later();
        }
    };
    while_out(stage, stage.sta("word"), types, 3)?
}

fn mf_8_paint_is_served(stage: &Play) -> Result<(), CallError> {
    let types = |word: &Sta| {
        send(word, MessageClass::Input);
        stage.later();
        send(word, MessageClass::Paint);
        stage.until(word.apartment(), like!(MessageEnded));
    };
    while_out(stage, stage.sta("word"), types, 2)?
}

fn mf_8_nothing_but_activation(stage: &Play) -> Result<(), CallError> {
    let types = |word: &Sta| {
        asked(stage, word, MessageClass::Paint, 1);
        asked(stage, word, MessageClass::Activation, 2);
        stage.until(word.apartment(), like!(MessageEnded));
    };
    while_out(stage, answering(stage, |_| PendingAnswer::wait_no_process()), types, 2)?
}

fn mf_8_filter_cancels_the_call(stage: &Play) -> Result<(), CallError> {
    let types = |word: &Sta| {
        send(word, MessageClass::Input);
        cancelled(stage);
    };
    let error = while_out(stage, answering(stage, |_| PendingAnswer::cancel_call()), types, 1)?.unwrap_err();
    assert_eq!(error.hresult(), hresult::CALL_CANCELED);
    Ok(())
}

fn mf_8_asked_again(stage: &Play) -> Result<(), CallError> {
    let patient = |message: &PendingMessage| match message.elapsed {
        elapsed if elapsed < millis(200) => PendingAnswer::wait_def_process().ask_again_after(millis(200)),
        _ => PendingAnswer::cancel_call(),
    };
    let types = |word: &Sta| {
        send(word, MessageClass::Input);
        stage.until(word.apartment(), like!(PendingAsked));
        stage.clock.advance(millis(200));
        cancelled(stage);
    };
    let error = while_out(stage, answering(stage, patient), types, 1)?.unwrap_err();
    assert_eq!(error.hresult(), hresult::CALL_CANCELED);
    Ok(())
}

fn mf_10_busy_guard(stage: &Play) -> Result<(), CallError> {
    let busy = BusyState::new();
    let filter = busy.clone();
    let excel = stage.sta("excel").filter(move || filter).spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    let guard = busy.begin();
    stage.note("excel is busy");
    assert_eq!(sheet.call(|_| ()).unwrap_err().hresult(), hresult::RETRY_LATER);
    stage.later();
    drop(guard);
    stage.note("excel is free");
    sheet.call(|_| ())?;
    stage.end();
    Ok(())
}

fn mf_10_reject_while_out(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").filter(RejectWhileOut::new).spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, invoice) = (word.create(|| Letter)?, excel.create(|| Workbook)?, word.create(|| Invoice)?);
    stage.begin();
    thread::scope(|scope| {
        let while_it_waits = || {
            let customer = stage.actor(scope, "customer", || invoice.call(|_| ()).unwrap_err().hresult());
            assert_eq!(customer.join().expect("no panic"), hresult::RETRY_LATER);
            stage.later();
            letter.call(|_| ()).unwrap();
        };
        letter.call(|_| sheet.call(|_| while_it_waits()).unwrap())
    })?;
    stage.end();
    Ok(())
}

fn mf_10_busy_dialogue_throws_input_away(stage: &Play) -> Result<(), CallError> {
    let process = stage.process.clone();
    let dialogue = move || {
        BusyDialogue::new(move |busy: &BusyCall| {
            process.note(format!("{busy}: go on?"));
            BusyAnswer::GoOn
        })
    };
    let types = |word: &Sta| {
        asked(stage, word, MessageClass::Input, 1);
        asked(stage, word, MessageClass::Input, 2);
        stage.clock.advance(secs(3) - millis(3));
        stage.until_nth(3, word.apartment(), like!(PendingAsked));
    };
    while_out(stage, stage.sta("word").filter(dialogue), types, 0)?
}
