//! Seeing what happens: every observable step as an event (rule DG-2), and pictures made of events alone (rule DG-3).

mod canonical;
mod console;
mod diagram;
mod event;
mod recorder;
mod scene;
mod story;
mod words;

pub(crate) use crate::describe::Serves;
pub use diagram::{Diagram, Topic};
pub use event::{
    ApartmentHow, CallMade, CallRef, CancelReason, ErrorSeen, Event, HeldBy, PacketForm, PacketMark, Placed, Route,
    ServerAnswer, WaitEnd, WaitFor, What,
};
pub(crate) use recorder::Recorder;
pub use recorder::Recording;
