//! The profile type `mutex`.

use std::collections::BTreeMap;
use std::time::Duration;

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;

use crate::heap::{draw, stack};
use crate::locks::contention::{self, PARTS};
use crate::mappings::mappings;
use crate::profile_builder::{Leaf, ProfileBuilder, add_comment};
use crate::recorder::Recorder;

const SAMPLE_TYPES: [(&str, &str); 2] = [("contentions", "count"), ("delay", "nanoseconds")];

/// Why lock contention cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MutexRecorderError {
    /// There is one recorder in a process.
    #[error("lock contention is being recorded already")]
    AlreadyRunning,
}

/// Records who waits for a [`profiled`](crate::profiled) lock, as the profile type `mutex` with
/// Go's sample types `contentions/count` and `delay/nanoseconds`, both since the last
/// collection.
///
/// Stacks are those that *wait*; Go's mutex profile has those that let others wait. A wait of
/// at least a period is always kept, a shorter one in proportion to its length, and counts for
/// more; so sums are right in expectation.
///
/// Taking a free lock costs a branch more than without a recorder, a wait two readings of the
/// clock. A wait that is kept costs a walk up the stack besides, while the lock is held: about
/// two microseconds, for ten of waiting or more.
#[derive(Debug)]
pub struct MutexRecorder {
    period: Duration,
}

impl MutexRecorder {
    /// The period of [`MutexRecorder::start`].
    pub const DEFAULT_PERIOD: Duration = Duration::from_micros(10);

    /// Begins to record, until it is dropped.
    ///
    /// # Errors
    /// If there is a recorder already.
    pub fn start() -> Result<Self, MutexRecorderError> {
        Self::with_period(Self::DEFAULT_PERIOD)
    }

    /// Begins to record one sample per `period` of waiting, on average; at least a nanosecond.
    ///
    /// # Errors
    /// If there is a recorder already.
    pub fn with_period(period: Duration) -> Result<Self, MutexRecorderError> {
        let period = period.max(Duration::from_nanos(1));
        draw::reseed();
        stack::prepare();
        match contention::open(period.as_nanos().try_into().unwrap_or(u64::MAX)) {
            true => Ok(Self { period }),
            false => Err(MutexRecorderError::AlreadyRunning),
        }
    }
}

impl Drop for MutexRecorder {
    fn drop(&mut self) {
        contention::close();
    }
}

impl Recorder for MutexRecorder {
    fn profile_type(&self) -> &'static str {
        "mutex"
    }

    fn temporality(&self) -> BTreeMap<String, Temporality> {
        // Go's are since the start of the process; ours are not.
        let delta = |name: &str| (name.to_owned(), Temporality::Delta);
        ["contentions", "delay"].map(delta).into()
    }

    fn collect(&self) -> Option<Profile> {
        let (stacks, stackless) = contention::take()?;
        let mappings = mappings();
        let period = self.period.as_nanos().try_into().unwrap_or(i64::MAX);
        let period_type = ("mutex", "nanoseconds");
        let mut builder = ProfileBuilder::new(&mappings, &SAMPLE_TYPES, period_type, period);
        for (frames, context, sums) in stacks.iter().filter(|(.., sums)| sums.contentions > 0) {
            let locations = match frames {
                [] => vec![builder.named("[unknown]")],
                _ => builder.stack(frames, Leaf::Return),
            };
            let contentions = (sums.contentions + PARTS / 2) / PARTS;
            let values =
                [contentions, sums.delay].map(|value| i64::try_from(value).unwrap_or(i64::MAX));
            builder.sample(locations, &values, &stack::labels(context));
        }
        let mut profile = builder.finish()?;
        if stackless > 0 {
            let comment = format!(
                "mutex: {stackless} samples since the start have lost their stack, for want of room"
            );
            add_comment(&mut profile, comment);
        }
        Some(profile)
    }
}
