#![doc = include_str!("README.md")]

mod doer;
mod graph;
mod look;
mod node;
mod scope;

pub(crate) use doer::Doer;
pub(crate) use graph::{Asleep, Graph};
pub(crate) use node::{Entry, Node, On, Place, Seat, Serving, Stands};
pub(crate) use scope::{Lets, Scope};
