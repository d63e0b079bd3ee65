//! What a profile says about itself, and how several such become one.

use std::collections::BTreeMap;

use crate::error::MergeError;
use crate::limits::Limits;
use crate::scan::Scan;
use crate::strings::presentable;

/// Comments that begin so are Flambeau's own metadata: read by whoever knows
/// them, written by [`crate::Merger::set_comments`], never united.
pub const FLAMBEAU_COMMENT: &str = "flambeau:";

/// A measure and its unit, such as `cpu` in `nanoseconds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueType {
    /// The measure.
    pub typ: String,
    /// The unit.
    pub unit: String,
}

impl ValueType {
    /// A measure and its unit.
    #[must_use]
    pub fn new(typ: impl Into<String>, unit: impl Into<String>) -> Self {
        ValueType { typ: typ.into(), unit: unit.into() }
    }
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.typ, self.unit)
    }
}

/// What a profile says about itself: everything but samples and their tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What each value of a sample counts, in order.
    pub sample_types: Vec<ValueType>,
    /// What passes between two samples; `None` where unset (or both parts are
    /// empty, which google/pprof does not tell apart).
    pub period_type: Option<ValueType>,
    /// How much of it passes.
    pub period: i64,
    /// Start of collection, nanoseconds since 1970 UTC; 0 is unknown.
    pub time_nanos: i64,
    /// Length of collection in nanoseconds; of a merge, the sum.
    pub duration_nanos: i64,
    /// Free text, Flambeau's own (see [`FLAMBEAU_COMMENT`]) included.
    pub comments: Vec<String>,
    /// Regular expression of frames to drop with their callees, or empty.
    pub drop_frames: String,
    /// Regular expression of frames exempt from `drop_frames`, or empty.
    pub keep_frames: String,
    /// Name of the sample type to show first, or empty.
    pub default_sample_type: String,
    /// Where this kind of profile is documented, or empty.
    pub doc_url: String,
}

impl Header {
    pub(crate) fn of(scan: &Scan, raw: &[u8], limits: &Limits) -> Header {
        let h = &scan.header;
        let text = |index: i64| scan.string(raw, index);
        let name = |index| presentable(text(index), limits.name_bytes).0.into_owned();
        let pair = |(typ, unit)| ValueType::new(name(typ), name(unit));
        let period_type = pair(h.period_type);
        Header {
            sample_types: h.sample_types.iter().map(|&p| pair(p)).collect(),
            period_type: (period_type != ValueType::default()).then_some(period_type),
            period: h.period,
            time_nanos: h.time_nanos,
            duration_nanos: h.duration_nanos,
            comments: h
                .comments
                .iter()
                .map(|&c| presentable(text(c), usize::MAX).0.into_owned())
                .collect(),
            drop_frames: name(h.drop_frames),
            keep_frames: name(h.keep_frames),
            default_sample_type: name(h.default_sample_type),
            doc_url: name(h.doc_url),
        }
    }
}

/// Which input comes first, whatever came first: the earliest known time, then
/// the content's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    unknown_time: bool,
    time_nanos: i64,
    content: u64,
}

impl Rank {
    pub(crate) fn of(header: &Header, content: u64) -> Rank {
        Rank { unknown_time: header.time_nanos == 0, time_nanos: header.time_nanos, content }
    }
}

impl Rank {
    /// A rank by a given order, where there is one.
    pub(crate) fn given(order: u64) -> Rank {
        Rank { unknown_time: false, time_nanos: 0, content: order }
    }
}

/// The headers merged so far.
pub(crate) struct Headers {
    pub(crate) sample_types: Vec<ValueType>,
    pub(crate) period_type: Option<ValueType>,
    period: i64,
    time_nanos: i64,
    duration_nanos: i128,
    frames: Least<(String, String)>,
    default_sample_type: Least<String>,
    doc_url: Least<String>,
    /// Each comment's first place: (input, position in it).
    comments: BTreeMap<String, (Rank, usize)>,
    /// Comments left out for the limit.
    pub(crate) comments_cut: u64,
}

/// A value and the rank of the input it came from; the least stays.
struct Least<T>(Option<(Rank, T)>);

