//! The commit of a chunk: its block rows together with one claim per snapshot,
//! all or nothing.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use flambeau_layout::{BlockId, BlockRow, ClaimRow, Fate, RowState};

use crate::{
    Store,
    blocks::{PARTITION, SORT, block_item},
    claims::old_claim,
    error::{ErrorKind, StoreError},
    seam::Effect,
};

/// Most items one DynamoDB transaction holds.
pub const MAX_TRANSACTION_ITEMS: usize = 100;

/// Attempts of one transaction when others hold its items.
pub(crate) const MAX_ATTEMPTS: u32 = 8;

/// What one transaction commits.
#[derive(Debug, Clone)]
pub struct ChunkCommit {
    /// Block rows, one per window; at least one of rows and claims.
    pub rows: Vec<BlockRow>,
    /// One claim per snapshot of the chunk.
    pub claims: Vec<ClaimRow>,
    /// Same token, same transaction: at most 36 characters.
    pub token: String,
}

/// How a commit ended, when it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Rows and claims are there, by this or an earlier attempt.
    Committed,
    /// Nothing was written, because these snapshots already have a fate.
    Claimed(Vec<ClaimRow>),
}

impl ChunkCommit {
    /// Items the transaction needs.
    #[must_use]
    pub fn items(&self) -> usize {
        self.rows.len() + self.claims.len()
    }

    fn is_mine(&self, claim: &ClaimRow) -> bool {
        let mine = |block: &BlockId| self.rows.iter().any(|row| row.block == *block);
        matches!(&claim.fate, Fate::Block { block, .. } if mine(block))
            || self.claims.contains(claim)
    }
}

impl Store {
    /// Commits a chunk. Conflicts and throttling are retried unchanged.
    ///
    /// # Errors
    /// When it could not be decided within the attempts; the same commit may be
    /// tried again.
    pub async fn commit(&self, chunk: &ChunkCommit) -> Result<CommitOutcome, StoreError> {
        let name = chunk.rows.first().map_or("none".to_owned(), |row| row.block.to_string());
        self.through(Effect::CommitChunk(name), || self.try_commit(chunk)).await
    }

    async fn try_commit(&self, chunk: &ChunkCommit) -> Result<CommitOutcome, StoreError> {
        let items = self.transaction(chunk)?;
        let mut attempt = 0;
        loop {
            match self.transact(chunk, items.clone()).await {
                Err(error) if error.is_transient() && attempt < MAX_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(backoff(attempt, &chunk.token)).await;
                }
                ended => return ended,
            }
        }
    }

    fn transaction(&self, chunk: &ChunkCommit) -> Result<Vec<TransactWriteItem>, StoreError> {
        if chunk.items() > MAX_TRANSACTION_ITEMS {
            let detail = format!("{} items, more than {MAX_TRANSACTION_ITEMS}", chunk.items());
            return Err(StoreError::new(ErrorKind::Rejected, "commit a chunk", detail));
        }
        let claims = chunk.claims.iter().map(|claim| self.claim_put(claim));
        let rows = chunk.rows.iter().map(|row| self.row_put(row));
        claims.chain(rows).map(|put| Ok(TransactWriteItem::builder().put(put?).build())).collect()
    }

    fn row_put(&self, row: &BlockRow) -> Result<Put, StoreError> {
        let put = Put::builder()
            .table_name(&self.blocks)
            .set_item(Some(block_item(row, RowState::Open)?))
            .condition_expression(format!(
                "attribute_not_exists({PARTITION}) AND attribute_not_exists({SORT})"
            ))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        put.build().map_err(|error| StoreError::corrupt("write a block row", error))
    }

    async fn transact(
        &self,
        chunk: &ChunkCommit,
        items: Vec<TransactWriteItem>,
    ) -> Result<CommitOutcome, StoreError> {
        let request = self.dynamo.transact_write_items().set_transact_items(Some(items));
        let answer = request.client_request_token(&chunk.token).send().await;
        let Err(error) = answer else { return Ok(CommitOutcome::Committed) };
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                canceled.cancellation_reasons().to_vec()
            }
            _ => return Err(StoreError::sdk("commit a chunk", error)),
        };
        decide(chunk, &reasons)
    }
}

/// Reads why a transaction was cancelled: the reasons stand in the order of its
/// items, claims first. Only a failed condition with the old item beside it
/// means "claimed"; anything else is no statement about fates.
fn decide(
    chunk: &ChunkCommit,
    reasons: &[CancellationReason],
) -> Result<CommitOutcome, StoreError> {
    let failed = |reason: &&CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    let passing = |reason: &&CancellationReason| {
        matches!(
            reason.code(),
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
        )
    };
    let claims = reasons.iter().take(chunk.claims.len());
    let old: Vec<ClaimRow> =
        claims.filter(failed).filter_map(|reason| old_claim(reason.item())).collect();
    if !old.is_empty() {
        let (mine, others): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|claim| chunk.is_mine(claim));
        // A transaction is whole: one claim of ours proves all of them.
        let all_mine = others.is_empty() && !mine.is_empty();
        let outcome = CommitOutcome::Claimed(others);
        return Ok(if all_mine { CommitOutcome::Committed } else { outcome });
    }
    let detail = describe(reasons);
    let kind = match reasons.iter().find(passing) {
        Some(_) => ErrorKind::Conflict,
        None => ErrorKind::Rejected,
    };
    Err(StoreError::new(kind, "commit a chunk", detail))
}

fn describe(reasons: &[CancellationReason]) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for code in reasons.iter().filter_map(|reason| reason.code()).filter(|code| *code != "None") {
        *counts.entry(code).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.iter().map(|(code, n)| format!("{n} × {code}")).collect();
    parts.sort();
    format!("transaction cancelled ({})", parts.join(", "))
}

/// Doubling waits from 25 ms to 1.6 s. Spread by the token, so that two
/// writers that met do not meet again.
pub(crate) fn backoff(attempt: u32, token: &str) -> Duration {
    let spread = token
        .bytes()
        .fold(u64::from(attempt), |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let base = 25_u64 << attempt.min(7).saturating_sub(1);
    Duration::from_millis(base / 2 + spread % base.max(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).build()
    }

    #[test]
    fn conflicts_are_no_fate() {
        let chunk = ChunkCommit { rows: vec![], claims: vec![], token: "t".into() };
        let error = decide(&chunk, &[reason("None"), reason("TransactionConflict")]).unwrap_err();
        assert!(error.is_transient(), "{error}");
        let error = decide(&chunk, &[reason("ValidationError")]).unwrap_err();
        assert!(!error.is_transient(), "{error}");
    }

    #[test]
    fn waits_grow_and_differ() {
        assert!(backoff(7, "a") > backoff(1, "a"));
        assert_ne!(backoff(3, "a"), backoff(3, "b"));
    }
}
