//! What the schedules of a scenario have come to.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// std's own, and no part of what shuttle sees: to count adds no schedules.
static SEEN: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// This schedule came to that. A scenario names all that must come up in its rounds.
pub(crate) fn saw(outcome: &'static str) {
    *SEEN.lock().expect("nobody panics here").entry(outcome).or_default() += 1;
}

/// How often each came up.
pub(crate) fn all() -> BTreeMap<&'static str, u64> {
    SEEN.lock().expect("nobody panics here").clone()
}
