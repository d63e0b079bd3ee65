//! Puts many snapshots into a running `flambeau serve` and says what they cost.
//!
//! ```sh
//! flambeau serve --json --listen 127.0.0.1:4040 &
//! cargo run --release -p flambeau-tests --example load -- http://127.0.0.1:4040 $! 100000 FOLDER
//! ```
//!
//! FOLDER holds pprof files; they are sent in turn, each time as another
//! snapshot of one of 50 services. Printed are the snapshots per second until
//! all are merged, and the server's CPU per snapshot and peak memory, as the
//! kernel counts them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use flambeau_layout::{
    Identity, IdentityHash, KeyDate, ProfileType, SnapshotKey, SnapshotShape, UnixMillis,
};
use flambeau_local::{Endpoints, serve::ENDPOINTS_PATH};
use flambeau_store::Store;
use flambeau_tests::stack::now;
use futures::{StreamExt, TryStreamExt};

const SERVICES: u64 = 50;
const WRITERS: usize = 32;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, pid, count, folder] = &args[..] else {
        anyhow::bail!("usage: load URL PID COUNT FOLDER");
    };
    let count: u64 = count.parse().context("COUNT")?;
    let (_, told) = flambeau_tests::stack::get(format!("{url}{ENDPOINTS_PATH}")).await?;
    let endpoints: Endpoints = serde_json::from_slice(&told)?;
    let store = Store::connect(&endpoints.store_config()).await;
    let files = read_folder(folder)?;
    let (before, since) = (cpu_millis(pid)?, Instant::now());
    let identities = put_all(&store, &files, count).await?;
    let sent = since.elapsed();
    wait_merged(&store, &identities).await?;
    let (cpu, took) = (cpu_millis(pid)? - before, since.elapsed());
    println!(
        "{count} snapshots put in {:.1} s, merged after {:.1} s",
        sent.as_secs_f64(),
        took.as_secs_f64()
    );
    println!("{:.0} snapshots/s", count as f64 / took.as_secs_f64());
    println!(
        "{:.3} ms of CPU per snapshot (the server's, S3 and DynamoDB included)",
        cpu / count as f64
    );
    println!("{} peak memory", status(pid, "VmHWM:")?);
    Ok(())
}

fn read_folder(folder: &str) -> anyhow::Result<Vec<Bytes>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| Ok(std::fs::read(path)?.into())).collect()
}

fn key(index: u64, start: UnixMillis) -> anyhow::Result<SnapshotKey> {
    let identity = Identity {
        tenant: "default".parse()?,
        service: format!("load-{:02}", index % SERVICES).parse()?,
        env: format!("env-{}", index / 1000).parse()?,
        boot: format!("boot-{}", start.0).parse()?,
        seq: index,
    };
    let shape = SnapshotShape::Single(ProfileType::new("cpu")?);
    Ok(SnapshotKey::new(identity, KeyDate::of(start), shape))
}

async fn put_all(store: &Store, files: &[Bytes], count: u64) -> anyhow::Result<Vec<IdentityHash>> {
    let start = now();
    let puts = (0..count).map(|index| {
        let bytes = files[(index % files.len() as u64) as usize].clone();
        async move {
            let key = key(index, start)?;
            store.put_new(&key.to_string(), bytes, "application/octet-stream").await?;
            anyhow::Ok(key.identity.hash())
        }
    });
    futures::stream::iter(puts).buffer_unordered(WRITERS).try_collect().await
}

async fn wait_merged(store: &Store, identities: &[IdentityHash]) -> anyhow::Result<()> {
    let mut open = identities;
    while let Some(last) = open.chunks(100).next() {
        match store.claims_of(last).await?.len() == last.len() {
            true => open = &open[last.len()..],
            false => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Ok(())
}

/// User and system time of a process.
fn cpu_millis(pid: &str) -> anyhow::Result<f64> {
    /// The unit of /proc/PID/stat on Linux.
    const TICK_MILLIS: f64 = 10.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    Ok(fields.iter().sum::<f64>() * TICK_MILLIS)
}

fn status(pid: &str, name: &str) -> anyhow::Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.context("no such line")?.trim().to_owned())
}
