//! The rules of `docs/semantics.md`, each tested under its id.

mod ap;
mod smoke;
mod support;
