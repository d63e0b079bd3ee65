//! CPU samples by one kernel timer per thread.
//!
//! | file | what it does |
//! |---|---|
//! | `engine.rs` | the engine: start, resume, pause, collect, stop |
//! | `profile.rs` | from a log's samples to a profile |
//! | `timeline.rs` | the same by the time since their invocation began |
//! | `threads.rs` | all threads, their timers, and the books on their CPU time |
//! | `spawn_hook.rs`, `lifetime.rs` | threads tell of their beginning and end |
//! | `tasks.rs` | what the kernel says of the threads: the net under them |
//! | `sampler.rs` | the engine by itself, for our own examples and tests |
//! | `watch.rs` | looks for new threads where they cannot tell of themselves |
//! | `sites.rs` | threads too short for a sample stand on a sibling's stack |
//! | `slot.rs` | what a thread's handler and everybody else share |
//! | `prepare.rs`, `self_test.rs` | builds unwind tables off everybody's way, and tries them |
//! | `timer.rs` | a kernel timer on a thread's CPU clock |
//! | `handler.rs` | the signal handler |
//! | `registers.rs` | all that depends on the processor |
//! | `bounds.rs` | where the stack of a thread lies |
//! | `modules.rs` | what code is loaded, and where its unwind tables are |
//! | `build_cfi.rs` | runs those tables' programs ahead of time |
//! | `cfi.rs` | the rules that remain, in four bytes a row |
//! | `unwind.rs` | from registers to return addresses, inside the stack's bounds |

pub(crate) mod bounds;
pub(crate) mod build_cfi;
pub(crate) mod cfi;
pub(crate) mod engine;
pub(crate) mod handler;
pub(crate) mod lifetime;
pub(crate) mod modules;
pub(crate) mod prepare;
pub(crate) mod profile;
pub(crate) mod random;
pub(crate) mod registers;
pub(crate) mod sampler;
pub(crate) mod self_test;
pub(crate) mod sites;
pub(crate) mod slot;
pub(crate) mod spawn_hook;
pub(crate) mod tasks;
pub(crate) mod threads;
pub(crate) mod timeline;
pub(crate) mod timer;
pub(crate) mod unwind;
pub(crate) mod watch;

pub use sampler::Sampler;
pub use spawn_hook::thread_started;
