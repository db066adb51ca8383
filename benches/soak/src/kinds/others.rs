//! Workers, signals, and who looks on.

use super::{failed, is};
use crate::census::{Errand, accepted};
use crate::desk::{Desk, MEANT};
use crate::driver::Driver;
use anyhow::{Result, ensure};
use apartment::{CallError, Signal, What, Worker, wait_all, wait_any};
use std::time::Duration;

/// Threads that call back while they are joined.
pub(super) fn workers(driver: &mut Driver<'_>) -> Result<u64> {
    let desk = driver.stop();
    let (worker, errand) = (Worker::builder("worker").stack_size(1 << 18), Errand::certain());
    let worker = worker.spawn(move || {
        errand.run();
        desk.add(1)
    })?;
    accepted();
    ensure!(worker.join()?.expect("it does not panic")? == 2);
    if driver.rng.u8(..4) == 0 {
        let worker = Worker::spawn("panics", || panic!("{MEANT}"))?;
        ensure!(worker.join()?.is_err(), "its panic is lost");
    }
    Ok(1)
}

/// Set by others while this thread waits.
pub(super) fn signals(driver: &mut Driver<'_>) -> Result<u64> {
    let (one, other, both) = (Signal::auto(), Signal::auto(), Signal::manual());
    let (desk, shy) = (&driver.own.small_desk, &driver.own.shy_desk);
    let (sets, then) = (one.clone(), both.clone());
    desk.post(move |_| {
        sets.set();
        then.set();
    })
    .map_err(CallError::from)?;
    let sets = other.clone();
    shy.post(move |_| sets.set()).map_err(CallError::from)?;
    wait_all(&[&one, &other], None)?;
    ensure!(!one.is_set() && !other.is_set(), "an auto-reset signal stays set");
    ensure!(wait_any(&[&one, &both, &other], None)? == 1, "another signal was taken");
    is!(failed(wait_any(&[&one, &other], Some(Duration::ZERO)))?, CallError::CallPending);
    Ok(2)
}

/// Who subscribes for a while sees what happens in its order, or how much was lost.
pub(super) fn subscribers(driver: &mut Driver<'_>) -> Result<u64> {
    let capacity = driver.rng.usize(1..200);
    let events = driver.world.process.subscribe(capacity);
    let recording = (driver.rng.u8(..4) == 0).then(|| driver.world.process.record(500));
    for n in 0..20 {
        ensure!(driver.own.small_desk.add(n)? == n + 1);
    }
    let (mut last, mut seen) = (None, 0);
    while let Some(event) = events.try_next() {
        let lost = matches!(event.what, What::Lost { .. });
        ensure!(lost || last.is_none_or(|last| last < event.seq), "event {} comes after {last:?}", event.seq);
        last = Some(event.seq);
        seen += 1;
        // Others go on, and so could this.
        if seen > 2_000 {
            break;
        }
    }
    ensure!(seen > 0, "nothing was seen of 20 calls");
    if let Some(recording) = recording {
        ensure!(!recording.diagram().to_string().is_empty(), "nothing was drawn of 20 calls");
    }
    Ok(20)
}

/// From outside, from everywhere.
pub(super) fn snapshots(driver: &mut Driver<'_>) -> Result<u64> {
    let desk = driver.stop();
    let process = &driver.world.process;
    let seen = desk.call(|_| process.snapshot())?;
    let names: Vec<_> = seen.apartments.iter().map(|apartment| &*apartment.name.name).collect();
    ensure!(names.contains(&"main"), "nobody sees the main STA, but {names:?}");
    ensure!(seen.to_string().contains("main"), "nobody reads of the main STA");
    Ok(1)
}
