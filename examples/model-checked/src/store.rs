//! The store: what is true, and who wants to hear of changes.

use crate::Cache;
use apartment::{Proxy, WeakProxy};
use std::cell::RefCell;
use std::collections::HashMap;

/// A value, and how often its key has been written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned {
    pub value: String,
    pub version: u64,
}

/// What a connection to a database would be: it is not `Sync`, and lives in an apartment.
#[derive(Default)]
pub struct Store {
    rows: RefCell<HashMap<String, Versioned>>,
    caches: RefCell<Vec<WeakProxy<Cache>>>,
}

impl Store {
    /// From here on this cache is told what has changed.
    pub fn watch(&self, cache: &Proxy<Cache>) {
        self.caches.borrow_mut().push(cache.downgrade());
    }

    /// A key that was never written is empty.
    pub fn read(&self, key: &str) -> Versioned {
        self.rows.borrow().get(key).cloned().unwrap_or_default()
    }

    /// Writes, and calls every cache back. Who reads after this has returned does not see what was there before.
    pub fn write(&self, key: &str, value: &str) {
        let version = {
            let mut rows = self.rows.borrow_mut();
            let row = rows.entry(key.to_owned()).or_default();
            *row = Versioned { value: value.to_owned(), version: row.version + 1 };
            row.version
        };
        // While this waits, the store is called by others: nothing of it is borrowed here.
        let caches: Vec<_> = self.caches.borrow().iter().filter_map(WeakProxy::upgrade).collect();
        for cache in caches {
            // A cache that has ended, which is how this fails, gives out nothing at all.
            let _ended = cache.call(|cache| cache.invalidate(key, version));
        }
    }
}
