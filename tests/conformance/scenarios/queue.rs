//! The mailbox: who comes in, who is refused, who waits for room.

use super::cast::{Chart, Invoice, Letter, Table, Workbook, focus};
use crate::harness::{Play, scenarios};
use crate::stage::{gate, like};
use apartment::{CallError, CallOptions, CancelHandle, Reentrancy, Topic, WaitFor, What};
use std::cell::Cell;
use std::thread;

scenarios! {
    /// What one sender sends is served in the order in which it was sent.
    mb_6_order_of_one_sender: "The order of one sender is kept", ["MB-6", "CK-2"];
    /// Two customers wait for the one place, and get it in the order in which they came. Who does not want to wait cannot
    /// overtake them.
    mb_3_waiters_for_room: "Who waits for room gets it in turn", ["MB-3", "MB-2"];
    /// `word`'s mailbox is full. The callback of the chain that it waits for needs no room, and neither does the reply.
    mb_4_callback_through_a_full_mailbox: "A callback and a reply pass a full mailbox", ["MB-4", "DI-12"];
    /// Of a full mailbox a queued call is cancelled: its room is free at once.
    mb_7_cancelled_call_frees_its_room: "A cancelled call frees its room", ["MB-7", "CA-2"];
    /// What the policy holds keeps its room: `word`'s mailbox fills while it waits.
    mb_5_held_entries_keep_their_room: "What is held keeps its room", ["MB-5", "DI-12", "MB-2"];
    /// An input-synchronized call goes ahead of everything that is queued.
    ck_3_input_synchronized_goes_first: "An input-synchronized call overtakes the queue", ["CK-3", "MB-6"];
    /// While an STA is busy calls wait; none is lost.
    di_3_calls_wait_for_a_busy_sta: "Calls wait while an STA is busy", ["DI-3", "DI-1"];
    /// Asked to quit behind three posts, `excel` serves them all before it ends.
    lt_2_posts_before_the_quit: "Posts that were accepted run before the quit", ["LT-2", "MB-8"];
}

