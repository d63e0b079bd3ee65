//! Sweep: what a writer that died left behind.
//!
//! An object without a commit mark is either committed and unmarked, or an
//! orphan. To know which, a tombstone is put under the `open` key of each of
//! its blocks: where a row stands, the put fails and the block counts; where
//! the key was free, no writer can take it any more, however long it paused.
//! Only then is looked for `done` rows. An object with a block that counts is
//! marked; one whose keys were all free and none of whose blocks is done is
//! deleted. Nobody else deletes objects, but for expiry and a person's wish.

mod expiry;
mod rollups;

use std::collections::{BTreeMap, HashSet};

use flambeau_layout::{
    BlockNote, BlockRow, ClaimRow, CommitMark, Fate, KeyDate, Note, RowState, SortKey, TenantId,
    UnixMillis, archive,
    lifetime::{DAY_MILLIS, SEGMENT_DAYS, TOMBSTONE_DAYS},
    mark::MARK_SUFFIX,
    object::SEGMENTS,
};
use flambeau_profile::{Limits, peek};
use flambeau_store::{ObjectInfo, Store, StoreError};

use crate::compact::put_mark;

pub use self::{expiry::expire, rollups::sweep_rollups};

/// Objects younger than this are left alone: their writer may still be at it.
/// Longer than a function may run, so that the work is not wasted; safety does
/// not rest on it.
pub const ORPHAN_MILLIS: i64 = 3_600_000;
/// Days of segments that a sweep looks at: today and those before. Once a day
/// it looks at all that are kept: what stays unmarked is never rolled up, and
/// must not end with its segment because nobody swept for some days.
pub const SWEPT_DAYS: i64 = 2;
/// How often the schedule is expected to tick, and so to sweep.
pub const TICK_MILLIS: i64 = 10 * 60_000;
/// Largest segment that is looked into or rewritten.
pub(crate) const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// Most entries of a segment: 16 types of 65 536 blocks.
const MAX_ENTRIES: usize = 1 << 20;

/// What a sweep did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SweepReport {
    /// Objects without a mark that were looked into.
    pub unmarked: usize,
    /// Marks put for what had committed.
    pub marked: usize,
    /// Keys of objects deleted.
    pub deleted: Vec<String>,
    /// Objects that could not be judged, with why.
    pub unclear: Vec<String>,
}

/// Whether a block counts.
enum Standing {
    Counts(Box<BlockRow>),
    Never,
    /// Moving at this moment: to be judged by a later sweep.
    Unclear,
}

/// Sweeps a tenant's segments of the last [`SWEPT_DAYS`] days, and of all days
/// when its daily turn has come ([`is_daily_turn`]).
///
/// # Errors
/// When the store fails; what was not judged is judged by the next sweep.
pub async fn sweep_segments(
    store: &Store,
    tenant: &TenantId,
    now: UnixMillis,
) -> Result<SweepReport, StoreError> {
    let mut report = SweepReport::default();
    let all = is_daily_turn(tenant.as_str(), now);
    for days in 0..=if all { SEGMENT_DAYS } else { SWEPT_DAYS } {
        let date = KeyDate::of(now.plus_millis(-days * DAY_MILLIS));
        let prefix = format!("{SEGMENTS}{}/{date}/", tenant.encoded());
        let objects = store.list_all(&prefix).await?;
        for object in unmarked(&objects, now) {
            report.unmarked += 1;
            sweep_segment(store, &object.key, now, &mut report).await?;
        }
    }
    Ok(report)
}

/// Segments that have no mark and are old enough to be judged.
fn unmarked(objects: &[ObjectInfo], now: UnixMillis) -> impl Iterator<Item = &ObjectInfo> {
    let marks: HashSet<&str> =
        objects.iter().filter_map(|object| object.key.strip_suffix(MARK_SUFFIX)).collect();
    objects.iter().filter(move |object| {
        let is_old = object.modified.plus_millis(ORPHAN_MILLIS) <= now;
        object.key.ends_with(".zip") && is_old && !marks.contains(object.key.as_str())
    })
}

async fn sweep_segment(
    store: &Store,
    key: &str,
    now: UnixMillis,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    let bytes = store.get(key, MAX_SEGMENT_BYTES).await?.bytes;
    let notes = match notes_of(&bytes) {
        Ok(notes) => notes,
        Err(error) => {
            tracing::warn!(segment = key, %error, "segment not judged");
            report.unclear.push(format!("{key}: {error}"));
            return Ok(());
        }
    };
    let mut mark = CommitMark::new(Vec::new(), Vec::new());
    for note in &notes {
        match standing(store, note, now).await? {
            Standing::Counts(row) => {
                let claims = claims_of(store, note).await?;
                // Row and claims are one transaction, which such a read may meet
                // half done. A mark without them would merge snapshots again.
                if claims.len() < note.covers.len() {
                    report.unclear.push(format!("{key}: claims of {} come to light", note.block));
                    return Ok(());
                }
                mark.claims.extend(claims);
                mark.rows.push(*row);
            }
            Standing::Never => {}
            Standing::Unclear => {
                report.unclear.push(format!("{key}: block {} is moving", note.block));
                return Ok(());
            }
        }
    }
    if mark.rows.is_empty() {
        store.delete(key).await?;
        tracing::info!(segment = key, "orphan deleted");
        report.deleted.push(key.to_owned());
    } else {
        put_mark(store, &mark).await?;
        report.marked += 1;
    }
    Ok(())
}

