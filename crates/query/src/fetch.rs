//! From a plan to one merged profile, or to several groups of them: blocks
//! fetched side by side, merged in order.

use flambeau_layout::{Level, UnixMillis};
use flambeau_profile::{AddOptions, Limits, Merged, Merger};
use flambeau_store::Store;
use futures::{StreamExt, TryStreamExt};

use crate::plan::{Grain, Plan, QueryError, Selection, plan_at};

/// Blocks fetched at the same time.
pub const FETCHES: usize = 16;

/// Reads and merges the blocks of a plan. Memory is bounded by what is
/// distinct in the answer and by [`FETCHES`] blocks in flight.
///
/// # Errors
/// When the store fails or a block is unusable.
pub async fn fetch(store: &Store, plan: &Plan, limits: &Limits) -> Result<Merged, QueryError> {
    let parts: Vec<_> =
        plan.parts().map(|(row, part)| (row.block.clone(), part.at.clone())).collect();
    let mut blobs = futures::stream::iter(parts)
        .map(|(block, at)| async move { Ok::<_, QueryError>((block, store.get_range(&at).await?)) })
        .buffered(FETCHES);
    let mut merger = Merger::new(*limits);
    while let Some((block, bytes)) = blobs.try_next().await? {
        let broken = |error| QueryError::Broken { block: block.clone(), error };
        merger.add(&bytes, &AddOptions::default()).map_err(broken)?;
    }
    merger.finish().map_err(QueryError::Merge)
}

/// Some blocks of a plan, merged.
pub struct Group {
    /// Its blocks.
    pub plan: Plan,
    /// Their profile.
    pub profile: Merged,
}

/// Reads the blocks of a plan as at most `most` profiles of consecutive blocks,
/// with about as many snapshots each: what differs between them is how much such
/// a profile varies by itself.
///
/// # Errors
/// As [`fetch`].
pub async fn groups(
    store: &Store,
    plan: &Plan,
    most: usize,
    limits: &Limits,
) -> Result<Vec<Group>, QueryError> {
    let mut groups = Vec::new();
    for plan in plan.parted(most) {
        let profile = fetch(store, &plan, limits).await?;
        groups.push(Group { plan, profile });
    }
    Ok(groups)
}

impl Plan {
    /// This plan in at most `most` parts of consecutive blocks.
    #[must_use]
    pub fn parted(&self, most: usize) -> Vec<Plan> {
        let share = self.snapshots().div_ceil(most.max(1) as u64).max(1);
        let mut parts: Vec<Plan> = Vec::new();
        let (mut before, mut open) = (0, None);
        for row in &self.blocks {
            let place = before / share;
            if open != Some(place) {
                open = Some(place);
                parts.push(Plan { blocks: Vec::new(), left_out: 0, ..self.without_blocks() });
            }
            before += row.part(&self.typ).map_or(0, |part| part.snapshots);
            if let Some(part) = parts.last_mut() {
                part.blocks.push(row.clone());
            }
        }
        parts
    }

    fn without_blocks(&self) -> Plan {
        let Plan { asked, range, from_level, until_level, ref typ, .. } = *self;
        let (typ, blocks) = (typ.clone(), Vec::new());
        Plan { asked, range, from_level, until_level, blocks, typ, left_out: 0 }
    }
}

/// Plans and reads; see [`read_planned`].
///
/// # Errors
/// As [`crate::plan`] and [`fetch`].
pub async fn read(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
    limits: &Limits,
) -> Result<(Plan, Merged), QueryError> {
    let plan = plan_at(store, selection, now, Grain::default()).await?;
    read_planned(store, selection, plan, now, limits).await
}

/// Reads what was planned. An object that has gone meanwhile makes a new plan:
/// first the same, for a block that was just rolled up and forgotten; then with
/// edges of coarser levels, for one whose row outlived it.
///
/// # Errors
/// As [`crate::plan`] and [`fetch`].
pub async fn read_planned(
    store: &Store,
    selection: &Selection,
    mut plan: Plan,
    now: UnixMillis,
    limits: &Limits,
) -> Result<(Plan, Merged), QueryError> {
    let mut attempts = [Level::Minute].into_iter().chain(Level::ALL);
    loop {
        match (fetch(store, &plan, limits).await, attempts.next()) {
            (Ok(merged), _) => return Ok((plan, merged)),
            (Err(QueryError::Store(error)), Some(coarser)) if error.may_be_missing() => {
                tracing::info!(%error, "an object has gone; planning again");
                plan = plan_at(store, selection, now, Grain::edges(coarser)).await?;
            }
            (Err(error), _) => return Err(error),
        }
    }
}
