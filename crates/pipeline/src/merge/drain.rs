//! Draining: a message that was given up becomes a parked note and a claim.

use flambeau_layout::{ParkReason, SnapshotKey};
use flambeau_store::{Store, StoreError};

use super::{
    ItemOutcome, MergeOptions, outcome_of,
    park::{self, Parked},
};

/// Gives an object up whose message went to the dead letters: parks it as
/// [`ParkReason::RetriesExhausted`], with a claim that a redelivery may still
/// replace. What has its fate already keeps it. Idempotent.
///
/// # Errors
/// When the store fails; the letter must stay where it is.
pub async fn drain(
    store: &Store,
    key: &str,
    detail: &str,
    options: &MergeOptions,
) -> Result<ItemOutcome, StoreError> {
    let Ok(parsed) = key.parse::<SnapshotKey>() else {
        return Ok(park::outside_layout(store, key, options).await);
    };
    let hash = parsed.identity.hash();
    if let Some(claim) = store.claims_of(std::slice::from_ref(&hash)).await?.remove(&hash) {
        return Ok(outcome_of(&claim.fate));
    }
    let parked = Parked::new(&parsed, ParkReason::RetriesExhausted, detail);
    Ok(park::snapshot(store, &parsed, parked, options).await)
}
