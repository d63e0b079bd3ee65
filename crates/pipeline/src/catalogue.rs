//! Catalogue: what block rows teach about services, types and labels.

use std::collections::{BTreeMap, BTreeSet};

use flambeau_layout::{BlockRow, ServiceEntry, ServiceName, TenantId};
use flambeau_store::{Store, StoreError};

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
