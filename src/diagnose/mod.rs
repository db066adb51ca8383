//! Seeing what happens: every observable step as an event (rule DG-2), what is there at a moment (rule DG-1), and pictures
//! made of events alone (rule DG-3).

mod canonical;
mod cast;
mod console;
mod diagram;
mod event;
mod placing;
mod recorder;
mod recording;
mod scene;
mod snapshot;
mod story;
mod story_calls;
mod story_others;
mod table;
mod words;

pub(crate) use crate::describe::Serves;
pub use diagram::{Diagram, Topic};
pub use event::{
    ApartmentHow, CallMade, CallRef, CancelReason, ErrorSeen, Event, HeldBy, PacketForm, PacketMark, Placed, Route,
    ServerAnswer, WaitEnd, WaitFor, What,
};
pub(crate) use recorder::{ListenerId, Recorder, Standing};
pub use recording::{Recording, Subscription};
pub use snapshot::{
    ApartmentSeen, DoorSeen, EntryAt, EntrySeen, FrameSeen, PoolSeen, Snapshot, ThreadSeen, WaitSeen, WaitsForWhom,
};