fn mb_6_order_of_one_sender(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, chart, table) = (excel.create(|| Workbook)?, excel.create(|| Chart)?, excel.create(|| Table)?);
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    chart.post(|_| ())?;
    table.post(|_| ())?;
    stage.later();
    key.open();
    stage.until_nth(3, excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn mb_3_waiters_for_room(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").capacity(1).spawn()?;
    let (sheet, chart, table) = (excel.create(|| Workbook)?, excel.create(|| Chart)?, excel.create(|| Table)?);
    let patient = || CallOptions::new().wait_for_room();
    // It ends when the other one knows of the room that it gave back as it began.
    let until_the_other_knows = |_: &Chart| wait_for(stage, 2, WaitFor::Reply);
    stage.begin();
    let (first_key, first) = gate();
    let (second_key, second) = gate();
    sheet.post(move |_| first.pass())?;
    stage.until(excel.apartment(), like!(Began));
    sheet.post(move |_| second.pass())?;
    stage.later();
    thread::scope(|scope| {
        stage.actor(scope, "first", || chart.with(&patient()).call(until_the_other_knows).unwrap());
        wait_for(stage, 1, WaitFor::Room);
        stage.later();
        stage.actor(scope, "second", || table.with(&patient()).call(|_| ()).unwrap());
        wait_for(stage, 2, WaitFor::Room);
        stage.later();
        sheet.post(|_| ()).unwrap_err();
        stage.later();
        first_key.open();
        wait_for(stage, 1, WaitFor::Reply);
        stage.later();
        second_key.open();
    });
    stage.end();
    Ok(())
}

/// Until that many have come to wait for it, having waited for something else.
fn wait_for(stage: &Play, many: usize, what: WaitFor) {
    let turns = Cell::new(0);
    stage.until_any(|event| {
        let turned = matches!(event.what, What::WaitTurned { on, .. } if on == what);
        turns.set(turns.get() + usize::from(turned));
        turned && turns.get() == many
    });
}

fn mb_4_callback_through_a_full_mailbox(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").capacity(1).reentrancy(Reentrancy::SameCausality).spawn()?;
    let excel = stage.sta("excel").spawn()?;
    let (letter, invoice, sheet) = (word.create(|| Letter)?, word.create(|| Invoice)?, excel.create(|| Workbook)?);
    stage.begin();
    letter.call(|_| {
        let answers = |_: &Workbook| {
            invoice.post(|_| ()).unwrap();
            stage.until(word.apartment(), like!(Held));
            stage.later();
            letter.call(|_| ()).unwrap();
        };
        sheet.call(answers).unwrap();
    })?;
    stage.until(word.apartment(), |what| matches!(what, What::Ended { .. }));
    stage.until_nth(3, word.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn mb_7_cancelled_call_frees_its_room(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").capacity(1).spawn()?;
    let (sheet, chart) = (excel.create(|| Workbook)?, excel.create(|| Chart)?);
    let cancel = CancelHandle::new();
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    thread::scope(|scope| {
        let customer = stage.actor(scope, "customer", || {
            chart.with(&CallOptions::new().cancel(&cancel)).call(|_| ()).unwrap_err();
        });
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.later();
        sheet.post(|_| ()).unwrap_err();
        cancel.cancel();
        customer.join().expect("no panic");
    });
    stage.later();
    sheet.post(|_| ())?;
    key.open();
    stage.until_nth(2, excel.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn mb_5_held_entries_keep_their_room(stage: &Play) -> Result<(), CallError> {
    let word = stage.sta("word").capacity(2).reentrancy(Reentrancy::SameCausality).spawn()?;
    let excel = stage.sta("excel").spawn()?;
    let (letter, invoice, sheet) = (word.create(|| Letter)?, word.create(|| Invoice)?, excel.create(|| Workbook)?);
    stage.begin();
    letter.call(|_| {
        let fills = |_: &Workbook| {
            for nth in 1..=2 {
                invoice.post(|_| ()).unwrap();
                stage.until_nth(nth, word.apartment(), like!(Held));
            }
            invoice.post(|_| ()).unwrap_err();
        };
        sheet.call(fills).unwrap();
    })?;
    stage.until_nth(3, word.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn ck_3_input_synchronized_goes_first(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet, chart) = (word.create(|| Letter)?, excel.create(|| Workbook)?, excel.create(|| Chart)?);
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    chart.post(|_| ())?;
    stage.later();
    let sheet_of_word = sheet.clone();
    letter.post(move |_| focus(&sheet_of_word, |_| ()).unwrap())?;
    stage.until_nth(3, excel.apartment(), like!(Queued));
    stage.later();
    key.open();
    stage.until_nth(3, excel.apartment(), like!(Ended));
    stage.until(word.apartment(), like!(Ended));
    stage.end();
    Ok(())
}

fn di_3_calls_wait_for_a_busy_sta(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, chart, table) = (excel.create(|| Workbook)?, excel.create(|| Chart)?, excel.create(|| Table)?);
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    thread::scope(|scope| {
        stage.actor(scope, "first", || chart.call(|_| ()).unwrap());
        stage.until_nth(2, excel.apartment(), like!(Queued));
        stage.later();
        stage.actor(scope, "second", || table.call(|_| ()).unwrap());
        stage.until_nth(3, excel.apartment(), like!(Queued));
        stage.later();
        key.open();
    });
    stage.end();
    Ok(())
}

fn lt_2_posts_before_the_quit(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let (sheet, chart, table) = (excel.create(|| Workbook)?, excel.create(|| Chart)?, excel.create(|| Table)?);
    stage.show(Topic::Lives);
    stage.hide(Topic::Objects);
    stage.begin();
    let (key, closed) = gate();
    sheet.post(move |_| closed.pass())?;
    stage.until(excel.apartment(), like!(Began));
    chart.post(|_| ())?;
    table.post(|_| ())?;
    stage.later();
    excel.quit();
    stage.later();
    key.open();
    stage.until(excel.apartment(), like!(ThreadLeft));
    stage.end();
    Ok(())
}
