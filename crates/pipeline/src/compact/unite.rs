//! The row of a rollup, made of its children's rows.

use std::collections::{BTreeMap, BTreeSet};

use flambeau_layout::{
    Activity, Arrivals, BlockId, BlockRow, FORMAT_VERSION, LabelSet, Level, MergedKey, ObjectRange,
    Point, ProfileType, Total, TypePart, UnixMillis, Window,
    block::{buckets_of, coarsen},
};
use sha2::{Digest, Sha256};

use super::plan::Job;

/// Types of these rows, each once.
pub(super) fn types_of(children: &[&BlockRow]) -> BTreeSet<ProfileType> {
    children.iter().flat_map(|row| &row.parts).map(|part| part.typ.clone()).collect()
}

/// The id of the rollup of these children. It names its content, so that two
/// who roll up the same write the same objects and one row; `salt` counts
/// attempts that a tombstone barred.
pub(super) fn id_of(job: &Job, children: &[&BlockRow], salt: u32) -> BlockId {
    let mut sha = Sha256::new();
    let Job { into, tier, .. } = job;
    let version = env!("CARGO_PKG_VERSION");
    let head = format!("{FORMAT_VERSION}/{version}/{}/{into}/{tier}/{salt}", into.level.number());
    sha.update(head);
    for child in children {
        sha.update(format!("/{}", child.block));
    }
    let mut id = [0; 16];
    id.copy_from_slice(&sha.finalize()[..16]);
    BlockId::from_bytes(id)
}

/// The rollup's row; where its objects are put is known already, how long they
/// are is not (0).
pub(super) fn unite(
    job: &Job,
    children: &[&BlockRow],
    block: BlockId,
    now: UnixMillis,
) -> Option<BlockRow> {
    let first = children.first()?;
    let (label_sets, places) = unite_labels(children);
    let typed = |typ: ProfileType| {
        let at = MergedKey {
            tenant: first.tenant.clone(),
            service: first.service.clone(),
            window: job.into,
            block: block.clone(),
            typ: typ.clone(),
        };
        unite_type(typ, at.to_string(), job.into, children, &places)
    };
    let (mut arrivals, mut activity) = (Arrivals::default(), Activity::default());
    let mut set_activity = vec![Activity::default(); label_sets.len()];
    for (row, places) in children.iter().zip(&places) {
        arrivals += row.arrivals;
        activity += row.activity;
        for (place, told) in places.iter().zip(&row.set_activity) {
            set_activity[*place] += *told;
        }
    }
    let (tenant, service) = (first.tenant.clone(), first.service.clone());
    Some(BlockRow {
        tier: job.tier,
        snapshots: children.iter().map(|row| row.snapshots).sum(),
        parts: types_of(children).into_iter().map(typed).collect(),
        label_sets,
        more: children.iter().any(|row| row.more),
        activity,
        set_activity: Activity::told_by(set_activity),
        children: children.iter().map(|row| row.block.clone()).collect(),
        arrivals,
        written: now,
        ..BlockRow::empty(tenant, service, job.into, block)
    })
}

/// All label sets once, and for each child where its sets went.
fn unite_labels(children: &[&BlockRow]) -> (Vec<LabelSet>, Vec<Vec<usize>>) {
    let mut sets: Vec<LabelSet> = Vec::new();
    let mut index: BTreeMap<&LabelSet, usize> = BTreeMap::new();
    let mut places = Vec::with_capacity(children.len());
    for row in children {
        let place = row.label_sets.iter().map(|set| {
            *index.entry(set).or_insert_with(|| {
                sets.push(set.clone());
                sets.len() - 1
            })
        });
        places.push(place.collect());
    }
    (sets, places)
}

fn unite_type(
    typ: ProfileType,
    key: String,
    into: Window,
    children: &[&BlockRow],
    places: &[Vec<usize>],
) -> TypePart {
    let mut united = TypePart {
        typ,
        at: ObjectRange { key, offset: 0, len: 0 },
        sample_types: Vec::new(),
        totals: Vec::new(),
        gauges: Vec::new(),
        snapshots: 0,
        undifferenced: 0,
        sets: Vec::new(),
        points: Vec::new(),
    };
    let mut sets: BTreeMap<usize, u64> = BTreeMap::new();
    for (row, places) in children.iter().zip(places) {
        let Some(part) = row.part(&united.typ) else { continue };
        if united.sample_types.is_empty() {
            united.sample_types = part.sample_types.clone();
            united.gauges = part.gauges.clone();
            united.totals = vec![Total::default(); part.totals.len()];
        }
        united.totals.iter_mut().zip(&part.totals).for_each(|(sum, total)| *sum += *total);
        united.snapshots += part.snapshots;
        united.undifferenced += part.undifferenced;
        for (set, count) in &part.sets {
            if let Some(place) = places.get(*set) {
                *sets.entry(*place).or_default() += count;
            }
        }
        let shift = row.window.start.0 - into.start.0;
        let moved =
            |point: &Point| Point { offset: point.offset + shift, instance: None, ..point.clone() };
        united.points.extend(part.points.iter().map(moved));
    }
    united.sets = sets.into_iter().collect();
    united.points.sort_by_key(|point| point.offset);
    united.points = match into.level {
        // A minute keeps its snapshots apart as long as its row has room.
        Level::Minute => united.points,
        level => coarsen(&united.points, level.millis() / buckets_of(level)[0]),
    };
    united
}
