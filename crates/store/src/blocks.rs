//! Index rows of blocks.

use std::collections::HashMap;

use flambeau_layout::{
    BlockId, BlockRow, Level, RowState, ServiceName, TenantId, UnixMillis, Window,
};

use crate::{
    Store,
    error::StoreError,
    item::{self, Item},
};

/// The blocks table's partition key.
pub(crate) const PARTITION: &str = "pk";
/// The blocks table's sort key.
pub(crate) const SORT: &str = "sk";
/// Names the rollup that lists this block as a child.
pub(crate) const COVERED_BY: &str = "covered_by";

/// A row with what the index says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedRow {
    /// The row.
    pub row: BlockRow,
    /// Whether it stands in a coarser block.
    pub state: RowState,
    /// The rollup that will hold or holds it.
    pub covered_by: Option<BlockId>,
}

pub(crate) fn block_item(row: &BlockRow, state: RowState) -> Result<Item, StoreError> {
    Ok(HashMap::from([
        (PARTITION.to_owned(), item::text(BlockRow::partition(&row.tenant, &row.service))),
        (SORT.to_owned(), item::text(row.sort(state))),
        (item::DOC.to_owned(), item::doc(row)?),
    ]))
}

fn read_row(item: &Item) -> Result<IndexedRow, StoreError> {
    let done = item::text_of(item, SORT).is_some_and(|sort| sort.starts_with("done/"));
    Ok(IndexedRow {
        row: item::read_doc(item)?,
        state: if done { RowState::Done } else { RowState::Open },
        covered_by: item::text_of(item, COVERED_BY).and_then(|id| id.parse().ok()),
    })
}

impl Store {
    /// The rows of one service in this state and level whose windows meet
    /// `[from, until)`, strongly consistent, in order of time. One request per
    /// megabyte of rows.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached, or a row is unreadable.
    pub async fn rows(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        state: RowState,
        level: Level,
        (from, until): (UnixMillis, UnixMillis),
    ) -> Result<Vec<IndexedRow>, StoreError> {
        let first = Window::of(level, from);
        let last = Window::of(level, until.plus_millis(-1));
        // `~` sorts after every character of a sort key.
        let low = BlockRow::sort_prefix(state, first);
        let high = format!("{}~", BlockRow::sort_prefix(state, last));
        self.query_rows(&BlockRow::partition(tenant, service), low, high).await
    }

    /// The rows that stand under these (partition, sort) keys, strongly
    /// consistent; keys that have none are skipped.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached, or a row is unreadable.
    pub async fn rows_at(&self, keys: &[(String, String)]) -> Result<Vec<IndexedRow>, StoreError> {
        let mut rows = Vec::with_capacity(keys.len());
        for (partition, sort) in keys {
            let key = [(PARTITION, partition), (SORT, sort)];
            let key = key.map(|(name, value)| (name.to_owned(), item::text(value.as_str())));
            let get = self.dynamo.get_item().table_name(&self.blocks).consistent_read(true);
            let answer = get.set_key(Some(HashMap::from(key))).send().await;
            let answer = answer.map_err(|error| StoreError::sdk("read a block row", error))?;
            rows.extend(answer.item().map(read_row).transpose()?);
        }
        Ok(rows)
    }

    async fn query_rows(
        &self,
        partition: &str,
        low: String,
        high: String,
    ) -> Result<Vec<IndexedRow>, StoreError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let page = self.query_page(partition, (&low, &high), start).await?;
            for item in page.items() {
                rows.push(read_row(item)?);
            }
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    pub(crate) async fn query_page(
        &self,
        partition: &str,
        (low, high): (&str, &str),
        start: Option<Item>,
    ) -> Result<aws_sdk_dynamodb::operation::query::QueryOutput, StoreError> {
        let query = self.dynamo.query().table_name(&self.blocks).consistent_read(true);
        let query = query
            .key_condition_expression("#p = :p AND #s BETWEEN :low AND :high")
            .expression_attribute_names("#p", PARTITION)
            .expression_attribute_names("#s", SORT)
            .expression_attribute_values(":p", item::text(partition))
            .expression_attribute_values(":low", item::text(low))
            .expression_attribute_values(":high", item::text(high))
            .set_exclusive_start_key(start);
        let page = query.send().await;
        page.map_err(|error| StoreError::sdk(format!("query rows of `{partition}`"), error))
    }
}
