//! The read path: a selection becomes a plan made of index rows, a plan becomes
//! one merged profile.

pub mod bill;
mod cache;
mod estimate;
mod fetch;
pub mod narrow;
mod plan;
pub mod prices;
mod range;
pub mod select;
mod timeline;
mod view;

pub use cache::{Answer, CACHE_MIN_BYTES, cached_or_fetch};
pub use estimate::Estimate;
pub use fetch::{FETCHES, fetch, read};
pub use narrow::{NarrowError, Narrowing};
pub use plan::{Plan, QueryError, Selection, block, plan, plan_at};
pub use range::{Range, RangeError};
pub use timeline::{Moment, Timeline};
pub use view::Aggregate;
