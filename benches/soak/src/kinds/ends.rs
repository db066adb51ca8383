//! Apartments and processes that begin and end, while calls are under way.

use super::{failed, is};
use crate::census::{Errand, accepted, refused, wrong};
use crate::desk::{At, Desk, MEANT, Shared, Thing};
use crate::driver::{Driver, finish, hold};
use crate::watch::{LONG, Shown};
use anyhow::{Result, anyhow, bail, ensure};
use apartment::{
    CallError, EndHandler, EndRefused, Process, Reentrancy, Signal, Sta, WhyDisconnected, WhyRefused, Worker,
};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;

/// Made, called, asked to quit or dropped, and gone.
pub(super) fn apartments(driver: &mut Driver<'_>) -> Result<u64> {
    let (process, index) = (&driver.world.process, driver.index);
    let sta = process.sta(format!("brief {index}")).spawn()?;
    let desk: At = sta.create(Thing::new)?.cast();
    let posts = driver.rng.u64(..32);
    for _ in 0..posts {
        let errand = Errand::certain();
        desk.post(move |_| errand.run()).map_err(CallError::from)?;
        accepted();
    }
    if driver.rng.bool() {
        sta.quit();
        let Err(CallError::Disconnected(told)) = desk.add(1) else { bail!("it was asked to quit") };
        ensure!(told.why != WhyDisconnected::ObjectGone, "{told}");
        sta.join()?;
    } else {
        ensure!(desk.add(1)? == 2);
        drop(sta);
    }
    let errand = Errand::certain();
    let Err(error) = desk.post(move |_| errand.run()) else { bail!("an apartment that has ended took a post") };
    is!(error.error(), CallError::Disconnected(_));
    drop(error);
    refused();
    let told = failed(desk.add(1))?;
    ensure!(matches!(&told, CallError::Disconnected(told) if told.why == WhyDisconnected::Ended), "{told}");
    Ok(posts + 4)
}

/// Calls as long as it can: how often.
fn call_to_the_end(desk: &At) -> Result<u64> {
    for calls in 1.. {
        let mut ran = 0;
        match desk.call(|_| ran += 1) {
            Ok(()) => ensure!(ran == 1, "a call that came back ran {ran} times"),
            Err(CallError::Disconnected(_)) => {
                ensure!(ran == 0, "a call that was turned away ran");
                return Ok(calls);
            }
            Err(error) => bail!("while its apartment ends: {error}"),
        }
        let errand = Errand::certain();
        match desk.post(move |_| errand.run()) {
            Ok(()) => accepted(),
            Err(error) => {
                is!(error.error(), CallError::Disconnected(_));
                refused();
            }
        }
    }
    unreachable!("it ends")
}

/// Gives them a moment to be in the midst of it.
fn a_moment(driver: &mut Driver<'_>) {
    (0..driver.rng.u32(..20_000)).for_each(|_| spin_loop());
}

fn callers(desk: &At) -> Result<Vec<Worker<Result<u64>>>> {
    let caller = |number: u32| {
        let desk = desk.clone();
        Worker::spawn(format!("caller {number}"), move || call_to_the_end(&desk))
    };
    Ok((0..2).map(caller).collect::<Result<_, _>>()?)
}

fn joined(workers: Vec<Worker<Result<u64>>>) -> Result<u64> {
    let mut calls = 0;
    for worker in workers {
        let made = worker.join()?;
        let Ok(made) = made else { bail!("a caller panicked") };
        calls += 2 * made?;
    }
    Ok(calls)
}

/// An STA quits while others call it: each call runs once, or says that it did not.
pub(super) fn storms(driver: &mut Driver<'_>) -> Result<u64> {
    let process = Process::builder().name("storm").record(200).build();
    let _shown = Shown::new(&process);
    let sta = process.sta("ends").spawn()?;
    let desk: At = sta.create(Thing::new)?.cast();
    let callers = callers(&desk)?;
    a_moment(driver);
    match driver.rng.u8(..3) {
        0 => sta.apartment().quit(),
        1 => desk.post(move |_| sta.quit()).map_err(CallError::from)?,
        _ => drop(sta),
    }
    joined(callers)
}

/// A whole process ends while it is called.
pub(super) fn processes(driver: &mut Driver<'_>) -> Result<u64> {
    let process = Process::builder().name("ends").build();
    let _shown = Shown::new(&process);
    let (one, other) = (process.sta("one").spawn()?, process.sta("other").spawn()?);
    let mta = process.mta().threads(1).spawn()?;
    let desks: [At; 3] =
        [one.create(Thing::new)?.cast(), other.create(Thing::new)?.cast(), mta.create(Shared::in_mta)?.cast()];
    // What is never revoked goes with the process.
    process.global_table().register(&desks[0])?;
    let callers = callers(&desks[driver.rng.usize(..2)])?;
    ensure!(desks[0].bounce(&desks[0], &desks[2], 4)? == 4);
    a_moment(driver);
    let ended = process.end(LONG);
    let ended = ended.map_err(|refused| anyhow!("{refused}"))?;
    ensure!(ended.still_in.is_empty(), "still in: {:?}", ended.still_in);
    is!(failed(process.sta("late").spawn().map(drop))?, CallError::ServerStopping);
    is!(failed(desks[1].add(1))?, CallError::Disconnected(_));
    Ok(joined(callers)? + 9)
}

