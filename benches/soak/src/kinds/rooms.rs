//! Full mailboxes.

use super::{failed, is};
use crate::census::{self, Errand, accepted, wrong};
use crate::desk::{Desk, Thing};
use crate::driver::{Driver, ROOM, finish, hold};
use anyhow::{Result, bail, ensure};
use apartment::{AsyncOptions, CallError, CallOptions, PostOptions, Signal, wait_any};
use std::time::Duration;

/// All drivers press into one small mailbox: who waits for room gets it, who does not may be refused.
pub(super) fn shared(driver: &mut Driver<'_>) -> Result<u64> {
    let (number, tight) = (driver.world.targets.len(), &driver.world.tight_desk);
    let (patient, waits) = (PostOptions::new().wait_for_room(), CallOptions::new().wait_for_room());
    for n in 0..16 {
        let (errand, from, note) = (Errand::certain(), driver.index, driver.next_note(number));
        let run = move |desk: &(dyn Desk + 'static)| {
            errand.run();
            desk.note(from, note).expect("an object's own method does not fail");
        };
        let posted = if n % 2 == 0 { tight.with(&patient).post(run) } else { tight.post(run) };
        match posted {
            Ok(()) => {
                accepted();
                driver.noted(number);
            }
            Err(error) => {
                census::refused();
                ensure!(n % 2 == 1, "refused though it waited for room: {}", error.error());
                is!(error.error(), CallError::MailboxFull(_));
            }
        }
    }
    let (noted, sent) = (tight.with(&waits).noted(driver.index)?, driver.next_note(number) - 1);
    ensure!(noted == sent, "{noted} of {sent} posts have run");
    Ok(17)
}

/// Fills its own small apartment, whose thread is held until the signal is set.
fn fill(driver: &Driver<'_>) -> Result<Signal> {
    let desk = &driver.own.small_desk;
    let (begun, go_on) = (Signal::manual(), Signal::manual());
    let (errand, begins, until) = (Errand::certain(), begun.clone(), go_on.clone());
    desk.post(move |_| {
        errand.run();
        begins.set();
        if !hold(&until) {
            wrong("a mailbox was to be full for a moment, and nobody let it go on".into());
        }
    })
    .map_err(CallError::from)?;
    accepted();
    wait_any(&[&begun], None)?;
    for _ in 0..ROOM {
        let errand = Errand::certain();
        desk.post(move |_| errand.run()).map_err(CallError::from)?;
        accepted();
    }
    Ok(go_on)
}

/// What finds it full fails at once, and comes back.
pub(super) fn refused(driver: &mut Driver<'_>) -> Result<u64> {
    let go_on = fill(driver)?;
    let (small, desk) = (&driver.own.small, &driver.own.small_desk);
    let errand = Errand::certain();
    let Err(error) = desk.post(move |_| errand.run()) else { bail!("{ROOM} have room, and one more was let in") };
    let CallError::MailboxFull(full) = error.error() else { bail!("{}", error.error()) };
    ensure!((full.queued, full.capacity) == (ROOM, ROOM), "{full}");
    // Handed back, it can still run.
    let run = error.into_closure();
    run(&Thing::new());
    accepted();
    let mut ran = 0;
    is!(failed(desk.call(|_| ran += 1))?, CallError::MailboxFull(_));
    ensure!(ran == 0, "a call that was refused ran");
    is!(failed(desk.add(1))?, CallError::MailboxFull(_));
    is!(failed(small.create(Thing::new).map(drop))?, CallError::MailboxFull(_));
    if driver.rng.u8(..8) == 0 {
        let options = CallOptions::new().wait_for_room_within(Duration::from_millis(1));
        is!(failed(desk.with(&options).add(1))?, CallError::MailboxFull(_));
    }
    go_on.set();
    ensure!(desk.with(&CallOptions::new().wait_for_room()).add(1)? == 2);
    Ok(ROOM as u64 + 6)
}

/// A post, a call and a future stand in the line, in their order.
pub(super) fn waited_for(driver: &mut Driver<'_>) -> Result<u64> {
    let go_on = fill(driver)?;
    let desk = &driver.own.small_desk;
    let options = AsyncOptions::new().wait_for_room();
    let futures: Vec<_> = (0..4).map(|n| desk.with(&options).call_async(move |desk| desk.add(n))).collect();
    go_on.set();
    let errand = Errand::certain();
    desk.with(&PostOptions::new().wait_for_room()).post(move |_| errand.run()).map_err(CallError::from)?;
    accepted();
    ensure!(desk.with(&CallOptions::new().wait_for_room()).add(1)? == 2);
    for (n, future) in (0..).zip(futures) {
        ensure!(finish(future)?? == n + 1);
    }
    Ok(ROOM as u64 + 7)
}
