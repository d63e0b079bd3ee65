//! Identities that the system draws: environments, boots, segments, blocks.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::name::{LayoutError, ServiceName, TenantId};

/// Longest id token, in bytes.
pub const MAX_ID_BYTES: usize = 40;

fn check_token(what: &'static str, token: &str) -> Result<(), LayoutError> {
    if token.is_empty() {
        return Err(LayoutError::Empty { what });
    }
    if token.len() > MAX_ID_BYTES {
        return Err(LayoutError::TooLong { what, bytes: token.len(), limit: MAX_ID_BYTES });
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !token.bytes().all(plain) {
        return Err(LayoutError::malformed(what, token, "only a-z, 0-9 and - are allowed"));
    }
    Ok(())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// Makes an id from random or hashed bytes (as lower-case hex).
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(hex(&bytes))
            }

            /// Draws an id from the operating system's random source.
            ///
            /// # Errors
            /// When the random source fails.
            pub fn random() -> Result<Self, getrandom::Error> {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes)?;
                Ok(Self::from_bytes(bytes))
            }

            /// The id as it stands in keys.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = LayoutError;
            fn from_str(token: &str) -> Result<Self, LayoutError> {
                check_token($what, token)?;
                Ok(Self(token.to_owned()))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One Lambda sandbox. Drawn after any snapshot restore, so that two
    /// restored copies differ.
    EnvId, "environment id"
);
id!(
    /// One process life inside an environment.
    BootId, "boot id"
);
id!(
    /// The object that holds the level-0 blocks of one merge.
    SegmentId, "segment id"
);
id!(
    /// One immutable block.
    BlockId, "block id"
);

/// What makes a snapshot itself: never its object key, so the same seq under
/// another date or suffix is the same snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it profiles.
    pub service: ServiceName,
    /// The environment that wrote it.
    pub env: EnvId,
    /// The process life inside that environment.
    pub boot: BootId,
    /// Counts up inside a boot, from 0.
    pub seq: u64,
}

impl Identity {
    /// The key of this snapshot's claim: 128 bits of SHA-256 over the parts,
    /// each preceded by its length, so that no two identities share a text.
    #[must_use]
    pub fn hash(&self) -> IdentityHash {
        let mut sha = Sha256::new();
        let parts =
            [self.tenant.as_str(), self.service.as_str(), self.env.as_str(), self.boot.as_str()];
        for part in parts {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        sha.update(self.seq.to_be_bytes());
        IdentityHash(hex(&sha.finalize()[..16]))
    }
}

/// Hash of an [`Identity`]; the key of a claim.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct IdentityHash(String);

impl IdentityHash {
    /// The hash as 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdentityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IdentityHash {
    type Err = LayoutError;
    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(digit) {
            return Err(LayoutError::malformed(
                "identity hash",
                text,
                "32 hex digits were expected",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn identity(tenant: &str, service: &str, seq: u64) -> Identity {
        Identity {
            tenant: tenant.parse().unwrap(),
            service: service.parse().unwrap(),
            env: "e1".parse().unwrap(),
            boot: "b1".parse().unwrap(),
            seq,
        }
    }

    #[test]
    fn identities_do_not_collide_by_concatenation() {
        assert_ne!(identity("ab", "c", 1).hash(), identity("a", "bc", 1).hash());
        assert_ne!(identity("a", "b", 1).hash(), identity("a", "b", 2).hash());
        assert_eq!(identity("a", "b", 1).hash(), identity("a", "b", 1).hash());
    }

    #[test]
    fn ids_are_random_and_plain() {
        let (a, b) = (EnvId::random().unwrap(), EnvId::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<EnvId>().unwrap(), a);
        assert!("a.b".parse::<EnvId>().is_err());
        assert!("x".repeat(MAX_ID_BYTES).parse::<BootId>().is_ok());
        assert!("x".repeat(MAX_ID_BYTES + 1).parse::<BootId>().is_err());
    }
}
