//! Strict rules: COM's to the letter. What is named after them is played in a process that has them.

use super::cast::{Letter, Workbook};
use crate::harness::{Play, scenarios};
use apartment::{CallError, Topic};
use std::thread;

scenarios! {
    /// There is no MTA, and the customer's thread has entered no apartment: it may not call.
    st_1_thread_in_no_apartment: "Strict rules: a thread that has entered no apartment", ["ST-1"];
    /// A reference belongs to the apartment that got it. `word` may not use it as it is; carried there in a packet it is
    /// `word`'s.
    st_2_reference_of_another_apartment: "Strict rules: a reference is used where it does not belong", ["ST-2", "MA-2"];
}

fn st_1_thread_in_no_apartment(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let here = stage.sta("here").enter()?;
    let sheet = excel.create(|| Workbook)?;
    stage.begin();
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || {
            assert!(matches!(sheet.call(|_| ()), Err(CallError::NotInitialized)));
        });
        customer.join().expect("no panic");
    });
    stage.end();
    drop(sheet);
    here.leave();
    Ok(())
}

fn st_2_reference_of_another_apartment(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let here = stage.sta("here").enter()?;
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.show(Topic::Packets);
    stage.begin();
    let error = letter.call(|_| sheet.call(|_| ()).unwrap_err())?;
    assert!(matches!(error, CallError::WrongThread), "{error}");
    stage.later();
    let packet = sheet.marshal()?;
    letter.call(|_| packet.unmarshal()?.call(|_| ()))??;
    stage.end();
    drop((letter, sheet));
    here.leave();
    Ok(())
}
