//! Chunks: snapshots of one (tenant, service), merged per window and type, and
//! so few that their claims and rows fit one transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use flambeau_layout::{
    Activity, Arrivals, Identity, LabelSet, ObjectRange, Point, ProfileType, SnapshotKey,
    SnapshotNote, Total, Trace, TypePart, UnixMillis, Window,
    block::{INSTANCE_CHARS, MAX_TRACES},
};
use flambeau_profile::{AddOptions, Header, Limits, MergeError, Merger, TIME_LABELS, ValueType};
use flambeau_store::MAX_TRANSACTION_ITEMS;

use super::{
    MergeOptions,
    columns::Columns,
    park::{Parked, reason_of},
    read::Part,
};

/// Most totals that the points of one chunk hold, so that its rows keep a
/// point per snapshot within [`flambeau_layout::block::MAX_ROW_BYTES`].
pub(super) const MAX_POINT_VALUES: usize = 600;

/// Whether the claims of so many snapshots and so many block rows commit in one
/// transaction, and the points' totals leave each snapshot its point. A single
/// snapshot fits whatever it holds.
#[must_use]
pub fn chunk_fits(snapshots: usize, rows: usize, point_values: usize) -> bool {
    let few_points = point_values <= MAX_POINT_VALUES || snapshots <= 1;
    snapshots + rows <= MAX_TRANSACTION_ITEMS && few_points
}

const _: () = assert!(
    flambeau_layout::snapshot::MAX_TYPES <= MAX_TRACES,
    "a snapshot by itself must fit, though all of its profiles be timed"
);

/// A snapshot ready to be merged.
pub(super) struct Member {
    pub(super) key: SnapshotKey,
    pub(super) size: u64,
    pub(super) window: Window,
    pub(super) end: UnixMillis,
    pub(super) arrivals: Arrivals,
    pub(super) note: SnapshotNote,
    pub(super) parts: Vec<Part>,
    pub(super) bad_entries: Vec<Parked>,
}

impl Member {
    fn columns(&self, part: &Part) -> Columns {
        Columns::of(&part.header, &self.note, self.key.identity.seq)
    }

    fn point_values(&self) -> usize {
        self.parts.iter().map(|part| part.header.sample_types.len()).sum()
    }

    fn traces(&self) -> usize {
        self.parts.iter().filter(|part| part.timed.is_some()).count()
    }

    /// What its functions did, by its note, as many times as its values count;
    /// what is no Lambda function did something for as long as its longest
    /// profile took.
    fn activity(&self) -> Activity {
        let took = self.parts.iter().map(|part| part.header.duration_nanos).max().unwrap_or(0);
        let active = u64::try_from(self.note.active_nanos.unwrap_or(took)).unwrap_or(0);
        let weight = self.note.weight.max(1);
        Activity {
            invocations: self.note.invocations.unwrap_or(0).saturating_mul(weight),
            active_nanos: active.saturating_mul(weight),
            told: u64::from(self.note.invocations.is_some()),
        }
    }

    fn instance(&self) -> String {
        self.key.identity.env.as_str().chars().take(INSTANCE_CHARS).collect()
    }
}

/// Snapshots being merged.
pub(super) struct Chunk {
    first: SnapshotKey,
    limits: Limits,
    members: Vec<(SnapshotKey, Window)>,
    shapes: BTreeMap<ProfileType, Shape>,
    blocks: BTreeMap<Window, OpenBlock>,
    point_values: usize,
    traces: usize,
}

/// What must agree for two profiles to merge.
#[derive(PartialEq)]
struct Shape {
    sample_types: Vec<ValueType>,
    period_type: Option<ValueType>,
    gauges: Vec<usize>,
}

impl Shape {
    fn of(part: &Part, columns: &Columns) -> Self {
        let Header { sample_types, period_type, .. } = &part.header;
        let gauges = columns.gauges.clone();
        Self { sample_types: sample_types.clone(), period_type: period_type.clone(), gauges }
    }
}

#[derive(Default)]
struct OpenBlock {
    snapshots: u64,
    arrivals: Arrivals,
    types: BTreeMap<ProfileType, OpenType>,
    label_sets: Vec<LabelSet>,
    set_activity: Vec<Activity>,
    instances: Vec<String>,
    traces: Vec<MergedTrace>,
}

struct OpenType {
    merger: Merger,
    part: TypePart,
    sets: BTreeMap<usize, u64>,
}

/// A chunk whose profiles are merged, still without a place in a segment.
pub(super) struct MergedChunk {
    pub(super) keys: Vec<SnapshotKey>,
    pub(super) windows: Vec<Window>,
    pub(super) blocks: Vec<MergedBlock>,
}

