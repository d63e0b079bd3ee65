//! Billed time: every nanosecond that Lambda bills, on exactly one stack.
//!
//! | file | what it does |
//! |---|---|
//! | `layer.rs`, `filter.rs` | hears of spans |
//! | `tree.rs` | which spans are open, and which of them own the time that passes |
//! | `running.rs` | notes and settles the time of one invocation |
//! | `ledger.rs` | all invocations, init and flush |
//! | `book.rs`, `slots.rs` | numbers that grow, also beyond the process |
//! | `profile.rs`, `graft.rs` | as profiles, with the CPU samples under their spans |
//! | `window.rs` | by how much they grew |
//! | `share.rs` | shares whole nanoseconds without losing one |
//! | `clock.rs` | the only place that asks what time it is |

mod book;
mod clock;
#[cfg(feature = "spans")]
mod filter;
mod graft;
#[cfg(feature = "spans")]
mod layer;
mod ledger;
mod profile;
mod running;
mod share;
mod slots;
mod tree;
mod window;

pub use clock::{Clock, SystemClock, process_started};
#[cfg(feature = "spans")]
pub use filter::{SpanFilter, TRANSPORTS};
#[cfg(feature = "spans")]
pub use layer::{SpanLayer, span_layer};
pub use ledger::{InvocationId, Ledger, SETTLE_EVERY, Scope, SpanId};
pub use profile::{INVOCATION, ON_CPU, SPAN_LABEL, WAITING, billed_profile, wall_profile};
pub use slots::{MAX_OWNERS, MAX_PATHS, SLOTS, Slots};
pub use window::{PathTime, Window};
