//! What rows weigh. A row is described by a few numbers; the first of each
//! kind is built whole, by the same code that rolls blocks up, made to fit,
//! and weighed as it is stored. All others of that kind weigh the same.

use std::collections::HashMap;

use flambeau_layout::{
    Activity, BlockId, BlockRow, BootId, ClaimRow, EnvId, Fate, Identity, KeyDate, LabelSet, Level,
    ObjectRange, Point, RowState, SegmentId, SegmentKey, SnapshotKey, SnapshotShape, SortKey,
    Total, TypePart, UnixMillis, Window,
    block::buckets_of,
    block::{INSTANCE_CHARS, MAX_ROW_BYTES},
};
use flambeau_pipeline::compact::{plan::Job, row_of};
use flambeau_store::{IndexedRow, claim_bytes, row_bytes};

use crate::shape::BEGIN;

/// The tenant of every simulation.
pub const TENANT: &str = "default";
/// A name as functions have them.
pub const SERVICE: &str = "checkout-handler-production";

/// What one flush holds: two types, six sample types, with the total of each
/// in one snapshot.
type Measured = (&'static str, &'static [(&'static str, i128)], &'static [usize]);
const TYPES: [Measured; 2] = [
    ("cpu", &[("samples/count", 173), ("cpu/nanoseconds", 1_730_000_000)], &[]),
    (
        "heap",
        &[
            ("alloc_objects/count", 51_234),
            ("alloc_space/bytes", 7_345_678),
            ("inuse_objects/count", 41_234),
            ("inuse_space/bytes", 35_456_789),
        ],
        &[2, 3],
    ),
];

/// Profile types of one snapshot.
pub const TYPE_COUNT: u32 = TYPES.len() as u32;

/// Totals that one snapshot adds to the points of its block.
#[must_use]
pub fn point_values() -> usize {
    TYPES.iter().map(|(_, samples, _)| samples.len()).sum()
}

/// Bytes of a row, as DynamoDB counts them, and the points left in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// While it is open.
    pub open: usize,
    /// While a rollup covers it.
    pub covered: usize,
    /// Once it is done.
    pub done: usize,
    /// Points per type after it was made to fit.
    pub points: usize,
}

/// What a row's weight depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The level of its window.
    pub level: Level,
    /// Blocks rolled up into it; 0 for what merge writes.
    pub children: usize,
    /// Points per type before it is made to fit.
    pub points: usize,
    /// Label sets.
    pub sets: usize,
    /// Decimal digits of the snapshots in one point.
    pub digits: u32,
}

/// Weighs rows, each kind once.
#[derive(Debug, Default)]
pub struct Scales(HashMap<Kind, Weight>);

impl Scales {
    /// What a row of this kind weighs.
    ///
    /// # Panics
    /// When such a row cannot be made to fit, or weighs more than it may: the
    /// simulation is there to find that out.
    pub fn weigh(&mut self, kind: Kind) -> Weight {
        *self.0.entry(kind).or_insert_with(|| weigh(kind))
    }

    /// Kinds weighed so far, and the heaviest.
    #[must_use]
    pub fn seen(&self) -> (usize, usize) {
        let heaviest = self.0.values().map(|weight| weight.done.max(weight.covered)).max();
        (self.0.len(), heaviest.unwrap_or(0))
    }
}

fn weigh(kind: Kind) -> Weight {
    let row = built(kind).fit().unwrap_or_else(|error| panic!("{kind:?} does not fit: {error}"));
    let points = row.parts[0].points.len();
    let by = SortKey {
        state: RowState::Open,
        window: row.window.within(kind.level.above().unwrap_or(kind.level)),
        tier: 1,
        block: block_id(7),
    };
    let bytes = |state, covered_by, expires| {
        let indexed = IndexedRow { row: row.clone(), state, covered_by };
        row_bytes(&indexed, expires).unwrap_or_else(|error| panic!("{kind:?}: {error}"))
    };
    let weight = Weight {
        open: bytes(RowState::Open, None, None),
        covered: bytes(RowState::Open, Some(by.clone()), None),
        done: bytes(RowState::Done, Some(by), Some(BEGIN / 1000)),
        points,
    };
    // Keys and marks come on top of the row itself.
    assert!(weight.done <= MAX_ROW_BYTES + 512, "{kind:?} weighs {weight:?}");
    weight
}

fn built(kind: Kind) -> BlockRow {
    let window = Window::of(kind.level, UnixMillis(BEGIN));
    if kind.children == 0 {
        let offsets = spread(kind, 0, 1);
        return row(kind, window, &offsets, block_id(1));
    }
    let child = |n: usize| {
        let offsets = spread(kind, n, kind.children);
        row(kind, window, &offsets, block_id(n as u64))
    };
    let children: Vec<BlockRow> = (0..kind.children).map(child).collect();
    let children: Vec<&BlockRow> = children.iter().collect();
    let job = Job { into: window, tier: 1, children: Vec::new() };
    let Some(mut row) = row_of(&job, &children, block_id(9), UnixMillis(BEGIN)) else {
        unreachable!("there are children");
    };
    row.parts.iter_mut().for_each(|part| part.at.len = 123_456);
    row
}

/// Where the points of child `n` of `children` lie: together they fill as many
/// buckets as the rollup has points.
fn spread(kind: Kind, n: usize, children: usize) -> Vec<i64> {
    let buckets = match kind.level {
        Level::Minute => kind.points.max(1) as i64,
        level => buckets_of(level)[0],
    };
    let width = kind.level.millis() / buckets;
    let own: Vec<usize> = match kind.points {
        points if points > children => (n..points).step_by(children).collect(),
        points => vec![n % points.max(1)],
    };
    own.into_iter().map(|bucket| bucket as i64 * width).collect()
}

