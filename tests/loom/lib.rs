//! The loom models of `apartment`: programs of two to five threads whose every interleaving is looked at.
//!
//! They use the public API only, and the files that ship: under `--cfg loom` the crate's facade over threads,
//! locks and time stands on loom, and nothing else changes. Run them all with `.ci/models`, or one by hand:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --profile loom -p apartment-models --test harness -- --nocapture
//! ```
//!
//! `LOOM_LOCATION=1` makes a deadlock name the lines its threads stand on. In a build without `--cfg loom` this
//! crate and its models are empty, and pass; so `.ci/models` counts what ran.

#[cfg(loom)]
mod borrowed;
#[cfg(loom)]
mod counterexample;
#[cfg(loom)]
mod ghost;
#[cfg(loom)]
mod harness;
#[cfg(loom)]
mod judged;
#[cfg(loom)]
mod watched;
#[cfg(loom)]
pub use borrowed::Borrowed;
#[cfg(loom)]
pub use ghost::Ghost;
#[cfg(loom)]
pub use harness::{BIG_STACK, Model, Search, Seen, big_spawn, big_stack};
#[cfg(loom)]
pub use judged::{Told, judge};
#[cfg(loom)]
pub use watched::{Canceller, Desk, Here, Kept, Object, Pool, There, Watched, Working};

/// The programs in the guide for users, run on loom as they stand there (`.ci/users`).
#[cfg(all(loom, doctest))]
#[doc = include_str!("../../docs/model-checking.md")]
pub struct Guide;
