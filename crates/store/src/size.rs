//! What items weigh: DynamoDB bills writes by the kilobyte, reads by four of
//! them, of names and values together.

use aws_sdk_dynamodb::types::AttributeValue;
use flambeau_layout::ClaimRow;

use crate::{
    IndexedRow,
    blocks::{COVERED_BY, block_item},
    claims::claim_item,
    error::StoreError,
    item::{self, Item},
};

/// Bytes that DynamoDB counts for a row as it is stored.
///
/// # Errors
/// When the row cannot be written as JSON.
pub fn row_bytes(indexed: &IndexedRow, expires_secs: Option<i64>) -> Result<usize, StoreError> {
    let mut item = block_item(&indexed.row, indexed.state)?;
    if let Some(by) = &indexed.covered_by {
        item.insert(COVERED_BY.to_owned(), item::text(by.to_string()));
    }
    if let Some(expires) = expires_secs {
        item.insert(item::EXPIRES.to_owned(), item::number(expires));
    }
    Ok(bytes_of(&item))
}

/// Bytes that DynamoDB counts for a claim as it is stored.
///
/// # Errors
/// When the claim cannot be written as JSON.
pub fn claim_bytes(claim: &ClaimRow) -> Result<usize, StoreError> {
    Ok(bytes_of(&claim_item(claim)?))
}

/// Names and values; a number takes a byte per two digits and one more
/// (DynamoDB developer guide, "item sizes and formats").
fn bytes_of(item: &Item) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        // The only others are flags.
        _ => 1,
    };
    item.iter().map(|(name, held)| name.len() + value(held)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_and_digits_count_half() {
        let item = Item::from([
            ("pk".to_owned(), item::text("abc")),
            ("expires".to_owned(), item::number(1_795_000_000)),
        ]);
        assert_eq!(bytes_of(&item), 2 + 3 + 7 + 6);
    }
}
