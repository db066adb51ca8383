//! Seeing what happens: every observable step as an event (rule DG-2), and what is there at a moment (rule DG-1).

mod event;
mod recorder;
mod recording;
mod snapshot;
mod table;

pub(crate) use crate::describe::Serves;
pub use event::{
    ApartmentHow, CallMade, CallRef, CancelReason, ErrorSeen, Event, HeldBy, PacketForm, PacketMark, Placed, Route,
    ServerAnswer, WaitEnd, WaitFor, What,
};
pub(crate) use recorder::{ListenerId, Recorder, Standing};
pub use recording::{Recording, Subscription};
pub use snapshot::{
    ApartmentSeen, DoorSeen, EntryAt, EntrySeen, FrameSeen, PoolSeen, Snapshot, ThreadSeen, WaitSeen, WaitsForWhom,
};
