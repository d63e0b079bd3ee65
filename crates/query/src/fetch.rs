//! From a plan to one merged profile: blocks fetched side by side, merged in
//! order.

use flambeau_layout::{Level, UnixMillis};
use flambeau_profile::{AddOptions, Limits, Merged, Merger};
use flambeau_store::Store;
use futures::{StreamExt, TryStreamExt};

use crate::plan::{Plan, QueryError, Selection, plan_at};

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

/// Plans and reads. An object that has gone meanwhile makes a new plan: first
/// the same, for a block that was just rolled up and forgotten; then with edges
/// of coarser levels, for one whose row outlived it.
///
/// # Errors
/// As [`crate::plan`] and [`fetch`].
pub async fn read(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
    limits: &Limits,
) -> Result<(Plan, Merged), QueryError> {
    let mut attempts = [Level::Minute].into_iter().chain(Level::ALL);
    let mut finest = Level::Minute;
    loop {
        let plan = plan_at(store, selection, now, finest).await?;
        match (fetch(store, &plan, limits).await, attempts.next()) {
            (Ok(merged), _) => return Ok((plan, merged)),
            (Err(QueryError::Store(error)), Some(coarser)) if error.may_be_missing() => {
                tracing::info!(%error, "an object has gone; planning again");
                finest = coarser;
            }
            (Err(error), _) => return Err(error),
        }
    }
}
