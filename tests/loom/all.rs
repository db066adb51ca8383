//! All models in one program, for `.ci/mutants`. The harness has tests of its own, which are no models.
#![cfg(loom)]

#[path = "tests/abnormal.rs"]
mod abnormal;
#[path = "tests/attempts.rs"]
mod attempts;
#[path = "tests/batch.rs"]
mod batch;
#[path = "tests/calls.rs"]
mod calls;
#[path = "tests/cancel.rs"]
mod cancel;
#[path = "tests/classes.rs"]
mod classes;
#[path = "tests/deadlines.rs"]
mod deadlines;
#[path = "tests/deadlock.rs"]
mod deadlock;
#[path = "tests/ends.rs"]
mod ends;
#[path = "tests/foreign.rs"]
mod foreign;
#[path = "tests/futures.rs"]
mod futures;
#[path = "tests/judged.rs"]
mod judged;
#[path = "tests/judged_rings.rs"]
mod judged_rings;
#[path = "tests/kinds.rs"]
mod kinds;
#[path = "tests/lifetime.rs"]
mod lifetime;
#[path = "tests/mailbox.rs"]
mod mailbox;
#[path = "tests/mta.rs"]
mod mta;
#[path = "tests/nested.rs"]
mod nested;
#[path = "tests/owned.rs"]
mod owned;
#[path = "tests/panics.rs"]
mod panics;
#[path = "tests/pool.rs"]
mod pool;
#[path = "tests/retry.rs"]
mod retry;
#[path = "tests/ring.rs"]
mod ring;
#[path = "tests/seeing.rs"]
mod seeing;
#[path = "tests/table.rs"]
mod table;
#[path = "tests/verdicts.rs"]
mod verdicts;
#[path = "tests/waiting.rs"]
mod waiting;
