//! Rolled-up objects: those whose T1 never came, and those whose rows are
//! forgotten.

use std::collections::BTreeMap;

use flambeau_layout::{
    BlockId, BlockRow, CommitMark, MergedKey, RowState, ServiceName, SortKey, TenantId, UnixMillis,
    Window,
    lifetime::{DAY_MILLIS, OBJECT_GRACE_DAYS, done_days},
    mark::MARK_SUFFIX,
};
use flambeau_store::{ErrorKind, ObjectInfo, Store, StoreError};

use super::{ORPHAN_MILLIS, Standing, SweepReport, note_of, standing};
use crate::compact::put_mark;

/// Largest mark or merged object that is looked into.
const MAX_BYTES: u64 = 1 << 30;

/// The objects of one rollup.
#[derive(Default)]
struct Group {
    objects: Vec<ObjectInfo>,
    mark: Option<String>,
}

/// Sweeps all rolled-up objects of a service. Lists each, so once a day is
/// enough.
///
/// # Errors
/// When the store fails; what was not judged is judged by the next sweep.
pub async fn sweep_rollups(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
    now: UnixMillis,
) -> Result<SweepReport, StoreError> {
    let objects = store.list_all(&MergedKey::prefix(tenant, service)).await?;
    let mut report = SweepReport::default();
    for ((window, _), group) in grouped(objects) {
        let Some(newest) = group.objects.iter().map(|object| object.modified).max() else {
            continue;
        };
        match &group.mark {
            None if newest.plus_millis(ORPHAN_MILLIS) <= now => {
                report.unmarked += 1;
                judge(store, &group, now, &mut report).await?;
            }
            Some(mark) if is_past(window, newest, now) => {
                forget(store, mark, &group, now, &mut report).await?;
            }
            _ => {}
        }
    }
    Ok(report)
}

fn grouped(objects: Vec<ObjectInfo>) -> BTreeMap<(Window, BlockId), Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for object in objects {
        if let Some(folder) = object.key.strip_suffix(MARK_SUFFIX) {
            groups.entry(folder.to_owned()).or_default().mark = Some(object.key.clone());
        } else if let Ok(key) = object.key.parse::<MergedKey>() {
            let folder = object.key.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            names.insert(folder.clone(), (key.window, key.block));
            groups.entry(folder).or_default().objects.push(object);
        }
    }
    groups.into_iter().filter_map(|(folder, group)| Some((names.remove(&folder)?, group))).collect()
}

/// Whether rows of this age may be forgotten.
fn is_past(window: Window, written: UnixMillis, now: UnixMillis) -> bool {
    done_days(window.level)
        .is_some_and(|days| written.plus_millis((days + OBJECT_GRACE_DAYS) * DAY_MILLIS) <= now)
}

async fn judge(
    store: &Store,
    group: &Group,
    now: UnixMillis,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    let Some(first) = group.objects.first() else { return Ok(()) };
    let note = match note_of(&store.get(&first.key, MAX_BYTES).await?.bytes) {
        Ok(note) => note,
        Err(error) => {
            report.unclear.push(format!("{}: {error}", first.key));
            return Ok(());
        }
    };
    match standing(store, &note, now).await? {
        Standing::Counts(row) => {
            put_mark(store, &CommitMark::new(vec![*row], Vec::new())).await?;
            report.marked += 1;
        }
        Standing::Never => delete(store, group, report).await?,
        Standing::Unclear => report.unclear.push(format!("{}: moving", first.key)),
    }
    Ok(())
}

/// Deletes what no row names any more.
async fn forget(
    store: &Store,
    mark: &str,
    group: &Group,
    now: UnixMillis,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    let bytes = match store.get(mark, MAX_BYTES).await {
        Ok(got) => got.bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Ok(CommitMark { rows, .. }) = serde_json::from_slice(&bytes) else { return Ok(()) };
    let Some(row) = rows.first() else { return Ok(()) };
    let open = SortKey::of(row, RowState::Open);
    let keys = [open.in_state(RowState::Done), open];
    let partition = BlockRow::partition(&row.tenant, &row.service);
    if store.present(&partition, &keys).await?.is_empty() && is_past(row.window, row.written, now) {
        delete(store, group, report).await?;
    }
    Ok(())
}

/// The mark first: a rebuild does not count objects without one.
async fn delete(store: &Store, group: &Group, report: &mut SweepReport) -> Result<(), StoreError> {
    let keys = group.mark.iter().chain(group.objects.iter().map(|object| &object.key));
    for key in keys {
        store.delete(key).await?;
        report.deleted.push(key.clone());
    }
    Ok(())
}
