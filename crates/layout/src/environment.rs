//! Names of the environment variables that more than one room reads, each
//! once. Their meanings stand in `docs/functions.md` and the SDK's README.

use crate::name::{LayoutError, TenantId};

/// The bucket of snapshots and blocks.
pub const BUCKET: &str = "FLAMBEAU_BUCKET";
/// Prefix of the claims and blocks tables.
pub const TABLE: &str = "FLAMBEAU_TABLE";
/// Whose profiles these are.
pub const TENANT: &str = "FLAMBEAU_TENANT";
/// The tenant where [`TENANT`] is not set.
pub const DEFAULT_TENANT: &str = "default";
/// Who may ask render: `iam` or `token`.
pub const ACCESS: &str = "FLAMBEAU_ACCESS";
/// Where render's tokens and keys are kept, with `token`.
pub const SECRET: &str = "FLAMBEAU_SECRET";
/// Dollars per GB-second, where render is to reckon with others than AWS lists.
pub const GB_SECOND: &str = "FLAMBEAU_GB_SECOND";
/// What is profiled; else the function's own name.
pub const SERVICE: &str = "FLAMBEAU_SERVICE";
/// Objects merge reads at the same time.
pub const FETCHES: &str = "FLAMBEAU_FETCHES";
/// `off` switches an instrumented function's profiling off.
pub const PROFILING: &str = "FLAMBEAU_PROFILING";
/// Least seconds between two snapshots of an environment.
pub const INTERVAL: &str = "FLAMBEAU_INTERVAL";
/// Samples per second of CPU time.
pub const HZ: &str = "FLAMBEAU_HZ";
/// Whether the SDK accounts for billed time: `off` leaves the type `billed` out.
pub const BILLED: &str = "FLAMBEAU_BILLED";
/// What profiling may cost a function: `1%` of its billed time, or `$0.5` per million
/// invocations.
pub const BUDGET: &str = "FLAMBEAU_BUDGET";
/// Whether the SDK names functions: `off` leaves addresses.
pub const SYMBOLS: &str = "FLAMBEAU_SYMBOLS";
/// `on` lets the SDK write CPU samples by the time since their invocation began too, as the type
/// [`timeline`](crate::timeline).
pub const TIMELINE: &str = "FLAMBEAU_TIMELINE";
/// `on` lets an instrumented function read its service's
/// [`Steering`](crate::Steering).
pub const STEERING: &str = "FLAMBEAU_STEERING";

/// The tenant that the value of [`TENANT`] names; [`DEFAULT_TENANT`] where it is
/// not set.
///
/// # Errors
/// When it is no name for a tenant.
pub fn tenant(value: Option<String>) -> Result<TenantId, LayoutError> {
    value.unwrap_or_else(|| DEFAULT_TENANT.to_owned()).parse()
}
