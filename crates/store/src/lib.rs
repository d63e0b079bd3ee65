//! The only room that talks S3 and DynamoDB: snapshots and blocks as objects,
//! claims and index rows as items, every write conditional where two writers
//! could meet.
//!
//! One [`Store`] is made at start-up ([`Store::from_env`]) and cloned freely.
//! Endpoints, credentials and region come from the standard AWS configuration
//! (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_REGION`, …), so
//! the same code runs on AWS and on the embedded stack.

mod blocks;
mod catalogue;
mod claims;
mod commit;
mod config;
mod error;
mod item;
mod near;
mod objects;
mod patience;
mod rollup;
mod seam;
mod secret;
mod size;
mod tables;
mod transact;

pub use blocks::{IndexedRow, PARTITION, SORT};
pub use claims::CLAIM_KEY;
pub use commit::{ChunkCommit, CommitOutcome};
pub use config::{Config, ConfigError};
pub use error::{ErrorKind, StoreError};
pub use item::EXPIRES;
pub use near::{NearObjects, NearRead};
pub use objects::{Got, ObjectInfo, Page, Put};
pub use patience::Patience;
pub use rollup::{MAX_CHILDREN, Rollup, RollupOutcome};
pub use seam::{Effect, Hook, Seam};
pub use secret::{NoPlace, SecretPlace};
pub use size::{claim_bytes, row_bytes};
pub use transact::MAX_TRANSACTION_ITEMS;

use std::sync::Arc;

/// What the claims table's name ends with, behind the prefix.
pub const CLAIMS_SUFFIX: &str = "-claims";
/// What the blocks table's name ends with, behind the prefix.
pub const BLOCKS_SUFFIX: &str = "-blocks";

/// Access to one bucket and one pair of tables.
#[derive(Clone)]
pub struct Store {
    s3: aws_sdk_s3::Client,
    dynamo: aws_sdk_dynamodb::Client,
    bucket: String,
    claims: String,
    blocks: String,
    seam: Option<Arc<dyn Seam>>,
    page_size: Option<i32>,
    near: Option<Arc<dyn NearObjects>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("bucket", &self.bucket).field("blocks", &self.blocks).finish()
    }
}

impl Store {
    /// Connects as [`Config::from_env`] says.
    ///
    /// # Errors
    /// When a variable that has no default is missing.
    pub async fn from_env() -> Result<Self, ConfigError> {
        Ok(Self::connect(&Config::from_env()?).await)
    }

    /// Connects to what `config` names; endpoints it leaves open come from the
    /// standard AWS configuration. Nothing is sent yet.
    pub async fn connect(config: &Config) -> Self {
        let (s3, dynamo) = config.clients().await;
        Self {
            s3,
            dynamo,
            bucket: config.bucket.clone(),
            claims: format!("{}{CLAIMS_SUFFIX}", config.table),
            blocks: format!("{}{BLOCKS_SUFFIX}", config.table),
            seam: None,
            page_size: None,
            near: None,
        }
    }

    /// The same store with every effect going through `seam`; for tests that
    /// make effects fail, wait or happen twice.
    #[must_use]
    pub fn with_seam(mut self, seam: Arc<dyn Seam>) -> Self {
        self.seam = Some(seam);
        self
    }

    /// The same store with at most this many rows per page of a query; for
    /// tests that act between pages.
    #[must_use]
    pub fn with_page_size(mut self, rows: i32) -> Self {
        self.page_size = Some(rows.max(1));
        self
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }
}
