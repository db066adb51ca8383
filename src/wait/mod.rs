//! Waiting for what is no call: events, and threads that are in no apartment.
//!
//! `signal.rs` is the event and its protocol, `waits.rs` waits for several, `worker.rs` is a thread whose end is waited
//! for. All of them sleep where every wait does (`apartment/wait.rs`), and are of no process: what they wait for is brought
//! about by anybody.

mod signal;
mod waits;
mod worker;

pub use signal::Signal;
pub use waits::{blocking_wait_all, blocking_wait_any, wait_all, wait_any};
pub use worker::{Worker, WorkerBuilder};
