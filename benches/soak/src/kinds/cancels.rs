//! Calls that are cancelled, by anybody and by the clock, at any time.

use super::{failed, is, is_so};
use crate::census::{Counted, Errand, refused};
use crate::desk::Desk;
use crate::driver::{Driver, finish};
use crate::watch::LONG;
use anyhow::{Result, bail, ensure};
use apartment::{AsyncOptions, CallError, CallOptions, CancelHandle, Outcome, is_cancelled};
use std::hint::spin_loop;
use std::task::{Context, Waker};
use std::time::Duration;

/// Such a call never runs.
pub(super) fn before(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any_sta();
    let cancel = CancelHandle::new();
    cancel.cancel();
    let options = CallOptions::new().cancel(&cancel);
    let mut ran = 0;
    let error = failed(target.desk.with(&options).call(|_| ran += 1))?;
    is!(&error, CallError::CallCanceled { outcome: Outcome::NotStarted });
    let errand = Errand::certain();
    is!(failed(target.desk.with(&options).call_owned(move |_| errand.run()))?, CallError::CallCanceled { .. });
    refused();
    let options = AsyncOptions::new().cancel(&cancel);
    let errand = Errand::certain();
    let future = target.desk.with(&options).call_async(move |_| errand.run());
    is!(failed(finish(future))?, CallError::CallCanceled { .. });
    refused();
    ensure!(ran == 0, "a call that had been cancelled ran");
    Ok(3)
}

/// From inside itself, so that it certainly runs; what it calls in turn is cancelled with it.
pub(super) fn inside(driver: &mut Driver<'_>) -> Result<u64> {
    let (desk, other) = (&driver.own.shy_desk, &driver.own.small_desk);
    let cancel = CancelHandle::new();
    let (mut ran, mut asked, mut inner) = (0, false, Ok(0));
    let error = failed(desk.with(&CallOptions::new().cancel(&cancel)).call(|_| {
        ran += 1;
        cancel.cancel();
        asked = is_cancelled();
        inner = other.add(1);
    }))?;
    is!(error, CallError::CallCanceled { outcome: Outcome::MayHaveRun });
    ensure!(ran == 1 && asked, "it ran {ran} times, and was asked to end: {asked}");
    is!(inner, Err(CallError::CallCanceled { outcome: Outcome::NotStarted }));
    Ok(2)
}

/// From another thread, at any moment: it ran, or it says that it did not.
pub(super) fn racing(driver: &mut Driver<'_>) -> Result<u64> {
    let (desk, other) = (&driver.own.small_desk, &driver.own.shy_desk);
    for turn in 0..8 {
        let cancel = CancelHandle::new();
        let (handle, delay) = (cancel.clone(), driver.rng.u32(..2_000));
        other
            .post(move |_| {
                (0..delay).for_each(|_| spin_loop());
                handle.cancel();
            })
            .map_err(CallError::from)?;
        let options = CallOptions::new().cancel(&cancel);
        let mut ran = 0;
        let result = desk.with(&options).call(|_| {
            ran += 1;
            // Every other one ends only because it is asked to.
            while turn % 2 == 0 && !is_cancelled() {
                spin_loop();
            }
        });
        match result {
            Ok(()) => ensure!(ran == 1 && turn % 2 == 1, "turn {turn} ran {ran} times"),
            Err(error) => {
                is!(&error, CallError::CallCanceled { .. });
                is_so(&error, ran)?;
            }
        }
    }
    Ok(16)
}

/// No time at all, or next to none.
pub(super) fn past_its_time(driver: &mut Driver<'_>) -> Result<u64> {
    let desk = &driver.own.small_desk;
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(2)] {
        let mut ran = 0;
        match desk.within(time).call(|_| ran += 1) {
            Ok(()) => ensure!(ran == 1, "it ran {ran} times"),
            Err(error) => {
                is!(&error, CallError::TimedOut { .. });
                is_so(&error, ran)?;
            }
        }
    }
    // And enough of it.
    ensure!(desk.within(Duration::from_secs(600)).add(1)? == 2);
    Ok(4)
}

/// A call that ends only when its time is up, and what it calls has no more time than itself.
pub(super) fn in_time_or_not(driver: &mut Driver<'_>) -> Result<u64> {
    let (desk, other) = (&driver.own.shy_desk, &driver.own.small_desk);
    let time = Duration::from_micros(driver.rng.u64(1..200));
    let (mut ran, mut inner) = (0, None);
    let error = failed(desk.within(time).call(|_| {
        ran += 1;
        while !is_cancelled() {
            spin_loop();
        }
        inner = other.add(1).err();
    }))?;
    is!(&error, CallError::TimedOut { .. });
    is_so(&error, ran)?;
    ensure!((ran == 1) == matches!(inner, Some(CallError::TimedOut { outcome: Outcome::NotStarted })), "{inner:?}");
    Ok(2)
}

/// Dropped unpolled or polled once: the call runs or does not, but its closure is dropped either way.
pub(super) fn dropped_futures(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any_sta();
    let calls = driver.rng.u64(1..16);
    for n in 0..calls {
        let (errand, result) = (Errand::either(), Counted::new());
        let mut future = target.desk.call_async(move |_| {
            errand.run();
            result
        });
        if n % 2 == 0 {
            let polled = std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
            drop(polled);
        }
        if n % 3 == 0 {
            target.desk.add(1)?;
        }
    }
    // All of them have run or never will.
    target.desk.add(1)?;
    Ok(calls + calls.div_ceil(3) + 1)
}

/// An owned call that is cancelled while it runs goes on alone, and its late result is dropped over there.
pub(super) fn left_alone(driver: &mut Driver<'_>) -> Result<u64> {
    let (desk, other) = (&driver.own.small_desk, &driver.own.shy_desk);
    let cancel = CancelHandle::new();
    let (handle, errand, result) = (cancel.clone(), Errand::either(), Counted::new());
    let (begun, begins) = std::sync::mpsc::channel();
    other
        .post(move |_| {
            // An error means that it never began.
            let _ = begins.recv_timeout(LONG);
            handle.cancel();
        })
        .map_err(CallError::from)?;
    let called = desk.with(&CallOptions::new().cancel(&cancel)).call_owned(move |_| {
        errand.run();
        // Nobody hears it if the call was cancelled before.
        let _ = begun.send(());
        while !is_cancelled() {
            spin_loop();
        }
        result
    });
    match called {
        Err(CallError::CallCanceled { .. }) => {}
        Err(error) => bail!("{error}"),
        Ok(_) => bail!("it was not cancelled"),
    }
    // It has let go by now, or does not begin.
    desk.add(1)?;
    Ok(3)
}
