//! The rules of `docs/semantics.md`, each tested under its id.

mod ap;
mod di;
mod errors;
mod lt;
mod mb;
mod smoke;
mod stage;
mod support;
