//! The read path: a selection becomes a plan made of index rows, a plan becomes
//! one merged profile.

pub mod bill;
mod cache;
pub mod cost;
mod estimate;
mod facets;
mod fetch;
pub mod fleet;
pub mod narrow;
mod pin;
mod plan;
pub mod prices;
mod range;
pub mod select;
mod timeline;
mod traces;
mod view;

pub use cache::{Answer, CACHE_MIN_BYTES, cached_or_fetch, keep, kept};
pub use estimate::Estimate;
pub use facets::{Comparison, Facet, Facets};
pub use fetch::{FETCHES, Group, fetch, groups, read, read_planned};
pub use narrow::{NarrowError, Narrowing};
pub use pin::Pin;
pub use plan::{Grain, Plan, QueryError, Selection, block, plan, plan_apart, plan_at};
pub use range::{Range, RangeError};
pub use timeline::{Moment, Timeline};
pub use traces::{TracePlace, traces};
pub use view::Aggregate;
