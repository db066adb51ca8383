//! The rules of `docs/semantics.md`, each tested under its id.

mod smoke;
