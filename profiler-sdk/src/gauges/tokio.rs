//! The profile type `tasks`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::profile_builder::ProfileBuilder;
use crate::recorder::Recorder;

const SAMPLE_TYPES: [(&str, &str); 5] = [
    ("workers", "count"),
    ("queued_tasks", "count"),
    ("parks", "count"),
    ("busy", "nanoseconds"),
    ("alive_tasks", "count"),
];

/// Records what tokio tells of a runtime without `tokio_unstable`, as the profile type `tasks`.
///
/// | sample type | meaning |
/// |---|---|
/// | `alive_tasks/count` | spawned and not ended, now |
/// | `queued_tasks/count` | waiting in the queue that all workers share, now |
/// | `workers/count` | threads that run tasks |
/// | `busy/nanoseconds` | per worker, since the last snapshot: not parked |
/// | `parks/count` | per worker, since the last snapshot: times it ran out of work |
///
/// The runtime is a frame, and each worker is one under it. Counts of tasks are the runtime's
/// own. Reading takes a microsecond or so per worker, when a snapshot asks, and nothing runs in
/// between.
#[derive(Debug)]
pub struct TokioRecorder(Vec<Runtime>);

#[derive(Debug)]
struct Runtime {
    name: String,
    metrics: RuntimeMetrics,
    /// What was told last, by worker.
    last: Mutex<Vec<Worker>>,
}

/// Totals of a worker since its start.
#[derive(Debug, Clone, Copy, Default)]
struct Worker {
    parks: u64,
    busy: Duration,
}

impl TokioRecorder {
    /// Of one runtime, under this name. What it did before is not told.
    pub fn new(name: impl Into<String>, runtime: &Handle) -> Self {
        Self(vec![]).and(name, runtime)
    }

    /// Of another one too.
    pub fn and(mut self, name: impl Into<String>, runtime: &Handle) -> Self {
        let metrics = runtime.metrics();
        let last = Mutex::new(workers(&metrics));
        self.0.push(Runtime { name: name.into(), metrics, last });
        self
    }
}

impl Recorder for TokioRecorder {
    fn profile_type(&self) -> &'static str {
        "tasks"
    }

    fn temporality(&self) -> BTreeMap<String, Temporality> {
        let gauge = |name: &str| (name.to_owned(), Temporality::Gauge);
        ["workers", "queued_tasks", "alive_tasks"].map(gauge).into()
    }

    fn collect(&self) -> Option<Profile> {
        let mut builder = ProfileBuilder::new(&[], &SAMPLE_TYPES, ("tasks", "count"), 1);
        self.0.iter().for_each(|runtime| runtime.tell(&mut builder));
        builder.finish()
    }
}

impl Runtime {
    fn tell(&self, builder: &mut ProfileBuilder<'_>) {
        let root = builder.named(&self.name);
        let [queued, alive] =
            [self.metrics.global_queue_depth(), self.metrics.num_alive_tasks()].map(count);
        builder.sample(vec![root], &[0, queued, 0, 0, alive], &[]);
        let now = workers(&self.metrics);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, worker) in now.iter().enumerate() {
            let before = last.get(index).copied().unwrap_or_default();
            let parks = worker.parks.saturating_sub(before.parks);
            let busy = worker.busy.saturating_sub(before.busy).as_nanos();
            let stack = vec![builder.named(&format!("[worker {index}]")), root];
            builder.sample(stack, &[1, 0, count(parks), count(busy), 0], &[]);
        }
        *last = now;
    }
}

fn workers(metrics: &RuntimeMetrics) -> Vec<Worker> {
    let worker = |index| Worker {
        parks: metrics.worker_park_count(index),
        busy: metrics.worker_total_busy_duration(index),
    };
    (0..metrics.num_workers()).map(worker).collect()
}

fn count<N: TryInto<i64>>(count: N) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
