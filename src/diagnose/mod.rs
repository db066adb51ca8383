//! Seeing what happens: every observable step as an event (rule DG-2).

mod event;
mod recorder;

pub(crate) use crate::describe::Serves;
pub use event::{
    ApartmentHow, CallMade, CallRef, CancelReason, ErrorSeen, Event, HeldBy, PacketForm, PacketMark, Placed, Route,
    ServerAnswer, WaitEnd, WaitFor, What,
};
pub(crate) use recorder::Recorder;
pub use recorder::Recording;
