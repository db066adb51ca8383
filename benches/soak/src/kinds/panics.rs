//! Panics that are meant, wherever code of the user's runs.

use super::{failed, is};
use crate::census::{Counted, Errand, accepted};
use crate::desk::{Desk, MEANT, Shared, Thing};
use crate::driver::{Driver, finish};
use crate::refusing::How;
use anyhow::{Result, bail, ensure};
use apartment::{CallError, CallOptions, RejectedCall, Retry};

fn is_fault<R: std::fmt::Debug>(result: Result<R, CallError>) -> Result<()> {
    match failed(result)? {
        CallError::ServerFault { message, .. } => ensure!(&*message == MEANT, "another panic: {message}"),
        other => bail!("expected the panic, got {other:?}"),
    }
    Ok(())
}

/// Its caller is told, and the apartment goes on.
pub(super) fn methods(driver: &mut Driver<'_>) -> Result<u64> {
    let (_, target) = driver.any();
    is_fault(target.desk.fail())?;
    let errand = Errand::certain();
    is_fault(target.desk.call_owned(move |_| -> () {
        errand.run();
        panic!("{MEANT}")
    }))?;
    accepted();
    let errand = Errand::certain();
    is_fault(finish(target.desk.call_async(move |_| -> () {
        errand.run();
        panic!("{MEANT}")
    })))?;
    accepted();
    let errand = Errand::certain();
    target
        .desk
        .post(move |_| {
            errand.run();
            panic!("{MEANT}")
        })
        .map_err(CallError::from)?;
    accepted();
    ensure!(target.desk.add(1)? == 2, "its apartment does not go on");
    Ok(5)
}

/// Nothing is made then.
pub(super) fn constructors(driver: &mut Driver<'_>) -> Result<u64> {
    let counted = Counted::new();
    is_fault(driver.own.small.create(move || -> Thing {
        let _counted = counted;
        panic!("{MEANT}")
    }))?;
    if driver.sta().is_some() {
        is_fault(driver.world.mta.create(|| -> Shared { panic!("{MEANT}") }))?;
    }
    let refused = driver.own.small.try_create(|| Err::<Thing, u32>(7))?;
    ensure!(refused.is_err_and(|error| error == 7), "a constructor that failed made something");
    Ok(3)
}

/// Contained, wherever they run.
pub(super) fn destructors(driver: &mut Driver<'_>) -> Result<u64> {
    struct Breaks(#[allow(dead_code, reason = "it is there to be dropped")] Counted);
    impl Drop for Breaks {
        fn drop(&mut self) {
            panic!("{MEANT}");
        }
    }
    let object = driver.own.small.create(|| Breaks(Counted::new()))?;
    object.call(|_| ())?;
    drop(object);
    let object = driver.world.mta.create(|| Breaks(Counted::new()))?;
    object.disconnect()?;
    ensure!(driver.own.small_desk.add(1)? == 2, "its apartment does not go on");
    Ok(4)
}

/// Counts as the most cautious answer.
pub(super) fn filters(driver: &mut Driver<'_>) -> Result<u64> {
    let desk = &driver.own.shy_desk;
    driver.refuses(1, How::Panics)?;
    is!(failed(desk.add(1))?, CallError::CallRejected { .. });
    driver.refuses(1, How::Later)?;
    let breaks = |_: &RejectedCall| -> Retry { panic!("{MEANT}") };
    is!(failed(desk.with(&CallOptions::new().retry(breaks)).add(1))?, CallError::CallRejected { .. });
    ensure!(desk.add(1)? == 2, "its apartment does not go on");
    Ok(3)
}
