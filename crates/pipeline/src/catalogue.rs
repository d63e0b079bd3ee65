//! Catalogue: what block rows teach about services, types and labels.

use std::collections::{BTreeMap, BTreeSet};

use flambeau_layout::{
    BlockRow, CommitMark, FORMAT_VERSION, KeyDate, ServiceEntry, ServiceName, TenantId, UnixMillis,
    mark::MARK_SUFFIX, object::SEGMENTS, snapshot::SNAPSHOTS,
};
use flambeau_store::{ErrorKind, ObjectInfo, Store, StoreError};

/// An entry that has nothing new to say is rewritten at most this often, to
/// move its `last`.
pub const REFRESH_MILLIS: i64 = 10 * 60_000;

/// What these rows teach, one entry per tenant and service.
#[must_use]
pub fn learn(rows: &[BlockRow]) -> BTreeMap<(TenantId, ServiceName), ServiceEntry> {
    let mut entries = BTreeMap::new();
    for row in rows {
        let key = (row.tenant.clone(), row.service.clone());
        let entry = entries.entry(key).or_insert_with(|| ServiceEntry::new(row.service.clone()));
        entry.absorb(&entry_of(row));
    }
    entries
}

fn entry_of(row: &BlockRow) -> ServiceEntry {
    let mut entry = ServiceEntry::new(row.service.clone());
    (entry.first, entry.last, entry.more) = (row.window.start, row.window.end(), row.more);
    for part in &row.parts {
        entry.types.insert(part.typ.clone(), part.sample_types.clone());
    }
    for (name, value) in row.label_sets.iter().flatten() {
        let values: &mut BTreeSet<String> = entry.labels.entry(name.clone()).or_default();
        values.insert(value.clone());
    }
    entry
}

/// Writes what these rows teach into the catalogue; answers how many services
/// were written. Idempotent: rows already known change nothing.
///
/// # Errors
/// At the first service whose row cannot be written; the rest is left to the
/// retry.
pub async fn update(store: &Store, rows: &[BlockRow]) -> Result<usize, StoreError> {
    let mut written = 0;
    for ((tenant, _), entry) in learn(rows) {
        written += usize::from(store.note_service(&tenant, &entry, REFRESH_MILLIS).await?);
    }
    Ok(written)
}

/// Marks read by one [`repair`].
const MAX_MARKS: usize = 200;
/// Largest mark that is read.
const MAX_MARK_BYTES: u64 = 64 << 20;

/// Learns from the newest commit marks since `since`, in case the events that
/// told of their rows were lost; and of services that have raw snapshots but no
/// entry, in case that was longer ago: what no entry names is never compacted.
/// Answers how many services were written.
///
/// # Errors
/// When the store fails, or a mark is unreadable.
pub async fn repair(
    store: &Store,
    tenant: &TenantId,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<usize, StoreError> {
    let days: BTreeSet<KeyDate> = [since, now].map(KeyDate::of).into();
    let mut marks = Vec::new();
    for date in days {
        let objects = store.list_all(&format!("{SEGMENTS}{}/{date}/", tenant.encoded())).await?;
        let recent =
            |object: &ObjectInfo| object.key.ends_with(MARK_SUFFIX) && object.modified >= since;
        marks.extend(objects.into_iter().filter(recent));
    }
    marks.sort_by_key(|object| std::cmp::Reverse(object.modified));
    let mut rows = Vec::new();
    for mark in marks.iter().take(MAX_MARKS) {
        rows.extend(read_mark(store, &mark.key).await?.rows);
    }
    Ok(update(store, &rows).await? + learn_unknown(store, tenant).await?)
}

/// One listing per 1000 services, and a query for each that has no entry.
async fn learn_unknown(store: &Store, tenant: &TenantId) -> Result<usize, StoreError> {
    let entries = store.services(tenant).await?;
    let known: BTreeSet<ServiceName> = entries.into_iter().map(|entry| entry.service).collect();
    let (mut written, prefix) = (0, format!("{SNAPSHOTS}{}/", tenant.encoded()));
    for folder in store.folders(&prefix).await? {
        let service = ServiceName::from_encoded(&folder).ok();
        let Some(service) = service.filter(|service| !known.contains(service)) else { continue };
        let rows = store.all_rows(tenant, &service).await?;
        let rows: Vec<BlockRow> = rows.into_iter().map(|indexed| indexed.row).collect();
        written += update(store, &rows).await?;
    }
    Ok(written)
}

/// Reads one commit mark.
pub(crate) async fn read_mark(store: &Store, key: &str) -> Result<CommitMark, StoreError> {
    let bytes = store.get(key, MAX_MARK_BYTES).await?.bytes;
    let mark: CommitMark = serde_json::from_slice(&bytes).map_err(|error| {
        StoreError::new(ErrorKind::Corrupt, format!("read mark `{key}`"), error.to_string())
    })?;
    if mark.v > FORMAT_VERSION {
        let detail = format!("it has version {}, this build knows up to {FORMAT_VERSION}", mark.v);
        return Err(StoreError::new(ErrorKind::Corrupt, format!("read mark `{key}`"), detail));
    }
    Ok(mark)
}
