//! Calls, callbacks, third parties, filters, retries: what everything else is made of.

use crate::harness::{Play, scenarios};
use crate::stage::{Answers, gate, hresult, incoming, like, millis, rejected};
use apartment::{
    CallError, CallKind, CallOptions, CallType, CancelHandle, Process, Reentrancy, RejectedCall, Retry, ServerCall,
    Topic, WaitFor, What, is_cancelled,
};
use std::cell::{Cell, RefCell};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;

scenarios! {
    /// The caller's thread stands still; the callee's runs the method, and the answer goes to the caller itself.
    di_1_call_between_stas: "A call from one STA to another", ["DI-1", "CA-1"];
    /// While `word` waits for `excel`, `excel` calls back, and `word` serves that inside its wait.
    di_5_callback: "A callback comes in while its receiver waits", ["DI-5", "CA-1"];
    /// `word` lets in only calls of the chain that is out: the callback runs, the customer's call stays queued until
    /// `word` has come back to its loop.
    di_12_third_party_is_held: "Under same causality a third party is held", ["DI-12", "DI-5"];
    /// Only callbacks of the call that is out are let in by `word`'s filter: they come as `Nested`. A third party's call
    /// comes as `TopLevelCallPending`, and is refused.
    mf_3_third_party_is_refused: "A third party is refused while a callback is let in", ["MF-3", "MF-4", "MF-5", "DI-5"];
    /// `excel` has room for one, and does not serve: the third post is refused at once, nothing of it is queued, and its
    /// closure comes back to its sender.
    mb_2_full_mailbox: "A full mailbox refuses at once", ["MB-2", "MB-1"];
    /// `excel` is busy at first. The caller's own policy is asked, waits 150 ms, and the second attempt is let in.
    mf_6_retry_later: "Busy once, retried after 150 ms", ["MF-6"];
    /// `excel`'s filter is asked three times, and the method runs once: `word`'s filter tries again at once, then after
    /// 150 ms. A refused call holds no room meanwhile.
    mf_6_retry_twice: "Busy twice: retried at once, then after 150 ms", ["MF-6", "MF-2", "MF-7"];
    /// Nobody on the caller's side has a say, so the refusal is the call's result. The method has not run.
    mf_5_rejected_without_a_filter: "Rejected, and the caller has no filter", ["MF-5", "CA-4"];
    /// The caller's filter is asked about a refusal, and gives up at the second.
    mf_6_rejected_with_a_filter: "Rejected, and the caller's filter gives up at the second time", ["MF-6", "MF-5"];
    /// The callee needs 500 ms. After 100 ms its call is cancelled: it is asked to stop, sees that and returns, and its
    /// caller, which lent it something, gets `CallCanceled` then. The next call is as any other.
    ca_2_cancel_while_it_runs: "Cancelled after 100 of 500 ms, and the next call is clean", ["CA-2", "CK-5"];
    /// The reply to `word`'s first call is there after 100 ms, but `word` serves another call inside that wait, which itself
    /// waits: the outer call returns when the inner one has ended.
    di_6_early_reply: "An early reply waits for the wait within", ["DI-6", "DI-5"];
    /// A draft is borrowed by a call that is out. A third party's `call_mut` on it is told to try again, and runs when the
    /// draft is free.
    di_13_busy_object: "A third party's `call_mut` on a busy object is retried, then runs", ["DI-13", "MF-6"];
    /// Both let in only their own chains, so neither could serve the other. The call that would close the ring fails at
    /// once and has not run; the other chain completes.
    dl_1_crossed_chains: "Two chains that cross: one of them is told", ["DL-1", "DL-2", "DI-12"];
    /// A method asks its own apartment to quit: its caller gets the result, then the objects are dropped on their thread.
    lt_6_quit_inside_a_method: "Quit asked for inside a method", ["LT-6", "LT-2"];
    /// Three calls are queued when `excel` is asked to quit: all are served, a fourth finds the door closed.
    lt_2_queued_at_shutdown: "Callers queued at the shutdown are all answered", ["LT-2", "MB-8", "LT-3"];
    /// `word` rejects everything, and its object is dropped all the same: a release is no call, and no filter is asked.
    lt_1_release_against_a_filter: "The last release, against a filter that rejects everything", ["LT-1", "MF-2"];
    /// The last reference goes on a thread of nobody's. That thread waits for nothing; the destructor runs at home.
    lt_1_release_from_elsewhere: "A release from a foreign thread, with the destructor at home", ["LT-1", "AP-2"];
    /// An apartment ends, and another begins on the same thread under the same name. A proxy of the first is not revived.
    ap_7_remade_apartment: "An apartment made anew on the same thread", ["AP-7", "LT-3"];
}

struct Letter;
struct Invoice;
struct Draft;
struct Total;
struct Table;
struct Workbook;

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

