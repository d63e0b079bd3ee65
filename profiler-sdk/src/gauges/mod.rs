//! What is there at the moment of a snapshot: threads, and the tasks of a tokio runtime.
//!
//! Both read when they are asked and do nothing in between.

mod threads;
mod tokio;

pub use threads::ThreadsRecorder;
pub use tokio::TokioRecorder;
