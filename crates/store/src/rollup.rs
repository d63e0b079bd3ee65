//! Rolling up: one transaction that puts a rollup and covers its children (T1),
//! then, child by child, the move from `open` to `done` (T2).

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use flambeau_layout::{BlockRow, RowState, SortKey};

use crate::{
    IndexedRow, Store,
    blocks::{COVERED_BY, PARTITION, SORT, TOMBSTONE, block_item, row_key},
    error::{ErrorKind, StoreError, held},
    item,
    seam::Effect,
    transact::{MAX_TRANSACTION_ITEMS, Sent, Undecided, condition_failed},
};

/// Most children of one rollup: they and the rollup are one transaction.
pub const MAX_CHILDREN: usize = MAX_TRANSACTION_ITEMS - 1;

/// What T1 writes.
#[derive(Debug, Clone)]
pub struct Rollup {
    /// The rollup's row.
    pub row: BlockRow,
    /// Its children's `open` keys, at most [`MAX_CHILDREN`].
    pub children: Vec<SortKey>,
    /// Same token, same transaction: at most 36 characters.
    pub token: String,
}

/// How T1 ended, when it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollupOutcome {
    /// The rollup stands and covers its children, by this or an earlier call.
    Committed,
    /// A child was covered by another rollup meanwhile, or is gone: nothing was
    /// written.
    Lost,
    /// A tombstone bars this block for ever: nothing was written.
    Barred,
}

impl Store {
    /// T1: puts the rollup and sets `covered_by` on each child, all or nothing;
    /// every child must be open and uncovered. Conflicts and throttling are
    /// retried unchanged.
    ///
    /// # Errors
    /// When it could not be decided within the attempts; the same call may be
    /// made again.
    pub async fn roll_up(&self, rollup: &Rollup) -> Result<RollupOutcome, StoreError> {
        let effect = Effect::RollUp(SortKey::of(&rollup.row, RowState::Open).to_string());
        self.through(effect, || self.try_roll_up(rollup)).await
    }

    async fn try_roll_up(&self, rollup: &Rollup) -> Result<RollupOutcome, StoreError> {
        let items = self.rollup_items(rollup)?;
        self.transact("roll up", &rollup.token, items, decide).await
    }

    fn rollup_items(&self, rollup: &Rollup) -> Result<Vec<TransactWriteItem>, StoreError> {
        if rollup.children.is_empty() || rollup.children.len() > MAX_CHILDREN {
            let detail = format!("{} children, 1 to {MAX_CHILDREN}", rollup.children.len());
            return Err(StoreError::new(ErrorKind::Rejected, "roll up", detail));
        }
        let built = |error| StoreError::corrupt("write a rollup", error);
        let put = Put::builder()
            .table_name(&self.blocks)
            .set_item(Some(block_item(&rollup.row, RowState::Open)?))
            .condition_expression(format!("attribute_not_exists({PARTITION})"))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(built)?;
        let by = SortKey::of(&rollup.row, RowState::Open).to_string();
        let partition = BlockRow::partition(&rollup.row.tenant, &rollup.row.service);
        let mut items = vec![TransactWriteItem::builder().put(put).build()];
        for child in &rollup.children {
            let update = self.cover(&partition, child, &by).map_err(built)?;
            items.push(TransactWriteItem::builder().update(update).build());
        }
        Ok(items)
    }

    fn cover(
        &self,
        partition: &str,
        child: &SortKey,
        by: &str,
    ) -> Result<Update, aws_sdk_dynamodb::error::BuildError> {
        Update::builder()
            .table_name(&self.blocks)
            .set_key(Some(row_key(partition, &child.to_string())))
            .update_expression(format!("SET {COVERED_BY} = :by"))
            .condition_expression(format!(
                "attribute_exists({PARTITION}) AND attribute_not_exists({COVERED_BY}) \
                 AND attribute_not_exists({TOMBSTONE})"
            ))
            .expression_attribute_values(":by", item::text(by))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
    }

