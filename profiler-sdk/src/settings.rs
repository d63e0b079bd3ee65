//! Settings, from the environment or by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use flambeau_layout::{ServiceName, TenantId, environment};

use crate::mappings::mappings;
use crate::pyroscope;
use crate::session::{Budget, DEFAULT_BUDGET};

/// Samples per second of CPU time, where nothing else is set.
pub const DEFAULT_HZ: u32 = 99;

/// Active time between two snapshots, where nothing else is set.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// Whom to profile, how, and where the snapshots go.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whose snapshots these are.
    pub tenant: TenantId,
    /// What is profiled.
    pub service: ServiceName,
    /// Samples per second of CPU time; more than the kernel's timer tick is cut down to it.
    pub hz: u32,
    /// Active time between two snapshots: only while invocations run does it pass.
    pub interval: Duration,
    /// Whether the service's owners may steer interval and sampled share by an
    /// object beside the snapshots; reading it takes a permission of its own.
    pub steering: bool,
    /// Whether functions are named, from symbol tables, before a snapshot is written. Without,
    /// it has addresses and build ids, for somebody with the binary to name.
    pub symbols: bool,
    /// Whether every billed millisecond is accounted for, as the type `billed`.
    pub billed: bool,
    /// Whether CPU samples are also told by the time since their invocation began, as the type
    /// `timeline`.
    pub timeline: bool,
    /// What profiling may cost; interval and rate give way to it.
    pub budget: Budget,
    /// Labels of every snapshot.
    pub labels: BTreeMap<String, String>,
}

/// Where snapshots go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A bucket of this name.
    Bucket(String),
    /// A folder, for tests and for looking at snapshots by hand: `file:///path`.
    Directory(std::path::PathBuf),
}

/// Why there is nothing to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Switched off on purpose: nobody needs to be warned.
    #[error("profiling is switched off by FLAMBEAU_PROFILING")]
    Off,
    /// A variable that is needed is missing.
    #[error("{0} is not set; set it, or FLAMBEAU_PROFILING=off")]
    Missing(&'static str),
    /// A variable has a value that cannot be used.
    #[error("{name} is `{value}`: {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: String,
    },
}

impl Settings {
    /// Reads settings through `variable` (such as `|name| std::env::var(name).ok()`).
    ///
    /// # Errors
    /// [`SettingsError`]: off, incomplete or unreadable.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Destination), SettingsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let variable = |name: &str| set(name).or_else(|| pyroscope::said(name, &set));
        if variable(environment::PROFILING).is_some_and(|value| is_off(&value)) {
            return Err(SettingsError::Off);
        }
        let destination =
            variable(environment::BUCKET).ok_or(SettingsError::Missing(environment::BUCKET))?;
        let seconds: Option<u64> = parsed(&variable, environment::INTERVAL, "whole seconds")?;
        let hz: Option<u32> = parsed(&variable, environment::HZ, "samples per second")?;
        let settings = Self {
            tenant: tenant(&variable)?,
            service: service(&variable)?,
            hz: hz.unwrap_or(DEFAULT_HZ).max(1),
            interval: seconds.map_or(DEFAULT_INTERVAL, Duration::from_secs),
            steering: variable(environment::STEERING).is_some_and(|value| !is_off(&value)),
            symbols: !variable(environment::SYMBOLS).is_some_and(|value| is_off(&value)),
            billed: !variable(environment::BILLED).is_some_and(|value| is_off(&value)),
            timeline: variable(environment::TIMELINE).is_some_and(|value| !is_off(&value)),
            budget: budget(&variable)?,
            labels: labels(&set),
        };
        Ok((settings, Destination::parse(&destination)))
    }
}

impl Destination {
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_prefix("file://") {
            Some(path) => Self::Directory(path.into()),
            None => Self::Bucket(text.to_owned()),
        }
    }
}

fn is_off(value: &str) -> bool {
    ["off", "0", "false", "no"].contains(&value.to_ascii_lowercase().as_str())
}

fn parsed<T: std::str::FromStr>(
    variable: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &str,
) -> Result<Option<T>, SettingsError> {
    let Some(value) = variable(name) else { return Ok(None) };
    let malformed = |value| SettingsError::Malformed { name, value, expected: expected.to_owned() };
    value.parse().map(Some).map_err(|_| malformed(value))
}

fn budget(variable: &impl Fn(&str) -> Option<String>) -> Result<Budget, SettingsError> {
    let name = environment::BUDGET;
    let Some(value) = variable(name) else { return Ok(DEFAULT_BUDGET) };
    value.parse().map_err(|expected| SettingsError::Malformed { name, value, expected })
}

fn tenant(variable: &impl Fn(&str) -> Option<String>) -> Result<TenantId, SettingsError> {
    let name = environment::TENANT;
    let value = variable(name).unwrap_or_else(|| environment::DEFAULT_TENANT.to_owned());
    let malformed = |error: flambeau_layout::LayoutError| SettingsError::Malformed {
        name,
        value: value.clone(),
        expected: error.to_string(),
    };
    TenantId::new(value.clone()).map_err(malformed)
}