impl<T> Least<T> {
    fn offer(&mut self, rank: Rank, value: impl FnOnce() -> T) {
        if self.0.as_ref().is_none_or(|(held, _)| rank < *held) {
            self.0 = Some((rank, value()));
        }
    }
}

impl<T: Default> Least<T> {
    fn take(self) -> T {
        self.0.map(|(_, value)| value).unwrap_or_default()
    }
}

impl Headers {
    pub(crate) fn new(first: &Header) -> Self {
        Headers {
            sample_types: first.sample_types.clone(),
            period_type: first.period_type.clone(),
            period: 0,
            time_nanos: 0,
            duration_nanos: 0,
            frames: Least(None),
            default_sample_type: Least(None),
            doc_url: Least(None),
            comments: BTreeMap::new(),
            comments_cut: 0,
        }
    }

    /// Whether `input` measures the same.
    pub(crate) fn check(&self, input: &Header) -> Result<(), MergeError> {
        if self.period_type != input.period_type {
            let show =
                |t: &Option<ValueType>| t.as_ref().map_or("none".into(), ValueType::to_string);
            return Err(MergeError::Incompatible {
                what: "period types",
                merged: show(&self.period_type),
                input: show(&input.period_type),
            });
        }
        if self.sample_types != input.sample_types {
            return Err(MergeError::Incompatible {
                what: "sample types",
                merged: list(&self.sample_types),
                input: list(&input.sample_types),
            });
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, input: &Header, rank: Rank, limits: &Limits) {
        if input.time_nanos != 0 && (self.time_nanos == 0 || input.time_nanos < self.time_nanos) {
            self.time_nanos = input.time_nanos;
        }
        if input.period != 0 && (self.period == 0 || input.period > self.period) {
            self.period = input.period;
        }
        self.duration_nanos += i128::from(input.duration_nanos);
        self.frames.offer(rank, || (input.drop_frames.clone(), input.keep_frames.clone()));
        if !input.default_sample_type.is_empty() {
            self.default_sample_type.offer(rank, || input.default_sample_type.clone());
        }
        if !input.doc_url.is_empty() {
            self.doc_url.offer(rank, || input.doc_url.clone());
        }
        for (i, comment) in input.comments.iter().enumerate() {
            if !comment.starts_with(FLAMBEAU_COMMENT) {
                self.add_comment(comment, (rank, i), limits.comments);
            }
        }
    }

    /// Keeps each comment's least place, and of all comments the least ones:
    /// a choice that no order of inputs can change.
    fn add_comment(&mut self, comment: &str, place: (Rank, usize), limit: usize) {
        if let Some(held) = self.comments.get_mut(comment) {
            *held = place.min(*held);
            return;
        }
        self.comments.insert(comment.to_owned(), place);
        if self.comments.len() > limit {
            let last = self.comments.iter().max_by_key(|(_, place)| **place);
            if let Some(last) = last.map(|(comment, _)| comment.clone()) {
                self.comments.remove(&last);
                self.comments_cut += 1;
            }
        }
    }

    /// The merged header; `comments` replaces those united, if given.
    pub(crate) fn finish(self, comments: Option<Vec<String>>) -> Header {
        let (drop_frames, keep_frames) = self.frames.take();
        let mut united: Vec<_> = self.comments.into_iter().collect();
        united.sort_by_key(|&(_, place)| place);
        Header {
            sample_types: self.sample_types,
            period_type: self.period_type,
            period: self.period,
            time_nanos: self.time_nanos,
            duration_nanos: saturated(self.duration_nanos).0,
            comments: comments.unwrap_or_else(|| united.into_iter().map(|(c, _)| c).collect()),
            drop_frames,
            keep_frames,
            default_sample_type: self.default_sample_type.take(),
            doc_url: self.doc_url.take(),
        }
    }
}

/// A sum as a profile can hold it, and whether it had to be bent.
pub(crate) fn saturated(sum: i128) -> (i64, bool) {
    match i64::try_from(sum) {
        Ok(value) => (value, false),
        Err(_) if sum < 0 => (i64::MIN, true),
        Err(_) => (i64::MAX, true),
    }
}

fn list(types: &[ValueType]) -> String {
    let shown: Vec<_> = types.iter().map(ValueType::to_string).collect();
    format!("[{}]", shown.join(" "))
}
