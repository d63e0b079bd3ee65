//! Heap profiles by sampling allocations.
//!
//! | file | what it does |
//! |---|---|
//! | `alloc.rs` | the global allocator |
//! | `hook.rs` | what runs at every allocation and free |
//! | `draw.rs` | decides which allocations are sampled |
//! | `live.rs` | knows which sampled blocks are alive |
//! | `stack.rs`, `stacks.rs` | whose they are |
//! | `books.rs` | sums it all up |
//! | `recorder.rs` | makes a profile of it |

mod alloc;
mod books;
pub(crate) mod draw;
mod hook;
mod live;
mod recorder;
pub(crate) mod stack;
pub(crate) mod stacks;

pub use alloc::SampledAlloc;
pub use recorder::{HeapError, HeapRecorder, HeapReport};
