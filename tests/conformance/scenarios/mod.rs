//! The scenarios, a file for each group of rules, in the order in which they are best read.

pub(crate) mod basics;
mod calls;
mod cancels;
mod cast;
mod deadlocks;
mod kinds;
mod lives;
mod messages;
mod policies;
mod queue;
mod references;
mod refusals;
mod waiting;

use crate::harness::Scenario;

/// Each group's title, and what is in it.
pub(crate) const GROUPS: &[(&str, &[Scenario])] = &[
    ("The basics", basics::ALL),
    ("Calls and callbacks", calls::ALL),
    ("The mailbox", queue::ALL),
    ("What a waiting apartment lets in", policies::ALL),
    ("Kinds of call", kinds::ALL),
    ("Deadlocks", deadlocks::ALL),
    ("Refusals and retries", refusals::ALL),
    ("Cancels and deadlines", cancels::ALL),
    ("Application messages and standard filters", messages::ALL),
    ("Other waits", waiting::ALL),
    ("References and classes", references::ALL),
    ("How objects and apartments end", lives::ALL),
];

pub(crate) fn all() -> Vec<Scenario> {
    GROUPS.iter().flat_map(|(_, all)| *all).copied().collect()
}
