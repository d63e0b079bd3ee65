//! Parking: what can never be merged is set aside with its reason, and claimed,
//! so that it is neither lost nor tried for ever.

use bytes::Bytes;
use flambeau_layout::{
    ClaimRow, FORMAT_VERSION, Fate, KeyDate, LayoutError, ParkReason, ParkedKey, ParkedNote,
    SnapshotKey, TenantId,
};
use flambeau_profile::{DecodeError, DecodeErrorKind};
use flambeau_store::{Store, StoreError};

use super::{ItemOutcome, MergeOptions};

/// Something to be parked.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    /// The object's key.
    pub(super) key: String,
    /// The day in the note's key.
    pub(super) date: Option<KeyDate>,
    /// The entry inside a zip, when only that is parked.
    pub(super) entry: Option<String>,
    pub(super) reason: ParkReason,
    pub(super) detail: String,
    pub(super) size: Option<u64>,
}

impl Parked {
    pub(super) fn new(key: &SnapshotKey, reason: ParkReason, detail: impl Into<String>) -> Self {
        Self {
            key: key.to_string(),
            date: Some(key.date),
            entry: None,
            reason,
            detail: detail.into(),
            size: None,
        }
    }

    pub(super) fn decode(key: &SnapshotKey, error: &DecodeError) -> Self {
        Self::new(key, reason_of(error), error.to_string())
    }

    pub(super) fn sized(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    pub(super) fn entry(self, name: &str) -> Self {
        Self { entry: Some(name.to_owned()), ..self }
    }
}

pub(super) fn reason_of(error: &DecodeError) -> ParkReason {
    match error.kind() {
        DecodeErrorKind::Empty => ParkReason::Empty,
        DecodeErrorKind::Truncated | DecodeErrorKind::Corrupt => ParkReason::Truncated,
        DecodeErrorKind::TooLarge => ParkReason::TooLarge,
        DecodeErrorKind::Invalid => ParkReason::Invalid,
        _ => ParkReason::NotPprof,
    }
}

/// Parks an object whose key says nothing of a snapshot. It has no identity,
/// so there is no claim; its note is written once per key and day.
pub(super) async fn outside_layout(
    store: &Store,
    key: &str,
    options: &MergeOptions,
) -> ItemOutcome {
    let detail = match key.parse::<SnapshotKey>() {
        Err(error @ LayoutError::Malformed { .. }) => error.to_string(),
        Err(error) => format!("{error} in key `{key}`"),
        Ok(_) => "the key does not follow the layout".to_owned(),
    };
    let tenant = SnapshotKey::tenant_of(key).unwrap_or_else(|| options.tenant.clone());
    let reason = ParkReason::OutsideLayout;
    let parked =
        Parked { key: key.to_owned(), date: None, entry: None, reason, detail, size: None };
    match note(store, &tenant, parked, options).await {
        Ok(()) => ItemOutcome::Parked(reason),
        Err(error) => ItemOutcome::Retry(error.to_string()),
    }
}

/// Parks a snapshot: its note first, then the claim, so that a crash between
/// them repeats the note instead of losing it.
pub(super) async fn snapshot(
    store: &Store,
    key: &SnapshotKey,
    parked: Parked,
    options: &MergeOptions,
) -> ItemOutcome {
    let fate = Fate::Parked { reason: parked.reason, detail: parked.detail.clone() };
    let claim = ClaimRow {
        identity: key.identity.hash(),
        fate,
        key: key.to_string(),
        claimed: options.now,
    };
    match note(store, &key.identity.tenant, parked, options).await {
        Err(error) => ItemOutcome::Retry(error.to_string()),
        Ok(()) => match store.claim(&claim).await {
            Ok(holds) => super::outcome_of(&holds.fate),
            Err(error) => ItemOutcome::Retry(error.to_string()),
        },
    }
}

/// Writes the note, in the bucket and in the log.
pub(super) async fn note(
    store: &Store,
    tenant: &TenantId,
    parked: Parked,
    options: &MergeOptions,
) -> Result<(), StoreError> {
    let Parked { key, date, entry, reason, detail, size } = parked;
    tracing::warn!(%key, ?entry, %reason, %detail, "parked");
    let source = entry.as_ref().map_or(key.clone(), |entry| format!("{key}#{entry}"));
    let date = date.unwrap_or_else(|| KeyDate::of(options.now));
    let at = ParkedKey { tenant: tenant.clone(), date, source }.to_string();
    let note =
        ParkedNote { v: FORMAT_VERSION, key, entry, reason, detail, size, parked: options.now };
    let json = serde_json::to_vec_pretty(&note).unwrap_or_default();
    store.put_new(&at, Bytes::from(json), "application/json").await.map(drop)
}
