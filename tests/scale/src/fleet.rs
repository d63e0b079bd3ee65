//! All functions together: they share one queue, and so the batches that one
//! function's snapshots arrive in.

use flambeau_pipeline::sweep::TICK_MILLIS;

use crate::shape::{BEGIN, MINUTE, Moment, SHAPES};

/// How the queue, the stream and the schedule are set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Most messages of one merge.
    pub batch: u32,
    /// Longest that a merge waits for its batch to fill, in milliseconds.
    pub window: i64,
    /// Batches that fill side by side: Lambda polls a queue with at least five.
    pub pollers: u32,
    /// How long the table's stream collects records for one call of index, in
    /// milliseconds; `None` leaves everything to the schedule.
    pub hint: Option<i64>,
    /// How often the schedule looks at everything, in milliseconds.
    pub tick: i64,
    /// Shards of the table's stream.
    pub shards: u32,
    /// How late snapshots come: this share of them waits, frozen, for a minute
    /// to a day, some of them up to 20 days.
    pub late: f64,
    /// What randomness begins with.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 1000,
            window: 30_000,
            pollers: 5,
            hint: Some(10_000),
            tick: TICK_MILLIS,
            shards: 4,
            late: 0.002,
            seed: 1,
        }
    }
}

const WEEK_MINUTES: usize = 7 * 1440;

/// Snapshots of all functions, minute by minute of a week.
#[derive(Debug, Clone)]
pub struct Fleet(Vec<f64>);

impl Default for Fleet {
    fn default() -> Self {
        let rate = |minute: usize| {
            let moment = Moment::of(BEGIN + minute as i64 * MINUTE);
            let of = |shape: &crate::shape::Shape| {
                f64::from(shape.functions) * shape.average.unwrap_or_else(|| (shape.rate)(moment))
            };
            SHAPES.iter().map(of).sum()
        };
        Self((0..WEEK_MINUTES).map(rate).collect())
    }
}

impl Fleet {
    /// Snapshots in the minute of this time.
    #[must_use]
    pub fn per_minute(&self, millis: i64) -> f64 {
        self.0[((millis - BEGIN) / MINUTE) as usize % WEEK_MINUTES]
    }

    /// Snapshots in an average minute.
    #[must_use]
    pub fn mean_per_minute(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// How long one poller's batch fills, in milliseconds, at this time.
    #[must_use]
    pub fn interval(&self, millis: i64, settings: &Settings) -> i64 {
        let wanted = f64::from(settings.batch) * f64::from(settings.pollers);
        let full = wanted * MINUTE as f64 / self.per_minute(millis);
        (full as i64).clamp(20, settings.window)
    }

    /// Snapshots in a batch that fills at this time.
    #[must_use]
    pub fn batch(&self, millis: i64, settings: &Settings) -> f64 {
        let interval = self.interval(millis, settings) as f64 / MINUTE as f64;
        (self.per_minute(millis) * interval / f64::from(settings.pollers)).max(1.0)
    }

    /// Calls of index per snapshot by the stream and by the schedule: each
    /// shard hands over at most once per stream window, and only when a merge
    /// has committed.
    #[must_use]
    pub fn index_calls(&self, settings: &Settings) -> f64 {
        let (mut calls, mut snapshots) = (0.0, 0.0);
        for minute in 0..WEEK_MINUTES {
            let now = BEGIN + minute as i64 * MINUTE;
            let merges = self.per_minute(now) / self.batch(now, settings);
            let windows = settings.hint.map_or(0.0, |hint| MINUTE as f64 / hint.max(1) as f64);
            calls += f64::from(settings.shards) * merges.min(windows);
            calls += MINUTE as f64 / settings.tick as f64;
            snapshots += self.per_minute(now);
        }
        calls / snapshots
    }
}
