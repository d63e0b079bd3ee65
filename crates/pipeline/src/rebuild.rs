//! Rebuild: the tables again, from the bucket alone.
//!
//! Commit marks hold the rows and claims that committed, so no profile is
//! opened. A block that a marked rollup lists is `done`, every other is `open`:
//! a rollup is marked before its first child is moved, and only marked children
//! are rolled up, so a mark never misses below a mark.

use std::collections::{BTreeMap, HashMap, HashSet};

use flambeau_layout::{
    BlockId, BlockRow, ClaimRow, Fate, IdentityHash, ParkedKey, ParkedNote, RowState, SnapshotKey,
    SortKey, TenantId, UnixMillis,
    lifetime::done_expires_secs,
    mark::MARK_SUFFIX,
    object::{BLOCKS, SEGMENTS},
    snapshot::SNAPSHOTS,
};
use flambeau_store::{IndexedRow, Store, StoreError};

use crate::catalogue::{self, read_mark};

/// Largest parked note that is read.
const MAX_NOTE_BYTES: u64 = 1 << 20;

/// What a rebuild found and wrote.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Marks read.
    pub marks: usize,
    /// Rows put that were not there.
    pub rows: usize,
    /// Rows past their days, left out.
    pub expired: usize,
    /// Claims put that were not there.
    pub claims: usize,
    /// Keys of raw snapshots that no mark and no parked note covers: to be
    /// merged (again).
    pub requeue: Vec<String>,
}

/// Writes a tenant's rows, claims and catalogue from what stands in the bucket.
/// Idempotent; what exists stays.
///
/// Nothing else may write meanwhile (pause merge's and index's event sources):
/// a block rolled up between the listing of marks and the putting of rows would
/// be put as open again.
///
/// # Errors
/// When the store fails or a mark is unreadable; run it again.
pub async fn rebuild(
    store: &Store,
    tenant: &TenantId,
    now: UnixMillis,
) -> Result<Rebuilt, StoreError> {
    let mut rebuilt = Rebuilt::default();
    let (mut rows, mut claims) = (BTreeMap::new(), HashMap::new());
    for prefix in [SEGMENTS, BLOCKS] {
        for object in store.list_all(&format!("{prefix}{}/", tenant.encoded())).await? {
            if object.key.ends_with(MARK_SUFFIX) {
                let mark = read_mark(store, &object.key).await?;
                rebuilt.marks += 1;
                rows.extend(mark.rows.into_iter().map(|row| (row.block.clone(), row)));
                claims.extend(mark.claims.into_iter().map(|c| (c.identity.clone(), c)));
            }
        }
    }
    put_rows(store, &rows, now, &mut rebuilt).await?;
    let rows: Vec<BlockRow> = rows.into_values().collect();
    catalogue::update(store, &rows).await?;
    claims_of_parked(store, tenant, &mut claims).await?;
    for claim in claims.values().filter(|claim| claim.expires_secs() * 1000 > now.0) {
        rebuilt.claims += usize::from(store.claim(claim).await? == *claim);
    }
    rebuilt.requeue = uncovered(store, tenant, &claims).await?;
    Ok(rebuilt)
}

async fn put_rows(
    store: &Store,
    rows: &BTreeMap<BlockId, BlockRow>,
    now: UnixMillis,
    rebuilt: &mut Rebuilt,
) -> Result<(), StoreError> {
    let indexed = with_states(rows);
    for (indexed, expires) in &indexed {
        if expires.is_some_and(|secs| secs * 1000 <= now.0) {
            rebuilt.expired += 1;
        } else {
            rebuilt.rows += usize::from(store.restore(indexed, *expires).await?);
        }
    }
    Ok(())
}

/// Each row with its state and, when done, its end: a pure function of rows. A
/// child became done when its rollup was written.
fn with_states(rows: &BTreeMap<BlockId, BlockRow>) -> Vec<(IndexedRow, Option<i64>)> {
    let mut rollup_of: HashMap<&BlockId, &BlockRow> = HashMap::new();
    for row in rows.values() {
        rollup_of.extend(row.children.iter().map(|child| (child, row)));
    }
    let with_state = |row: &BlockRow| {
        let by = rollup_of.get(&row.block);
        let state = if by.is_some() { RowState::Done } else { RowState::Open };
        let covered_by = by.map(|rollup| SortKey::of(rollup, RowState::Open));
        let expires = by.map(|by| done_expires_secs(row.window.level, row.written, by.written));
        (IndexedRow { row: row.clone(), state, covered_by }, expires)
    };
    rows.values().map(with_state).collect()
}

/// Claims of snapshots that were parked whole.
async fn claims_of_parked(
    store: &Store,
    tenant: &TenantId,
    claims: &mut HashMap<IdentityHash, ClaimRow>,
) -> Result<(), StoreError> {
    for object in store.list_all(&ParkedKey::prefix(tenant)).await? {
        let bytes = store.get(&object.key, MAX_NOTE_BYTES).await?.bytes;
        let Ok(note) = serde_json::from_slice::<ParkedNote>(&bytes) else {
            tracing::warn!(key = %object.key, "parked note is not readable");
            continue;
        };
        let Ok(key) = note.key.parse::<SnapshotKey>() else { continue };
        if note.entry.is_none() {
            let identity = key.identity.hash();
            let fate = Fate::Parked { reason: note.reason, detail: note.detail };
            let claim =
                ClaimRow { identity: identity.clone(), fate, key: note.key, claimed: note.parked };
            claims.entry(identity).or_insert(claim);
        }
    }
    Ok(())
}

/// Raw snapshots without a fate, one key per identity.
async fn uncovered(
    store: &Store,
    tenant: &TenantId,
    claims: &HashMap<IdentityHash, ClaimRow>,
) -> Result<Vec<String>, StoreError> {
    let (mut keys, mut seen) = (Vec::new(), HashSet::new());
    for object in store.list_all(&format!("{SNAPSHOTS}{}/", tenant.encoded())).await? {
        let Ok(key) = object.key.parse::<SnapshotKey>() else { continue };
        let hash = key.identity.hash();
        // What was only given up may have been merged since, by a worker that
        // died before its mark: it gets its chance again.
        let lasts = claims.get(&hash).is_some_and(|claim| !claim.is_replaceable());
        if !lasts && seen.insert(hash) {
            keys.push(object.key);
        }
    }
    Ok(keys)
}
