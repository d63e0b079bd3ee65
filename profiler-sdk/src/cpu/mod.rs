//! CPU samples by one kernel timer per thread.
//!
//! | file | what it does |
//! |---|---|
//! | `registers.rs` | all that depends on the processor |
//! | `bounds.rs` | where the stack of a thread lies |
//! | `modules.rs` | what code is loaded, and where its unwind tables are |
//! | `build_cfi.rs` | runs those tables' programs ahead of time |
//! | `cfi.rs` | the rules that remain, in four bytes a row |
//! | `unwind.rs` | from registers to return addresses, inside the stack's bounds |

pub(crate) mod bounds;
pub(crate) mod build_cfi;
pub(crate) mod cfi;
pub(crate) mod modules;
pub(crate) mod registers;
pub(crate) mod unwind;
