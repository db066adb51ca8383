//! The facade: everything that threads share is made of what is here, and nothing else in the crate names a
//! platform's or a model checker's primitives.
//!
//! `real.rs` stands on parking_lot and std, `model.rs` on loom or on shuttle. What is above them — the [`Bell`], the
//! [`Clock`] and all the rest of the crate — is the same source in all three, so what the checkers run is what ships.

#[cfg(all(loom, feature = "loom", shuttle, feature = "shuttle"))]
compile_error!("a build stands on loom or on shuttle: give the compiler one of `--cfg loom` and `--cfg shuttle`");

#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
mod model;
#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
use model as primitives;

#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
mod epoch;
#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
mod patience;
#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
mod real;
#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
use real as primitives;

#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
pub(crate) use model::checker;

mod bell;
mod clock;
mod exclusive;
mod spin;

pub(crate) use bell::{Bell, Ring, Wakes};
pub use clock::Clock;
pub(crate) use clock::{Watch, time_left};
pub(crate) use exclusive::Exclusive;
pub(crate) use primitives::{
    AtomicU64, Condvar, JoinHandle, MODELLED, Mutex, MutexGuard, Ordering, Parker, Patience, default_parallelism,
    is_this_thread, local, next_thread_number, reap, spawn, thread_is_unwinding, yield_now,
};
pub use spin::Spin;
pub(crate) use std::sync::{Arc, Weak};
