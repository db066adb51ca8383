//! The cache: values that were read before, kept until the store says that they are old.

use crate::{Store, Versioned};
use apartment::{Error, Proxy};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Lives in an apartment, too, and so needs no lock.
pub struct Cache {
    store: Proxy<Store>,
    entries: RefCell<HashMap<String, Entry>>,
    stats: Cell<Stats>,
}

/// What is known of a key.
#[derive(Default)]
struct Entry {
    /// The oldest version that may be kept: the newest of which anybody has told.
    oldest: u64,
    kept: Option<Versioned>,
}

/// What became of all reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    /// Of the misses, those whose value was old when it came.
    pub too_late: u64,
}

impl Cache {
    pub fn new(store: Proxy<Store>) -> Self {
        Self { store, entries: RefCell::default(), stats: Cell::default() }
    }

    /// The value of a key: the one that is kept, or else the store's, which is kept then.
    pub fn get(&self, key: &str) -> Result<String, Error> {
        let mut stats = self.stats.get();
        let kept = self.entries.borrow().get(key).and_then(|entry| entry.kept.clone());
        if let Some(kept) = kept {
            stats.hits += 1;
            self.stats.set(stats);
            return Ok(kept.value);
        }
        stats.misses += 1;
        self.stats.set(stats);
        // While this waits, the cache is called by others, the store among them.
        let read = self.store.call(|store| store.read(key))?;
        self.keep(key, &read);
        Ok(read.value)
    }

    /// The value may be old by now: between the store's answer and this line it may have been written, and the store may
    /// have called to say so.
    fn keep(&self, key: &str, read: &Versioned) {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.entry(key.to_owned()).or_default();
        if read.version >= entry.oldest || cfg!(feature = "planted-bug") {
            entry.oldest = read.version;
            entry.kept = Some(read.clone());
        } else {
            self.stats.set(Stats { too_late: self.stats.get().too_late + 1, ..self.stats.get() });
        }
    }

    /// The store's call: what is older than this version is old.
    pub fn invalidate(&self, key: &str, version: u64) {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.entry(key.to_owned()).or_default();
        entry.oldest = entry.oldest.max(version);
        entry.kept.take_if(|kept| kept.version < version);
    }

    pub fn stats(&self) -> Stats {
        self.stats.get()
    }
}
