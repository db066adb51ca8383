//! How objects and apartments end.

use super::cast::{Chart, Letter, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, hresult, incoming, like, secs};
use apartment::{CallError, CallKind, EndHandler, EndRefused, Outcome, Proxy, ServerCall, Topic, WaitFor};
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread;

scenarios! {
    /// `word`'s thread drops the last reference and goes on; the destructor runs on `excel`'s thread.
    lt_1_release_from_another_thread: "The last reference goes on a foreign thread", ["LT-1", "AP-2"];
    /// A release is no call: the filter is not asked, and nothing can refuse it.
    lt_1_release_is_not_rejected: "The last release, against a filter that rejects everything", ["LT-1", "MF-2"];
    /// Two callers are in the queue when `excel` is asked to quit. What was accepted is served, each is answered; who
    /// comes later meets a closed door.
    lt_2_queued_callers_are_served: "Callers queued when the apartment is asked to quit", ["LT-2"];
    /// The owner of the thread panics: callers in the queue learn that the server died before it began.
    lt_3_queued_callers_when_the_owner_panics: "Callers queued when the thread's owner panics", ["LT-3"];
    /// The panic is the call's failure; the apartment serves the next one as if nothing had been.
    lt_4_method_panics: "A method panics", ["LT-4"];
    /// The same thread enters an apartment again. Proxies of the old one stay disconnected, whatever the names.
    ap_7_apartment_is_made_again: "A new apartment on the same thread", ["AP-7", "LT-3"];
    /// Nobody calls a destructor, so its panic is nobody's failure: it is contained and reported.
    lt_4_destructor_panics: "A destructor panics", ["LT-4", "LT-1"];
    /// `word` disconnects an object of `excel` on which a call runs: it waits for that call, and serves others meanwhile.
    /// Later calls find nobody.
    lt_5_disconnecting_waits: "An object is disconnected while a call runs", ["LT-5", "DI-5"];
    /// `word` is asked to quit while it waits: its call comes back with its result, then it ends.
    di_11_quit_during_a_call: "Quit asked for during a call", ["DI-11", "LT-2"];
    /// An apartment that leaves still lets in callbacks of the chain that it waits for, and nobody else.
    lt_2_callback_during_the_leaving: "A callback into an apartment that leaves", ["LT-2", "DI-5"];
    /// Asked whether the process may end, `editor` refuses: nothing has changed, and it serves on.
    lt_8_end_is_refused: "An apartment refuses the end of its process", ["LT-8"];
}

/// Tells where it is dropped.
struct Report;

fn lt_1_release_from_another_thread(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, report) = (word.create(|| Letter)?, excel.create(|| Report)?);
    stage.begin();
    letter.call(move |_| {
        stage.note("word drops the last reference");
        stage.later();
        drop(report);
    })?;
    stage.until(excel.apartment(), like!(ObjectDropped));
    stage.end();
    Ok(())
}

fn lt_1_release_is_not_rejected(stage: &Play) -> Result<(), CallError> {
    let filter =
        || incoming(|call| if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected });
    let excel = stage.sta("excel").filter(filter).spawn()?;
    let report = excel.create(|| Report)?;
    stage.begin();
    assert_eq!(report.call(|_| ()).unwrap_err().hresult(), hresult::CALL_REJECTED);
    stage.note("the caller drops the last reference");
    stage.later();
    drop(report);
    stage.until(excel.apartment(), like!(ObjectDropped));
    stage.end();
    Ok(())
}

fn lt_2_queued_callers_are_served(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, chart) = (excel.create(|| Workbook)?, excel.create(|| Chart)?);
    stage.show(Topic::Lives);
    stage.hide(Topic::Objects);
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    thread::scope(|scope| {
        let calls = |name| stage.actor(scope, name, || chart.call(|_| ()));
        let first = calls("first");
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.later();
        let second = calls("second");
        stage.until_nth(3, excel.apartment(), like!(Queued));
        stage.later();
        excel.quit();
        assert_eq!(chart.call(|_| ()).unwrap_err().hresult(), hresult::DISCONNECTED);
        stage.later();
        key.open();
        first.join().expect("no panic")?;
        second.join().expect("no panic")
    })?;
    stage.until(excel.apartment(), like!(ThreadLeft));
    stage.end();
    Ok(())
}

fn lt_3_queued_callers_when_the_owner_panics(stage: &Play) -> Result<(), CallError> {
    let (tell, told) = channel::<Proxy<Workbook>>();
    let (key, closed) = gate();
    stage.show(Topic::Lives);
    stage.hide(Topic::Objects);
    thread::scope(|scope| {
        let owner = stage.actor(scope, "excel", move || {
            let excel = stage.sta("excel").enter().unwrap();
            tell.send(excel.create(|| Workbook).unwrap()).unwrap();
            closed.pass();
            resume_unwind(Box::new("the owner panics"));
        });
        let sheet = told.recv().expect("the owner makes one");
        let excel = sheet.apartment().expect("it is at home there");
        stage.begin();
        thread::scope(|scope| {
            let first = stage.actor(scope, "first", || sheet.call(|_| ()).unwrap_err());
            stage.until(&excel, like!(Queued));
            stage.later();
            let second = stage.actor(scope, "second", || sheet.call(|_| ()).unwrap_err());
            stage.until_nth(2, &excel, like!(Queued));
            stage.later();
            key.open();
            for caller in [first, second] {
                let error = caller.join().expect("no panic");
                assert_eq!((error.hresult(), error.outcome()), (hresult::SERVER_DIED_DNE, Outcome::NotStarted));
            }
        });
        owner.join().unwrap_err();
        stage.end();
        Ok(())
    })
}

