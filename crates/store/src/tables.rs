//! Making the bucket and the tables where no CDK does: on one machine.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification,
};

use crate::{
    Store,
    blocks::{PARTITION, SORT},
    claims::CLAIM_KEY,
    error::{ErrorKind, StoreError},
    item::EXPIRES,
};

/// Looks at a new table this often…
const POLL: std::time::Duration = std::time::Duration::from_millis(50);
/// …and at most this many times.
const MAX_POLLS: usize = 1200;

impl Store {
    /// Makes the bucket and both tables, with TTL; what exists stays.
    ///
    /// # Errors
    /// When one cannot be made or does not become active within a minute.
    pub async fn create(&self) -> Result<(), StoreError> {
        self.create_bucket().await?;
        self.create_table(&self.claims, &[CLAIM_KEY]).await?;
        self.create_table(&self.blocks, &[PARTITION, SORT]).await
    }

    async fn create_bucket(&self) -> Result<(), StoreError> {
        let doing = || format!("create bucket `{}`", self.bucket);
        match self.s3.create_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|e| {
                    e.is_bucket_already_owned_by_you() || e.is_bucket_already_exists()
                }) =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::sdk(doing(), error)),
        }
    }

    async fn create_table(&self, table: &str, keys: &[&str]) -> Result<(), StoreError> {
        let doing = || format!("create table `{table}`");
        let built = |error| StoreError::corrupt(doing(), error);
        let mut create = self.dynamo.create_table().table_name(table);
        create = create.billing_mode(BillingMode::PayPerRequest);
        for (name, typ) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
            let key = KeySchemaElement::builder().attribute_name(*name).key_type(typ).build();
            let attribute = AttributeDefinition::builder()
                .attribute_name(*name)
                .attribute_type(ScalarAttributeType::S)
                .build();
            create = create
                .key_schema(key.map_err(built)?)
                .attribute_definitions(attribute.map_err(built)?);
        }
        match create.send().await {
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) =>
            {
                return Ok(());
            }
            Err(error) => return Err(StoreError::sdk(doing(), error)),
            Ok(_) => self.wait_active(table).await?,
        }
        self.expire_by_ttl(table).await
    }

    async fn wait_active(&self, table: &str) -> Result<(), StoreError> {
        let doing = || format!("wait for table `{table}`");
        for _ in 0..MAX_POLLS {
            let answer = self.dynamo.describe_table().table_name(table).send().await;
            let answer = answer.map_err(|error| StoreError::sdk(doing(), error))?;
            let status = answer.table().and_then(|table| table.table_status());
            if status == Some(&TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(StoreError::new(ErrorKind::Unavailable, doing(), "it did not become active"))
    }

    async fn expire_by_ttl(&self, table: &str) -> Result<(), StoreError> {
        let doing = || format!("set TTL of table `{table}`");
        let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES).build();
        let ttl = ttl.map_err(|error| StoreError::corrupt(doing(), error))?;
        let update = self.dynamo.update_time_to_live().table_name(table);
        let answer = update.time_to_live_specification(ttl).send().await;
        answer.map(drop).map_err(|error| StoreError::sdk(doing(), error))
    }
}