fn mf_3_third_party_is_refused(stage: &Play) -> Result<(), CallError> {
    let only_callbacks = || {
        incoming(|call| match call.call_type {
            CallType::TopLevelCallPending => ServerCall::Rejected,
            _ => ServerCall::Handled,
        })
    };
    let (word, excel) = (stage.sta("word").filter(only_callbacks).spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let invoice = word.create(|| Invoice)?;
    stage.begin();
    thread::scope(|scope| {
        let while_it_waits = || {
            let refused = stage.actor(scope, "customer", || invoice.call(|_| ()).unwrap_err());
            assert_eq!(refused.join().unwrap().hresult(), hresult::CALL_REJECTED);
            stage.later();
            letter.call(|_| ()).unwrap();
        };
        letter.call(|_| sheet.call(|_| while_it_waits()).unwrap())
    })?;
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

/// A filter that refuses the first synchronous calls in these ways.
fn refusing(refusals: &'static [ServerCall]) -> impl FnOnce() -> Answers + Send + 'static {
    move || {
        let left = RefCell::new(refusals.iter());
        incoming(move |call| match call.kind {
            CallKind::Synchronous => left.borrow_mut().next().copied().unwrap_or(ServerCall::Handled),
            _ => ServerCall::Handled,
        })
    }
}

fn mf_6_retry_twice(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").filter(refusing(&[ServerCall::RetryLater; 2])).spawn()?;
    let patient = || rejected(|call| if call.attempts == 1 { Retry::from(0) } else { Retry::from(150) });
    let word = stage.sta("word").filter(patient).spawn()?;
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Cell::new(0))?);
    stage.begin();
    thread::scope(|scope| {
        let fills = || letter.call(|_| sheet.call(|runs| runs.set(runs.get() + 1)).unwrap()).unwrap();
        let filled = stage.actor(scope, "customer", fills);
        stage.until(word.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
        stage.clock.advance(millis(150));
        filled.join().unwrap();
    });
    stage.end();
    assert_eq!(sheet.call(Cell::get)?, 1);
    Ok(())
}

fn mf_5_rejected_without_a_filter(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").filter(refusing(&[ServerCall::Rejected, ServerCall::RetryLater])).spawn()?;
    let (word, sheet) = (stage.sta("word").spawn()?, excel.create(|| Workbook)?);
    let letter = word.create(|| Letter)?;
    stage.begin();
    let refused = letter.call(|_| [0; 2].map(|_| sheet.call(|_| ()).unwrap_err()))?;
    stage.end();
    assert_eq!(refused.map(|error| error.hresult()), [hresult::CALL_REJECTED, hresult::RETRY_LATER]);
    Ok(())
}

fn mf_6_rejected_with_a_filter(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").filter(refusing(&[ServerCall::Rejected; 2])).spawn()?;
    let gives_up = || rejected(|call| if call.attempts == 1 { Retry::Now } else { Retry::GiveUp });
    let (word, sheet) = (stage.sta("word").filter(gives_up).spawn()?, excel.create(|| Workbook)?);
    let letter = word.create(|| Letter)?;
    stage.begin();
    let refused = letter.call(|_| sheet.call(|_| ()).unwrap_err())?;
    stage.end();
    assert_eq!(refused.hresult(), hresult::CALL_REJECTED);
    Ok(())
}

fn ca_2_cancel_while_it_runs(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, total) = (excel.create(|| Workbook)?, excel.create(|| Total)?);
    let cancel = CancelHandle::new();
    let (key, closed) = gate();
    stage.begin();
    thread::scope(|scope| {
        let calls = || {
            let options = CallOptions::new().cancel(&cancel);
            let error = sheet.with(&options).call(|_| {
                closed.pass();
                assert!(is_cancelled());
            });
            assert_eq!(error.unwrap_err().hresult(), hresult::CALL_CANCELED);
            total.call(|_| ()).unwrap();
        };
        let customer = stage.actor(scope, "customer", calls);
        stage.until(excel.apartment(), like!(Began));
        stage.clock.advance(millis(100));
        cancel.cancel();
        stage.clock.advance(millis(400));
        key.open();
        customer.join().unwrap();
    });
    stage.end();
    Ok(())
}

fn di_6_early_reply(stage: &Play) -> Result<(), CallError> {
    let [word, excel, db] = [stage.sta("word").spawn()?, stage.sta("excel").spawn()?, stage.sta("db").spawn()?];
    let (letter, invoice) = (word.create(|| Letter)?, word.create(|| Invoice)?);
    let (sheet, table) = (excel.create(|| Workbook)?, db.create(|| Table)?);
    let ((first, early), (second, late)) = (gate(), gate());
    stage.begin();
    thread::scope(|scope| {
        let (early, late) = (&early, &late);
        stage.actor(scope, "author", || letter.call(|_| sheet.call(|_| early.pass()).unwrap()).unwrap());
        stage.until(excel.apartment(), like!(Began));
        stage.actor(scope, "customer", || invoice.call(|_| table.call(|_| late.pass()).unwrap()).unwrap());
        stage.until(db.apartment(), like!(Began));
        stage.clock.advance(millis(100));
        first.open();
        stage.until(excel.apartment(), like!(Ended));
        stage.clock.advance(millis(300));
        second.open();
    });
    stage.end();
    Ok(())
}

fn di_13_busy_object(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (draft, sheet) = (word.create(|| RefCell::new(Draft))?, excel.create(|| Workbook)?);
    let again = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(millis(150)));
    let (key, closed) = gate();
    stage.begin();
    thread::scope(|scope| {
        let closed = &closed;
        let author = || draft.call_ref(|_| sheet.call(|_| closed.pass()).unwrap()).unwrap();
        let author = stage.actor(scope, "author", author);
        stage.until(excel.apartment(), like!(Began));
        stage.later();
        let editor = stage.actor(scope, "editor", || draft.with(&again()).call_mut(|_| ()).unwrap());
        stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::RetryTime, .. }));
        stage.later();
        key.open();
        author.join().unwrap();
        stage.clock.advance(millis(149));
        editor.join().unwrap();
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

