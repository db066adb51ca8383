//! What drivers do: kinds of calls, each with what must come of it.

mod calls;
mod cancels;
mod ends;
mod nests;
mod objects;
mod others;
mod panics;
mod refusals;
mod rooms;

use crate::driver::Driver;
use anyhow::{Result, bail, ensure};
use apartment::{CallError, Outcome};
use std::fmt::Debug;
use std::time::Duration;

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How often it is chosen, relative to the others.
    weight: u32,
    /// Gives how many calls it has made.
    pub(crate) run: fn(&mut Driver<'_>) -> Result<u64>,
}

/// What drivers did of a kind, and how long they took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) time: Duration,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.time += other.time;
    }
}

macro_rules! kinds {
    ($($weight:literal $module:ident :: $name:ident),* $(,)?) => {
        &[$(Kind { name: concat!(stringify!($module), "::", stringify!($name)), weight: $weight, run: $module::$name }),*]
    };
}

impl Kind {
    /// The weights are such that many cheap calls pay for the dear ones: what starts threads is a thousand times dearer.
    pub(crate) const ALL: &[Self] = kinds![
        600 calls::borrowing,
        200 calls::owned,
        200 calls::futures,
        400 calls::posts,
        400 calls::methods,
        250 calls::one_way,
        200 calls::input_synchronized,
        400 calls::direct,
        100 calls::messages,
        200 calls::cells,
        100 calls::own_queue,
        300 nests::routes,
        300 nests::bounces,
        100 nests::closures,
        100 nests::busy_objects,
        100 rooms::shared,
        20 rooms::refused,
        20 rooms::waited_for,
        200 refusals::come_through,
        100 refusals::give_up,
        50 refusals::futures,
        20 refusals::asked_at_home,
        50 refusals::one_way_runs,
        1 refusals::after_a_time,
        50 refusals::messages_pending,
        100 cancels::before,
        50 cancels::inside,
        20 cancels::racing,
        50 cancels::past_its_time,
        5 cancels::in_time_or_not,
        50 cancels::dropped_futures,
        10 cancels::left_alone,
        20 panics::methods,
        10 panics::constructors,
        10 panics::destructors,
        10 panics::filters,
        100 objects::made_and_dropped,
        50 objects::packets,
        50 objects::table,
        50 objects::casts,
        50 objects::disconnected,
        40 objects::of_classes,
        10 others::workers,
        20 others::signals,
        10 others::subscribers,
        5 others::snapshots,
        10 ends::apartments,
        3 ends::storms,
        3 ends::processes,
        3 ends::mtas,
        2 ends::deadlocks,
        2 ends::strict,
        3 ends::out_of_order,
        3 ends::refused_end,
    ];
}

pub(crate) fn name(number: usize) -> &'static str {
    Kind::ALL.get(number).map_or("making or ending a round", |kind| kind.name)
}

/// The kinds that are asked for, by their weights.
pub(crate) struct Mix {
    kinds: Vec<usize>,
    total: u32,
}

impl Mix {
    pub(crate) fn new(only: Option<&str>) -> Result<Self> {
        let has = |kind: &Kind| only.is_none_or(|words| kind.name.contains(words));
        let kinds: Vec<_> = (0..Kind::ALL.len()).filter(|number| has(&Kind::ALL[*number])).collect();
        ensure!(!kinds.is_empty(), "no kind has {only:?} in its name");
        let total = kinds.iter().map(|number| Kind::ALL[*number].weight).sum();
        Ok(Self { kinds, total })
    }

    pub(crate) fn choose(&self, rng: &mut fastrand::Rng) -> (usize, &'static Kind) {
        let mut left = rng.u32(..self.total);
        for &number in &self.kinds {
            let kind = &Kind::ALL[number];
            if left < kind.weight {
                return (number, kind);
            }
            left -= kind.weight;
        }
        unreachable!("less than all weights together")
    }
}

/// It must have failed.
fn failed<R: Debug>(result: Result<R, CallError>) -> Result<CallError> {
    match result {
        Ok(value) => bail!("it must fail, and gave {value:?}"),
        Err(error) => Ok(error),
    }
}

/// What its error says of whether it ran must be so.
fn is_so(error: &CallError, ran: u32) -> Result<()> {
    match error.outcome() {
        Outcome::NotStarted => ensure!(ran == 0, "not started, it says, and it ran {ran} times: {error}"),
        Outcome::MayHaveRun => ensure!(ran == 1, "started, it says, and it ran {ran} times: {error}"),
    }
    Ok(())
}

/// Matches the error, or says what it is instead.
macro_rules! is {
    ($error:expr, $pattern:pat) => {{
        let error = $error;
        anyhow::ensure!(matches!(error, $pattern), "expected {}, got {error:?}", stringify!($pattern));
    }};
}
use is;