fn lt_4_method_panics(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    let error = sheet.call::<()>(|_| resume_unwind(Box::new("no such cell"))).unwrap_err();
    assert_eq!((error.hresult(), error.outcome()), (hresult::SERVER_FAULT, Outcome::MayHaveRun));
    sheet.call(|_| ())?;
    stage.end();
    Ok(())
}

fn ap_7_apartment_is_made_again(stage: &Play) -> Result<(), CallError> {
    let (tell, told) = channel::<Proxy<Workbook>>();
    stage.show(Topic::Lives);
    stage.i_am("main");
    thread::scope(|scope| {
        let (key, closed) = gate();
        let owner = stage.actor(scope, "owner", move || {
            let old = stage.sta("excel").enter().unwrap();
            tell.send(old.create(|| Workbook).unwrap()).unwrap();
            closed.pass();
            old.leave();
            let new = stage.sta("excel").enter().unwrap();
            tell.send(new.create(|| Workbook).unwrap()).unwrap();
            new.run();
        });
        let old = told.recv().expect("the owner makes one");
        let was = old.apartment().expect("it is at home there");
        stage.begin();
        key.open();
        let new = told.recv().expect("the owner makes another");
        let is = new.apartment().expect("it is at home there");
        assert_ne!(was, is);
        stage.later();
        assert_eq!(old.call(|_| ()).unwrap_err().hresult(), hresult::DISCONNECTED);
        new.call(|_| ())?;
        stage.end();
        drop((old, new));
        is.quit();
        owner.join().expect("no panic");
        Ok(())
    })
}

/// Its destructor panics.
struct Clumsy;

impl Drop for Clumsy {
    fn drop(&mut self) {
        resume_unwind(Box::new("no paper"));
    }
}

fn lt_4_destructor_panics(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, clumsy) = (excel.create(|| Workbook)?, excel.create(|| Clumsy)?);
    stage.begin();
    stage.note("the last reference goes");
    stage.later();
    drop(clumsy);
    stage.until(excel.apartment(), like!(Contained));
    stage.later();
    sheet.call(|_| ())?;
    stage.end();
    Ok(())
}

fn lt_5_disconnecting_waits(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, chart, sheet) = (word.create(|| Letter)?, word.create(|| Chart)?, excel.create(|| Workbook)?);
    stage.begin();
    let (key, closed) = gate();
    let (runs_key, runs) = gate();
    // A call that has begun and has not come to its object yet would find it gone.
    let works = || {
        runs_key.open();
        closed.pass();
    };
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || sheet.call(|_| works()));
        runs.pass();
        stage.later();
        let owner = stage.actor(scope, "owner", || {
            letter.call(|_| {
                stage.note("word disconnects the workbook");
                sheet.disconnect().unwrap();
            })
        });
        stage.until(word.apartment(), like!(WaitBegan { on: WaitFor::Disconnect }));
        stage.later();
        chart.call(|_| ())?;
        stage.later();
        key.open();
        customer.join().expect("no panic")?;
        owner.join().expect("no panic")?;
        stage.later();
        assert_eq!(sheet.call(|_| ()).unwrap_err().hresult(), hresult::DISCONNECTED);
        Ok::<_, CallError>(())
    })?;
    stage.end();
    Ok(())
}

fn di_11_quit_during_a_call(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.show(Topic::Lives);
    stage.hide(Topic::Objects);
    stage.begin();
    letter.call(|_| sheet.call(|_| word.quit()).unwrap())?;
    stage.until(word.apartment(), like!(ThreadLeft));
    stage.end();
    Ok(())
}

fn lt_2_callback_during_the_leaving(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, chart, sheet) = (word.create(|| Letter)?, word.create(|| Chart)?, excel.create(|| Workbook)?);
    stage.show(Topic::Lives);
    stage.hide(Topic::Objects);
    stage.begin();
    let comes_back = || {
        word.quit();
        stage.later();
        chart.call(|_| ()).unwrap();
        stage.later();
        thread::scope(|scope| {
            let late = stage.actor(scope, "late", || chart.call(|_| ()).unwrap_err().hresult());
            assert_eq!(late.join().expect("no panic"), hresult::DISCONNECTED);
        });
        stage.later();
    };
    letter.call(|_| sheet.call(|_| comes_back()).unwrap())?;
    stage.until(word.apartment(), like!(ThreadLeft));
    stage.end();
    Ok(())
}

/// Asked whether the process may end, it refuses.
struct Unsaved;

impl EndHandler for Unsaved {
    fn query_end(&self) -> bool {
        false
    }
}

fn lt_8_end_is_refused(stage: &Play) -> Result<(), CallError> {
    let editor = stage.sta("editor").end_handler(|| Unsaved).spawn()?;
    let letter = editor.create(|| Letter)?;
    stage.begin();
    let refused = stage.process.end(secs(5)).unwrap_err();
    assert!(matches!(refused, EndRefused::By(_)), "{refused}");
    // It has answered before its call has ended.
    stage.until(editor.apartment(), like!(Ended));
    stage.later();
    letter.call(|_| ())?;
    stage.end();
    Ok(())
}
