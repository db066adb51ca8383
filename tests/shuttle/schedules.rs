//! Programs of three to sixty-four threads on `apartment`, run in schedules that shuttle draws at random.
//!
//! They use the public API only, and the files that ship: under `--cfg shuttle` the crate's facade over threads, locks and
//! time stands on shuttle, and nothing else changes. `.ci/shuttle` runs what CI runs; by hand, with the arguments after it:
//!
//! ```text
//! .ci/shuttle list                             what scenarios there are
//! .ci/shuttle run --scenario ring_of_8         one of them, as many schedules as in CI
//! .ci/shuttle run --rounds 3..6                other schedules: a round's number is its seed
//! .ci/shuttle replay FILE                      a schedule that failed, once more
//! ```
//!
//! A passing run says nothing about schedules that were not drawn. In a build without `--cfg shuttle` this is empty.

#[cfg(shuttle)]
mod draw;
#[cfg(shuttle)]
mod jobs;
#[cfg(shuttle)]
mod ledger;
#[cfg(shuttle)]
mod scenarios;
#[cfg(shuttle)]
mod schedule;
#[cfg(shuttle)]
mod seen;

#[cfg(shuttle)]
fn main() -> std::process::ExitCode {
    jobs::main()
}

#[cfg(not(shuttle))]
fn main() {}
