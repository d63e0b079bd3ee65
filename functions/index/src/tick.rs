//! What the schedule does: everything that a lost event would have done.

use std::collections::BTreeSet;

use flambeau_layout::{
    ServiceEntry, TenantId, UnixMillis,
    object::{BLOCKS, SEGMENTS},
};
use flambeau_pipeline::{
    CompactOptions, Scope, catalogue, compact,
    sweep::{SweepReport, TICK_MILLIS, is_daily_turn, sweep_rollups, sweep_segments},
};
use flambeau_profile::Limits;
use flambeau_store::{Store, StoreError};

use crate::State;

/// What one tick did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ticked {
    /// Services looked at.
    pub services: usize,
    /// Catalogue rows written that an event had missed.
    pub learnt: usize,
    /// Rollups made.
    pub rollups: usize,
    /// Blocks moved from `open` to `done`.
    pub retired: usize,
    /// Rollups refused.
    pub refused: usize,
    /// Marks put for what had committed.
    pub marked: usize,
    /// Orphaned or forgotten objects deleted.
    pub deleted: usize,
    /// Services or tenants that failed; the next tick tries again.
    pub failed: usize,
}

/// Walks all tenants and their services: repairs the catalogue, compacts,
/// sweeps. Idempotent; any number may run at the same time. What fails for one
/// service is logged, and does not keep the others.
///
/// # Errors
/// When not even the tenants can be listed.
pub async fn tick(state: &State, now: UnixMillis) -> Result<Ticked, StoreError> {
    let mut ticked = Ticked::default();
    for tenant in tenants(&state.store).await? {
        if let Err(error) = tick_tenant(&state.store, &tenant, now, &mut ticked).await {
            tracing::error!(%tenant, %error, "tenant not done");
            ticked.failed += 1;
        }
    }
    Ok(ticked)
}

/// Tenants that have merged anything.
async fn tenants(store: &Store) -> Result<BTreeSet<TenantId>, StoreError> {
    let mut tenants = BTreeSet::new();
    for prefix in [SEGMENTS, BLOCKS] {
        let folders = store.folders(prefix).await?;
        tenants.extend(folders.iter().filter_map(|name| TenantId::from_encoded(name).ok()));
    }
    Ok(tenants)
}

async fn tick_tenant(
    store: &Store,
    tenant: &TenantId,
    now: UnixMillis,
    ticked: &mut Ticked,
) -> Result<(), StoreError> {
    // First the marks: compaction takes marked blocks only.
    ticked.count(&sweep_segments(store, tenant, now).await?);
    ticked.learnt +=
        catalogue::repair(store, tenant, now.plus_millis(-2 * TICK_MILLIS), now).await?;
    for entry in store.services(tenant).await? {
        ticked.services += 1;
        if let Err(error) = tick_service(store, tenant, &entry, now, ticked).await {
            tracing::error!(%tenant, service = %entry.service, %error, "service not done");
            ticked.failed += 1;
        }
    }
    Ok(())
}

async fn tick_service(
    store: &Store,
    tenant: &TenantId,
    entry: &ServiceEntry,
    now: UnixMillis,
    ticked: &mut Ticked,
) -> Result<(), StoreError> {
    let options = CompactOptions { now, limits: Limits::default() };
    let report = compact(store, tenant, &entry.service, &Scope::All, &options).await?;
    ticked.rollups += report.rollups;
    ticked.retired += report.retired;
    ticked.refused += report.refused.len();
    if is_daily_turn(entry.service.as_str(), now) {
        ticked.count(&sweep_rollups(store, tenant, &entry.service, now).await?);
    }
    Ok(())
}

impl Ticked {
    fn count(&mut self, swept: &SweepReport) {
        self.marked += swept.marked;
        self.deleted += swept.deleted.len();
    }
}
