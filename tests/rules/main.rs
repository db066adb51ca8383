//! The rules of `docs/semantics.md`, each tested under its id.

mod ap;
mod ca;
mod ck;
mod dg;
mod di;
mod endings;
mod errors;
mod kinds;
mod lt;
mod mb;
mod mf;
mod real_time;
mod stage;
mod support;
mod waits;
