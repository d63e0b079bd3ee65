//! Why bytes are not a profile, and why profiles do not merge.

use thiserror::Error;

/// Why bytes were not accepted as a pprof profile.
///
/// None of these heals by trying again: the bytes themselves are at fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes, or a gzip of no bytes.
    #[error("empty input")]
    Empty,
    /// Neither gzip nor a protobuf message of the pprof schema.
    #[error("not a pprof profile: {reason} at byte {offset}")]
    NotPprof {
        /// What the walker stumbled over.
        reason: &'static str,
        /// Where, in the inflated bytes.
        offset: usize,
    },
    /// The input ends before it is complete.
    #[error("truncated {layer}: the input ends after {bytes} bytes")]
    Truncated {
        /// `gzip` or `pprof`.
        layer: &'static str,
        /// Length of the input at that layer.
        bytes: usize,
    },
    /// Gzip whose contents do not hold.
    #[error("corrupt gzip: {reason}")]
    Corrupt {
        /// What does not hold.
        reason: String,
    },
    /// More of something than the limits allow.
    #[error("too large: {found} {what}, the limit is {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit in force.
        limit: u64,
        /// How much there is; where counting stopped early, a lower bound.
        found: u64,
    },
    /// A message of the right schema that breaks its rules.
    #[error("invalid profile: {0}")]
    Invalid(#[from] Broken),
}

/// What sort of failure a [`DecodeError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Nothing there.
    Empty,
    /// Something else altogether.
    NotPprof,
    /// Cut short on its way.
    Truncated,
    /// Damaged on its way.
    Corrupt,
    /// Beyond a limit.
    TooLarge,
    /// A profile that contradicts itself.
    Invalid,
}

impl DecodeErrorKind {
    /// A stable word for logs and stored records, such as `too-large`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeErrorKind::Empty => "empty",
            DecodeErrorKind::NotPprof => "not-pprof",
            DecodeErrorKind::Truncated => "truncated",
            DecodeErrorKind::Corrupt => "corrupt",
            DecodeErrorKind::TooLarge => "too-large",
            DecodeErrorKind::Invalid => "invalid",
        }
    }
}

impl DecodeError {
    /// The sort of failure, for callers that act on it.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        match self {
            DecodeError::Empty => DecodeErrorKind::Empty,
            DecodeError::NotPprof { .. } => DecodeErrorKind::NotPprof,
            DecodeError::Truncated { .. } => DecodeErrorKind::Truncated,
            DecodeError::Corrupt { .. } => DecodeErrorKind::Corrupt,
            DecodeError::TooLarge { .. } => DecodeErrorKind::TooLarge,
            DecodeError::Invalid(_) => DecodeErrorKind::Invalid,
        }
    }
}

/// The rule of the format that a profile breaks.
///
/// These are the rules google/pprof checks on reading; what it accepts (no
/// samples, no lines, a missing mapping, negative values, unknown fields) we
/// accept as well.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// No string table at all.
    #[error("string table is missing")]
    NoStringTable,
    /// Entry 0 of the string table has text.
    #[error("string table does not begin with the empty string")]
    FirstString,
    /// An index beyond the string table.
    #[error("{field} refers to string {index} of {len}")]
    StringIndex {
        /// The field that refers.
        field: &'static str,
        /// Where it points.
        index: i64,
        /// Length of the table.
        len: usize,
    },
    /// Samples, but nothing to say what their values are.
    #[error("{samples} samples without sample types")]
    NoSampleTypes {
        /// How many.
        samples: usize,
    },
    /// A sample with too few or too many values.
    #[error("sample {sample} has {values} values for {types} sample types")]
    ValueCount {
        /// Which sample, from 0.
        sample: usize,
        /// Its values.
        values: usize,
        /// What there should be.
        types: usize,
    },
    /// Id 0 means "none" and cannot be given.
    #[error("{table} with reserved id 0")]
    ReservedId {
        /// `mapping`, `location` or `function`.
        table: &'static str,
    },
    /// Two entries of one table share an id.
    #[error("two {table}s with id {id}")]
    DuplicateId {
        /// `mapping`, `location` or `function`.
        table: &'static str,
        /// The id.
        id: u64,
    },
    /// A sample refers to a location that is not there.
    #[error("sample {sample} refers to missing location {id}")]
    DanglingLocation {
        /// Which sample, from 0.
        sample: usize,
        /// The id it refers to.
        id: u64,
    },
    /// A line refers to a function that is not there.
    #[error("location {location} refers to missing function {id}")]
    DanglingFunction {
        /// The location's id.
        location: u64,
        /// The id it refers to.
        id: u64,
    },
    /// A second time stamp: two profiles glued together.
    #[error("two profiles in one input")]
    Concatenated,
}

/// Why a profile was not merged.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// The input is no profile. Final for this input.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The input measures something else than what was merged so far. It may
    /// merge well with others of its kind.
    #[error("incompatible {what}: merged so far {merged}, this input {input}")]
    Incompatible {
        /// `sample types` or `period types`.
        what: &'static str,
        /// What the merge holds.
        merged: String,
        /// What the input brought.
        input: String,
    },
    /// The merge holds as much as it may. Finish it and start another.
    #[error("merge is full: {bytes} bytes held, the limit is {limit}")]
    Full {
        /// What is held.
        bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A column that the input does not have was to be dropped.
    #[error("no sample type {column} to drop: the input has {types}")]
    NoColumn {
        /// The column asked for, from 0.
        column: usize,
        /// How many there are.
        types: usize,
    },
    /// Nothing was added, so there is nothing to finish.
    #[error("no profiles to merge")]
    Nothing,
}
