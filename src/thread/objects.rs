//! The objects of an STA: on its thread, so they need not be `Send`.

use crate::id::ObjectId;
use rustc_hash::FxHashMap;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Every call looks its object up. That costs the same whether there is one or a hundred thousand.
#[derive(Default)]
pub(crate) struct Objects {
    table: RefCell<FxHashMap<ObjectId, Rc<dyn Any>>>,
    /// The last that was put in.
    youngest: Cell<u64>,
}

impl Objects {
    #[inline]
    pub(crate) fn get(&self, id: ObjectId) -> Option<Rc<dyn Any>> {
        self.table.borrow().get(&id).cloned()
    }

    /// Puts one in that is younger than all that have been there.
    pub(super) fn insert(&self, id: ObjectId, object: Rc<dyn Any>) {
        self.youngest.set(id.0);
        self.table.borrow_mut().insert(id, object);
    }

    /// Takes one out, to be dropped by the caller.
    pub(super) fn remove(&self, id: ObjectId) -> Option<Rc<dyn Any>> {
        self.table.borrow_mut().remove(&id)
    }

    /// Has all of them let go, the youngest first: it may use the older ones. What is put in meanwhile is younger still.
    pub(super) fn empty(&self, mut let_go: impl FnMut(ObjectId)) {
        let mut left: Vec<ObjectId> = self.table.borrow().keys().copied().collect();
        left.sort_unstable();
        let mut seen = self.youngest.get();
        while let Some(id) = left.pop() {
            if self.table.borrow().contains_key(&id) {
                let_go(id);
            }
            left.extend((seen + 1..=self.youngest.get()).map(ObjectId));
            seen = self.youngest.get();
        }
    }
}