/// One block of a merged chunk.
pub(super) struct MergedBlock {
    pub(super) window: Window,
    pub(super) snapshots: u64,
    pub(super) arrivals: Arrivals,
    pub(super) label_sets: Vec<LabelSet>,
    pub(super) set_activity: Vec<Activity>,
    pub(super) instances: Vec<String>,
    pub(super) types: Vec<MergedType>,
    pub(super) traces: Vec<MergedTrace>,
    /// Claims of the snapshots in it.
    pub(super) covers: Vec<Identity>,
}

/// A timed profile that goes into a segment as it came.
pub(super) struct MergedTrace {
    /// Its place in the row; where it lies is known once the segment is packed.
    pub(super) trace: Trace,
    pub(super) bytes: Bytes,
}

/// One profile of a merged block.
pub(super) struct MergedType {
    pub(super) merger: Merger,
    /// Its part of the row; where it lies is known once the segment is packed.
    pub(super) part: TypePart,
}

impl Chunk {
    pub(super) fn new(first: &SnapshotKey, options: &MergeOptions) -> Self {
        Self {
            first: first.clone(),
            limits: options.limits,
            members: Vec::new(),
            shapes: BTreeMap::new(),
            blocks: BTreeMap::new(),
            point_values: 0,
            traces: 0,
        }
    }

    /// Whether the snapshot is of this chunk's tenant and service.
    pub(super) fn is_of(&self, member: &Member) -> bool {
        let (ours, theirs) = (&self.first.identity, &member.key.identity);
        ours.tenant == theirs.tenant && ours.service == theirs.service
    }

    /// Whether each of its profiles measures what this chunk's of that type do.
    pub(super) fn suits(&self, member: &Member) -> bool {
        self.is_of(member)
            && member.parts.iter().all(|part| {
                let shape = || Shape::of(part, &member.columns(part));
                self.shapes.get(&part.typ).is_none_or(|held| *held == shape())
            })
    }

    /// Whether its claim, its row, its points and its traces still fit.
    pub(super) fn has_room(&self, member: &Member) -> bool {
        let new_row = usize::from(!self.blocks.contains_key(&member.window));
        let values = self.point_values + member.point_values();
        chunk_fits(self.members.len() + 1, self.blocks.len() + new_row, values)
            && self.traces + member.traces() <= MAX_TRACES
    }

    /// Merges a snapshot in; answers its entries that could not be. Nothing of
    /// the snapshot is in the chunk when it has to be parked whole.
    pub(super) fn add(
        &mut self,
        member: Member,
    ) -> Result<Vec<Parked>, Box<(SnapshotKey, Parked)>> {
        let (activity, instance) = (member.activity(), member.instance());
        let Member { key, window, end, arrivals, note, parts, mut bad_entries, size } = member;
        let block = self.blocks.entry(window).or_default();
        let place = Place {
            set: place_of(&note.labels, &block.label_sets),
            instance: place_of(&instance, &block.instances),
            offset: end.0 - window.start.0,
        };
        let mut merged = 0;
        for part in parts {
            let typ = part.typ.clone();
            let columns = Columns::of(&part.header, &note, key.identity.seq);
            match block.add(&part, &note, &columns, place, &self.limits) {
                Ok(values) => {
                    merged += 1;
                    self.point_values += values;
                    self.shapes.entry(typ).or_insert_with(|| Shape::of(&part, &columns));
                    if let Some(trace) = part.into_trace(place.offset) {
                        self.traces += 1;
                        block.traces.push(trace);
                    }
                }
                Err(error) => {
                    let parked = park_of(&key, &error).sized(size);
                    bad_entries.push(parked.entry(&format!("{}.pb.gz", typ.encoded())));
                }
            }
        }
        if merged > 0 {
            block.snapshots += 1;
            block.arrivals += arrivals;
            if place.set == block.label_sets.len() {
                block.label_sets.push(note.labels);
                block.set_activity.push(Activity::default());
            }
            block.set_activity[place.set] += activity;
            if place.instance == block.instances.len() {
                block.instances.push(instance);
            }
            self.members.push((key, window));
            return Ok(bad_entries);
        }
        if block.snapshots == 0 {
            self.blocks.remove(&window);
        }
        let parked = bad_entries.pop().map(|parked| Parked { entry: None, ..parked });
        let nothing = || Parked::new(&key, flambeau_layout::ParkReason::Empty, "no profiles in it");
        Err(Box::new((key.clone(), parked.unwrap_or_else(nothing))))
    }

    /// The snapshots in it.
    pub(super) fn identities(self) -> impl Iterator<Item = Identity> {
        self.members.into_iter().map(|(key, _)| key.identity)
    }

