//! The scenarios: what runs in each schedule, and checks itself.

mod cancels;
mod chains;
mod common;
mod ends;
mod faults;
mod kinds;
mod mailboxes;
mod mixed;
mod planted;
mod refusals;
mod rings;
mod tables;
mod waits;

/// A program of several threads that begins and ends within a schedule.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// How many threads it has in all, the one that it begins on included; at most, where that depends on the schedule.
    pub(crate) threads: usize,
    /// The rules that it is about.
    pub(crate) rules: &'static str,
    /// What must come up, each in some schedule: said with [`saw`](crate::seen::saw).
    pub(crate) outcomes: &'static [&'static str],
    pub(crate) program: fn(),
}

/// All that must pass.
pub(crate) fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let all = [
        rings::ALL,
        chains::ALL,
        mailboxes::ALL,
        refusals::ALL,
        cancels::ALL,
        ends::ALL,
        faults::ALL,
        waits::ALL,
        tables::ALL,
        kinds::ALL,
        mixed::ALL,
    ];
    all.into_iter().flatten()
}

/// One of them, or one that is to fail.
pub(crate) fn named(name: &str) -> Result<&'static Scenario, String> {
    let all = || scenarios().chain(planted::ALL);
    all().find(|scenario| scenario.name == name).ok_or_else(|| format!("there is no scenario {name:?}"))
}
