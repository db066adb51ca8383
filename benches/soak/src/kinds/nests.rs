//! Calls in calls: through several apartments, and back.

use super::is;
use crate::desk::Desk;
use crate::driver::Driver;
use anyhow::{Result, ensure};
use apartment::{CallError, current_call};

/// Through up to six of anybody's apartments, some of them several times, with references as arguments.
pub(super) fn routes(driver: &mut Driver<'_>) -> Result<u64> {
    let length = driver.rng.usize(1..=6);
    let route: Vec<_> = (0..length).map(|_| driver.stop()).collect();
    let first = driver.stop();
    let visited = first.visit(route)?;
    ensure!(visited == length as u64, "{visited} of {length} were visited");
    Ok(visited + 1)
}

/// A calls B, B calls A, and so on.
pub(super) fn bounces(driver: &mut Driver<'_>) -> Result<u64> {
    let depth = driver.rng.u64(1..=6);
    let one = driver.stop();
    let other = match driver.desk() {
        Some(own) => own.clone(),
        None => driver.stop(),
    };
    let came = one.bounce(&one, &other, depth)?;
    ensure!(came == depth, "{came} deep instead of {depth}");
    Ok(depth + 1)
}

/// The callee's closure calls back to what its caller's frame lends it, in one chain.
pub(super) fn closures(driver: &mut Driver<'_>) -> Result<u64> {
    let (there, back) = (driver.stop(), driver.stop());
    let mut chains = Vec::new();
    let handed = there.call(|_| {
        let own = current_call()?;
        let inner = back.call(|_| current_call())??;
        chains.extend([own.chain(), inner.chain()]);
        ensure!(inner.depth() >= own.depth(), "a nested call is less deep than its caller");
        Ok(there.hand(&back)?)
    })??;
    ensure!(handed == back, "another reference came back");
    ensure!(chains[0] == chains[1], "a callback is in the chain {:?}, its caller in {:?}", chains[1], chains[0]);
    Ok(3)
}

/// What is borrowed while its borrower calls out is busy for all callbacks.
pub(super) fn busy_objects(driver: &mut Driver<'_>) -> Result<u64> {
    let (cell, away) = (&driver.own.cell, &driver.own.shy_desk);
    let busy = cell.call_mut(|n| {
        *n += 1;
        away.call(|_| cell.call_mut(|n| *n += 1_000_000))
    })??;
    is!(busy.err(), Some(CallError::Reentrant(_)));
    ensure!(cell.call_ref(|n| *n)? < 1_000_000, "a busy object was called");
    Ok(4)
}
