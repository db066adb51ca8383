//! Calls that a filter sends away, and that are tried again.

use super::{failed, is};
use crate::census::{Errand, accepted};
use crate::desk::Desk;
use crate::driver::{Driver, finish};
use crate::refusing::How;
use anyhow::{Result, ensure};
use apartment::{AsyncOptions, CallError, CallOptions, MessageFilter, RejectedCall, Retry, register_filter};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

fn any_way(driver: &mut Driver<'_>) -> How {
    [How::Rejected, How::Later, How::Panics][driver.rng.usize(..3) % if driver.rng.u8(..16) == 0 { 3 } else { 2 }]
}

/// Again and again, until it is let in.
pub(super) fn come_through(driver: &mut Driver<'_>) -> Result<u64> {
    let (times, how) = (driver.rng.u32(1..=8), any_way(driver));
    let desk = &driver.own.shy_desk;
    driver.refuses(times, how)?;
    let (asked, mut ran) = (AtomicU32::new(0), 0);
    let again = |call: &RejectedCall| {
        let before = asked.fetch_add(1, Relaxed);
        if call.attempts == before + 1 { Retry::Now } else { Retry::GiveUp }
    };
    let sum = desk.with(&CallOptions::new().retry(again)).call(|desk| {
        ran += 1;
        desk.add(5)
    })??;
    let asked = asked.into_inner();
    ensure!((sum, ran, asked) == (6, 1, times), "gave {sum}, ran {ran} times, asked {asked} times and not {times}");
    Ok(1)
}

/// A caller that gives up has not run.
pub(super) fn give_up(driver: &mut Driver<'_>) -> Result<u64> {
    let (times, how) = (driver.rng.u32(1..=4), any_way(driver));
    let desk = &driver.own.shy_desk;
    let mut ran = 0;
    driver.refuses(times, how)?;
    let tries = |call: &RejectedCall| if call.attempts < times { Retry::Now } else { Retry::GiveUp };
    let error = failed(desk.with(&CallOptions::new().retry(tries)).call(|_| ran += 1))?;
    is!(error, CallError::CallRejected { .. });
    ensure!(driver.own.script.left() == 0, "it was not offered {times} times");

    // Nobody is asked.
    driver.refuses(1, how)?;
    let error = failed(desk.call(|_| ran += 1))?;
    match how {
        How::Rejected | How::Panics => is!(error, CallError::CallRejected { .. }),
        How::Later => is!(error, CallError::RetryLater { .. }),
    }
    driver.refuses(1, how)?;
    is!(failed(desk.add(1))?, CallError::CallRejected { .. } | CallError::RetryLater { .. });
    ensure!(ran == 0, "a call that was sent away ran");
    ensure!(desk.add(1)? == 2);
    Ok(4)
}

pub(super) fn futures(driver: &mut Driver<'_>) -> Result<u64> {
    let (times, how) = (driver.rng.u32(1..=4), any_way(driver));
    let desk = &driver.own.shy_desk;
    let asked = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&asked);
    let again = move |_: &RejectedCall| {
        counts.fetch_add(1, Relaxed);
        Retry::Now
    };
    let options = AsyncOptions::new().retry(again);
    driver.refuses(times, how)?;
    let errand = Errand::certain();
    let sum = finish(desk.with(&options).call_async(move |desk| {
        errand.run();
        desk.add(1)
    }))??;
    accepted();
    ensure!(sum == 2 && asked.load(Relaxed) == times, "asked {} times, and not {times}", asked.load(Relaxed));

    driver.refuses(1, how)?;
    let errand = Errand::certain();
    let error = failed(finish(desk.call_async(move |_| errand.run())))?;
    is!(error, CallError::CallRejected { .. } | CallError::RetryLater { .. });
    crate::census::refused();
    Ok(2)
}

/// A filter of the caller's own: STAs alone have one.
pub(super) fn asked_at_home(driver: &mut Driver<'_>) -> Result<u64> {
    struct Again(u32);
    impl MessageFilter for Again {
        fn retry_rejected(&self, call: &RejectedCall) -> Retry {
            if call.attempts < self.0 { Retry::Now } else { Retry::GiveUp }
        }
    }
    let desk = &driver.own.shy_desk;
    if driver.sta().is_none() {
        let result = register_filter(Some(Rc::new(Again(5)))).map(drop);
        is!(failed(result)?, CallError::NotSupported { .. });
        return Ok(0);
    }
    let before = register_filter(Some(Rc::new(Again(5))))?;
    ensure!(before.is_none(), "there was a filter before");
    driver.refuses(4, How::Later)?;
    ensure!(desk.add(1)? == 2, "the fifth attempt is let in");
    driver.refuses(5, How::Later)?;
    is!(failed(desk.add(1))?, CallError::CallRejected { .. });
    ensure!(register_filter(None)?.is_some(), "the filter is gone");
    Ok(2)
}

/// One-way calls run, whatever the filter says.
pub(super) fn one_way_runs(driver: &mut Driver<'_>) -> Result<u64> {
    let desk = &driver.own.shy_desk;
    driver.refuses(16, How::Rejected)?;
    for _ in 0..16 {
        let errand = Errand::certain();
        desk.post(move |_| errand.run()).map_err(CallError::from)?;
        accepted();
    }
    // Comes last, and is not one-way.
    is!(desk.add(1), Ok(2));
    ensure!(driver.own.script.left() == 0, "the filter was not asked about each");
    Ok(17)
}
