//! What makes an answer this one answer.

use std::{fmt, str::FromStr};

use flambeau_layout::FORMAT_VERSION;
use sha2::{Digest, Sha256};

use crate::{plan::Plan, view::Aggregate};

/// Names what a plan's blocks hold: the same after they are rolled up, since
/// totals stay exactly what they were, and another one once a late snapshot has
/// come. So a link that carries it can be told from the answer it once had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 16]);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let digits = text.len() == 32 && text.bytes().all(plain);
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        let wrong = || format!("pin `{text}` is not 32 hexadecimal digits");
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(wrong)
    }
}

impl Plan {
    /// The pin of this plan's answer.
    #[must_use]
    pub fn pin(&self, aggregate: Aggregate) -> Pin {
        let mut sha = Sha256::new();
        sha.update(format!("{FORMAT_VERSION}/{}/", env!("CARGO_PKG_VERSION")));
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
        let mut pin = [0; 16];
        pin.copy_from_slice(&sha.finalize()[..16]);
        Pin(pin)
    }
}
