//! Calls that a filter sends away, and that are tried again.

use super::{failed, is, is_so};
use crate::census::{Errand, accepted};
use crate::desk::Desk;
use crate::driver::{Driver, finish};
use crate::refusing::How;
use anyhow::{Result, ensure};
use apartment::{
    ApartmentId, AsyncOptions, CallError, CallOptions, MessageClass, MessageFilter, PendingAnswer, PendingMessage,
    RejectedCall, Retry, RetryFor, register_filter,
};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

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

/// By the system's clock: the shortest time that is one.
pub(super) fn after_a_time(driver: &mut Driver<'_>) -> Result<u64> {
    let time = Duration::from_millis(100);
    driver.refuses(1, How::Later)?;
    let began = Instant::now();
    let later = |_: &RejectedCall| Retry::After(time);
    ensure!(driver.own.shy_desk.with(&CallOptions::new().retry(later)).add(1)? == 2);
    ensure!(began.elapsed() >= time, "tried again after {:?}", began.elapsed());
    // And a policy of everybody's, whose patience ends.
    driver.refuses(u32::MAX, How::Later)?;
    let policy = RetryFor::new(Duration::from_millis(1));
    let error = failed(driver.own.shy_desk.with(&CallOptions::new().retry(policy)).add(1));
    driver.own.script.refuse(0, How::Later);
    is!(error?, CallError::CallRejected { .. });
    Ok(2)
}

/// An application message arrives while a call is out: its caller's filter says what becomes of both.
pub(super) fn messages_pending(driver: &mut Driver<'_>) -> Result<u64> {
    struct Answers(PendingAnswer, ApartmentId);
    impl MessageFilter for Answers {
        fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
            // Meanwhile others come in and call out from here: those calls are not for this to cancel.
            if message.callee.id == self.1 { self.0 } else { PendingAnswer::wait_def_process() }
        }
    }
    let Some(entered) = driver.sta() else { return Ok(0) };
    let answers = [PendingAnswer::wait_def_process(), PendingAnswer::wait_no_process(), PendingAnswer::cancel_call()];
    let classes = [MessageClass::Input, MessageClass::Paint, MessageClass::Activation, MessageClass::User];
    for (number, answer) in answers.into_iter().enumerate() {
        register_filter(Some(Rc::new(Answers(answer, driver.own.small.apartment().id()))))?;
        let (own, errand) = (entered.apartment(), Errand::either());
        let (mut ran, class) = (0, classes[driver.index % classes.len()]);
        let result = driver.own.small_desk.call(|_| {
            ran += 1;
            own.post_message(class, move || errand.run()).map_err(CallError::from)
        });
        register_filter(None)?;
        match result {
            Ok(posted) => {
                posted?;
                ensure!(ran == 1, "it ran {ran} times");
            }
            Err(error) => {
                is!(&error, CallError::CallCanceled { .. });
                ensure!(number == 2, "nobody cancels here");
                is_so(&error, ran)?;
            }
        }
    }
    // What they left runs now.
    entered.pump();
    Ok(6)
}
