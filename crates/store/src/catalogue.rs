//! Catalogue rows: one per service, in the blocks table beside the blocks.

use std::collections::HashMap;

use flambeau_layout::{ServiceEntry, ServiceName, TenantId};

use crate::{
    Store,
    blocks::{PARTITION, SORT},
    error::{ErrorKind, StoreError, held},
    item::{self, Item},
    seam::Effect,
};

/// Guards a catalogue row against lost updates.
const REVISION: &str = "revision";
/// Attempts when writers of one service meet.
const MAX_ATTEMPTS: usize = 16;

fn key(tenant: &TenantId, service: &ServiceName) -> Item {
    HashMap::from([
        (PARTITION.to_owned(), item::text(ServiceEntry::partition(tenant))),
        (SORT.to_owned(), item::text(service.encoded())),
    ])
}

impl Store {
    /// Every service of a tenant, in order of its encoded name.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached, or a row is unreadable.
    pub async fn services(&self, tenant: &TenantId) -> Result<Vec<ServiceEntry>, StoreError> {
        let (partition, range) = (ServiceEntry::partition(tenant), ("\u{1}", "~"));
        let mut page = self.query_page(&partition, range, None).await?;
        let mut entries = Vec::new();
        loop {
            for item in page.items() {
                entries.push(item::read_doc(item)?);
            }
            match page.last_evaluated_key.take().filter(|key| !key.is_empty()) {
                None => return Ok(entries),
                start => page = self.query_page(&partition, range, start).await?,
            }
        }
    }

    /// One service's entry, if it has one.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached, or the row is unreadable.
    pub async fn service(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
    ) -> Result<Option<ServiceEntry>, StoreError> {
        Ok(self.read_entry(tenant, service).await?.map(|(entry, _)| entry))
    }

    /// Adds to a service's entry what is new in `seen`. Writes only when there
    /// is something new, or when the last sight is older than `stale_millis`.
    /// Answers whether it wrote.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached, or writers keep meeting.
    pub async fn note_service(
        &self,
        tenant: &TenantId,
        seen: &ServiceEntry,
        stale_millis: i64,
    ) -> Result<bool, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let old = self.read_entry(tenant, &seen.service).await?;
            let fresh =
                |entry: &ServiceEntry| seen.last.0.saturating_sub(entry.last.0) < stale_millis;
            if old.as_ref().is_some_and(|(entry, _)| entry.knows(seen) && fresh(entry)) {
                return Ok(false);
            }
            let (mut entry, revision) =
                old.unwrap_or_else(|| (ServiceEntry::new(seen.service.clone()), 0));
            entry.absorb(seen);
            if self.write_entry(tenant, &entry, revision).await? {
                return Ok(true);
            }
        }
        let doing = format!("note service `{}`", seen.service);
        Err(StoreError::new(ErrorKind::Conflict, doing, "other writers were always first"))
    }

    /// Forgets a service; nothing there is no error.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn forget_service(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
    ) -> Result<(), StoreError> {
        self.delete_row(&ServiceEntry::partition(tenant), &service.encoded()).await
    }

    async fn read_entry(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
    ) -> Result<Option<(ServiceEntry, i64)>, StoreError> {
        let get = self.dynamo.get_item().table_name(&self.blocks).consistent_read(true);
        let answer = get.set_key(Some(key(tenant, service))).send().await;
        let doing = || format!("read catalogue row of `{service}`");
        let answer = answer.map_err(|error| StoreError::sdk(doing(), error))?;
        let Some(item) = answer.item() else { return Ok(None) };
        let revision = item.get(REVISION).and_then(|value| value.as_n().ok()?.parse().ok());
        Ok(Some((item::read_doc(item)?, revision.unwrap_or(0))))
    }

    async fn write_entry(
        &self,
        tenant: &TenantId,
        entry: &ServiceEntry,
        old: i64,
    ) -> Result<bool, StoreError> {
        let effect = Effect::PutCatalogue(entry.service.to_string());
        self.through(effect, || self.try_write_entry(tenant, entry, old)).await
    }

    async fn try_write_entry(
        &self,
        tenant: &TenantId,
        entry: &ServiceEntry,
        old: i64,
    ) -> Result<bool, StoreError> {
        let mut item = key(tenant, &entry.service);
        item.insert(item::DOC.to_owned(), item::doc(entry)?);
        item.insert(REVISION.to_owned(), item::number(old + 1));
        let put = self.dynamo.put_item().table_name(&self.blocks).set_item(Some(item));
        let put = match old {
            0 => put.condition_expression(format!("attribute_not_exists({PARTITION})")),
            _ => put
                .condition_expression(format!("{REVISION} = :old"))
                .expression_attribute_values(":old", item::number(old)),
        };
        held(put.send().await, || format!("note service `{}`", entry.service))
    }
}
