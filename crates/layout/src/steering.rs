//! Steering: what the environments of a service shall do, told by one object
//! that its owners may change at any time.

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::{
    FORMAT_VERSION,
    name::{ServiceName, TenantId},
};

/// Prefix of all steering objects.
pub const CONFIG: &str = "config/";
/// Seconds that may lie between two snapshots of an environment.
pub const INTERVAL_SECS: RangeInclusive<u64> = 5..=3600;
/// One of at most so many environments is sampled.
pub const MAX_ONE_IN: u32 = 10_000;
/// Longest steering object, in bytes.
pub const MAX_STEERING_BYTES: u64 = 4096;

/// Key of a steering object: `config/{tenant}/{service}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SteeringKey {
    /// Whose service it is.
    pub tenant: TenantId,
    /// The service.
    pub service: ServiceName,
}

impl fmt::Display for SteeringKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CONFIG}{}/{}.json", self.tenant.encoded(), self.service.encoded())
    }
}

/// The document. What it does not say stays as the function's own settings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// Version of this document.
    pub v: u32,
    /// Least seconds between two snapshots of an environment, in
    /// [`INTERVAL_SECS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_secs: Option<u64>,
    /// One of so many environments is sampled, 1 to [`MAX_ONE_IN`]; its values
    /// count that many times, so that totals stay what they are on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_in: Option<u32>,
}

/// A steering object that says nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// Not the JSON it should be.
    #[error("steering is not readable: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written for a newer Flambeau.
    #[error("steering has version {0}, this build knows up to {FORMAT_VERSION}")]
    UnknownVersion(u32),
    /// A value outside its limits.
    #[error("{what} is {found}; {from} to {until} is possible")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// What it is.
        found: u64,
        /// The least possible.
        from: u64,
        /// The greatest possible.
        until: u64,
    },
}

impl Steering {
    /// Steering that changes nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { v: FORMAT_VERSION, interval_secs: None, one_in: None }
    }

    /// Reads a document and holds it against the limits.
    ///
    /// # Errors
    /// [`SteeringError`]; the caller goes on with what it had.
    pub fn read(json: &[u8]) -> Result<Self, SteeringError> {
        let steering: Self = serde_json::from_slice(json)?;
        steering.checked()
    }

    /// Itself, if every value is within its limits.
    ///
    /// # Errors
    /// [`SteeringError`], naming the value.
    pub fn checked(self) -> Result<Self, SteeringError> {
        if self.v > FORMAT_VERSION {
            return Err(SteeringError::UnknownVersion(self.v));
        }
        within("interval_secs", self.interval_secs, INTERVAL_SECS)?;
        within("one_in", self.one_in.map(u64::from), 1..=MAX_ONE_IN.into())?;
        Ok(self)
    }
}

fn within(
    what: &'static str,
    value: Option<u64>,
    limits: RangeInclusive<u64>,
) -> Result<(), SteeringError> {
    let (from, until) = limits.into_inner();
    match value {
        Some(found) if found < from || found > until => {
            Err(SteeringError::OutOfRange { what, found, from, until })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_hold_on_both_sides() {
        let read = |json: &str| Steering::read(json.as_bytes());
        for (secs, good) in [(4, false), (5, true), (3600, true), (3601, false)] {
            assert_eq!(read(&format!(r#"{{"v":1,"interval_secs":{secs}}}"#)).is_ok(), good);
        }
        for (one_in, good) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
            assert_eq!(read(&format!(r#"{{"v":1,"one_in":{one_in}}}"#)).is_ok(), good);
        }
        assert_eq!(read(r#"{"v":1}"#).unwrap(), Steering::nothing());
        assert!(matches!(read(r#"{"v":2}"#), Err(SteeringError::UnknownVersion(2))));
        assert!(read(r#"{"v":1,"onein":4}"#).is_err(), "a slip of the pen is told");
    }

    #[test]
    fn a_service_has_one_key() {
        let (tenant, service) = ("t".parse().unwrap(), "a/b".parse().unwrap());
        assert_eq!(SteeringKey { tenant, service }.to_string(), "config/t/a%2Fb.json");
    }
}
