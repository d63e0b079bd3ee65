//! Questions: the real reader's reads and count, over rows in memory.

use std::collections::HashSet;

use flambeau_layout::{Level, RowState, UnixMillis};
use flambeau_query::{
    Range,
    select::{count, reads, round},
};

use crate::{
    ledger::read_units,
    life::Life,
    shape::{BEGIN, MINUTE},
};

/// Bytes of one page of a query.
const PAGE_BYTES: usize = 1 << 20;
/// Keys in one batch of those that are looked at again.
const BATCH_KEYS: usize = 100;

/// What one question took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Blocks that answer it: objects read, of one type.
    pub blocks: usize,
    /// Rows read to find them.
    pub rows: usize,
    /// Requests to DynamoDB, one after the other.
    pub requests: usize,
    /// DynamoDB read units.
    pub read_units: f64,
}

impl Life<'_> {
    /// Asks for a range, now.
    ///
    /// # Panics
    /// When the answer is not the sum of what was merged: a figure about a
    /// reader that reads the wrong thing is worth nothing.
    #[must_use]
    pub fn ask(&self, range: Range) -> Asked {
        let rounded = round(range, self.now(), Level::Minute).range;
        let mut asked = Asked { blocks: 0, rows: 0, requests: 0, read_units: 0.0 };
        let mut rows = Vec::new();
        for read in reads(rounded, Level::Month) {
            let page = self.table.read(&read);
            asked.rows += page.rows.len();
            asked.requests += page.bytes.div_ceil(PAGE_BYTES).max(1);
            asked.read_units += read_units(page.bytes);
            rows.extend(page.rows);
        }
        let counted = count(rows, rounded);
        asked.requests += counted.again.len().div_ceil(BATCH_KEYS);
        for key in &counted.again {
            // A batch is billed by its whole items, whatever is projected.
            asked.read_units += read_units(self.table.at(key).1.weight.open);
        }
        let present: HashSet<_> = counted.again.iter().cloned().collect();
        assert!(counted.stands(&present), "nothing moves while this reader reads");
        debug_assert!(counted.again.iter().all(|key| key.state == RowState::Open));
        asked.blocks = counted.rows.len();
        let answer: u64 = counted.rows.iter().map(|indexed| indexed.row.snapshots).sum();
        assert_eq!(answer, self.merged_in(rounded), "{} over {rounded:?}", self.shape.name);
        asked
    }

    /// Snapshots merged so far whose windows lie in a range of whole minutes.
    fn merged_in(&self, range: Range) -> u64 {
        let minute = |time: UnixMillis| ((time.0 - BEGIN).max(0) / MINUTE) as usize;
        let until = minute(range.until).min(self.truth.len());
        self.truth.get(minute(range.from)..until).unwrap_or_default().iter().sum()
    }
}