/// Bars the block unless it stands, and says whether it does.
async fn standing(
    store: &Store,
    note: &BlockNote,
    now: UnixMillis,
) -> Result<Standing, StoreError> {
    let partition = BlockRow::partition(&note.tenant, &note.service);
    let open = SortKey {
        state: RowState::Open,
        window: note.window,
        tier: note.tier,
        block: note.block.clone(),
    };
    let expires = now.plus_millis(TOMBSTONE_DAYS * DAY_MILLIS).0.div_euclid(1000);
    let was_free = store.bar(&partition, &open, expires).await?;
    let keys = [open.clone(), open.in_state(RowState::Done)];
    let keys = keys.map(|key| (partition.clone(), key.to_string()));
    let found = store.rows_at(&keys).await?.into_iter().next();
    Ok(match found {
        Some(indexed) => Standing::Counts(Box::new(indexed.row)),
        None if was_free => Standing::Never,
        None => Standing::Unclear,
    })
}

/// The claims that committed with a block.
async fn claims_of(store: &Store, note: &BlockNote) -> Result<Vec<ClaimRow>, StoreError> {
    let claims = store.claims_of(&note.covers).await?.into_values();
    let of_block =
        |claim: &ClaimRow| matches!(&claim.fate, Fate::Block { block, .. } if *block == note.block);
    let mut claims: Vec<ClaimRow> = claims.filter(of_block).collect();
    claims.sort_by(|a, b| a.identity.cmp(&b.identity));
    Ok(claims)
}

/// What each block of a segment says of itself.
fn notes_of(segment: &[u8]) -> Result<Vec<BlockNote>, String> {
    let entries = archive::read(segment, MAX_ENTRIES).map_err(|error| error.to_string())?;
    let mut notes = BTreeMap::new();
    for (name, content) in entries {
        let block = name.split('/').next().unwrap_or_default().to_owned();
        if let std::collections::btree_map::Entry::Vacant(place) = notes.entry(block) {
            let content = content.map_err(|error| format!("entry `{name}`: {error}"))?;
            place.insert(note_of(&content).map_err(|error| format!("entry `{name}`: {error}"))?);
        }
    }
    Ok(notes.into_values().collect())
}

/// What a block's profile says of itself.
pub(crate) fn note_of(profile: &[u8]) -> Result<BlockNote, String> {
    let header = peek(profile, &Limits::default()).map_err(|error| error.to_string())?;
    match Note::find(header.comments.iter().map(String::as_str)) {
        Ok(Some(Note::Block(note))) => Ok(note),
        Ok(_) => Err("it says nothing of a block".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the daily turn of a service or tenant has come: one tick of the
/// schedule a day, spread by name, without state.
#[must_use]
pub fn is_daily_turn(name: &str, now: UnixMillis) -> bool {
    const TICKS: i64 = DAY_MILLIS / TICK_MILLIS;
    let spread =
        name.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    now.0.div_euclid(TICK_MILLIS).rem_euclid(TICKS) == (spread % TICKS.unsigned_abs()) as i64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn object(key: &str, age: i64) -> ObjectInfo {
        ObjectInfo { key: key.to_owned(), size: 1, modified: NOW.plus_millis(-age) }
    }

    #[test]
    fn only_old_unmarked_segments_are_judged() {
        let objects = [
            object("segments/t/d/a.zip", ORPHAN_MILLIS),
            object("segments/t/d/b.zip", ORPHAN_MILLIS - 1),
            object("segments/t/d/c.zip", ORPHAN_MILLIS),
            object("segments/t/d/c.zip.commit", 0),
        ];
        let keys: Vec<&str> = unmarked(&objects, NOW).map(|object| object.key.as_str()).collect();
        assert_eq!(keys, ["segments/t/d/a.zip"]);
    }

    #[test]
    fn each_service_has_one_turn_a_day() {
        for name in ["a", "checkout", "λ"] {
            let turns = (0..144).filter(|n| is_daily_turn(name, NOW.plus_millis(n * TICK_MILLIS)));
            assert_eq!(turns.count(), 1, "{name}");
        }
    }
}
