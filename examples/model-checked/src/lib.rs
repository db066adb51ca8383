//! A cache in one apartment, its store in another, and the calls by which the store says what has become old.
//!
//! The protocol is in `cache.rs` and `store.rs`, a program around it in `main.rs`. `tests/models.rs` runs the protocol in
//! every order that its threads can take; how, is told in `docs/model-checking.md` of the crate `apartment`.

mod cache;
mod store;

pub use cache::{Cache, Stats};
pub use store::{Store, Versioned};
