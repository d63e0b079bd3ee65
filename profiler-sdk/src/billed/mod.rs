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
//! | `dead.rs` | the account of a process that was killed |
//! | `window.rs` | by how much they grew |
//! | `share.rs` | shares whole nanoseconds without losing one |
//! | `clock.rs` | the only place that asks what time it is |

mod book;
mod clock;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod dead;
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

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
use crate::{
    cpu::engine::TimerEngine,
    engine::{Engine, EngineError},
    log::{LogOptions, SampleLog},
};
pub use clock::{Clock, SystemClock, process_started};
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use dead::{account_of, account_of_snapshot};
#[cfg(feature = "spans")]
pub use filter::{SpanFilter, TRANSPORTS};
#[cfg(feature = "spans")]
pub use layer::{SpanLayer, span_layer};
pub use ledger::{InvocationId, Ledger, SETTLE_EVERY, Scope, SpanId};
pub use profile::{INVOCATION, ON_CPU, SPAN_LABEL, WAITING, billed_profile, wall_profile};
pub use slots::{MAX_OWNERS, MAX_PATHS, SLOTS, Slots};
pub use window::{PathTime, Window};

/// The crate's own engine, over a log that keeps `ledger`'s account too: what a session sets up,
/// for examples and tests. Both stay for the life of the process.
///
/// # Errors
/// If there is no memory for the log.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn kept_engine(hz: u32, ledger: &Ledger) -> Result<impl Engine + use<>, EngineError> {
    let log = SampleLog::anonymous(LogOptions::default())
        .map_err(|error| EngineError::Failed(error.to_string()))?;
    let log: &'static SampleLog = Box::leak(Box::new(log));
    ledger.keep_in(log);
    Ok(TimerEngine::new(hz, log))
}
