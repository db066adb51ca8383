//! Waits for other things than calls.

use super::cast::{Letter, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::{like, millis};
use apartment::{CallError, Serves, Signal, WaitFor, What, Worker, blocking_wait_any, wait_any};
use std::thread;

scenarios! {
    /// `word` waits in a method for a signal, and serves a customer's call meanwhile.
    wa_1_wait_pumps: "A wait for a signal pumps", ["WA-1", "DI-5"];
    /// The other kind of wait serves nothing: the customer's call stays queued until the signal has come.
    wa_1_blocking_wait_does_not_pump: "A blocking wait does not", ["WA-1", "DI-3"];
    /// Nothing came in time.
    wa_2_wait_has_an_end: "A wait comes to its end", ["WA-2"];
    /// The worker needs the STA that joins it: the join serves the worker's call.
    wa_3_join_pumps: "A worker calls the STA that joins it", ["WA-3"];
}

fn waits(stage: &Play, wait: fn(&[&Signal]) -> Result<usize, CallError>, serves: Serves) -> Result<(), CallError> {
    let word = stage.sta("word").spawn()?;
    let (letter, sheet) = (word.create(|| Letter)?, word.create(|| Workbook)?);
    let ready = Signal::manual();
    stage.begin();
    let waits = |what: &What| matches!(what, What::WaitBegan { on: WaitFor::Events, serves: is, .. } if *is == serves);
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || {
            stage.until(word.apartment(), waits);
            stage.later();
            sheet.call(|_| ()).unwrap();
        });
        scope.spawn(|| {
            if serves == Serves::Nothing {
                stage.until_nth(2, word.apartment(), like!(Queued));
            } else {
                // The customer's.
                stage.until_any(|event| matches!(event.what, What::Returned { .. }));
            }
            stage.later();
            stage.note("the signal is set");
            stage.later();
            ready.set();
        });
        letter.call(|_| wait(&[&ready]).unwrap())?;
        customer.join().expect("no panic");
        Ok::<_, CallError>(())
    })?;
    stage.end();
    Ok(())
}

fn wa_1_wait_pumps(stage: &Play) -> Result<(), CallError> {
    waits(stage, |signals| wait_any(signals, None), Serves::Everything)
}

fn wa_1_blocking_wait_does_not_pump(stage: &Play) -> Result<(), CallError> {
    waits(stage, |signals| blocking_wait_any(signals, None), Serves::Nothing)
}

fn wa_2_wait_has_an_end(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").spawn()?;
    let letter = word.create(|| Letter)?;
    stage.begin();
    thread::scope(|scope| {
        super::cast::moves(stage, scope, millis(100), word.apartment(), like!(WaitBegan));
        letter.call(|_| {
            let error = wait_any(&[&Signal::auto()], Some(millis(100))).unwrap_err();
            stage.note("the wait fails: CallPending");
            assert_eq!(error.hresult(), 0x8001_0115);
        })
    })?;
    stage.end();
    Ok(())
}

fn wa_3_join_pumps(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").spawn()?;
    let (letter, sheet) = (word.create(|| Letter)?, word.create(|| Workbook)?);
    let process = stage.process.clone();
    let joining = Signal::manual();
    stage.begin();
    thread::scope(|scope| {
        let join = || {
            let (sheet, starts) = (sheet.clone(), joining.clone());
            let works = move || {
                process.note("I am worker");
                starts_after(&starts);
                sheet.call(|_| ()).unwrap();
            };
            Worker::spawn("worker", works).unwrap().join().unwrap().unwrap();
        };
        scope.spawn(|| {
            stage.until(word.apartment(), like!(WaitBegan { on: WaitFor::Thread }));
            stage.later();
            joining.set();
        });
        letter.call(|_| join())
    })?;
    stage.end();
    Ok(())
}

fn starts_after(signal: &Signal) {
    blocking_wait_any(&[signal], None).expect("it is set");
}
