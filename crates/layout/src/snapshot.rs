//! Keys of snapshot objects.

use std::{fmt, str::FromStr};

use crate::{
    ids::{BootId, EnvId, Identity},
    name::{LayoutError, ProfileType, ServiceName, TenantId},
    time::KeyDate,
};

/// Prefix of all snapshot objects.
pub const SNAPSHOTS: &str = "snapshots/";

/// Most types one flush may hold.
pub const MAX_TYPES: usize = 16;

/// What a snapshot object's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SnapshotShape {
    /// One gzip pprof of this type.
    Single(ProfileType),
    /// A zip with one stored entry `{type}.pb.gz` per type.
    Zip,
}

/// Key of one snapshot object:
/// `snapshots/{tenant}/{service}/{date}/{env}.{boot}.{seq}.{type}.pb.gz` or
/// `….{seq}.zip`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotKey {
    /// What makes the snapshot itself.
    pub identity: Identity,
    /// The day on which it was closed; not part of its identity.
    pub date: KeyDate,
    /// What the bytes are; not part of its identity.
    pub shape: SnapshotShape,
}

impl SnapshotKey {
    /// The prefix that one service's functions may write below.
    #[must_use]
    pub fn prefix(tenant: &TenantId, service: &ServiceName) -> String {
        format!("{SNAPSHOTS}{}/{}/", tenant.encoded(), service.encoded())
    }

    /// Reads the tenant from a key that may otherwise be malformed, so that
    /// even such an object is parked with whom it belongs to.
    #[must_use]
    pub fn tenant_of(key: &str) -> Option<TenantId> {
        let part = key.strip_prefix(SNAPSHOTS)?.split('/').next()?;
        TenantId::from_encoded(part).ok()
    }
}

impl fmt::Display for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { tenant, service, env, boot, seq } = &self.identity;
        write!(f, "{}{}/{env}.{boot}.{seq}", Self::prefix(tenant, service), self.date)?;
        match &self.shape {
            SnapshotShape::Single(typ) => write!(f, ".{}.pb.gz", typ.encoded()),
            SnapshotShape::Zip => f.write_str(".zip"),
        }
    }
}

impl FromStr for SnapshotKey {
    type Err = LayoutError;

    fn from_str(key: &str) -> Result<Self, LayoutError> {
        let malformed = || {
            let expected = "snapshots/{tenant}/{service}/{date}/{env}.{boot}.{seq}.{type}.pb.gz \
                            or ….{seq}.zip was expected";
            LayoutError::malformed("snapshot key", key, expected)
        };
        let rest = key.strip_prefix(SNAPSHOTS).ok_or_else(malformed)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [tenant, service, date, file] = parts[..] else {
            return Err(malformed());
        };
        let file: Vec<&str> = file.split('.').collect();
        let (head, shape) = match file[..] {
            [env, boot, seq, typ, "pb", "gz"] => {
                ([env, boot, seq], SnapshotShape::Single(ProfileType::from_encoded(typ)?))
            }
            [env, boot, seq, "zip"] => ([env, boot, seq], SnapshotShape::Zip),
            _ => return Err(malformed()),
        };
        let identity = Identity {
            tenant: TenantId::from_encoded(tenant)?,
            service: ServiceName::from_encoded(service)?,
            env: head[0].parse()?,
            boot: head[1].parse()?,
            seq: head[2].parse().map_err(|_| malformed())?,
        };
        let parsed = Self { identity, date: date.parse()?, shape };
        if parsed.to_string() == key { Ok(parsed) } else { Err(malformed()) }
    }
}

impl SnapshotKey {
    /// Key for a snapshot closed at `date` with these parts.
    #[must_use]
    pub fn new(identity: Identity, date: KeyDate, shape: SnapshotShape) -> Self {
        Self { identity, date, shape }
    }

    /// The environment that wrote it.
    #[must_use]
    pub fn env(&self) -> &EnvId {
        &self.identity.env
    }

    /// The process life that wrote it.
    #[must_use]
    pub fn boot(&self) -> &BootId {
        &self.identity.boot
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_print_and_parse() {
        for key in [
            "snapshots/default/fast-slow/2026-11-21/e1.b1.0.cpu.pb.gz",
            "snapshots/default/%CE%BB%2Fx/2026-11-21/e1.b1.18446744073709551615.zip",
            "snapshots/t%2Eu/s/2026-11-21/e1.b1.7.process_cpu.pb.gz",
        ] {
            assert_eq!(key.parse::<SnapshotKey>().unwrap().to_string(), key);
        }
    }

    #[test]
    fn keys_outside_the_layout_are_refused() {
        for key in [
            "snapshots/default/s/2026-11-21/e1.b1.007.cpu.pb.gz",
            "snapshots/default/s/2026-11-21/e1.b1.-1.cpu.pb.gz",
            "snapshots/default/s/2026-11-21/e1.b1.1.pb.gz",
            "snapshots/default/../2026-11-21/e1.b1.1.zip",
            "snapshots/default/s/x/2026-11-21/e1.b1.1.zip",
            "snapshots/default/s/2026-11-21/e1.b1.18446744073709551616.zip",
            "other/default/s/2026-11-21/e1.b1.1.zip",
            "snapshots//s/2026-11-21/e1.b1.1.zip",
            "",
        ] {
            assert!(key.parse::<SnapshotKey>().is_err(), "{key}");
        }
    }

    #[test]
    fn the_longest_names_fit_into_an_s3_key() {
        let widest = |n: usize| "\u{1}".repeat(n);
        let identity = Identity {
            tenant: TenantId::new(widest(crate::name::MAX_TENANT_BYTES)).unwrap(),
            service: ServiceName::new(widest(crate::name::MAX_SERVICE_BYTES)).unwrap(),
            env: "e".repeat(crate::ids::MAX_ID_BYTES).parse().unwrap(),
            boot: "b".repeat(crate::ids::MAX_ID_BYTES).parse().unwrap(),
            seq: u64::MAX,
        };
        let typ = ProfileType::new(widest(crate::name::MAX_TYPE_BYTES)).unwrap();
        let date = "2026-11-21".parse().unwrap();
        let key = SnapshotKey::new(identity, date, SnapshotShape::Single(typ)).to_string();
        assert!(key.len() <= 1024, "{}", key.len());
        assert!(key.parse::<SnapshotKey>().is_ok());
    }
}
