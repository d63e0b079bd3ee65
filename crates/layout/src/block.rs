//! Index rows of blocks.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    ids::BlockId,
    name::{LayoutError, ProfileType, ServiceName, TenantId},
    object::ObjectRange,
    time::{Level, UnixMillis, Window},
};

/// Longest row, in bytes of its JSON. Rows are made to fit by
/// [`BlockRow::fit`], so that a hundred of them stay far below the 4 MB of one
/// DynamoDB transaction.
pub const MAX_ROW_BYTES: usize = 16 * 1024;

/// Most label sets a row lists; beyond it says `more`.
pub const MAX_LABEL_SETS: usize = 64;

/// Most traces a row lists: their places in the segment must leave room for
/// everything else.
pub const MAX_TRACES: usize = 16;

/// Digits of an environment's id that a row keeps: enough to tell environments
/// of one service apart, short enough for a hundred of them.
pub const INSTANCE_CHARS: usize = 8;

/// A sum over samples: 128 bits, because a pprof's 64 saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Total(pub i128);

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::ops::AddAssign for Total {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl std::iter::Sum for Total {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), |mut sum, total| {
            sum += total;
            sum
        })
    }
}

/// JSON has no integers beyond 64 bits that every reader keeps: larger totals
/// are written as text.
impl Serialize for Total {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(small) => s.serialize_i64(small),
            Err(_) => s.serialize_str(&self.0.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Total {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Small(i64),
            Large(String),
        }
        match Written::deserialize(d)? {
            Written::Small(small) => Ok(Self(small.into())),
            Written::Large(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// Whether a block stands in a coarser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowState {
    /// Not yet rolled up, or just being so.
    Open,
    /// Rolled up: read only at the edges of a range.
    Done,
}

impl RowState {
    /// The state as it begins a sort key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
        }
    }
}

/// Labels shared by all samples of some snapshots.
pub type LabelSet = BTreeMap<String, String>;

/// The total of one snapshot, or of a bucket of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Milliseconds since the window's start.
    #[serde(rename = "t")]
    pub offset: i64,
    /// Snapshots in it.
    #[serde(rename = "n", default = "one", skip_serializing_if = "is_one")]
    pub snapshots: u64,
    /// Which environment wrote it, a position in [`BlockRow::instances`]; only
    /// of a single snapshot.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// Totals per sample type.
    #[serde(rename = "v")]
    pub totals: Vec<Total>,
}

/// What functions did while snapshots were taken, as far as their writers told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Activity {
    /// Invocations that ended.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub invocations: u64,
    /// Nanoseconds in which an invocation ran; what is no Lambda function counts
    /// how long its profiles took.
    #[serde(rename = "ns", default, skip_serializing_if = "is_zero")]
    pub active_nanos: u64,
    /// Snapshots whose writers told how many invocations there were.
    #[serde(rename = "told", default, skip_serializing_if = "is_zero")]
    pub told: u64,
}

impl Activity {
    /// Whether nobody told anything.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Such lists as rows hold them: none at all where nobody told anything.
    #[must_use]
    pub fn told_by(sets: Vec<Self>) -> Vec<Self> {
        if sets.iter().all(Self::is_none) { Vec::new() } else { sets }
    }
}

impl std::ops::AddAssign for Activity {
    fn add_assign(&mut self, other: Self) {
        self.invocations = self.invocations.saturating_add(other.invocations);
        self.active_nanos = self.active_nanos.saturating_add(other.active_nanos);
        self.told = self.told.saturating_add(other.told);
    }
}

/// A profile whose samples carry time, kept as it came: folding it into others
/// would lose what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Its profile type.
    pub typ: ProfileType,
    /// Where its gzip pprof lies.
    pub at: ObjectRange,
    /// When it ended, in milliseconds since the window's start.
    #[serde(rename = "t")]
    pub offset: i64,
    /// Nanoseconds from its first sample to its last.
    #[serde(rename = "ns")]
    pub nanos: i64,
    /// Samples that carry time.
    pub samples: u64,
}