    /// Ends the collecting; `None` for a chunk without snapshots.
    pub(super) fn finish(self) -> Option<MergedChunk> {
        let members = self.members;
        let covers = |window: Window| {
            let inside = members.iter().filter(move |(_, of)| *of == window);
            inside.map(|(key, _)| key.identity.clone()).collect()
        };
        let finish = |(window, block): (Window, OpenBlock)| block.finish(window, covers(window));
        let blocks = self.blocks.into_iter().map(finish).collect();
        let (keys, windows): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        (!keys.is_empty()).then_some(MergedChunk { keys, windows, blocks })
    }
}

fn park_of(key: &SnapshotKey, error: &MergeError) -> Parked {
    let reason = match error {
        MergeError::Decode(error) => reason_of(error),
        MergeError::Full { .. } => flambeau_layout::ParkReason::TooLarge,
        _ => flambeau_layout::ParkReason::Invalid,
    };
    Parked::new(key, reason, error.to_string())
}

/// Where one of a snapshot's profiles belongs.
#[derive(Clone, Copy)]
struct Place {
    /// Among the block's label sets.
    set: usize,
    /// Among its instances.
    instance: usize,
    /// Milliseconds since the window's start.
    offset: i64,
}

/// Where this stands, or will stand once a snapshot has it.
fn place_of<T: PartialEq>(one: &T, among: &[T]) -> usize {
    among.iter().position(|other| other == one).unwrap_or(among.len())
}

impl Part {
    /// What is kept of a timed profile beside its part of the merge.
    fn into_trace(self, offset: i64) -> Option<MergedTrace> {
        let timed = self.timed?;
        let at = ObjectRange { key: String::new(), offset: 0, len: 0 };
        let (nanos, samples) = (timed.nanos(), timed.samples);
        let trace = Trace { typ: self.typ, at, offset, nanos, samples };
        Some(MergedTrace { trace, bytes: self.bytes })
    }
}

impl OpenBlock {
    fn add(
        &mut self,
        part: &Part,
        note: &SnapshotNote,
        columns: &Columns,
        place: Place,
        limits: &Limits,
    ) -> Result<usize, MergeError> {
        let mut labels: Vec<(&str, &str)> =
            note.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if part.timed.is_some() {
            // Samples that differ by their moment only are one from here on.
            labels.extend(TIME_LABELS.map(|name| (name, "")));
        }
        let mut fresh = None;
        let open = match self.types.get_mut(&part.typ) {
            Some(open) => open,
            None => fresh.insert(OpenType::new(part, columns, limits)),
        };
        let options = AddOptions { labels: &labels, drop_columns: &columns.dropped };
        let added = open.merger.add(&part.bytes, &options)?;
        let values = added.totals.len();
        open.count(added.totals.into_iter().map(Total).collect(), columns, place);
        if let Some(open) = fresh {
            self.types.insert(part.typ.clone(), open);
        }
        Ok(values)
    }

    fn finish(self, window: Window, covers: Vec<Identity>) -> MergedBlock {
        MergedBlock {
            window,
            snapshots: self.snapshots,
            arrivals: self.arrivals,
            label_sets: self.label_sets,
            set_activity: self.set_activity,
            instances: self.instances,
            traces: self.traces,
            types: self.types.into_values().map(OpenType::finish).collect(),
            covers,
        }
    }
}

impl OpenType {
    fn new(first: &Part, columns: &Columns, limits: &Limits) -> Self {
        let types = &first.header.sample_types;
        let part = TypePart {
            typ: first.typ.clone(),
            at: ObjectRange { key: String::new(), offset: 0, len: 0 },
            sample_types: types.iter().map(ToString::to_string).collect(),
            totals: vec![Total::default(); types.len()],
            gauges: columns.gauges.clone(),
            snapshots: 0,
            undifferenced: 0,
            sets: Vec::new(),
            points: Vec::new(),
        };
        Self { merger: Merger::new(*limits), part, sets: BTreeMap::new() }
    }

    fn count(&mut self, totals: Vec<Total>, columns: &Columns, place: Place) {
        let Place { set, instance, offset } = place;
        let part = &mut self.part;
        part.snapshots += 1;
        part.undifferenced += u64::from(!columns.dropped.is_empty());
        part.totals.iter_mut().zip(&totals).for_each(|(sum, total)| *sum += *total);
        let instance = u32::try_from(instance).ok();
        part.points.push(Point { offset, snapshots: 1, instance, totals });
        *self.sets.entry(set).or_default() += 1;
    }

    fn finish(mut self) -> MergedType {
        self.part.points.sort_by_key(|point| point.offset);
        self.part.sets = self.sets.into_iter().collect();
        MergedType { merger: self.merger, part: self.part }
    }
}

/// Rows never outgrow a transaction, whatever a chunk holds.
const _: () = assert!(
    MAX_TRANSACTION_ITEMS * flambeau_layout::block::MAX_ROW_BYTES < 4 << 20,
    "a transaction holds 4 MB"
);
