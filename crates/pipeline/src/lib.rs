//! The write path as verbs. Each verb decides first, without effects, and acts
//! then, through the store alone.
//!
//! - [`merge`]: snapshot keys in, committed blocks and one fate per key out.
//! - [`catalogue`]: what new block rows teach about services and types.

pub mod catalogue;
pub mod merge;

pub use merge::{ItemOutcome, MergeOptions, MergeReport, merge};
