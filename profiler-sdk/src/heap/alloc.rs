//! The allocator a program is wrapped in.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::heap::hook;

/// An allocator that samples what passes through it, about once in 512 KiB.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: profiler_sdk::SampledAlloc = profiler_sdk::SampledAlloc::system();
/// # fn main() {}
/// ```
///
/// Until a [`HeapRecorder`](crate::HeapRecorder) is started it does nothing but look whether
/// one was: a load and a branch at each call. With one, an allocation also counts a
/// thread-local number down and a free looks into a small filter.
///
/// A block that is resized is booked as one freed and one allocated.
#[derive(Debug, Clone, Copy, Default)]
pub struct SampledAlloc<A = System>(A);

impl SampledAlloc {
    /// Around the system's allocator.
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> SampledAlloc<A> {
    /// Around another allocator.
    pub const fn new(inner: A) -> Self {
        Self(inner)
    }
}

// SAFETY: blocks are the inner allocator's, asked for and given back exactly as the caller
// does. The hook only counts: it neither touches blocks nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for SampledAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        let block = unsafe { self.0.alloc(layout) };
        if hook::is_on() {
            hook::allocated(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        if hook::is_on() {
            hook::allocated(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Before the block is anybody else's.
        if hook::is_on() {
            hook::freed(block);
        }
        // SAFETY: the caller's promises, passed on.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let was_sampled = hook::is_on() && hook::freed(block);
        // SAFETY: the caller's promises, passed on.
        let moved = unsafe { self.0.realloc(block, layout, size) };
        if was_sampled && moved.is_null() {
            hook::survived(block, layout.size());
        }
        if hook::is_on() {
            hook::allocated(moved, size);
        }
        moved
    }
}
