//! What things cost: units as AWS bills them, and dollars.

use std::ops::AddAssign;

use flambeau_query::prices::{CALL, GB_SECOND, GET, PUT, READ_UNIT, SQS_REQUEST, WRITE_UNIT};

/// DynamoDB write units of a plain write of so many bytes.
#[must_use]
pub fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// DynamoDB read units of a strongly consistent read of so many bytes. What is
/// not there costs one as well.
#[must_use]
pub fn read_units(bytes: usize) -> f64 {
    bytes.div_ceil(4096).max(1) as f64
}

/// A transaction takes each of its writes twice.
pub const TRANSACTION: f64 = 2.0;

/// DynamoDB write units, by what they are for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Writes {
    /// Claims of snapshots, in the chunk's transaction.
    pub claims: f64,
    /// Block rows in the same transaction.
    pub rows: f64,
    /// T1: the rollup's row.
    pub rollups: f64,
    /// T1: `covered_by` on each child.
    pub covers: f64,
    /// T2: the child's done row.
    pub dones: f64,
    /// T2: the child's open row goes. (TTL takes done rows for nothing.)
    pub deletes: f64,
    /// The catalogue's row.
    pub catalogue: f64,
}

impl Writes {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> f64 {
        let Self { claims, rows, rollups, covers, dones, deletes, catalogue } = self;
        claims + rows + rollups + covers + dones + deletes + catalogue
    }
}

/// DynamoDB read units, by what they are for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reads {
    /// Claims looked up before merging.
    pub claims: f64,
    /// Rows named by the stream, read again, and the catalogue's row.
    pub hints: f64,
    /// Rows of the minutes that a hint names.
    pub minutes: f64,
    /// Open rows that the schedule looks through.
    pub all: f64,
    /// Rollups read back after T1.
    pub backs: f64,
}

impl Reads {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> f64 {
        let Self { claims, hints, minutes, all, backs } = self;
        claims + hints + minutes + all + backs
    }
}

/// Everything that is billed, for some snapshots.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ledger {
    /// Snapshots.
    pub snapshots: f64,
    /// DynamoDB write units.
    pub writes: Writes,
    /// DynamoDB read units.
    pub reads: Reads,
    /// S3: snapshots put by the functions themselves.
    pub put_snapshots: f64,
    /// S3: segments, rollups and marks put.
    pub puts: f64,
    /// S3: objects read and looked at (GET, HEAD).
    pub gets: f64,
    /// SQS requests.
    pub messages: f64,
    /// Calls of merge.
    pub merges: f64,
    /// Calls of index.
    pub indexes: f64,
    /// Blocks that merge wrote.
    pub blocks: f64,
    /// Rollups made.
    pub rolled: f64,
    /// Done rows made, in bytes as stored.
    pub done_bytes: f64,
    /// Milliseconds of merge, modelled.
    pub merge_millis: f64,
    /// Milliseconds of index, modelled.
    pub index_millis: f64,
}

impl AddAssign for Writes {
    fn add_assign(&mut self, other: Self) {
        self.claims += other.claims;
        self.rows += other.rows;
        self.rollups += other.rollups;
        self.covers += other.covers;
        self.dones += other.dones;
        self.deletes += other.deletes;
        self.catalogue += other.catalogue;
    }
}

impl AddAssign for Reads {
    fn add_assign(&mut self, other: Self) {
        self.claims += other.claims;
        self.hints += other.hints;
        self.minutes += other.minutes;
        self.all += other.all;
        self.backs += other.backs;
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.writes += other.writes;
        self.reads += other.reads;
        for (sum, value) in self.numbers().into_iter().zip(other.clone().numbers()) {
            *sum += *value;
        }
    }
}

impl Ledger {
    fn numbers(&mut self) -> [&mut f64; 12] {
        [
            &mut self.snapshots,
            &mut self.put_snapshots,
            &mut self.puts,
            &mut self.gets,
            &mut self.messages,
            &mut self.merges,
            &mut self.indexes,
            &mut self.blocks,
            &mut self.rolled,
            &mut self.done_bytes,
            &mut self.merge_millis,
            &mut self.index_millis,
        ]
    }

    /// The same for so many times the traffic.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Self {
        self.numbers().into_iter().for_each(|number| *number *= factor);
        let Writes { claims, rows, rollups, covers, dones, deletes, catalogue } = &mut self.writes;
        for number in [claims, rows, rollups, covers, dones, deletes, catalogue] {
            *number *= factor;
        }
        let Reads { claims, hints, minutes, all, backs } = &mut self.reads;
        for number in [claims, hints, minutes, all, backs] {
            *number *= factor;
        }
        self
    }

    /// The same for a million snapshots.
    #[must_use]
    pub fn per_million(self) -> Self {
        self.times(1e6 / self.snapshots.max(1.0))
    }

    /// Dollars, by what they are paid for.
    #[must_use]
    pub fn dollars(&self) -> Dollars {
        let seconds = (self.merge_millis + self.index_millis) / 1000.0;
        Dollars {
            dynamo: self.writes.total() * WRITE_UNIT + self.reads.total() * READ_UNIT,
            puts: self.put_snapshots * PUT,
            s3: self.puts * PUT + self.gets * GET,
            sqs: self.messages * SQS_REQUEST,
            lambda: (self.merges + self.indexes) * CALL + seconds * GB_SECOND,
        }
    }
}

/// Dollars.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dollars {
    /// DynamoDB requests.
    pub dynamo: f64,
    /// The functions' own PUTs.
    pub puts: f64,
    /// All other S3 requests.
    pub s3: f64,
    /// SQS requests.
    pub sqs: f64,
    /// Lambda calls and time.
    pub lambda: f64,
}

impl Dollars {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.dynamo + self.puts + self.s3 + self.sqs + self.lambda
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_whole() {
        assert_eq!([0, 1, 1024, 1025].map(write_units), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!([0, 4096, 4097].map(read_units), [1.0, 1.0, 2.0]);
    }

    #[test]
    fn nothing_is_left_out_of_a_sum() {
        let one = Ledger { snapshots: 2.0, puts: 3.0, index_millis: 4.0, ..Ledger::default() };
        let mut sum = one;
        sum += one;
        let million = sum.per_million();
        assert_eq!((million.puts, million.index_millis), (1.5e6, 2e6));
        assert_eq!((one.times(7.0).snapshots, sum.writes.total()), (14.0, 0.0));
    }
}
