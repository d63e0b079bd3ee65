//! What profiling a fleet costs a month: the formulae behind `flambeau cost`.
//!
//! What one snapshot makes the stack do was not reckoned by hand: it is what a
//! year of simulated traffic took (`docs/scale.md`, whose budget a test holds).

use crate::prices;

/// Seconds of a month.
pub const MONTH_SECS: f64 = 730.0 * 3600.0;

/// What is profiled, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// Environments that exist at a time.
    pub environments: f64,
    /// The share of the time that one runs an invocation, 0 to 1.
    pub busy: f64,
    /// Memory of the profiled functions, in MB: for their own bill.
    pub memory_mb: f64,
    /// Seconds of running between two snapshots.
    pub interval_secs: f64,
    /// One of so many environments is sampled.
    pub one_in: f64,
    /// Snapshots that one merge takes.
    pub batch: f64,
    /// Bytes of a snapshot, compressed.
    pub snapshot_bytes: f64,
    /// Questions asked.
    pub questions: f64,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What is paid for.
    pub what: &'static str,
    /// How much of it in a month.
    pub quantity: f64,
    /// Of what.
    pub unit: &'static str,
    /// Dollars.
    pub dollars: f64,
}

/// What one snapshot makes the stack do, at some size of batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Snapshots in a merge.
    pub batch: f64,
    /// DynamoDB write units: claims, rows, rollups, deletes.
    pub write_units: f64,
    /// DynamoDB read units.
    pub read_units: f64,
    /// PUTs of segments, blocks and marks.
    pub puts: f64,
    /// GETs and HEADs.
    pub gets: f64,
    /// Dollars of merge's and index's own time.
    pub compute: f64,
}

/// SQS requests per snapshot: sending, receiving and deleting, ten messages at
/// a time where that is possible.
pub const SQS_REQUESTS: f64 = 1.206_7;

/// By the simulation of `docs/scale.md`, "A million snapshots of the fleet".
pub const EFFORTS: [Effort; 4] = [
    Effort {
        batch: 10.0,
        write_units: 9.57,
        read_units: 4.17,
        puts: 0.303,
        gets: 2.74,
        compute: 0.59e-6,
    },
    Effort {
        batch: 100.0,
        write_units: 7.51,
        read_units: 3.72,
        puts: 0.104,
        gets: 2.20,
        compute: 0.36e-6,
    },
    Effort {
        batch: 1000.0,
        write_units: 5.10,
        read_units: 3.02,
        puts: 0.034,
        gets: 1.63,
        compute: 0.21e-6,
    },
    Effort {
        batch: 5000.0,
        write_units: 4.45,
        read_units: 2.55,
        puts: 0.015,
        gets: 1.40,
        compute: 0.14e-6,
    },
];

/// Bytes of segments per byte of snapshots: 2 000 real CPU snapshots of 50
/// services merged at once (`cargo run --example merge_memory`).
pub const MERGED_SHARE: f64 = 0.26;
/// Days that raw snapshots and segments lie in S3.
const RAW_DAYS: f64 = 7.0;
const SEGMENT_DAYS: f64 = 14.0;
/// Bytes that a claim takes in DynamoDB, and the days it stays.
const CLAIM_BYTES: f64 = 400.0;
const CLAIM_DAYS: f64 = 30.0;
const MONTH_DAYS: f64 = 730.0 / 24.0;
const GB: f64 = 1e9;

/// What waits costs something too: alarms, the queues' long polls (5 pollers
/// ask every 20 seconds, at each of two queues), the schedule's calls.
const ALARMS: f64 = 4.0;
const POLLED_QUEUES: f64 = 2.0;
const POLLERS: f64 = 5.0;
const POLL_SECS: f64 = 20.0;
const TICK_SECS: f64 = 600.0;
/// GB-seconds of one idle tick: 512 MB for a quarter of a second.
const TICK_GB_SECONDS: f64 = 0.125;
/// Objects and rows read by one question, and its GB-seconds in render.
const QUESTION_GETS: f64 = 20.0;
const QUESTION_READ_UNITS: f64 = 40.0;
const QUESTION_GB_SECONDS: f64 = 1.0;

impl Effort {
    /// That of the measured size next below.
    #[must_use]
    pub fn at(batch: f64) -> Self {
        let below = EFFORTS.iter().rev().find(|effort| effort.batch <= batch);
        *below.unwrap_or(&EFFORTS[0])
    }
}

impl Fleet {
    /// Snapshots written in a month.
    #[must_use]
    pub fn snapshots(&self) -> f64 {
        self.environments * self.busy * MONTH_SECS / self.interval_secs / self.one_in
    }

