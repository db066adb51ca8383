//! The rules of `docs/semantics.md`, each tested under its id.

mod ap;
mod arguments;
mod ca;
mod ck;
mod cl;
mod com_map;
mod dg;
mod di;
mod drops;
mod endings;
mod ends;
mod errors;
mod free;
mod interfaces;
mod kinds;
mod leaving;
mod lt;
mod ma;
mod mb;
mod mf;
mod real_time;
mod st;
mod stage;
mod support;
mod table;
mod waits;
