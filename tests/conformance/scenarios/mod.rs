//! The scenarios, a file for each group of rules, in the order in which they are best read.

pub(crate) mod basics;

use crate::harness::Scenario;

/// Each group's title, and what is in it.
pub(crate) const GROUPS: &[(&str, &[Scenario])] = &[("The basics", basics::ALL)];

pub(crate) fn all() -> Vec<Scenario> {
    GROUPS.iter().flat_map(|(_, all)| *all).copied().collect()
}
