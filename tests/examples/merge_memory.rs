//! How much memory the merge Lambda takes for one batch: the real binary under
//! an emulated Lambda, on embedded stores in this process.
//!
//! ```sh
//! cargo build --release -p flambeau-merge
//! cargo run --release -p flambeau-tests --example merge_memory -- target/release/merge 2000 FOLDER
//! ```
//!
//! FOLDER holds pprof files; they are sent in turn, each time as another
//! snapshot of one of 50 services. Printed are the peak resident memory as the
//! kernel counts it, the billed milliseconds, and how many bytes became how many.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use bytes::Bytes;
use flambeau_layout::{Identity, KeyDate, ProfileType, SnapshotKey, SnapshotShape};
use flambeau_local::{
    lambda::{Function, ShutdownReason},
    pump::message,
    s3::{Event, EventName},
};
use flambeau_tests::{faults::Stores, stack::now};
use serde_json::json;

const SERVICES: usize = 50;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [program, count, folder] = &args[..] else {
        anyhow::bail!("usage: merge_memory MERGE COUNT FOLDER");
    };
    let count: usize = count.parse().context("COUNT")?;
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.sort();
    let stores = Stores::start().await?;
    let mut messages = Vec::with_capacity(count);
    for index in 0..count {
        let bytes = Bytes::from(std::fs::read(&paths[index % paths.len()])?);
        let key = key(index)?.to_string();
        let size = bytes.len();
        stores.store.put_new(&key, bytes, "application/octet-stream").await?;
        messages.push(message(&event(index, key, size), 1));
    }
    let merge = function(program, &stores)?;
    let event = json!({ "Records": messages }).to_string();
    let outcome = merge.invoke(event.into_bytes()).await?;
    println!("{}", String::from_utf8_lossy(&outcome.payload));
    ensure!(outcome.is_ok(), "{outcome:?}");
    let peak = peak_of_child()?;
    println!("{count} snapshots in one batch: {peak} at most, {} ms billed", outcome.billed_ms);
    let (raw, merged) =
        (bytes_below(&stores, "snapshots/").await?, bytes_below(&stores, "segments/").await?);
    println!("{raw} bytes of snapshots became {merged} of segments and their marks");
    merge.shutdown(ShutdownReason::Spindown).await;
    stores.stop().await;
    Ok(())
}

async fn bytes_below(stores: &Stores, prefix: &str) -> anyhow::Result<u64> {
    Ok(stores.store.list_all(prefix).await?.iter().map(|object| object.size).sum())
}

/// The largest resident memory that the function, our only child, ever had.
fn peak_of_child() -> anyhow::Result<String> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    for process in std::fs::read_dir("/proc")? {
        let status = std::fs::read_to_string(process?.path().join("status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(peak) = peak.filter(|_| status.contains(&parent)) {
            return Ok(peak.trim().to_owned());
        }
    }
    anyhow::bail!("the function has gone")
}

fn key(index: usize) -> anyhow::Result<SnapshotKey> {
    let identity = Identity {
        tenant: "default".parse()?,
        service: format!("batch-{:02}", index % SERVICES).parse()?,
        env: format!("env-{}", index / 100).parse()?,
        boot: "boot".parse()?,
        seq: index as u64,
    };
    let shape = SnapshotShape::Single(ProfileType::new("cpu")?);
    Ok(SnapshotKey::new(identity, KeyDate::of(now()), shape))
}

/// What S3 tells the queue of this object.
fn event(index: usize, key: String, size: usize) -> Event {
    let (name, bucket, etag) = (EventName::CreatedPut, "flambeau".to_owned(), String::new());
    let (seq, size) = (index as u64, size as u64);
    Event { seq, name, bucket, key, size, etag, event_time: SystemTime::now() }
}

fn function(program: &str, stores: &Stores) -> anyhow::Result<Function> {
    let config = &stores.config;
    let (id, secret) = config.credentials.clone().context("no credentials")?;
    let variables = [
        ("FLAMBEAU_BUCKET", config.bucket.clone()),
        ("FLAMBEAU_TABLE", config.table.clone()),
        ("AWS_ENDPOINT_URL_S3", config.s3_endpoint.clone().unwrap_or_default()),
        ("AWS_ENDPOINT_URL_DYNAMODB", config.dynamodb_endpoint.clone().unwrap_or_default()),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let builder = Function::builder("merge", program).timeout(Duration::from_secs(300));
    let builder = variables.into_iter().fold(builder, |b, (name, value)| b.env(name, value));
    Ok(builder.memory_mb(1769).build()?)
}
