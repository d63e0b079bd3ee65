//! What answering will cost, before it is done.

use crate::{
    plan::Plan,
    prices::{GET, READ_UNIT},
};

/// Bytes of rows in one read request unit, strongly consistent.
const READ_UNIT_BYTES: usize = 4096;

/// What a plan will read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Objects, or parts of them.
    pub objects: usize,
    /// Bytes of them, compressed.
    pub bytes: u64,
    /// DynamoDB read units that the plan's rows took, once more when they were
    /// looked at again.
    pub read_units: usize,
    /// Dollars for requests. Transfer inside a region is free; the answer's own
    /// way out and the function's time are not in it.
    pub dollars: f64,
}

impl Plan {
    /// What fetching this plan reads and costs.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let objects = self.parts().count();
        let row_bytes: usize = self
            .blocks
            .iter()
            .map(|row| serde_json::to_string(row).map_or(0, |json| json.len()))
            .sum();
        let read_units = 2 * row_bytes.div_ceil(READ_UNIT_BYTES);
        let dollars = objects as f64 * GET + read_units as f64 * READ_UNIT;
        Estimate { objects, bytes: self.bytes(), read_units, dollars }
    }
}
