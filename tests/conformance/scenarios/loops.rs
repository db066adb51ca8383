//! Threads that run a loop of their own.

use super::cast::{Chart, Invoice, Letter};
use crate::harness::{Play, scenarios};
use crate::stage::{Gate, gate, like};
use apartment::{Budget, CallError, Doorbell, Proxy, Topic};
use crossbeam_channel::{Sender, bounded};
use std::thread;

scenarios! {
    /// The thread of `ui` runs a loop that is not the library's. A post rings its doorbell; the loop dispatches two of three,
    /// is woken for the rest, and gets to something else in between.
    ap_9_loop_dispatches_with_a_budget: "A loop dispatches with a budget", ["AP-9", "CK-2"];
}

type Objects = (Proxy<Letter>, Proxy<Invoice>, Proxy<Chart>);

fn ap_9_loop_dispatches_with_a_budget(stage: &Play) -> Result<(), CallError> {
    let (made, objects) = bounded(1);
    stage.i_am("main");
    let ((key, turns), (last_key, ends)) = (gate(), gate());
    thread::scope(|scope| {
        let ui = scope.spawn(move || runs(stage, made, [turns, ends]));
        let (letter, invoice, chart) = objects.recv().expect("the loop's thread makes them");
        let apartment = letter.apartment().expect("it lives");
        stage.show(Topic::Waits);
        stage.begin();
        letter.post(|_| ())?;
        invoice.post(|_| ())?;
        chart.post(|_| ())?;
        stage.later();
        key.open();
        stage.until_nth(3, &apartment, like!(Ended));
        stage.end();
        last_key.open();
        ui.join().expect("no panic")
    })
}

/// The loop of `ui`, as much of it as there is to see.
fn runs(stage: &Play, made: Sender<Objects>, [turns, ends]: [Gate; 2]) -> Result<(), CallError> {
    let (doorbell, rings) = Doorbell::new();
    let ui = stage.sta("ui").host(doorbell).enter()?;
    made.send((ui.create(|| Letter)?, ui.create(|| Invoice)?, ui.create(|| Chart)?)).expect("somebody waits for them");
    let dispatch = || {
        rings.recv().expect("the doorbell is there as long as its apartment");
        ui.dispatch(Budget { entries: 2, ..Budget::ALL })
    };
    turns.pass();
    let first = dispatch();
    assert_eq!((first.served, first.more), (2, true));
    stage.later();
    stage.note("the loop sees to something else");
    stage.later();
    assert_eq!(dispatch().served, 1);
    ends.pass();
    Ok(())
}
