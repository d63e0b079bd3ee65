//! Profiles by the clock, for programs without invocations.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::profiler::{Profiler, ProfilerBuilder};
use crate::session::Session;

/// Time that one round of the loop has for writing.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Waits `snapshot_interval`, samples the CPU for `cpu_duration`, writes a snapshot of every
/// type, and begins again; for as long as the process lives, or until the profiler is
/// [stopped](Profiler::stop).
///
/// Sparta's `ScheduleProfileLoop`, for a server, a batch job, or a function whose invocations
/// pass no [layer](Profiler::layer). `bucket` is where snapshots go, else the environment's
/// `FLAMBEAU_BUCKET`. Of `profile_types`, `cpu` is there exactly if `cpu_duration` is not zero,
/// as in Sparta; what is not known is skipped with a warning. Recorders of your own go with
/// [`ProfilerBuilder::schedule`].
///
/// ```no_run
/// # async fn example() {
/// use std::time::Duration;
/// use profiler_sdk::schedule_profile_loop;
///
/// let (every, cpu) = (Duration::from_secs(30), Duration::from_secs(5));
/// let profiler = schedule_profile_loop(Some("profiles"), every, cpu, &["cpu"]).await;
/// # drop(profiler);
/// # }
/// ```
pub async fn schedule_profile_loop(
    bucket: Option<&str>,
    snapshot_interval: Duration,
    cpu_duration: Duration,
    profile_types: &[&str],
) -> Profiler {
    let builder = match bucket {
        Some(bucket) => Profiler::builder().bucket(bucket),
        None => Profiler::builder(),
    };
    builder.schedule(snapshot_interval, cpu_duration, profile_types).await
}

impl ProfilerBuilder {
    /// Starts the loop of [`schedule_profile_loop`] with what is described here: of its
    /// recorders those in `profile_types`, or all if that is empty.
    pub async fn schedule(
        mut self,
        snapshot_interval: Duration,
        cpu_duration: Duration,
        profile_types: &[&str],
    ) -> Profiler {
        for unknown in self.keep_recorders(profile_types) {
            warn!(profile_type = unknown, "no recorder of this type; it is skipped");
        }
        let profiler = self.start().await;
        if let Some(session) = profiler.session() {
            tokio::spawn(rounds(Arc::downgrade(session), snapshot_interval, cpu_duration));
        }
        profiler
    }
}

/// Sleeps rather than ticks: after a freeze of an hour one round is due, not a hundred.
async fn rounds(
    session: std::sync::Weak<Session>,
    snapshot_interval: Duration,
    cpu_duration: Duration,
) {
    loop {
        tokio::time::sleep(snapshot_interval).await;
        let Some(session) = session.upgrade().filter(|session| !session.has_stopped()) else {
            return;
        };
        if !cpu_duration.is_zero() {
            let sampling = session.begin(None);
            tokio::time::sleep(cpu_duration).await;
            drop(sampling);
        }
        let until = std::time::Instant::now() + WRITE_LIMIT;
        if let Err(error) = session.flush(Some(until)).await {
            warn!(%error, "a scheduled profile");
        }
    }
}
