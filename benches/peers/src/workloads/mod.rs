//! What is measured.

mod callbacks;
mod callers;
mod chain;
mod future;
mod growth;
mod idle;
mod making;
mod memory;
mod posts;
mod round_trip;

use crate::measure::Case;
use crate::measure::Measured;
use crate::options::Options;
use crate::place::Place;
use std::time::Duration;

/// Measures what the options ask for; nothing if that is nobody.
type Look = fn(Place, &Options) -> Option<Measured>;

/// Something to measure.
pub(crate) enum Workload {
    /// In turns.
    Timed(Case),
    /// In a way of its own, and not in time.
    Untimed(Place, Look),
}

impl Workload {
    /// Measures what the options ask for; nothing if that is nobody.
    pub(crate) fn measure(self, options: &Options) -> Option<Measured> {
        match self {
            Self::Timed(case) => case.measure(options),
            Self::Untimed(place, look) => look(place, options),
        }
    }
}

/// All that is measured with the threads there, in turns of about that time.
pub(crate) fn cases(place: Place, turn: Duration) -> Vec<Workload> {
    let timed = [
        round_trip::cases(place),
        posts::cases(place),
        callers::cases(place, turn),
        callbacks::cases(place),
        making::cases(place),
        future::cases(place),
        growth::cases(place),
    ];
    let looks = [memory::looks(place), idle::looks(place)];
    let untimed = looks.into_iter().flatten().map(|look| Workload::Untimed(place, look));
    timed.into_iter().flatten().map(Workload::Timed).chain(untimed).collect()
}
