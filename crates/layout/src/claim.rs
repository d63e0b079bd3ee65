//! Claims: the record of a snapshot's fate.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{BlockId, IdentityHash},
    parked::ParkReason,
    time::{UnixMillis, Window},
};

/// What became of a snapshot. Once written it stays, except that a parked
/// snapshot may be redriven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum Fate {
    /// Merged into this block.
    Block {
        /// The block.
        block: BlockId,
        /// The block's window: chosen once, so that a retry sees the same.
        window: Window,
    },
    /// Set aside with a reason.
    Parked {
        /// Why.
        reason: ParkReason,
        /// What was wrong, in words.
        detail: String,
    },
}

/// One row of the claims table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRow {
    /// Whose fate this is; the row's key.
    pub identity: IdentityHash,
    /// The fate.
    #[serde(flatten)]
    pub fate: Fate,
    /// The snapshot's object, for people and for `verify`.
    pub key: String,
    /// When it was claimed.
    pub claimed: UnixMillis,
}

/// How long a claim is kept: longer than any copy of the snapshot can be
/// delivered (queue 4 d, raw objects 7 d, segments 14 d).
pub const CLAIM_LIFE_DAYS: i64 = 30;

impl ClaimRow {
    /// Whether a redelivery may still merge the snapshot: it was given up
    /// because of what happened around it, not because of what it is.
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        matches!(self.fate, Fate::Parked { reason: ParkReason::RetriesExhausted, .. })
    }

    /// When the claim may be forgotten, in Unix seconds as TTL wants them.
    #[must_use]
    pub fn expires_secs(&self) -> i64 {
        self.claimed.0.div_euclid(1000) + CLAIM_LIFE_DAYS * 86_400
    }
}
