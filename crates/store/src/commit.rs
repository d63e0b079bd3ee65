//! The commit of a chunk: its block rows together with one claim per snapshot,
//! all or nothing.

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use flambeau_layout::{BlockId, BlockRow, ClaimRow, Fate, RowState};

use crate::{
    Store,
    blocks::{PARTITION, SORT, block_item},
    claims::old_claim,
    error::{ErrorKind, StoreError},
    seam::Effect,
    transact::{MAX_TRANSACTION_ITEMS, Sent, Undecided, condition_failed},
};

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
        let doing = "commit a chunk";
        self.transact(doing, &chunk.token, items, |sent| decide(chunk, sent)).await
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
}

/// How a chunk's transaction ended: the reasons stand in the order of its
/// items, claims first. Only a failed condition with the old item beside it
/// means "claimed"; anything else is no statement about fates.
fn decide(chunk: &ChunkCommit, sent: Sent) -> Result<CommitOutcome, Undecided> {
    let Sent::Cancelled(reasons) = sent else { return Ok(CommitOutcome::Committed) };
    let claims = reasons.iter().take(chunk.claims.len());
    let failed = claims.filter(|reason| condition_failed(reason));
    let old: Vec<ClaimRow> = failed.filter_map(|reason| old_claim(reason.item())).collect();
    if old.is_empty() {
        return Err(Undecided(reasons));
    }
    // A transaction is whole: where every claim is ours, all of it is there.
    let others: Vec<ClaimRow> = old.into_iter().filter(|claim| !chunk.is_mine(claim)).collect();
    Ok(if others.is_empty() { CommitOutcome::Committed } else { CommitOutcome::Claimed(others) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_sdk_dynamodb::types::CancellationReason;

    #[test]
    fn a_condition_without_the_old_item_is_no_fate() {
        let chunk = ChunkCommit { rows: vec![], claims: vec![], token: "t".into() };
        let reason = CancellationReason::builder().code("ConditionalCheckFailed").build();
        assert!(decide(&chunk, Sent::Cancelled(vec![reason])).is_err());
        assert_eq!(decide(&chunk, Sent::Written).unwrap(), CommitOutcome::Committed);
    }
}
