//! Something on a caller's stack that a call borrows.

use loom::cell::UnsafeCell;

/// loom's cell fails the model if two threads are at it without one having happened before the other: so it shows that
/// what a call lends is the callee's until the callee lets go, and the caller's again afterwards.
pub struct Borrowed(UnsafeCell<u32>);

// SAFETY: only one thread at a time is at it. That is the claim under test, and loom checks it.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    /// Zero.
    #[expect(clippy::new_without_default, reason = "a model says what it makes")]
    pub fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// One more.
    pub fn add(&self) {
        // SAFETY: loom fails the model before it lets two at it.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    /// How many.
    pub fn get(&self) -> u32 {
        // SAFETY: loom fails the model before it lets two at it.
        self.0.with(|value| unsafe { *value })
    }
}