fn service(variable: &impl Fn(&str) -> Option<String>) -> Result<ServiceName, SettingsError> {
    let name = environment::SERVICE;
    let value = variable(name)
        .or_else(|| variable("AWS_LAMBDA_FUNCTION_NAME"))
        .ok_or(SettingsError::Missing(name))?;
    let malformed = |error: flambeau_layout::LayoutError| SettingsError::Malformed {
        name,
        value: value.clone(),
        expected: error.to_string(),
    };
    ServiceName::new(value.clone()).map_err(malformed)
}

fn labels(variable: &impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let told = [
        ("function_name", variable("AWS_LAMBDA_FUNCTION_NAME")),
        ("version", variable("AWS_LAMBDA_FUNCTION_VERSION")),
        ("region", variable("AWS_REGION")),
        ("memory", variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")),
        ("arch", Some(architecture().to_owned())),
        ("runtime", Some("rust".to_owned())),
        ("build_id", build_id()),
        ("init_type", variable("AWS_LAMBDA_INITIALIZATION_TYPE")),
    ];
    let mut labels = pyroscope::labels(variable);
    labels.extend(told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    labels
}

/// The program's, by which its symbols are found.
fn build_id() -> Option<String> {
    mappings().first().map(|program| program.build_id.clone()).filter(|id| !id.is_empty())
}

/// The architecture as Lambda names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<(Settings, Destination), SettingsError> {
        let find = |name: &str| pairs.iter().find(|pair| pair.0 == name);
        Settings::read(|name| find(name).map(|pair| pair.1.to_owned()))
    }

    #[test]
    fn a_bucket_and_a_function_name_are_enough() {
        let (settings, destination) =
            read(&[("FLAMBEAU_BUCKET", "b"), ("AWS_LAMBDA_FUNCTION_NAME", "f")]).unwrap();
        assert_eq!(destination, Destination::Bucket("b".into()));
        assert_eq!(settings.service.as_str(), "f");
        assert_eq!(settings.tenant.as_str(), "default");
        assert_eq!((settings.hz, settings.interval), (DEFAULT_HZ, DEFAULT_INTERVAL));
        assert_eq!(settings.labels["function_name"], "f");
        assert!(!settings.labels.contains_key("region"));
        assert!(!settings.steering && !settings.timeline);
    }

    #[test]
    fn what_is_set_counts() {
        let (settings, destination) = read(&[
            ("FLAMBEAU_BUCKET", "file:///some/where"),
            ("FLAMBEAU_SERVICE", "s"),
            ("FLAMBEAU_TENANT", "t"),
            ("FLAMBEAU_HZ", "199"),
            ("FLAMBEAU_INTERVAL", "5"),
            ("FLAMBEAU_STEERING", "on"),
            ("FLAMBEAU_SYMBOLS", "off"),
            ("FLAMBEAU_TIMELINE", "on"),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ])
        .unwrap();
        assert_eq!(destination, Destination::Directory("/some/where".into()));
        assert_eq!((settings.tenant.as_str(), settings.service.as_str()), ("t", "s"));
        assert_eq!((settings.hz, settings.interval), (199, Duration::from_secs(5)));
        assert!(settings.steering && settings.timeline && !settings.symbols);
    }

    #[test]
    fn off_is_off_before_anything_is_read() {
        for off in ["off", "OFF", "0", "false"] {
            assert_eq!(read(&[("FLAMBEAU_PROFILING", off)]), Err(SettingsError::Off));
        }
        let on = read(&[("FLAMBEAU_PROFILING", "on")]);
        assert_eq!(on, Err(SettingsError::Missing("FLAMBEAU_BUCKET")));
    }

    #[test]
    fn bad_values_are_refused() {
        let hz = [("FLAMBEAU_BUCKET", "b"), ("FLAMBEAU_SERVICE", "s"), ("FLAMBEAU_HZ", "-1")];
        assert!(matches!(read(&hz), Err(SettingsError::Malformed { .. })));
        let timeline = |text| {
            read(&[
                ("FLAMBEAU_BUCKET", "b"),
                ("FLAMBEAU_SERVICE", "s"),
                ("FLAMBEAU_TIMELINE", text),
            ])
        };
        assert!(["off", "0", "no"].iter().all(|off| !timeline(off).unwrap().0.timeline));
        let budget = |text| {
            read(&[("FLAMBEAU_BUCKET", "b"), ("FLAMBEAU_SERVICE", "s"), ("FLAMBEAU_BUDGET", text)])
        };
        assert_eq!(budget("2%").unwrap().0.budget, Budget::Share(0.02));
        assert!(matches!(budget("cheap"), Err(SettingsError::Malformed { .. })));
    }
}
