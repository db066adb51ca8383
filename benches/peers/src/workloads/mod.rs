//! What is measured.

mod callbacks;
mod callers;
mod chain;
mod future;
mod growth;
mod making;
mod memory;
mod posts;
mod round_trip;

use crate::measure::Case;
use crate::measure::Measured;
use crate::options::Options;
use crate::place::Place;
use std::time::Duration;

/// Something to measure.
pub(crate) enum Workload {
    /// In turns.
    Timed(Case),
    /// Once: memory does not depend on what else runs.
    Memory(Place),
}

impl Workload {
    /// Measures what the options ask for; nothing if that is nobody.
    pub(crate) fn measure(self, options: &Options) -> Option<Measured> {
        match self {
            Self::Timed(case) => case.measure(options),
            Self::Memory(place) => memory::measure(place, options),
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
    let memory = memory::is_measured(place).then_some(Workload::Memory(place));
    timed.into_iter().flatten().map(Workload::Timed).chain(memory).collect()
}
