//! CPU samples by one kernel timer per thread.
//!
//! | file | what it does |
//! |---|---|
//! | `registers.rs` | all that depends on the processor |
//! | `bounds.rs` | where the stack of a thread lies |
//! | `unwind.rs` | from registers to return addresses, inside those bounds |

pub(crate) mod bounds;
pub(crate) mod registers;
pub(crate) mod unwind;
