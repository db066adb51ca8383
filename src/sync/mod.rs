//! The facade: everything that threads share is made of what is here, and nothing else in the crate names a
//! platform's or a model checker's primitives.
//!
//! `real.rs` stands on parking_lot and std, `model.rs` on loom. What is above them — the [`Bell`], the [`Clock`] and all
//! the rest of the crate — is the same source in both, so what the models check is what ships.

#[cfg(all(loom, feature = "loom"))]
mod model;
#[cfg(not(all(loom, feature = "loom")))]
mod real;

#[cfg(all(loom, feature = "loom"))]
use model as primitives;
#[cfg(not(all(loom, feature = "loom")))]
use real as primitives;

mod bell;
mod clock;
#[cfg(not(all(loom, feature = "loom")))]
mod epoch;
mod exclusive;
#[cfg(not(all(loom, feature = "loom")))]
mod patience;
mod spin;

pub(crate) use bell::{Bell, Ring, Wakes};
pub use clock::Clock;
pub(crate) use clock::{Watch, time_left};
pub(crate) use exclusive::Exclusive;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) use patience::Patience;
#[cfg(all(loom, feature = "loom"))]
pub(crate) use primitives::Patience;
pub(crate) use primitives::{
    AtomicU64, Condvar, JoinHandle, Mutex, MutexGuard, Ordering, Parker, default_parallelism, is_this_thread, local,
    next_thread_number, reap, spawn, thread_is_unwinding, yield_now,
};
pub use spin::Spin;
pub(crate) use std::sync::{Arc, Weak};
