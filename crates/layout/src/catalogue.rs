//! The catalogue: which services and types a tenant has.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    name::{ProfileType, ServiceName, TenantId},
    time::UnixMillis,
};

/// What the partitions of catalogue rows begin with, before the tenant.
pub const CATALOGUE: &str = "catalogue.";
/// Most label values the catalogue remembers per label; more are said as
/// `more`, never stored.
pub const MAX_LABEL_VALUES: usize = 64;
/// Most labels the catalogue remembers per service.
pub const MAX_LABELS: usize = 32;

/// What is known of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// The service.
    pub service: ServiceName,
    /// Its profile types and, for each, the sample types as `type/unit`.
    pub types: BTreeMap<ProfileType, Vec<String>>,
    /// Label names and values seen.
    #[serde(default)]
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// Whether labels or values were left out.
    #[serde(default)]
    pub more: bool,
    /// End of the first window seen.
    pub first: UnixMillis,
    /// End of the last window seen.
    pub last: UnixMillis,
}

impl ServiceEntry {
    /// An entry that knows nothing but the name.
    #[must_use]
    pub fn new(service: ServiceName) -> Self {
        let (first, last) = (UnixMillis(i64::MAX), UnixMillis(i64::MIN));
        let (types, labels) = (BTreeMap::new(), BTreeMap::new());
        Self { service, types, labels, more: false, first, last }
    }

    /// Partition of one tenant's catalogue rows. A block's partition always
    /// holds a `/`, so the two never meet.
    #[must_use]
    pub fn partition(tenant: &TenantId) -> String {
        format!("{CATALOGUE}{}", tenant.encoded())
    }

    /// Adds what another entry of the same service knows, within the limits.
    pub fn absorb(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.more |= other.more;
        self.types.extend(other.types.iter().map(|(typ, samples)| (typ.clone(), samples.clone())));
        for (name, values) in &other.labels {
            for value in values {
                self.absorb_label(name, value);
            }
        }
    }

    fn absorb_label(&mut self, name: &str, value: &str) {
        if !self.labels.contains_key(name) && self.labels.len() >= MAX_LABELS {
            self.more = true;
            return;
        }
        let values = self.labels.entry(name.to_owned()).or_default();
        if values.contains(value) {
            return;
        }
        if values.len() >= MAX_LABEL_VALUES {
            self.more = true;
        } else {
            values.insert(value.to_owned());
        }
    }

    /// Whether `other` would teach this entry anything but a later end.
    #[must_use]
    pub fn knows(&self, other: &Self) -> bool {
        let mut both = self.clone();
        both.absorb(other);
        both.last = self.last;
        both == *self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(label: &str, value: &str) -> ServiceEntry {
        let mut entry = ServiceEntry::new("s".parse().unwrap());
        entry.absorb_label(label, value);
        entry.first = UnixMillis(1);
        entry.last = UnixMillis(2);
        entry
    }

    #[test]
    fn values_are_bounded() {
        let mut known = entry("version", "0");
        for value in 1..MAX_LABEL_VALUES {
            known.absorb(&entry("version", &value.to_string()));
        }
        assert!(!known.more);
        known.absorb(&entry("version", "one too many"));
        assert!(known.more);
        assert_eq!(known.labels["version"].len(), MAX_LABEL_VALUES);
    }

    #[test]
    fn knowing_is_about_content_not_time() {
        let mut later = entry("a", "1");
        later.last = UnixMillis(99);
        assert!(entry("a", "1").knows(&later));
        assert!(!entry("a", "1").knows(&entry("a", "2")));
    }
}
