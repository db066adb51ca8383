#![doc = include_str!("../docs/tutorial.md")]

// In story order; each module uses only those above it (but `apartment` gives out `marshal`'s proxies).
mod sync;

mod id;

mod describe;

mod cycle;

mod error;

mod filter;

mod diagnose;

mod host;

mod call;

mod wait_graph;

mod common;

mod mailbox;

mod process;

mod thread;

mod connection;

mod stub;

mod view;

mod apartment;

mod filters;

mod marshal;

mod interface;

mod class;

mod wait;

#[cfg(test)]
#[path = "../tests/programs/mod.rs"]
mod programs;

pub use apartment::{
    AdoptedBuilder, Apartment, AsyncOptions, Budget, CallContext, CallOptions, Current, Dispatched, Entered,
    EnteredMta, Kind, Mta, MtaBuilder, MtaUsage, PostOptions, Sta, StaBuilder, current, current_call, discard_messages,
    dispatch, is_cancelled, register_end_handler, register_filter,
};
pub use class::{Class, ClassFactory, Server, ServerLock};
pub use cycle::{Awaited, Deadlock, Waiter};
pub use describe::{ApartmentName, CallKind, CallTarget, Caller, Creator, Method, Reentrancy, Serves, ThreadingModel};
pub use diagnose::{
    ApartmentHow, ApartmentSeen, CallMade, CallRef, CancelReason, Diagram, DoorSeen, EntryAt, EntrySeen, ErrorSeen,
    Event, FrameSeen, HeldBy, PacketForm, PacketMark, Placed, PoolSeen, Recording, Route, ServerAnswer, Snapshot,
    Subscription, ThreadSeen, Topic, WaitEnd, WaitFor, WaitSeen, WaitsForWhom, What,
};
pub use error::{
    CallError, CantCallOut, Cause, Disconnected, Error, MailboxFull, Outcome, PostError, Reentrant, WhyDisconnected,
};
pub use filter::{
    CallType, IncomingCall, MessageClass, MessageFilter, PendingAction, PendingAnswer, PendingMessage, PendingType,
    RejectedCall, Retry, RetryPolicy, ServerCall,
};
pub use filters::{
    BusyAnswer, BusyCall, BusyDialogue, BusyGuard, BusyState, CancelAfter, RejectWhileOut, RetryFor, WhyBusy,
};
pub use host::{Doorbell, Host, NotWoken, Parked, Parking, Wake};
pub use id::{ApartmentId, CallId, ChainId, ObjectId, PacketId, ThreadId};
pub use interface::{Marshal, Marshaller, implements, interface};
/// The model checker on which this build stands, which is one with the feature `loom` and `--cfg loom`. Models use this one: with
/// another version of their own they would have two model checkers that know nothing of each other.
#[cfg(all(loom, feature = "loom"))]
#[doc(no_inline)]
pub use loom;
pub use marshal::{CallFuture, Cookie, GlobalTable, Local, Packet, Proxy, Table, TablePacket, WeakProxy, With};
pub use process::{EndHandler, EndRefused, Ended, NotFromHere, Process, ProcessBuilder, Refusal, WhyRefused};
pub use sync::{Clock, Spin};
pub use thread::CancelHandle;
pub use view::{Implements, InterfaceOf};
pub use wait::{Signal, Worker, WorkerBuilder, blocking_wait_all, blocking_wait_any, wait_all, wait_any};

/// What the code that the macros make stands on; nothing for anybody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::describe::{CallKind, Method};
    pub use crate::interface::expand::*;
    pub use crate::marshal::{Calls, call_method as call, post_method as post};
    pub use crate::view::{Declaration, Declares, View, carried};
}

/// An invariant of the engine does not hold: the program stops rather than muddle through (rule AP-12).
#[cold]
fn broken(invariant: &str) -> ! {
    use std::io::Write;
    // Not `eprintln!`, which a test's harness captures, and loses with the program.
    let said = writeln!(std::io::stderr(), "apartment: a broken invariant, the program stops: {invariant}");
    drop(said);
    std::process::abort()
}
