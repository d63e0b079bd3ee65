//! How long threads wait for each other, at locks that say so.
//!
//! | file | what it does |
//! |---|---|
//! | `mutex.rs`, `rwlock.rs` | std's locks, with a watch on who has to wait |
//! | `contention.rs` | decides which waits are kept, and sums them up |
//! | `recorder.rs` | makes a profile of them |

mod contention;
mod mutex;
mod recorder;
mod rwlock;

pub use recorder::{MutexRecorder, MutexRecorderError};

/// Locks whose contention a [`MutexRecorder`] records: std's, in all but the name.
///
/// Guards, errors and poisoning are those of [`std::sync`], so that a
/// [`Condvar`](std::sync::Condvar) works with them too. Without a recorder they cost a load and
/// a branch over std's own.
pub mod profiled {
    pub use super::mutex::Mutex;
    pub use super::rwlock::RwLock;
}
