//! The tests of the rules, as models.
#![cfg(loom)]

mod meet;
mod patience;

#[path = "../../programs/mod.rs"]
mod programs;

include!(concat!(env!("OUT_DIR"), "/rules/root.rs"));