/// The MTA with the last of its usages.
pub(super) fn mtas(driver: &mut Driver<'_>) -> Result<u64> {
    let process = Process::builder().name("mta").build();
    let _shown = Shown::new(&process);
    let mta = process.mta().threads(2).spawn()?;
    let usage = mta.usage()?;
    let desk: At = mta.create(Shared::in_mta)?.cast();
    let posts = driver.rng.u64(1..64);
    for _ in 0..posts {
        let errand = Errand::certain();
        desk.post(move |_| errand.run()).map_err(CallError::from)?;
        accepted();
    }
    drop(usage);
    if driver.rng.bool() {
        mta.join()?
    } else {
        drop(mta)
    }
    is!(failed(desk.add(1))?, CallError::Disconnected(_));
    Ok(posts + 2)
}

/// Two chains cross, and nobody lets anybody in: one of them is told, and the other goes on.
pub(super) fn deadlocks(driver: &mut Driver<'_>) -> Result<u64> {
    let process = Process::builder().name("crossed").record(200).build();
    let _shown = Shown::new(&process);
    let policy = if driver.rng.bool() { Reentrancy::SameCausality } else { Reentrancy::None };
    let home = |name: &str| -> Result<(Sta, At)> {
        let sta = process.sta(name).reentrancy(policy).spawn()?;
        let desk = sta.create(Thing::new)?.cast();
        Ok((sta, desk))
    };
    let ((a_sta, a), (b_sta, b)) = (home("a")?, home("b")?);
    let both = [Signal::manual(), Signal::manual()];
    let cross = |from: &At, to: &At, own: usize| {
        let (from, to, both) = (from.clone(), to.clone(), both.clone());
        Worker::spawn("crosses", move || {
            from.call(|_| {
                both[own].set();
                if !hold(&both[1 - own]) {
                    wrong("the other chain has not begun".into());
                }
                to.add(1)
            })
        })
    };
    let workers = [cross(&a, &b, 0)?, cross(&b, &a, 1)?];
    let mut told = 0;
    for worker in workers {
        let Ok(result) = worker.join()? else { bail!("a caller panicked") };
        match result? {
            Ok(sum) => ensure!(sum == 2),
            Err(CallError::Deadlock(_)) => told += 1,
            Err(error) => bail!("{error}"),
        }
    }
    ensure!(told == 1, "{told} of two were told");
    drop((a_sta, b_sta));
    Ok(4)
}

/// The letter of COM's rules: a reference is of use where it was made or unmarshalled.
pub(super) fn strict(_: &mut Driver<'_>) -> Result<u64> {
    let process = Process::builder().name("strict").strict_rules().build();
    let shown = Shown::new(&process);
    let worker = Worker::spawn("strict", move || -> Result<u64> {
        let _shown = shown;
        let db = process.sta("db").spawn()?;
        is!(failed(db.create(Thing::new).map(drop))?, CallError::NotInitialized);
        let ui = process.sta("ui").enter()?;
        let (window, table) = (ui.create(Thing::new)?, db.create(Thing::new)?);
        let taken = window.clone();
        is!(failed(table.call(move |_| taken.call(Thing::is_here))?)?, CallError::WrongThread);
        let packet = window.marshal()?;
        table.call(move |_| packet.unmarshal()?.call(Thing::is_here))??;
        Ok(7)
    })?;
    let Ok(calls) = worker.join()? else { bail!("the worker panicked") };
    calls
}

/// The owner of an STA unwinds and serves nothing: what was accepted is answered, and does not run.
pub(super) fn out_of_order(_: &mut Driver<'_>) -> Result<u64> {
    let process = Process::builder().name("out of order").record(200).build();
    let _shown = Shown::new(&process);
    let (here, there) = channel();
    let (go_on, goes_on) = channel::<()>();
    let worker = Worker::spawn("unwinds", move || {
        let entered = process.sta("unwinds").enter().expect("a new thread can enter");
        let desk: At = entered.create(Thing::new).expect("at home").cast();
        here.send(desk).expect("the driver waits for it");
        goes_on.recv().expect("the driver says so");
        panic!("{MEANT}")
    })?;
    let desk = there.recv()?;
    let errand = Errand::either();
    desk.post(move |_| errand.run()).map_err(CallError::from)?;
    let errand = Errand::certain();
    let future = desk.call_async(move |_| errand.run());
    go_on.send(())?;
    let mut ran = 0;
    is!(failed(desk.call(|_| ran += 1))?, CallError::ServerDiedDne { .. } | CallError::Disconnected(_));
    ensure!(ran == 0, "an apartment that serves nothing has run a call");
    is!(failed(finish(future))?, CallError::ServerDiedDne { .. });
    refused();
    ensure!(worker.join()?.is_err(), "its panic is lost");
    Ok(3)
}

/// A process that does not want to end goes on, until it does.
pub(super) fn refused_end(driver: &mut Driver<'_>) -> Result<u64> {
    struct Says(Arc<AtomicBool>);
    impl EndHandler for Says {
        fn query_end(&self) -> bool {
            self.0.load(Relaxed)
        }
    }
    let process = Process::builder().name("stays").build();
    let _shown = Shown::new(&process);
    let saved = Arc::new(AtomicBool::new(false));
    let says = Says(Arc::clone(&saved));
    let sta = process.sta("unsaved").end_handler(|| says).spawn()?;
    let desk: At = sta.create(Thing::new)?.cast();
    match process.end(LONG) {
        Err(EndRefused::By(by)) => ensure!(by.len() == 1 && by[0].why == WhyRefused::Refused, "{by:?}"),
        other => bail!("it was to refuse: {other:?}"),
    }
    ensure!(desk.add(driver.index as u64)? == driver.index as u64 + 1, "something has changed");
    saved.store(true, Relaxed);
    let ended = process.end(LONG).map_err(|refused| anyhow!("{refused}"))?;
    ensure!(ended.still_in.is_empty() && !ended.before, "{ended:?}");
    is!(failed(desk.add(1))?, CallError::Disconnected(_));
    Ok(5)
}
