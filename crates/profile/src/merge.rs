//! Many profiles into one.

use crate::absorb::Absorber;
use crate::canon;
use crate::content::content_hash;
use crate::error::MergeError;
use crate::header::{Header, Headers, Rank};
use crate::ids::NONE;
use crate::inflate::Inflater;
use crate::limits::Limits;
use crate::merged::{Merged, Truncations};
use crate::scan::Scan;
use crate::tables::Tables;

/// Merges profiles one by one, each off its wire format straight into tables
/// of what is distinct.
///
/// The meaning is that of google/pprof's `Merge`, but for its accidents: the
/// time is the earliest known one whatever the order, and sums that no longer
/// fit saturate, counted, instead of wrapping around.
///
/// Merging is commutative: the same inputs in any order give the same bytes. It
/// is associative as well, with one caveat: what google/pprof takes from the
/// first input (order of comments, default sample type, doc url, frames to drop
/// and keep, main mapping) comes from the earliest input that has it, or the
/// least by content among those of one time, and a part merged before has only
/// its earliest time. Memory grows with what is distinct among the inputs, not
/// with how many there are.
///
/// ```
/// use flambeau_profile::{Limits, Merger, encode, proto};
/// let profile = proto::Profile {
///     string_table: vec![String::new(), "cpu".into(), "nanoseconds".into()],
///     sample_type: vec![proto::ValueType { r#type: 1, unit: 2 }],
///     sample: vec![proto::Sample { value: vec![21], ..Default::default() }],
///     ..Default::default()
/// };
/// let mut merger = Merger::new(Limits::default());
/// merger.add(&encode(&profile), &Default::default())?;
/// merger.add(&encode(&profile), &Default::default())?;
/// assert_eq!(merger.finish()?.totals(), [42]);
/// # Ok::<(), flambeau_profile::MergeError>(())
/// ```
pub struct Merger {
    limits: Limits,
    inflater: Inflater,
    scan: Scan,
    absorber: Absorber,
    state: Option<State>,
    comments: Option<Vec<String>>,
}

/// What exists from the first input on.
struct State {
    headers: Headers,
    tables: Tables,
    /// The first mapping (the main binary) of the least input that has any.
    main: Option<(Rank, u32)>,
}

/// How one input goes in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddOptions<'a> {
    /// Labels put on every sample; each replaces those of the same key. An
    /// empty text only takes them away.
    pub labels: &'a [(&'a str, &'a str)],
    /// Positions of sample types whose values in this input count as 0.
    pub drop_columns: &'a [usize],
}

/// What one input brought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// What the input says about itself.
    pub header: Header,
    /// For each sample type, the sum of what was added.
    pub totals: Vec<i128>,
    /// How many of its samples were added: those with any value but 0.
    pub samples: usize,
}

impl Merger {
    /// A merge of nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Merger {
            limits,
            inflater: Inflater::default(),
            scan: Scan::default(),
            absorber: Absorber::default(),
            state: None,
            comments: None,
        }
    }

    /// Adds one profile, gzipped or raw. It is validated whole before any of it
    /// is merged: on an error, nothing of it was added.
    ///
    /// # Errors
    /// [`MergeError::Decode`] if the bytes are no valid profile,
    /// [`MergeError::Incompatible`] if they measure something else than those
    /// before, [`MergeError::Full`] if the merge holds all it may, and
    /// [`MergeError::NoColumn`] for a column to drop that is not there.
    pub fn add(&mut self, bytes: &[u8], options: &AddOptions<'_>) -> Result<Added, MergeError> {
        let raw = self.inflater.inflate(bytes, &self.limits)?;
        self.scan.read(raw, &self.limits)?;
        let header = Header::of(&self.scan, raw, &self.limits);
        check_columns(options, header.sample_types.len())?;
        if let Some(state) = &self.state {
            state.headers.check(&header)?;
            check_room(&state.tables, raw, &self.limits)?;
        }
        let rank = Rank::of(&header, content_hash(raw));
        let state = self.state.get_or_insert_with(|| State::new(&header));
        state.headers.add(&header, rank, &self.limits);
        let absorbed =
            self.absorber.absorb(&self.scan, raw, &self.limits, options, &mut state.tables);
        state.note_main(rank, absorbed.first_mapping);
        Ok(Added { header, totals: absorbed.totals, samples: absorbed.samples })
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.is_none()
    }

    /// Sets the comments of the output, in place of those united from inputs.
    pub fn set_comments(&mut self, comments: Vec<String>) {
        self.comments = Some(comments);
    }

    /// Bytes held by this merge: tables, and buffers kept for the next input.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        let tables = self.state.as_ref().map_or(0, |s| s.tables.held());
        tables + self.inflater.held() + self.scan.held() + self.absorber.held()
    }

    /// Ends the merge.
    ///
    /// # Errors
    /// [`MergeError::Nothing`] if nothing was added.
    pub fn finish(self) -> Result<Merged, MergeError> {
        let mut state = self.state.ok_or(MergeError::Nothing)?;
        let cardinality = self.absorber.cardinality;
        cardinality.settle(&mut state.tables);
        let truncations = Truncations {
            stacks: self.absorber.stacks_cut,
            labels: self.absorber.labels_cut,
            label_values: cardinality.overflown,
            names: state.tables.strings.cut,
            comments: state.headers.comments_cut,
        };
        let header = state.headers.finish(self.comments);
        let main = state.main.map_or(NONE, |(_, mapping)| mapping);
        Ok(canon::settle(state.tables, main, header, truncations))
    }
}

impl State {
    fn new(first: &Header) -> Self {
        State {
            headers: Headers::new(first),
            tables: Tables::new(first.sample_types.len()),
            main: None,
        }
    }

    fn note_main(&mut self, rank: Rank, first_mapping: u32) {
        let earlier = self.main.is_none_or(|(held, _)| rank < held);
        if first_mapping != NONE && earlier {
            self.main = Some((rank, first_mapping));
        }
    }
}

fn check_columns(options: &AddOptions<'_>, types: usize) -> Result<(), MergeError> {
    match options.drop_columns.iter().find(|&&c| c >= types) {
        Some(&column) => Err(MergeError::NoColumn { column, types }),
        None => Ok(()),
    }
}

/// Refuses an input that could take any table beyond what positions can tell
/// apart, or a merge that holds too much already.
fn check_room(tables: &Tables, raw: &[u8], limits: &Limits) -> Result<(), MergeError> {
    /// Invalid names grow by at most this when spelled out.
    const GROWTH: usize = 4;
    let bytes = tables.held();
    let next = tables.longest().saturating_add(raw.len() * GROWTH);
    if bytes <= limits.merged_bytes && next < u32::MAX as usize {
        return Ok(());
    }
    Err(MergeError::Full { bytes: bytes as u64, limit: limits.merged_bytes as u64 })
}
