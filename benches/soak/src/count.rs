//! The system's allocator, which counts how many bytes are held.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

/// No object is larger than that.
fn signed(size: usize) -> i64 {
    size as i64
}

// SAFETY: everything is the system's allocator's work; the counting does not allocate, and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(signed(layout.size()), Relaxed);
        // SAFETY: the caller promises to us what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(signed(layout.size()), Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(signed(size) - signed(layout.size()), Relaxed);
        // SAFETY: as in `alloc`; the memory is the system's, as all that we give is.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(signed(layout.size()), Relaxed);
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How many bytes the program holds.
pub(crate) fn held() -> i64 {
    HELD.load(Relaxed)
}
