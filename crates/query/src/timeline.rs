//! Totals over time, by rows alone.

use std::collections::BTreeMap;

use flambeau_layout::{Level, Total, UnixMillis, block::buckets_of};

use crate::plan::Plan;

/// Totals of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Where the step begins.
    pub start: UnixMillis,
    /// Snapshots in it.
    pub snapshots: u64,
    /// Totals per sample type, in the order of [`Plan::totals`].
    pub totals: Vec<Total>,
}

/// Totals over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Length of a step in milliseconds.
    pub step: i64,
    /// The coarsest bucket among what it was made of, in milliseconds: where it
    /// is longer than a step, that part's totals stand at the bucket's begin.
    pub resolution: i64,
    /// Steps that have snapshots, in order.
    pub moments: Vec<Moment>,
}

impl Plan {
    /// Totals over time in steps of `step` milliseconds, aligned to the epoch.
    /// Their sum is [`Plan::totals`], exactly. Opens no block.
    #[must_use]
    pub fn timeline(&self, step: i64) -> Timeline {
        let step = step.max(1);
        let mut moments: BTreeMap<i64, Moment> = BTreeMap::new();
        for (row, part) in self.parts() {
            for point in &part.points {
                let time = row.window.start.plus_millis(point.offset);
                let start = UnixMillis(time.0.div_euclid(step) * step);
                let moment = moments.entry(start.0).or_insert_with(|| Moment {
                    start,
                    snapshots: 0,
                    totals: vec![Total::default(); point.totals.len()],
                });
                moment.snapshots += point.snapshots;
                moment.totals.iter_mut().zip(&point.totals).for_each(|(sum, total)| *sum += *total);
            }
        }
        let bucket = |level: Level| level.millis() / buckets_of(level)[0];
        let finest = |level: Level| if level == Level::Minute { 1 } else { bucket(level) };
        let resolution = self.parts().map(|(row, _)| finest(row.window.level)).max();
        Timeline {
            step,
            resolution: resolution.unwrap_or(1),
            moments: moments.into_values().collect(),
        }
    }
}
