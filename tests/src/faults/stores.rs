//! Stores without a pump, and deliveries by hand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context;
use flambeau_layout::UnixMillis;
use flambeau_local::{
    dynamo::EmbeddedDynamo,
    loopback::Served,
    s3::{ACCESS_KEY_ID, EmbeddedS3, Options, SECRET_ACCESS_KEY},
};
use flambeau_pipeline::{ItemOutcome, MergeOptions, MergeReport, merge};
use flambeau_profile::Limits;
use flambeau_store::{Config, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{Faults, Model, Snapshot};
use crate::stack::now;

/// Largest object the harness writes.
const MAX_BYTES: u64 = 1 << 20;

/// Embedded stores in a directory of their own.
pub struct Stores {
    /// Access without faults.
    pub store: Store,
    /// How to reach them.
    pub config: Config,
    /// The bucket's clock, where it is not the system's.
    clock: Option<Arc<AtomicI64>>,
    servers: Vec<Served>,
    _dir: TempDir,
}

impl Stores {
    /// Starts empty ones on free ports.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::open(None).await
    }

    /// Starts empty ones whose bucket lives at `now`, until [`Stores::set_clock`].
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_at(now: UnixMillis) -> anyhow::Result<Self> {
        Self::open(Some(Arc::new(AtomicI64::new(now.0)))).await
    }

    async fn open(clock: Option<Arc<AtomicI64>>) -> anyhow::Result<Self> {
        let dir = directory()?;
        let (s3_dir, dynamo_dir) = (dir.path().join("s3"), dir.path().join("dynamodb"));
        let mut options = Options { event_prefixes: Vec::new(), ..Options::default() };
        if let Some(clock) = clock.clone() {
            let since = move || clock.load(Ordering::SeqCst).unsigned_abs();
            options.clock = Arc::new(move || UNIX_EPOCH + Duration::from_millis(since()));
        }
        let s3 = tokio::task::spawn_blocking(move || EmbeddedS3::open(&s3_dir, options)).await??;
        let dynamo = tokio::task::spawn_blocking(move || EmbeddedDynamo::open(&dynamo_dir));
        let dynamo = dynamo.await??;
        let servers = vec![s3.serve(free_port().await?)?, dynamo.serve(free_port().await?)?];
        let config = Config {
            bucket: "flambeau".to_owned(),
            table: "flambeau".to_owned(),
            s3_endpoint: Some(servers[0].url()),
            dynamodb_endpoint: Some(servers[1].url()),
            credentials: Some((ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned())),
        };
        let store = Store::connect(&config).await;
        store.create().await?;
        Ok(Self { store, config, clock, servers, _dir: dir })
    }

    /// The bucket's time.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.as_ref().map_or_else(now, |clock| UnixMillis(clock.load(Ordering::SeqCst)))
    }

    /// Sets the clock of a bucket started by [`Stores::start_at`].
    pub fn set_clock(&self, now: UnixMillis) {
        if let Some(clock) = &self.clock {
            clock.store(now.0, Ordering::SeqCst);
        }
    }

    /// Deletes every item whose time to live has passed, as DynamoDB does some
    /// time later; answers how many.
    ///
    /// # Errors
    /// When DynamoDB refuses.
    pub async fn expire_items(&self, now: UnixMillis) -> anyhow::Result<usize> {
        let mut deleted = 0;
        for table in ["claims", "blocks"].map(|name| format!("{}-{name}", self.config.table)) {
            let mut request = json!({ "TableName": table });
            loop {
                let page = self.dynamodb("Scan", request.clone()).await?;
                for item in page["Items"].as_array().into_iter().flatten() {
                    let expires = item["expires"]["N"].as_str().and_then(|n| n.parse::<i64>().ok());
                    if expires.is_none_or(|secs| secs * 1000 > now.0) {
                        continue;
                    }
                    let keys = ["pk", "sk"].into_iter().filter(|name| !item[name].is_null());
                    let key: Value =
                        keys.map(|name| (name.to_owned(), item[name].clone())).collect();
                    self.dynamodb("DeleteItem", json!({ "TableName": table, "Key": key })).await?;
                    deleted += 1;
                }
                match page["LastEvaluatedKey"].clone() {
                    Value::Null => break,
                    start => request["ExclusiveStartKey"] = start,
                }
            }
        }
        Ok(deleted)
    }

    /// What the SDK's client for the store does not: any operation.
    async fn dynamodb(&self, operation: &'static str, request: Value) -> anyhow::Result<Value> {
        let url = self.config.dynamodb_endpoint.clone().context("DynamoDB has no endpoint")?;
        let ask = move || {
            let ask = ureq::post(&url)
                .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
                .header("authorization", "not checked");
            let text = ask.send(request.to_string())?.body_mut().read_to_string()?;
            Ok::<_, anyhow::Error>(serde_json::from_str(&text)?)
        };
        tokio::task::spawn_blocking(ask).await?
    }

    /// Access through a worker's faults.
    #[must_use]
    pub fn through(&self, faults: &Arc<Faults>) -> Store {
        self.store.clone().with_seam(Arc::clone(faults) as _)
    }

    /// Puts a snapshot and notes it in the model.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn accept(&self, model: &mut Model, snapshot: &Snapshot) -> anyhow::Result<()> {
        let Snapshot { key, bytes, .. } = snapshot;
        let before = self.now();
        self.store.put_new(key, bytes.clone(), "application/octet-stream").await?;
        // When the bucket took it matters only to what ended later than that.
        let modified = match snapshot.end().is_some_and(|end| end > before) {
            true => self.store.get(key, MAX_BYTES).await?.modified,
            false => before,
        };
        model.accept(snapshot, modified);
        Ok(())
    }

    /// Ends the servers.
    pub async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

