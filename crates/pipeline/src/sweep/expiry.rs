//! Expiry of dated objects where no bucket rule does it: on one machine.

use flambeau_layout::{
    KeyDate, TenantId, UnixMillis,
    lifetime::{DAY_MILLIS, PARKED_DAYS, RESULT_DAYS, SEGMENT_DAYS, SNAPSHOT_DAYS},
    object::{RESULTS, SEGMENTS},
    parked::PARKED,
    snapshot::SNAPSHOTS,
};
use flambeau_store::{ObjectInfo, Store, StoreError};

/// Deletes what a bucket's lifecycle rules would: raw snapshots, segments with
/// their marks, parked notes and kept answers past their days. Counted from
/// when S3 took them, so that an old profile pushed today lives its full term.
/// Answers how many objects were deleted.
///
/// # Errors
/// When the store fails; the next call goes on.
pub async fn expire(
    store: &Store,
    tenant: &TenantId,
    now: UnixMillis,
) -> Result<usize, StoreError> {
    let mut deleted = 0;
    for (prefix, days) in [
        (SNAPSHOTS, SNAPSHOT_DAYS),
        (SEGMENTS, SEGMENT_DAYS),
        (PARKED, PARKED_DAYS),
        (RESULTS, RESULT_DAYS),
    ] {
        let oldest = now.plus_millis(-days * DAY_MILLIS);
        let objects = store.list_all(&format!("{prefix}{}/", tenant.encoded())).await?;
        for object in objects.iter().filter(|object| is_past(object, oldest)) {
            store.delete(&object.key).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Lifecycle rules work by whole days; so does this.
fn is_past(object: &ObjectInfo, oldest: UnixMillis) -> bool {
    KeyDate::of(object.modified) < KeyDate::of(oldest)
}
