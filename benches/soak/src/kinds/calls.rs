//! Calls that nobody disturbs: what they give is known.

use super::{failed, is};
use crate::census::{Errand, accepted, refused, wrong};
use crate::desk::Desk;
use crate::driver::{Driver, finish};
use crate::world::BATCH;
use anyhow::{Result, ensure};
use apartment::{Budget, CallError, Kind, MessageClass, discard_messages};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// Closures that borrow from the caller's stack, both ways.
pub(super) fn borrowing(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    let numbers: Vec<u64> = (0..driver.rng.usize(1..8)).map(|_| driver.rng.u64(..1_000)).collect();
    for round in 0..16 {
        let (mut ran, name) = (0, "a name");
        let sum = target.desk.call(|desk| {
            ran += 1;
            desk.sum(&numbers, name)
        })??;
        let expected = numbers.iter().sum::<u64>() + name.len() as u64;
        ensure!((sum, ran) == (expected, 1), "call {round} gave {sum} and ran {ran} times, not {expected} once");
    }
    Ok(16)
}

pub(super) fn owned(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    for n in 0..8 {
        let (errand, text) = (Errand::certain(), n.to_string());
        let result = target.desk.call_owned(move |desk| {
            errand.run();
            (desk.add(n), text)
        })?;
        accepted();
        ensure!(result.0? == n + 1 && result.1 == n.to_string(), "an owned call gave something else");
    }
    Ok(8)
}

/// Several at once, waited for in any order.
pub(super) fn futures(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    let calls = driver.rng.u64(1..=16);
    let mut futures: Vec<_> = (0..calls)
        .map(|n| {
            let errand = Errand::certain();
            let future = target.desk.call_async(move |desk| {
                errand.run();
                desk.add(n)
            });
            (n, future)
        })
        .collect();
    driver.rng.shuffle(&mut futures);
    for (n, future) in futures {
        let sum = finish(future)??;
        accepted();
        ensure!(sum == n + 1, "a future gave {sum} instead of {}", n + 1);
    }
    Ok(calls)
}

/// Each runs once, and an STA's in their order.
pub(super) fn posts(driver: &mut Driver<'_>) -> Result<u64> {
    let (number, target) = driver.any();
    let calls = driver.rng.u64(1..=BATCH as u64);
    for _ in 0..calls {
        let (errand, from, note) = (Errand::certain(), driver.index, driver.next_note(number));
        let posted = target.desk.post(move |desk| {
            errand.run();
            desk.note(from, note).expect("an object's own method does not fail");
        });
        match posted {
            Ok(()) => {
                accepted();
                driver.noted(number);
            }
            // The closure is in the error, and goes with it.
            Err(error) => {
                refused();
                return Err(CallError::from(error).into());
            }
        }
    }
    Ok(calls + driver.settle(number)?)
}

pub(super) fn methods(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    let words = ["", "one", "two words"];
    for n in 0..8 {
        ensure!(target.desk.add(n)? == n + 1);
        let name = words[driver.rng.usize(..words.len())];
        ensure!(target.desk.sum(&[n, n, n], name)? == 3 * n + name.len() as u64);
    }
    Ok(16)
}

/// One-way methods, in one order with posts.
pub(super) fn one_way(driver: &mut Driver<'_>) -> Result<u64> {
    let (number, target) = driver.any();
    let calls = driver.rng.u64(1..=32);
    for _ in 0..calls {
        target.desk.note(driver.index, driver.next_note(number))?;
        driver.noted(number);
    }
    Ok(calls + driver.settle(number)?)
}

/// From STA to STA, and nowhere else; of a free-threaded object they are as any others.
pub(super) fn input_synchronized(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    for n in 0..8 {
        let result = target.desk.peek(n);
        if target.kind().is_none() || (driver.sta().is_some() && target.kind() == Some(Kind::Sta)) {
            ensure!(result? == n + 1);
        } else {
            is!(failed(result)?, CallError::NotSupported { .. });
        }
    }
    Ok(8)
}

/// At home: on the same thread, at once.
pub(super) fn direct(driver: &mut Driver<'_>) -> Result<u64> {
    let desk = match driver.desk() {
        Some(desk) => desk,
        None => {
            let target = driver.world.targets.iter().find(|target| driver.is_direct(target));
            &target.expect("there is a free-threaded one").desk
        }
    };
    let here = thread::current().id();
    for n in 0..16 {
        let (there, sum) = desk.call(|desk| (thread::current().id(), desk.add(n)))?;
        ensure!(there == here && sum? == n + 1, "a call at home went elsewhere");
    }
    Ok(16)
}

/// They run, or are dropped when their apartment ends.
pub(super) fn messages(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    let classes = [MessageClass::Input, MessageClass::Paint, MessageClass::Activation, MessageClass::User];
    let Some(apartment) = &target.apartment else { return Ok(0) };
    for class in classes {
        let errand = Errand::either();
        match apartment.post_message(class, move || errand.run()) {
            Ok(()) => ensure!(apartment.kind() == Kind::Sta, "the MTA took a message"),
            Err(error) if apartment.kind() == Kind::Mta => is!(error.error(), CallError::NotSupported { .. }),
            Err(error) => return Err(CallError::from(error).into()),
        }
    }
    // Comes after them, unless their owner waits.
    target.desk.add(1)?;
    Ok(5)
}

/// Borrowed in turns.
pub(super) fn cells(driver: &mut Driver<'_>) -> Result<u64> {
    let cell = &driver.own.cell;
    let before = cell.call_ref(|n| *n)?;
    for n in 1..=8 {
        let now = cell.call_mut(|own| {
            *own += 1;
            *own
        })?;
        ensure!(now == before + n, "{now} instead of {}", before + n);
    }
    Ok(9)
}

/// What its thread itself has to serve: posts and messages to its own apartment.
pub(super) fn own_queue(driver: &mut Driver<'_>) -> Result<u64> {
    let (Some(entered), Some(desk)) = (driver.sta(), driver.desk()) else { return Ok(0) };
    let ran = Arc::new(AtomicU64::new(0));
    for n in 0..8 {
        let (errand, ran) = (Errand::certain(), Arc::clone(&ran));
        desk.post(move |_| {
            errand.run();
            // In their order.
            if ran.fetch_add(1, Relaxed) != n {
                wrong(format!("post {n} ran out of order"));
            }
        })
        .map_err(CallError::from)?;
        accepted();
    }
    let discarded = Errand::either();
    entered.apartment().post_message(MessageClass::Input, move || discarded.run()).map_err(CallError::from)?;
    ensure!(discard_messages(MessageClass::Input)? == 1, "a message was not there to be discarded");
    ensure!(ran.load(Relaxed) == 0, "posts to one's own apartment run where nothing waits");
    // One at least, and then all; others send there, too.
    let few = Budget { entries: 1, ..Budget::ALL };
    ensure!(entered.dispatch(few).served > 0, "a dispatch served nothing of what is there");
    while ran.load(Relaxed) < 8 {
        ensure!(entered.pump() > 0, "{} of 8 posts to one's own apartment ran", ran.load(Relaxed));
    }
    Ok(9)
}
