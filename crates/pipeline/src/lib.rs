//! The write path as verbs. Each verb decides first, without effects, and acts
//! then, through the store alone.
//!
//! - [`merge`]: snapshot keys in, committed blocks and one fate per key out.
//! - [`compact()`]: many small blocks into few large ones, readers exact throughout.
//! - [`rebuild`](mod@rebuild): the tables again, from the bucket alone.
//! - [`check`]: do rows, objects, marks and claims tell one story?
//! - [`erase`]: a service's or a tenant's data, at somebody's wish.
//! - [`sweep`]: what writers that died left behind.
//! - [`verify`]: raw snapshots against blocks, block by block.
//! - [`catalogue`]: what new block rows teach about services and types.

pub mod catalogue;
pub mod check;
pub mod compact;
pub mod erase;
pub mod merge;
pub mod rebuild;
pub mod sweep;
pub mod verify;

pub use compact::{CompactOptions, CompactReport, Scope, compact};
pub use merge::{ItemOutcome, MergeOptions, MergeReport, drain, merge};