    /// T2 for one child: puts its `done` row, then deletes its `open` one, if
    /// `by` is what covers it. Repeating it changes nothing. To be called only
    /// after the rollup was read back.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn retire(
        &self,
        child: &BlockRow,
        by: &SortKey,
        expires_secs: i64,
    ) -> Result<(), StoreError> {
        let done = SortKey::of(child, RowState::Done);
        self.through(Effect::PutDone(done.to_string()), || self.put_done(child, by, expires_secs))
            .await?;
        let open = done.in_state(RowState::Open);
        self.through(Effect::DeleteOpen(open.to_string()), || self.delete_open(child, by)).await
    }

    async fn put_done(
        &self,
        child: &BlockRow,
        by: &SortKey,
        expires: i64,
    ) -> Result<(), StoreError> {
        let mut item = block_item(child, RowState::Done)?;
        item.insert(COVERED_BY.to_owned(), item::text(by.to_string()));
        item.insert(item::EXPIRES.to_owned(), item::number(expires));
        let put = self.dynamo.put_item().table_name(&self.blocks).set_item(Some(item)).send().await;
        let doing = || format!("put done row of block `{}`", child.block);
        put.map(drop).map_err(|error| StoreError::sdk(doing(), error))
    }

    async fn delete_open(&self, child: &BlockRow, by: &SortKey) -> Result<(), StoreError> {
        let partition = BlockRow::partition(&child.tenant, &child.service);
        let delete = self.dynamo.delete_item().table_name(&self.blocks);
        let delete = delete
            .set_key(Some(row_key(&partition, &child.sort(RowState::Open))))
            .condition_expression(format!("{COVERED_BY} = :by"))
            .expression_attribute_values(":by", item::text(by.to_string()));
        // Not so: gone already, or a tombstone of the sweep, which stays.
        let doing = || format!("delete open row of block `{}`", child.block);
        held(delete.send().await, doing).map(drop)
    }

    /// Puts a tombstone under a block's `open` key, unless something stands
    /// there, so that no writer can commit the block any more. Answers whether
    /// the key was free (or barred before).
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn bar(
        &self,
        partition: &str,
        key: &SortKey,
        expires_secs: i64,
    ) -> Result<bool, StoreError> {
        let open = key.in_state(RowState::Open).to_string();
        self.through(Effect::Bar(open.clone()), || self.try_bar(partition, &open, expires_secs))
            .await
    }

    async fn try_bar(&self, partition: &str, open: &str, expires: i64) -> Result<bool, StoreError> {
        let mut item = row_key(partition, open);
        item.insert(TOMBSTONE.to_owned(), AttributeValue::Bool(true));
        item.insert(item::EXPIRES.to_owned(), item::number(expires));
        let put = self.dynamo.put_item().table_name(&self.blocks).set_item(Some(item));
        let put = put.condition_expression(format!(
            "attribute_not_exists({PARTITION}) OR attribute_exists({TOMBSTONE})"
        ));
        held(put.send().await, || format!("bar `{open}`"))
    }

    /// Puts a row as a rebuild found it, unless its key is taken; answers
    /// whether it wrote. `done` rows carry what covers them and when they go.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn restore(
        &self,
        indexed: &IndexedRow,
        expires_secs: Option<i64>,
    ) -> Result<bool, StoreError> {
        let key = SortKey::of(&indexed.row, indexed.state).to_string();
        self.through(Effect::RestoreRow(key), || self.try_restore(indexed, expires_secs)).await
    }

    async fn try_restore(
        &self,
        indexed: &IndexedRow,
        expires: Option<i64>,
    ) -> Result<bool, StoreError> {
        let mut item = block_item(&indexed.row, indexed.state)?;
        if let Some(by) = &indexed.covered_by {
            item.insert(COVERED_BY.to_owned(), item::text(by.to_string()));
        }
        if let Some(expires) = expires {
            item.insert(item::EXPIRES.to_owned(), item::number(expires));
        }
        let put = self.dynamo.put_item().table_name(&self.blocks).set_item(Some(item));
        let free = format!("attribute_not_exists({PARTITION}) AND attribute_not_exists({SORT})");
        held(put.condition_expression(free).send().await, || "restore a block row".to_owned())
    }
}

/// How T1 ended: the reasons stand in the order of its items, the rollup's put
/// first.
fn decide(sent: Sent) -> Result<RollupOutcome, Undecided> {
    let Sent::Cancelled(reasons) = sent else { return Ok(RollupOutcome::Committed) };
    let barred = |item: &HashMap<String, AttributeValue>| item.contains_key(TOMBSTONE);
    if let Some(first) = reasons.first().filter(|reason| condition_failed(reason)) {
        // An id names its content, so a row that stands there is this rollup.
        let is_barred = first.item().is_some_and(barred);
        return Ok(if is_barred { RollupOutcome::Barred } else { RollupOutcome::Committed });
    }
    match reasons.iter().any(condition_failed) {
        true => Ok(RollupOutcome::Lost),
        false => Err(Undecided(reasons)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_sdk_dynamodb::types::CancellationReason;

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).build()
    }

    #[test]
    fn what_failed_tells_how_it_ended() {
        let of = |reasons: &[CancellationReason]| decide(Sent::Cancelled(reasons.to_vec()));
        let failed = || reason("ConditionalCheckFailed");
        assert_eq!(of(&[reason("None"), failed()]).unwrap(), RollupOutcome::Lost);
        assert_eq!(of(&[failed(), failed()]).unwrap(), RollupOutcome::Committed);
        let tombstone = HashMap::from([(TOMBSTONE.to_owned(), AttributeValue::Bool(true))]);
        let barred = CancellationReason::builder().code("ConditionalCheckFailed");
        let barred = barred.set_item(Some(tombstone)).build();
        assert_eq!(of(&[barred]).unwrap(), RollupOutcome::Barred);
        assert!(of(&[reason("TransactionConflict")]).is_err());
    }
}
