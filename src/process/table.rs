//! What the global interface table holds (rule MA-8), without its types: those are known above.
//!
//! An entry is registered, got any number of times by anybody, and revoked once. The table's lock is all that says whether
//! it is there:
//!
//! | step | under the lock | after it |
//! |---|---|---|
//! | register | the entry goes in, under a number that nobody has had before | |
//! | get | the entry is looked up *and* shared, in one step | a reference is made of it; the share is dropped |
//! | revoke | the entry is taken out | it is dropped |
//!
//! So a get is before the revoke of its cookie and has the entry, or after it and is told that there is none; it cannot find
//! the entry and lose it. Who has a share keeps the object until it has a reference of its own, also if the entry was the
//! last to hold it. A revoked number is never given out again, so a late get cannot find somebody else's entry.
//!
//! Dropping an entry may run a destructor, which may use the table: so nothing is dropped under the lock. No other lock is
//! taken under it, and it is taken under none.

use crate::id::PacketId;
use crate::sync::{Arc, Mutex};
use std::any::Any;
use std::collections::BTreeMap;

/// A reference, and what it is told as.
pub(crate) type Kept = Arc<dyn Any + Send + Sync>;

pub(crate) struct Table(Mutex<BTreeMap<PacketId, Kept>>);

impl Table {
    pub(super) fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub(crate) fn register(&self, id: PacketId, kept: Kept) {
        let before = self.0.lock().insert(id, kept);
        if before.is_some() {
            crate::broken("a cookie is fresh");
        }
    }

    /// A share of the entry.
    pub(crate) fn get(&self, id: PacketId) -> Option<Kept> {
        self.0.lock().get(&id).cloned()
    }

    /// Takes the entry out, to be dropped by the caller.
    pub(crate) fn revoke(&self, id: PacketId) -> Option<Kept> {
        self.0.lock().remove(&id)
    }
}
