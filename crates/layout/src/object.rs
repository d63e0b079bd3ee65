//! Keys of merged objects: segments, blocks, results.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{BlockId, SegmentId},
    name::{LayoutError, ProfileType, ServiceName, TenantId},
    sort_key::parse_window,
    time::{KeyDate, Window},
};

/// Prefix of all segments.
pub const SEGMENTS: &str = "segments/";
/// Prefix of all blocks above level 0.
pub const BLOCKS: &str = "blocks/";
/// Prefix of answers that render keeps for a day.
pub const RESULTS: &str = "results/";

/// Key of a segment: `segments/{tenant}/{date}/{segment}.zip`. It holds the
/// level-0 blocks of one merge as stored entries `{block}/{type}.pb.gz`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentKey {
    /// Whose blocks these are.
    pub tenant: TenantId,
    /// The day on which it was written.
    pub date: KeyDate,
    /// The merge that wrote it.
    pub segment: SegmentId,
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, date, segment } = self;
        write!(f, "{SEGMENTS}{}/{date}/{segment}.zip", tenant.encoded())
    }
}

impl FromStr for SegmentKey {
    type Err = LayoutError;

    fn from_str(key: &str) -> Result<Self, LayoutError> {
        let malformed = || {
            let expected = "segments/{tenant}/{date}/{segment}.zip was expected";
            LayoutError::malformed("segment key", key, expected)
        };
        let rest = key.strip_prefix(SEGMENTS).and_then(|rest| rest.strip_suffix(".zip"));
        let parts: Vec<&str> = rest.ok_or_else(malformed)?.split('/').collect();
        let [tenant, date, segment] = parts[..] else {
            return Err(malformed());
        };
        Ok(Self {
            tenant: TenantId::from_encoded(tenant)?,
            date: date.parse()?,
            segment: segment.parse()?,
        })
    }
}

/// Key of one profile of a rolled-up block:
/// `blocks/{tenant}/{service}/{level}/{window}/{block}/{type}.pb.gz`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MergedKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it profiles.
    pub service: ServiceName,
    /// The time it covers.
    pub window: Window,
    /// The block.
    pub block: BlockId,
    /// The type of this profile.
    pub typ: ProfileType,
}

impl MergedKey {
    /// Prefix of all merged objects of a service.
    #[must_use]
    pub fn prefix(tenant: &TenantId, service: &ServiceName) -> String {
        format!("{BLOCKS}{}/{}/", tenant.encoded(), service.encoded())
    }

    /// Prefix of the merged objects of one window.
    #[must_use]
    pub fn window_prefix(tenant: &TenantId, service: &ServiceName, window: Window) -> String {
        format!("{}{}/{window}/", Self::prefix(tenant, service), window.level.number())
    }
}

impl fmt::Display for MergedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, service, window, block, typ } = self;
        let prefix = Self::window_prefix(tenant, service, *window);
        write!(f, "{prefix}{block}/{}.pb.gz", typ.encoded())
    }
}

impl FromStr for MergedKey {
    type Err = LayoutError;

    fn from_str(key: &str) -> Result<Self, LayoutError> {
        let malformed = || {
            let expected = "blocks/{tenant}/{service}/{level}/{window}/{block}/{type}.pb.gz \
                            was expected";
            LayoutError::malformed("block key", key, expected)
        };
        let rest = key.strip_prefix(BLOCKS).and_then(|rest| rest.strip_suffix(".pb.gz"));
        let parts: Vec<&str> = rest.ok_or_else(malformed)?.split('/').collect();
        let [tenant, service, level, window, block, typ] = parts[..] else {
            return Err(malformed());
        };
        let parsed = Self {
            tenant: TenantId::from_encoded(tenant)?,
            service: ServiceName::from_encoded(service)?,
            window: parse_window(level, window).ok_or_else(malformed)?,
            block: block.parse()?,
            typ: ProfileType::from_encoded(typ)?,
        };
        if parsed.to_string() == key { Ok(parsed) } else { Err(malformed()) }
    }
}

/// Where one gzip pprof lies: a whole object or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRange {
    /// The object's key.
    pub key: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn merged_keys_print_and_parse() {
        let key = "blocks/a%2Fb/%CE%BB/1/001794999600/b1/cpu.pb.gz";
        assert_eq!(key.parse::<MergedKey>().unwrap().to_string(), key);
        assert!("blocks/a/b/1/001794999601/b1/cpu.pb.gz".parse::<MergedKey>().is_err());
        assert!("blocks/a/b/1/001794999600/b1.commit".parse::<MergedKey>().is_err());
    }

    #[test]
    fn segment_keys_print_and_parse() {
        let key = "segments/a%2Fb/2026-11-21/s1.zip";
        assert_eq!(key.parse::<SegmentKey>().unwrap().to_string(), key);
        assert!("segments/a/b/2026-11-21/s1.zip".parse::<SegmentKey>().is_err());
        assert!("segments/a/2026-11-21/s1.pb.gz".parse::<SegmentKey>().is_err());
    }
}