fn row(kind: Kind, window: Window, offsets: &[i64], block: BlockId) -> BlockRow {
    let scale = 10_i128.pow(kind.digits.saturating_sub(1));
    let at = SegmentKey {
        tenant: parsed(TENANT),
        date: KeyDate::of(window.start),
        segment: SegmentId::from_bytes([7; 16]),
    };
    let is_merged = kind.children == 0 && kind.level == Level::Minute;
    let snapshots = scale.unsigned_abs() as u64;
    let part = |(typ, samples, gauges): &Measured| {
        let totals =
            |times: i128| samples.iter().map(|(_, total)| Total(total * scale * times)).collect();
        let point = |(n, offset): (usize, &i64)| Point {
            offset: *offset,
            snapshots,
            instance: is_merged.then_some(n as u32),
            totals: totals(1),
        };
        TypePart {
            typ: parsed(typ),
            at: ObjectRange { key: at.to_string(), offset: 1_234_567, len: 23_456 },
            sample_types: samples.iter().map(|(name, _)| (*name).to_owned()).collect(),
            totals: totals(offsets.len() as i128),
            gauges: gauges.to_vec(),
            snapshots: snapshots * offsets.len() as u64,
            undifferenced: 0,
            sets: (0..kind.sets).map(|set| (set, snapshots)).collect(),
            points: offsets.iter().enumerate().map(point).collect(),
        }
    };
    let instances = 0..if is_merged { offsets.len() } else { 0 };
    let activity = Activity {
        invocations: snapshots * 90,
        active_nanos: snapshots * 60_000_000_000,
        told: snapshots,
    };
    BlockRow {
        parts: TYPES.iter().map(part).collect(),
        label_sets: (0..kind.sets).map(labels).collect(),
        activity,
        set_activity: vec![activity; kind.sets],
        // Every snapshot by an environment of its own is the heaviest there is.
        instances: instances.map(|n| format!("{n:0width$x}", width = INSTANCE_CHARS)).collect(),
        ..bare(window, 0, offsets.len() as u64, block)
    }
}

/// A row without profiles.
pub(crate) fn bare(window: Window, tier: u8, snapshots: u64, block: BlockId) -> BlockRow {
    let empty = BlockRow::empty(parsed(TENANT), parsed(SERVICE), window, block);
    BlockRow { tier, snapshots, written: window.end(), ..empty }
}

/// Labels as the SDK sends them.
fn labels(set: usize) -> LabelSet {
    let told = [
        ("arch", "arm64".to_owned()),
        ("function_name", SERVICE.to_owned()),
        ("init", if set.is_multiple_of(2) { "warm" } else { "cold" }.to_owned()),
        ("memory", "1024".to_owned()),
        ("region", "eu-central-1".to_owned()),
        ("runtime", "rust".to_owned()),
        ("version", (141 + set / 2).to_string()),
    ];
    told.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Bytes of a snapshot's claim.
///
/// # Panics
/// When a claim cannot be written.
#[must_use]
pub fn claim_weight() -> usize {
    let identity = Identity {
        tenant: parsed(TENANT),
        service: parsed(SERVICE),
        env: EnvId::from_bytes([1; 16]),
        boot: BootId::from_bytes([2; 16]),
        seq: 12_345,
    };
    let window = Window::of(Level::Minute, UnixMillis(BEGIN));
    let hash = identity.hash();
    let key = SnapshotKey { identity, date: KeyDate::of(window.start), shape: SnapshotShape::Zip };
    let claim = ClaimRow {
        identity: hash,
        fate: Fate::Block { block: block_id(3), window },
        key: key.to_string(),
        claimed: UnixMillis(BEGIN),
    };
    claim_bytes(&claim).unwrap_or_else(|error| panic!("claim: {error}"))
}

/// The id of the `n`-th block, as long as they are.
pub(crate) fn block_id(n: u64) -> BlockId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&flambeau_random::Random::new(n).draw().to_be_bytes());
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    BlockId::from_bytes(bytes)
}

/// Names that are written in this crate and known to be well-formed.
pub(crate) fn parsed<T: std::str::FromStr>(name: &str) -> T {
    name.parse().unwrap_or_else(|_| panic!("`{name}` is no name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_chunks_weigh_what_a_row_may() {
        let mut scales = Scales::default();
        let kind = Kind { level: Level::Minute, children: 0, points: 99, sets: 4, digits: 1 };
        let weight = scales.weigh(kind);
        assert_eq!(weight.points, 99, "each snapshot keeps its point");
        assert!(weight.open > 8_000 && weight.open < weight.covered, "{weight:?}");
        // Made of twelve such, a minute keeps a point per second at best.
        let rollup = scales.weigh(Kind { children: 12, points: 12 * 99, ..kind });
        assert!(rollup.points <= 60, "{rollup:?}");
    }

    #[test]
    fn a_full_day_of_full_hours_fits() {
        let mut scales = Scales::default();
        for (level, points) in [(Level::Hour, 60), (Level::Day, 96), (Level::Month, 128)] {
            let kind = Kind { level, children: 99, points, sets: 64, digits: 6 };
            let weight = scales.weigh(kind);
            assert!(weight.open > 4_000 && weight.points > 0, "{level:?} {weight:?}");
        }
    }

    #[test]
    fn a_claim_is_one_write_unit() {
        assert!((200..=1024).contains(&claim_weight()), "{}", claim_weight());
    }
}