fn one() -> u64 {
    1
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One profile type of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypePart {
    /// The type.
    pub typ: ProfileType,
    /// Where its gzip pprof lies.
    pub at: ObjectRange,
    /// Sample types as `type/unit`, in the profile's order.
    pub sample_types: Vec<String>,
    /// Totals per sample type.
    pub totals: Vec<Total>,
    /// Positions of the sample types that are gauges: their totals are sums
    /// over snapshots, which a view divides by their number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gauges: Vec<usize>,
    /// Snapshots in it.
    pub snapshots: u64,
    /// Snapshots among them whose cumulative columns were left out, because the
    /// difference to the snapshot before is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undifferenced: u64,
    /// Snapshots per label set: index into [`BlockRow::label_sets`], count.
    pub sets: Vec<(usize, u64)>,
    /// Totals over time: per snapshot at level 0, fixed buckets above.
    pub points: Vec<Point>,
}

impl TypePart {
    /// What it measures: parts of one type merge only where this agrees.
    #[must_use]
    pub fn shape(&self) -> (&[String], &[usize]) {
        (&self.sample_types, &self.gauges)
    }
}

/// Snapshots that arrived far from the time they tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Arrivals {
    /// Taken by S3 long after their window.
    #[serde(default)]
    pub late: u64,
    /// Said to end after S3 took them; placed where they were taken.
    #[serde(default)]
    pub future: u64,
}

impl Arrivals {
    fn are_timely(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Arrivals {
    fn add_assign(&mut self, other: Self) {
        self.late += other.late;
        self.future += other.future;
    }
}

/// One row of the blocks table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRow {
    /// Version of this document.
    pub v: u32,
    /// The block.
    pub block: BlockId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it profiles.
    pub service: ServiceName,
    /// The time it covers.
    pub window: Window,
    /// Times rolled up inside the window.
    pub tier: u8,
    /// Snapshots in it, whatever their types.
    pub snapshots: u64,
    /// Its profiles.
    pub parts: Vec<TypePart>,
    /// Label sets of its snapshots.
    pub label_sets: Vec<LabelSet>,
    /// Whether label sets were left out.
    #[serde(default)]
    pub more: bool,
    /// What its functions did, all label sets together.
    #[serde(default, skip_serializing_if = "Activity::is_none")]
    pub activity: Activity,
    /// The same for each of [`BlockRow::label_sets`], in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_activity: Vec<Activity>,
    /// Environments that wrote its snapshots, by the first digits of their ids;
    /// on rows straight from a merge only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
    /// Timed profiles kept whole; on rows straight from a merge only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<Trace>,
    /// Blocks rolled up into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<BlockId>,
    /// How far from their windows its snapshots arrived.
    #[serde(default, skip_serializing_if = "Arrivals::are_timely")]
    pub arrivals: Arrivals,
    /// When it was written.
    pub written: UnixMillis,
}

impl BlockRow {
    /// A row of a block that has nothing in it yet.
    #[must_use]
    pub fn empty(tenant: TenantId, service: ServiceName, window: Window, block: BlockId) -> Self {
        Self {
            v: crate::FORMAT_VERSION,
            block,
            tenant,
            service,
            window,
            tier: 0,
            snapshots: 0,
            parts: Vec::new(),
            label_sets: Vec::new(),
            more: false,
            activity: Activity::default(),
            set_activity: Vec::new(),
            instances: Vec::new(),
            traces: Vec::new(),
            children: Vec::new(),
            arrivals: Arrivals::default(),
            written: UnixMillis(0),
        }
    }

    /// The partition that holds a service's rows.
    #[must_use]
    pub fn partition(tenant: &TenantId, service: &ServiceName) -> String {
        format!("{}/{}", tenant.encoded(), service.encoded())
    }

    /// The row's sort key in this state.
    #[must_use]
    pub fn sort(&self, state: RowState) -> String {
        crate::sort_key::SortKey::of(self, state).to_string()
    }

    /// What the sort keys of a window's rows begin with.
    #[must_use]
    pub fn sort_prefix(state: RowState, window: Window) -> String {
        format!("{}/{}/{window}/", state.as_str(), window.level.number())
    }

    /// The profile of this type, if the block has one.
    #[must_use]
    pub fn part(&self, typ: &ProfileType) -> Option<&TypePart> {
        self.parts.iter().find(|part| part.typ == *typ)
    }

    /// Makes the row fit [`MAX_ROW_BYTES`]: first points forget who wrote them,
    /// then they grow coarser, then label sets are left out and said as `more`.
    ///
    /// # Errors
    /// When names alone outgrow the row.
    pub fn fit(mut self) -> Result<Self, LayoutError> {
        self.keep_label_sets(MAX_LABEL_SETS);
        if self.json_bytes() > MAX_ROW_BYTES {
            self.forget_instances();
        }
        for buckets in buckets_of(self.window.level) {
            if self.json_bytes() <= MAX_ROW_BYTES {
                return Ok(self);
            }
            self.coarsen_points(buckets);
        }
        for sets in [16, 4, 0] {
            if self.json_bytes() <= MAX_ROW_BYTES {
                return Ok(self);
            }
            self.keep_label_sets(sets);
        }
        match self.json_bytes() {
            bytes if bytes <= MAX_ROW_BYTES => Ok(self),
            bytes => Err(LayoutError::TooLong { what: "index row", bytes, limit: MAX_ROW_BYTES }),
        }
    }

