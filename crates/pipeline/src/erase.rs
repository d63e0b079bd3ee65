//! Erase: a service's or a tenant's data, at somebody's wish.
//!
//! Claims stay until their days are over: without them a message that is still
//! on its way would bring the data back.

use std::collections::BTreeSet;

use bytes::Bytes;
use flambeau_layout::{
    BlockRow, CommitMark, MergedKey, ServiceName, SnapshotKey, TenantId,
    mark::MARK_SUFFIX,
    object::{BLOCKS, RESULTS, SEGMENTS},
    parked::{PARKED, ParkedKey, ParkedNote},
    snapshot::SNAPSHOTS,
};
use flambeau_store::{ErrorKind, Store, StoreError};

use crate::{catalogue::read_mark, sweep::MAX_SEGMENT_BYTES};

/// Largest parked note that is read.
const MAX_PARKED_BYTES: u64 = 1 << 20;

/// What an erasure did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Rows deleted.
    pub rows: usize,
    /// Objects deleted.
    pub objects: usize,
    /// Segments in which the bytes of the service were overwritten, because
    /// other services share them.
    pub overwritten: usize,
}

/// Erases a service. Idempotent. Stop what writes for it first; what merges
/// while this runs stays, and a second call takes it.
///
/// Segments hold blocks of several services: there the service's bytes are
/// overwritten with zeros in place, so that the others' ranges stay valid, and
/// its rows leave the mark. Kept answers of the tenant are deleted, because
/// their keys do not tell of what they were made.
///
/// # Errors
/// When the store fails; call it again.
pub async fn erase_service(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
) -> Result<Erased, StoreError> {
    let mut erased = Erased::default();
    let partition = BlockRow::partition(tenant, service);
    for indexed in store.all_rows(tenant, service).await? {
        store.delete_row(&partition, &indexed.key().to_string()).await?;
        erased.rows += 1;
    }
    store.forget_service(tenant, service).await?;
    for prefix in [
        SnapshotKey::prefix(tenant, service),
        MergedKey::prefix(tenant, service),
        format!("{RESULTS}{}/", tenant.encoded()),
    ] {
        erased.objects += delete_below(store, &prefix).await?;
    }
    erased.objects += erase_parked(store, tenant, service).await?;
    for object in store.list_all(&format!("{SEGMENTS}{}/", tenant.encoded())).await? {
        if let Some(segment) = object.key.strip_suffix(MARK_SUFFIX) {
            erase_from(store, segment, service, &mut erased).await?;
        }
    }
    Ok(erased)
}

/// Deletes the notes of its parked snapshots. Long keys are cut in a note's own
/// key, so each note is read.
async fn erase_parked(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
) -> Result<usize, StoreError> {
    let of_service = SnapshotKey::prefix(tenant, service);
    let mut deleted = 0;
    for object in store.list_all(&ParkedKey::prefix(tenant)).await? {
        let note = store.get(&object.key, MAX_PARKED_BYTES).await?.bytes;
        let note = serde_json::from_slice::<ParkedNote>(&note);
        if note.is_ok_and(|note| note.key.starts_with(&of_service)) {
            store.delete(&object.key).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Takes a service out of one segment.
async fn erase_from(
    store: &Store,
    segment: &str,
    service: &ServiceName,
    erased: &mut Erased,
) -> Result<(), StoreError> {
    let key = CommitMark::key_of_segment(segment);
    let mut mark = read_mark(store, &key).await?;
    let (gone, kept): (Vec<BlockRow>, Vec<BlockRow>) =
        mark.rows.into_iter().partition(|row| row.service == *service);
    if gone.is_empty() {
        return Ok(());
    }
    if kept.is_empty() {
        store.delete(&key).await?;
        store.delete(segment).await?;
        erased.objects += 2;
        return Ok(());
    }
    let mut bytes = store.get(segment, MAX_SEGMENT_BYTES).await?.bytes.to_vec();
    for at in gone.iter().flat_map(|row| &row.parts).map(|part| &part.at) {
        let end = at.offset.saturating_add(at.len);
        let range = usize::try_from(at.offset).ok().zip(usize::try_from(end).ok());
        if let Some(part) = range.and_then(|(from, until)| bytes.get_mut(from..until)) {
            part.fill(0);
        }
    }
    store.put_again(segment, Bytes::from(bytes), "application/zip").await?;
    mark.rows = kept;
    let json = serde_json::to_vec(&mark).map_err(|error| {
        StoreError::new(ErrorKind::Corrupt, "write a commit mark", error.to_string())
    })?;
    store.put_again(&key, Bytes::from(json), "application/json").await?;
    erased.overwritten += 1;
    Ok(())
}

/// Erases everything a tenant has, but for claims.
///
/// # Errors
/// When the store fails; call it again.
pub async fn erase_tenant(store: &Store, tenant: &TenantId) -> Result<Erased, StoreError> {
    let mut erased = Erased::default();
    for service in services_of(store, tenant).await? {
        let partition = BlockRow::partition(tenant, &service);
        for indexed in store.all_rows(tenant, &service).await? {
            store.delete_row(&partition, &indexed.key().to_string()).await?;
            erased.rows += 1;
        }
        store.forget_service(tenant, &service).await?;
    }
    for prefix in [SNAPSHOTS, BLOCKS, SEGMENTS, RESULTS, PARKED] {
        erased.objects += delete_below(store, &format!("{prefix}{}/", tenant.encoded())).await?;
    }
    Ok(erased)
}

/// Services that the catalogue knows, and those that only the bucket does.
async fn services_of(
    store: &Store,
    tenant: &TenantId,
) -> Result<BTreeSet<ServiceName>, StoreError> {
    let known = store.services(tenant).await?.into_iter();
    let mut services: BTreeSet<ServiceName> = known.map(|entry| entry.service).collect();
    for prefix in [SNAPSHOTS, BLOCKS] {
        let prefix = format!("{prefix}{}/", tenant.encoded());
        let folders = store.folders(&prefix).await?;
        services.extend(folders.iter().filter_map(|name| ServiceName::from_encoded(name).ok()));
    }
    Ok(services)
}

async fn delete_below(store: &Store, prefix: &str) -> Result<usize, StoreError> {
    let objects = store.list_all(prefix).await?;
    for object in &objects {
        store.delete(&object.key).await?;
    }
    Ok(objects.len())
}
