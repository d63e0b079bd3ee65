//! What makes an answer this one answer.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{plan::Plan, view::Aggregate};

/// Names what a plan's blocks hold: the same after they are rolled up, since
/// totals stay exactly what they were, and another one once a late snapshot has
/// come. So a link that carries it can be told from the answer it once had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(u64);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| format!("pin `{text}` is not 16 hexadecimal digits"))
    }
}

impl Plan {
    /// The pin of this plan's answer.
    #[must_use]
    pub fn pin(&self, aggregate: Aggregate) -> Pin {
        let mut sha = Sha256::new();
        if let Some(row) = self.blocks.first() {
            sha.update(format!("{}/{}/", row.tenant.encoded(), row.service.encoded()));
        }
        let shown = if self.divides(aggregate) { "mean" } else { "sum" };
        sha.update(format!(
            "{}/{shown}/{}/{}",
            self.typ.encoded(),
            self.snapshots(),
            self.left_out
        ));
        sha.update(format!("/{}..{}", self.range.from.0, self.range.until.0));
        for (name, total) in self.totals() {
            sha.update(format!("/{name}={total}"));
        }
        let hash = sha.finalize();
        Pin(hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
