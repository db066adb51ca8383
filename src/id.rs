//! The ids that errors, filters, contexts and events speak of. Small numbers, never addresses; fresh, never reused.

use std::fmt;

/// An apartment of a process, numbered from 1 in the order of their making; never used again (rule AP-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApartmentId(pub(crate) u64);

/// A thread, numbered from 1 over the whole program; never the system's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub(crate) u32);

/// An object of an apartment, numbered from 1 within it; or a free-threaded one, numbered from 1 within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u64);

/// A call: who made it, and the how manieth of that thread's it was. A retry is the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    /// The thread that made the call.
    pub thread: ThreadId,
    /// The how manieth of that thread's, from 1.
    pub count: u64,
}

/// A chain of calls: what COM calls a causality. Its id is that of the top-level call that began it (rule CA-1).
#[doc(alias("causality", "logical thread"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub CallId);

/// A marshalled reference: who marshalled it, and the how manieth of that thread's it was. An entry of the global table has
/// one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketId {
    /// The thread that marshalled it.
    pub thread: ThreadId,
    /// The how manieth of that thread's, from 1.
    pub count: u64,
}

impl ApartmentId {
    /// The plain number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl ThreadId {
    /// The plain number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl ObjectId {
    /// The plain number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ApartmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "apartment {}", self.0)
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {}", self.0)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {}", self.0)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}.{}", self.thread.0, self.count)
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet {}.{}", self.thread.0, self.count)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {}.{}", self.0.thread.0, self.0.count)
    }
}