    fn json_bytes(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |json| json.len())
    }

    fn keep_label_sets(&mut self, most: usize) {
        if self.label_sets.len() <= most {
            return;
        }
        self.label_sets.truncate(most);
        self.set_activity.truncate(most);
        self.more = true;
        for part in &mut self.parts {
            part.sets.retain(|(set, _)| *set < most);
        }
    }

    fn forget_instances(&mut self) {
        self.instances.clear();
        let points = self.parts.iter_mut().flat_map(|part| &mut part.points);
        points.for_each(|point| point.instance = None);
    }

    fn coarsen_points(&mut self, buckets: i64) {
        let width = (self.window.level.millis() / buckets).max(1);
        for part in &mut self.parts {
            part.points = coarsen(&part.points, width);
        }
    }
}

/// Into how many buckets a window's points may be coarsened, finest first. Each
/// count divides the one before, so that coarse buckets are whole fine ones.
#[must_use]
pub fn buckets_of(level: Level) -> [i64; 5] {
    match level {
        Level::Minute | Level::Hour => [60, 30, 10, 5, 1],
        Level::Day => [96, 48, 24, 6, 1],
        Level::Month => [128, 64, 32, 8, 1],
    }
}

/// Adds up points that fall into the same bucket of `width` milliseconds.
#[must_use]
pub fn coarsen(points: &[Point], width: i64) -> Vec<Point> {
    let mut buckets: BTreeMap<i64, Point> = BTreeMap::new();
    for point in points {
        let offset = point.offset.div_euclid(width) * width;
        match buckets.get_mut(&offset) {
            None => {
                buckets.insert(offset, Point { offset, ..point.clone() });
            }
            Some(bucket) => {
                bucket.snapshots += point.snapshots;
                bucket.instance = bucket.instance.filter(|_| bucket.instance == point.instance);
                for (sum, total) in bucket.totals.iter_mut().zip(&point.totals) {
                    *sum += *total;
                }
            }
        }
    }
    buckets.into_values().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(points: i64, sets: usize, typ: &str) -> BlockRow {
        let point = |i: i64| Point {
            offset: i * 7,
            snapshots: 1,
            instance: Some(i as u32),
            totals: vec![Total(i.into()); 2],
        };
        let part = TypePart {
            typ: typ.parse().unwrap(),
            at: ObjectRange { key: "segments/t/d/s.zip".into(), offset: 1, len: 2 },
            sample_types: vec!["samples/count".into(), "cpu/nanoseconds".into()],
            totals: vec![Total(0), Total(i128::MAX)],
            gauges: vec![],
            snapshots: points as u64,
            undifferenced: 0,
            sets: (0..sets).map(|i| (i, 1)).collect(),
            points: (0..points).map(point).collect(),
        };
        let label = |i: usize| LabelSet::from([("version".into(), format!("{i:0100}"))]);
        let window = Window::of(Level::Minute, UnixMillis(1_795_000_000_000));
        let block = BlockId::from_bytes([7; 16]);
        BlockRow {
            snapshots: points as u64,
            parts: vec![part],
            label_sets: (0..sets).map(label).collect(),
            activity: Activity { invocations: 9, active_nanos: 99, told: 1 },
            set_activity: vec![Activity::default(); sets],
            instances: (0..points).map(|i| format!("{i:08}")).collect(),
            ..BlockRow::empty("default".parse().unwrap(), "s".parse().unwrap(), window, block)
        }
    }

    #[test]
    fn rows_come_back() {
        let row = row(3, 2, "cpu").fit().unwrap();
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<BlockRow>(&json).unwrap(), row);
        assert!(row.sort(RowState::Open).starts_with("open/0/00179499"));
    }

    #[test]
    fn rows_fit_by_losing_detail_never_totals() {
        let fitted = row(2000, 500, "cpu").fit().unwrap();
        assert!(serde_json::to_string(&fitted).unwrap().len() <= MAX_ROW_BYTES);
        assert!(fitted.more && fitted.instances.is_empty());
        assert_eq!(fitted.set_activity.len(), fitted.label_sets.len());
        assert_eq!(fitted.activity.invocations, 9);
        let points: Total = fitted.parts[0].points.iter().map(|point| point.totals[0]).sum();
        assert_eq!(points, Total((0..2000).sum()));
        assert_eq!(fitted.parts[0].totals[1], Total(i128::MAX));
        let whole = row(50, MAX_LABEL_SETS, "cpu").fit().unwrap();
        assert_eq!((whole.label_sets.len(), whole.more), (MAX_LABEL_SETS, false));
        assert_eq!(whole.instances.len(), 50);
    }
}