fn lt_2_queued_at_shutdown(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, total) = (excel.create(|| Workbook)?, excel.create(|| Total)?);
    let (key, closed) = gate();
    stage.hide(Topic::Objects);
    stage.begin();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    thread::scope(|scope| {
        for (name, nth) in [("first", 2), ("second", 3), ("third", 4)] {
            stage.actor(scope, name, || total.call(|_| ()).unwrap());
            stage.until_nth(nth, excel.apartment(), like!(Queued));
        }
        stage.later();
        excel.quit();
        let late = total.call(|_| ()).unwrap_err();
        assert_eq!(late.hresult(), hresult::DISCONNECTED);
        stage.later();
        key.open();
    });
    stage.until(excel.apartment(), like!(ApartmentEnded));
    stage.end();
    Ok(())
}

fn lt_1_release_against_a_filter(stage: &Play) -> Result<(), CallError> {
    let rejects = || {
        incoming(|call| match call.kind {
            CallKind::Create => ServerCall::Handled,
            _ => ServerCall::Rejected,
        })
    };
    let word = stage.sta("word").filter(rejects).spawn()?;
    let letter = word.create(|| Letter)?;
    stage.begin();
    assert_eq!(letter.call(|_| ()).unwrap_err().hresult(), hresult::CALL_REJECTED);
    stage.later();
    drop(letter);
    stage.until(word.apartment(), like!(ObjectDropped));
    stage.end();
    Ok(())
}

fn lt_1_release_from_elsewhere(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").spawn()?;
    let told = Arc::new(OnceLock::new());
    let tells = Tells { told: Arc::clone(&told), of: stage.process.clone() };
    let letter = word.create(move || tells)?;
    let home = letter.call(|_| thread::current().id())?;
    stage.begin();
    thread::scope(|scope| {
        let word = &word;
        stage.actor(scope, "customer", move || {
            letter.post(|_| ()).unwrap();
            stage.until(word.apartment(), like!(Ended));
            drop(letter);
        });
    });
    stage.until_any(|event| matches!(&event.what, What::Note { text } if **text == *RUNS));
    stage.end();
    assert_eq!(told.get(), Some(&home));
    Ok(())
}

const RUNS: &str = "the destructor runs";

/// Tells where its destructor runs.
struct Tells {
    told: Arc<OnceLock<thread::ThreadId>>,
    of: Process,
}

impl Drop for Tells {
    fn drop(&mut self) {
        self.told.set(thread::current().id()).unwrap();
        self.of.note(RUNS);
    }
}

fn ap_7_remade_apartment(stage: &Play) -> Result<(), CallError> {
    stage.show(Topic::Lives);
    let db = stage.sta("db").spawn()?;
    let table = db.create(|| Table)?;
    let (reference, told) = channel();
    let ((key, closed), (drops, ended)) = (gate(), gate());
    stage.begin();
    thread::scope(|scope| {
        let (closed, ended, told) = (&closed, &ended, &told);
        let remakes = move || {
            let word = stage.sta("word").enter().unwrap();
            let old = word.create(|| Letter).unwrap();
            drop(word);
            let word = stage.sta("word").enter().unwrap();
            let new = word.create(|| Invoice).unwrap();
            reference.send((old.clone(), new.clone())).unwrap();
            table.call(|_| closed.pass()).unwrap();
            ended.pass();
            drop((old, new, word));
        };
        stage.actor(scope, "its thread", remakes);
        let (old, new) = told.recv().unwrap();
        let waits = stage.until(db.apartment(), like!(Began)).call.map(|call| call.id);
        stage.later();
        assert_eq!(old.call(|_| ()).unwrap_err().hresult(), hresult::DISCONNECTED);
        new.call(|_| ()).unwrap();
        stage.later();
        key.open();
        stage.until_any(|event| {
            matches!(event.what, What::Returned { .. }) && event.call.is_some_and(|call| Some(call.id) == waits)
        });
        stage.end();
        drops.open();
    });
    Ok(())
}