    /// The fleet's own Lambda bill, for duration.
    #[must_use]
    pub fn lambda_dollars(&self) -> f64 {
        self.environments * self.busy * MONTH_SECS * self.memory_mb / 1024.0 * prices::GB_SECOND
    }

    /// The bill for profiling it, line by line.
    #[must_use]
    pub fn bill(&self) -> Vec<Line> {
        let mut lines = self.per_snapshot();
        lines.extend(self.storage());
        let questions = QUESTION_GETS * prices::GET
            + QUESTION_READ_UNITS * prices::READ_UNIT
            + QUESTION_GB_SECONDS * prices::GB_SECOND
            + prices::CALL;
        lines.push(line("questions", self.questions, "answers", questions));
        lines.extend(idle());
        lines
    }

    /// What each snapshot causes.
    #[must_use]
    pub fn per_snapshot(&self) -> Vec<Line> {
        let (count, effort) = (self.snapshots(), Effort::at(self.batch));
        vec![
            line("snapshots written", count, "PUTs", prices::PUT),
            line("queue", count * SQS_REQUESTS, "requests", prices::SQS_REQUEST),
            line("merge and index: objects read", count * effort.gets, "GETs", prices::GET),
            line("merge and index: objects written", count * effort.puts, "PUTs", prices::PUT),
            line(
                "claims and rows written",
                count * effort.write_units,
                "units",
                prices::WRITE_UNIT,
            ),
            line("claims and rows read", count * effort.read_units, "units", prices::READ_UNIT),
            line("merge and index: time", count, "snapshots", effort.compute),
        ]
    }

    fn storage(&self) -> [Line; 3] {
        let raw = self.snapshots() * self.snapshot_bytes / GB;
        let claims = self.snapshots() * CLAIM_BYTES / GB * CLAIM_DAYS / MONTH_DAYS;
        let merged = raw * MERGED_SHARE * SEGMENT_DAYS / MONTH_DAYS;
        [
            line("snapshots kept 7 days", raw * RAW_DAYS / MONTH_DAYS, "GB", prices::S3_GB_MONTH),
            line("segments kept 14 days", merged, "GB", prices::S3_GB_MONTH),
            line("claims kept 30 days", claims, "GB", prices::DYNAMODB_GB_MONTH),
        ]
    }
}

/// What is paid when nothing happens.
#[must_use]
pub fn idle() -> [Line; 3] {
    let polls = POLLED_QUEUES * POLLERS * MONTH_SECS / POLL_SECS;
    let tick = TICK_GB_SECONDS * prices::GB_SECOND + prices::CALL;
    [
        line("idle: alarms", ALARMS, "alarms", prices::ALARM_MONTH),
        line("idle: queues asked", polls, "requests", prices::SQS_REQUEST),
        line("idle: schedule", MONTH_SECS / TICK_SECS, "ticks", tick),
    ]
}

/// The sum of a bill.
#[must_use]
pub fn total(lines: &[Line]) -> f64 {
    lines.iter().map(|line| line.dollars).sum()
}

fn line(what: &'static str, quantity: f64, unit: &'static str, price: f64) -> Line {
    Line { what, quantity, unit, dollars: quantity * price }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        Fleet {
            environments: 1000.0,
            busy: 0.5,
            memory_mb: 1024.0,
            interval_secs: 60.0,
            one_in: 1.0,
            batch: 1000.0,
            snapshot_bytes: 13_000.0,
            questions: 0.0,
        }
    }

    #[test]
    fn what_is_halved_costs_half() {
        let cost = |fleet: &Fleet| total(&fleet.bill()) - total(&idle());
        let (whole, rarer) = (fleet(), Fleet { interval_secs: 120.0, ..fleet() });
        let fewer = Fleet { one_in: 2.0, ..fleet() };
        assert!((cost(&rarer) * 2.0 - cost(&whole)).abs() < 1e-6);
        assert!((cost(&fewer) - cost(&rarer)).abs() < 1e-6);
        assert_eq!(cost(&Fleet { busy: 0.0, ..fleet() }), 0.0);
    }

    #[test]
    fn larger_batches_cost_less() {
        let cost = |batch| total(&Fleet { batch, ..fleet() }.per_snapshot());
        assert!(cost(10.0) > cost(100.0) && cost(100.0) > cost(1000.0));
        assert_eq!(cost(1000.0), cost(4999.0));
        assert_eq!(Effort::at(1.0), EFFORTS[0]);
    }
}
