//! The jobs with apartments.

use apartment::{CallError, Mta, Process, Proxy, Sta};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

fn count(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// A call.
pub(crate) fn add(counter: &Proxy<Cell<u64>>) -> u64 {
    counter.call(count).expect("the counter's apartment answers")
}

/// A counter in an STA of its own.
pub(crate) struct Counter {
    counter: Proxy<Cell<u64>>,
    _home: Sta,
}

impl Counter {
    pub(crate) fn spawn(process: &Process) -> Result<Self, CallError> {
        let home = process.sta("counter").spawn()?;
        Ok(Self { counter: home.create(|| Cell::new(0))?, _home: home })
    }

    pub(crate) fn add(&self) -> u64 {
        add(&self.counter)
    }

    pub(crate) fn add_silently(&self) {
        let count = |counter: &Cell<u64>| {
            count(counter);
        };
        self.counter.post(count).expect("the mailbox has room");
    }

    /// Calls the counter, which calls back to the one here, and so on: that many calls inside this one.
    pub(crate) fn call(&self, here: &Proxy<Cell<u64>>, nested: u32) -> u64 {
        call(&self.counter, here, nested).expect("the other apartment answers")
    }
}

fn call(callee: &Proxy<Cell<u64>>, caller: &Proxy<Cell<u64>>, nested: u32) -> Result<u64, CallError> {
    callee.call(|counter| match nested.checked_sub(1) {
        Some(nested) => call(caller, callee, nested),
        None => Ok(count(counter)),
    })?
}

/// A counter in the MTA.
pub(crate) struct Pool {
    counter: Proxy<AtomicU64>,
    _home: Mta,
}

impl Pool {
    pub(crate) fn spawn(process: &Process, threads: usize) -> Result<Self, CallError> {
        let home = process.mta().threads(threads).spawn()?;
        Ok(Self { counter: home.create(|| AtomicU64::new(0))?, _home: home })
    }

    pub(crate) fn add(&self) -> u64 {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed) + 1;
        self.counter.call(count).expect("a thread of the pool answers")
    }
}
