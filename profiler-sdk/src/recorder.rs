//! What else a snapshot can hold.

use std::collections::BTreeMap;

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;

/// One more profile type in every snapshot, beside the engine's CPU profile.
///
/// Methods take `&self` and may be called from any thread.
pub trait Recorder: Send + Sync + 'static {
    /// The type's name, such as `heap`: the same for the life of the process.
    fn profile_type(&self) -> &'static str;

    /// What is to be told since the last call: a delta for types that add up, the state for
    /// gauges; `None` if there is nothing. Never called from an async thread.
    fn collect(&self) -> Option<Profile>;

    /// How values relate to time, by sample type, where its name would suggest another: deltas
    /// of `alloc_space`, say, which others write cumulatively.
    fn temporality(&self) -> BTreeMap<String, Temporality> {
        BTreeMap::new()
    }
}