/// In memory where the system has a place for that: these stories end workers,
/// never the machine, and every put waits for the disk.
fn directory() -> anyhow::Result<TempDir> {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    Ok(in_memory.or_else(|_| tempfile::tempdir())?)
}

pub(super) async fn free_port() -> anyhow::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("listen on a free port")
}

/// Options of a merge at `now`.
///
/// # Errors
/// Never: the tenant's name is one.
pub fn merge_options(now: UnixMillis) -> anyhow::Result<MergeOptions> {
    Ok(MergeOptions { tenant: "default".parse()?, now, fetches: 4, limits: Limits::default() })
}

/// Merges these keys in one batch; answers the keys that must come again. A
/// worker that died answers nobody, so all come again.
///
/// # Errors
/// When the same key got two answers, or the options are no options.
pub async fn deliver(
    store: &Store,
    keys: &[String],
    faults: Option<&Faults>,
) -> anyhow::Result<Vec<String>> {
    deliver_at(store, keys, faults, now()).await
}

/// As [`deliver`], at a given time.
///
/// # Errors
/// As [`deliver`].
pub async fn deliver_at(
    store: &Store,
    keys: &[String],
    faults: Option<&Faults>,
    now: UnixMillis,
) -> anyhow::Result<Vec<String>> {
    let options = merge_options(now)?;
    let report = Box::pin(merge(store, keys, &options)).await;
    anyhow::ensure!(report.outcomes.len() == keys.len(), "an outcome per key");
    if faults.is_some_and(Faults::is_dead) {
        return Ok(keys.to_vec());
    }
    again(keys, &report)
}

fn again(keys: &[String], report: &MergeReport) -> anyhow::Result<Vec<String>> {
    let mut retried: BTreeMap<&String, bool> = BTreeMap::new();
    for (key, outcome) in keys.iter().zip(&report.outcomes) {
        let retry = matches!(outcome, ItemOutcome::Retry(_));
        let before = retried.insert(key, retry);
        anyhow::ensure!(before.is_none_or(|before| before == retry), "two answers for `{key}`");
    }
    Ok(retried.into_iter().filter(|(_, retry)| *retry).map(|(key, _)| key.clone()).collect())
}
