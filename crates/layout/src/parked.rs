//! Parked objects: what cannot be merged, set aside with the reason.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ids::hex,
    name::{TenantId, encode_part},
    time::{KeyDate, UnixMillis},
};

/// Prefix of all parked notes.
pub const PARKED: &str = "parked/";

/// Longest encoded source key inside a parked key; longer ones are cut and
/// end in a hash.
pub const MAX_ENCODED_KEY_BYTES: usize = 700;

/// Why a snapshot can never be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParkReason {
    /// The key does not follow the layout.
    OutsideLayout,
    /// The object has no bytes.
    Empty,
    /// The bytes end too early or their checksum is wrong.
    Truncated,
    /// Neither a pprof nor a zip of them.
    NotPprof,
    /// A pprof that contradicts itself.
    Invalid,
    /// Beyond a limit.
    TooLarge,
    /// Written by a newer Flambeau.
    UnknownVersion,
    /// Older than what may still be merged.
    TooLate,
    /// The object was gone before it was read.
    Missing,
    /// Failed at every delivery.
    RetriesExhausted,
}

impl fmt::Display for ParkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutsideLayout => "outside layout",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::NotPprof => "not a pprof",
            Self::Invalid => "invalid",
            Self::TooLarge => "too large",
            Self::UnknownVersion => "unknown version",
            Self::TooLate => "too late",
            Self::Missing => "missing",
            Self::RetriesExhausted => "retries exhausted",
        })
    }
}

/// The JSON document of a parked snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedNote {
    /// Version of this document.
    pub v: u32,
    /// The object's key, as the event gave it (decoded).
    pub key: String,
    /// The entry inside a zip, when only that is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Why.
    pub reason: ParkReason,
    /// What was wrong, in words, with the way out.
    pub detail: String,
    /// The object's size in bytes, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was parked.
    pub parked: UnixMillis,
}

/// Key of a parked note: `parked/{tenant}/{date}/{encoded key}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParkedKey {
    /// Whose snapshot it was.
    pub tenant: TenantId,
    /// The day of the snapshot's own key, or of parking; fixed per snapshot
    /// where the key has one, so that parking twice writes one note.
    pub date: KeyDate,
    /// The source: object key and, inside a zip, `#entry`.
    pub source: String,
}

impl ParkedKey {
    /// Prefix of one tenant's parked notes.
    #[must_use]
    pub fn prefix(tenant: &TenantId) -> String {
        format!("{PARKED}{}/", tenant.encoded())
    }
}

impl fmt::Display for ParkedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut source = encode_part(&self.source);
        if source.len() > MAX_ENCODED_KEY_BYTES {
            source.truncate(MAX_ENCODED_KEY_BYTES);
            source.push('~');
            source.push_str(&hex(&Sha256::digest(&self.source)[..16]));
        }
        write!(f, "{}{}/{source}.json", Self::prefix(&self.tenant), self.date)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_longest_source_fits_into_a_key() {
        let parked = |source: String| {
            let tenant = TenantId::new("λ".repeat(32)).unwrap();
            ParkedKey { tenant, date: "2026-11-21".parse().unwrap(), source }.to_string()
        };
        let (a, b) = (parked("/".repeat(1023) + "a"), parked("/".repeat(1023) + "b"));
        assert!(a.len() <= 1024 && a != b);
        assert!(parked("snapshots/x".into()).ends_with("/snapshots%2Fx.json"));
    }
}
