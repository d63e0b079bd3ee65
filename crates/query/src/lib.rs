//! The read path: a selection becomes a plan made of index rows, a plan becomes
//! one merged profile.

mod fetch;
mod plan;
mod range;

pub use fetch::{FETCHES, fetch};
pub use plan::{Plan, QueryError, Selection, block, plan};
pub use range::{Range, RangeError};
