//! Index rows of blocks.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::KeysAndAttributes;
use flambeau_layout::{
    BlockRow, Level, RowState, ServiceName, SortKey, TenantId, UnixMillis, Window,
};

use crate::{
    Store,
    error::StoreError,
    item::{self, Item},
    seam::Effect,
};

/// The blocks table's partition key.
pub const PARTITION: &str = "pk";
/// The blocks table's sort key.
pub const SORT: &str = "sk";
/// The `open` sort key of the rollup that lists this block as a child.
pub(crate) const COVERED_BY: &str = "covered_by";
/// Stands in place of a row that must never be put.
pub(crate) const TOMBSTONE: &str = "tombstone";
/// Items per BatchGetItem.
const MAX_BATCH: usize = 100;

/// A row with what the index says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedRow {
    /// The row.
    pub row: BlockRow,
    /// Whether it stands in a coarser block.
    pub state: RowState,
    /// Where the rollup that holds it was put.
    pub covered_by: Option<SortKey>,
}

impl IndexedRow {
    /// Its sort key.
    #[must_use]
    pub fn key(&self) -> SortKey {
        SortKey::of(&self.row, self.state)
    }
}

pub(crate) fn row_key(partition: &str, sort: &str) -> Item {
    let key = [(PARTITION, partition), (SORT, sort)];
    key.map(|(name, value)| (name.to_owned(), item::text(value))).into()
}

pub(crate) fn block_item(row: &BlockRow, state: RowState) -> Result<Item, StoreError> {
    Ok(HashMap::from([
        (PARTITION.to_owned(), item::text(BlockRow::partition(&row.tenant, &row.service))),
        (SORT.to_owned(), item::text(row.sort(state))),
        (item::DOC.to_owned(), item::doc(row)?),
    ]))
}

/// Reads a row; a tombstone is none.
fn read_row(item: &Item) -> Result<Option<IndexedRow>, StoreError> {
    if item.contains_key(TOMBSTONE) {
        return Ok(None);
    }
    let done = item::text_of(item, SORT).is_some_and(|sort| sort.starts_with("done/"));
    let unreadable = |error| StoreError::corrupt("read a row", error);
    Ok(Some(IndexedRow {
        row: item::read_doc(item)?,
        state: if done { RowState::Done } else { RowState::Open },
        covered_by: item::text_of(item, COVERED_BY)
            .map(str::parse)
            .transpose()
            .map_err(unreadable)?,
    }))
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
            let get = self.dynamo.get_item().table_name(&self.blocks).consistent_read(true);
            let answer = get.set_key(Some(row_key(partition, sort))).send().await;
            let answer = answer.map_err(|error| StoreError::sdk("read a block row", error))?;
            rows.extend(answer.item().map(read_row).transpose()?.flatten());
        }
        Ok(rows)
    }

    /// Which of these sort keys hold a row now, strongly consistent. One
    /// request per hundred.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn present(
        &self,
        partition: &str,
        keys: &[SortKey],
    ) -> Result<HashSet<SortKey>, StoreError> {
        let mut present = HashSet::with_capacity(keys.len());
        for batch in keys.chunks(MAX_BATCH) {
            self.read_present(partition, batch, &mut present).await?;
        }
        Ok(present)
    }

    async fn read_present(
        &self,
        partition: &str,
        batch: &[SortKey],
        present: &mut HashSet<SortKey>,
    ) -> Result<(), StoreError> {
        self.reading(&format!("rows of `{partition}` again")).await?;
        let mut keys = KeysAndAttributes::builder()
            .consistent_read(true)
            .projection_expression(format!("{PARTITION}, {SORT}, {TOMBSTONE}"));
        for key in batch {
            keys = keys.keys(row_key(partition, &key.to_string()));
        }
        let keys = keys.build().map_err(|error| StoreError::corrupt("read rows", error))?;
        let mut open = Some(HashMap::from([(self.blocks.clone(), keys)]));
        // DynamoDB may answer a part and hand back the rest: ask again for that.
        while let Some(request) = open.take().filter(|request| !request.is_empty()) {
            let answer = self.dynamo.batch_get_item().set_request_items(Some(request)).send();
            let answer = answer.await.map_err(|error| StoreError::sdk("read rows", error))?;
            let items = answer.responses.unwrap_or_default().into_values().flatten();
            let rows = items.filter(|item| !item.contains_key(TOMBSTONE));
            present.extend(rows.filter_map(|item| item::text_of(&item, SORT)?.parse().ok()));
            open = answer.unprocessed_keys;
        }
        Ok(())
    }

    /// Every row of a service, in the order of sort keys: for checks and
    /// deletion, not for queries.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached, or a row is unreadable.
    pub async fn all_rows(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
    ) -> Result<Vec<IndexedRow>, StoreError> {
        let partition = BlockRow::partition(tenant, service);
        self.query_rows(&partition, "\u{1}".to_owned(), "~".to_owned()).await
    }

    /// Deletes whatever stands under this key; nothing there is no error.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn delete_row(&self, partition: &str, sort: &str) -> Result<(), StoreError> {
        self.through(Effect::DeleteRow(sort.to_owned()), || async {
            let delete = self.dynamo.delete_item().table_name(&self.blocks);
            let answer = delete.set_key(Some(row_key(partition, sort))).send().await;
            let doing = || format!("delete row `{sort}` of `{partition}`");
            answer.map(drop).map_err(|error| StoreError::sdk(doing(), error))
        })
        .await
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
                rows.extend(read_row(item)?);
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
        self.reading(&format!("rows of `{partition}` from `{low}`")).await?;
        let query = self.dynamo.query().table_name(&self.blocks).consistent_read(true);
        let query = query
            .set_limit(self.page_size)
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
