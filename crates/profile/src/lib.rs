//! The pprof model: decode, validate, encode, merge.
//!
//! A *profile* is a set of samples: stacks of locations, labels, and a value
//! for each sample type. [`Merger`] makes one of many; [`Merged`] is what comes
//! of it, to look at or to encode. [`proto`] is the readable model for building
//! profiles by hand.
//!
//! This crate knows no clock, no file and no network. No bytes make it panic,
//! and every limit it sets is a constant of [`limits`].

mod absorb;
mod callers;
mod canon;
mod cardinality;
mod content;
mod decode;
mod diff;
mod display_name;
mod encode;
mod error;
mod filter;
mod group;
mod header;
mod ids;
mod index;
mod inflate;
pub mod limits;
mod merge;
mod merged;
mod messages;
pub mod proto;
mod prune;
mod rebuild;
mod revalue;
mod scan;
mod selector;
mod strings;
mod tables;
mod tags;
mod temporality;
mod timed;
mod units;
mod wire;

pub use decode::{decode, peek, validate};
pub use diff::BASE_LABEL;
pub use display_name::{DISPLAY_CHARS, DisplayName};
pub use encode::{DEFAULT_LEVEL, encode, encode_gzip, gzip};
pub use error::{Broken, DecodeError, DecodeErrorKind, MergeError};
pub use filter::{Filter, Matched};
pub use header::{FLAMBEAU_COMMENT, Header, ValueType};
pub use inflate::inflate;
pub use limits::Limits;
pub use merge::{AddOptions, Added, Merger};
pub use merged::{
    Frame, Function, FunctionId, Label, LabelSetId, LabelValue, LocationId, Mapping, MappingId,
    Merged, Sample, StackId, Truncations,
};
pub use prune::{OTHER, Pruned};
pub use selector::{Condition, Matcher, Selector, SelectorError};
pub use tags::{TagFilter, TagFilterError};
pub use temporality::{Delta, Temporality, UnknownTemporality};
pub use timed::{TIME_LABELS, Timed, peek_timed};
pub use units::nanos_in;
