//! The whole function under the Lambda lifecycle, its snapshots in a folder.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use flambeau_fast_slow::{Order, Truth};
use flambeau_layout::{Note, SnapshotKey};
use flambeau_local::lambda::{
    Function, FunctionBuilder, InvokeOutcome, InvokeStatus, ShutdownReason,
};
use flambeau_profile::{AddOptions, Limits, Merged, Merger, decode};

const PATIENCE: Duration = Duration::from_secs(120);

fn function(folder: &Path) -> FunctionBuilder {
    Function::builder("fast-slow", env!("CARGO_BIN_EXE_fast-slow"))
        .env("FLAMBEAU_BUCKET", format!("file://{}", folder.display()))
        .env("FLAMBEAU_HZ", "250")
        // One type, one pprof; `survival.rs` reads several.
        .env("FLAMBEAU_BILLED", "off")
        .timeout(PATIENCE)
        .init_timeout(PATIENCE)
}

async fn spend(function: &Function, millis: u64) -> InvokeOutcome {
    let order = serde_json::to_vec(&Order { millis, ending: None }).unwrap();
    function.invoke(order).await.unwrap()
}

fn truth(outcome: &InvokeOutcome) -> Truth {
    assert!(outcome.is_ok(), "{:?}: {}", outcome.status, outcome.logs);
    serde_json::from_slice(&outcome.payload).unwrap()
}

/// Every snapshot below `folder`, by its sequence number.
fn snapshots(folder: &Path) -> Vec<(SnapshotKey, Vec<u8>)> {
    let mut found: Vec<_> = files(folder)
        .into_iter()
        .map(|file| {
            let key = file.strip_prefix(folder).unwrap().to_str().unwrap();
            (key.parse::<SnapshotKey>().unwrap(), std::fs::read(&file).unwrap())
        })
        .collect();
    found.sort_by_key(|(key, _)| key.identity.seq);
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn merged(snapshots: &[(SnapshotKey, Vec<u8>)]) -> Merged {
    let mut merger = Merger::new(Limits::default());
    for (_, bytes) in snapshots {
        merger.add(bytes, &AddOptions::default()).unwrap();
    }
    merger.finish().unwrap()
}

fn samples_with(profile: &Merged, label: &str) -> i64 {
    let with = profile.samples().filter(|sample| sample.label("function") == Some(label));
    with.map(|sample| sample.values()[0]).sum()
}

/// Samples that say by their label and by their stack that this function ran.
fn samples_in(profile: &Merged, function: &str) -> i64 {
    let is_it = |name: &str| name == function || name.ends_with(&format!("::{function}"));
    let labelled = profile.samples().filter(|sample| sample.label("function") == Some(function));
    let on_stack = labelled.filter(|sample| {
        sample.frames().any(|frame| frame.function.is_some_and(|found| is_it(found.name)))
    });
    on_stack.map(|sample| sample.values()[0]).sum()
}

#[tokio::test]
async fn the_profile_shows_what_the_clock_saw() {
    let folder = tempfile::tempdir().unwrap();
    let function = function(folder.path()).env("FLAMBEAU_INTERVAL", "1").build().unwrap();
    let mut told = Truth::default();
    for _ in 0..4 {
        told = told.plus(truth(&spend(&function, 1000).await));
    }
    function.shutdown(ShutdownReason::Spindown).await.unwrap();

    let snapshots = snapshots(folder.path());
    assert!(!snapshots.is_empty());
    let seqs: Vec<u64> = snapshots.iter().map(|(key, _)| key.identity.seq).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
    let profile = merged(&snapshots);
    let (fast, slow) = (samples_with(&profile, "fast"), samples_with(&profile, "slow"));
    // The first snapshot has samples from before the unwind tables were made, which takes an
    // unoptimised binary a while.
    let later = merged(&snapshots[1..]);
    for function in ["fast", "slow"] {
        assert_eq!(samples_in(&later, function), samples_with(&later, function));
    }
    // About 1000 samples: five times the standard error of 1.3 points.
    assert!(fast + slow >= 900, "{fast} + {slow} samples");
    let seen = slow as f64 / (fast + slow) as f64;
    assert!((seen - told.slow_share()).abs() < 0.08, "{seen} for {}", told.slow_share());
}

#[tokio::test]
async fn the_last_snapshot_comes_with_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let function = function(folder.path()).build().unwrap();
    truth(&spend(&function, 300).await);
    assert!(snapshots(folder.path()).is_empty(), "the interval had not passed");
    let ended = function.shutdown(ShutdownReason::Spindown).await.unwrap();
    // Reading names may take longer than Lambda grants where nothing is optimised, and then
    // there is no snapshot, but never half of one.
    assert!(ended.graceful || cfg!(debug_assertions));
    let written = snapshots(folder.path());
    assert!(!ended.graceful || written.len() == 1);
    for (key, bytes) in written {
        assert_eq!(key.identity.seq, 0);
        let profile = decode(&bytes, &Limits::default()).unwrap();
        let comments = profile.comment.iter().map(|id| &profile.string_table[*id as usize]);
        let note = Note::find(comments.map(String::as_str)).unwrap();
        let Some(Note::Snapshot(note)) = note else { panic!("no note") };
        assert_eq!(note.labels["init"], "cold");
        assert_eq!(note.labels["memory"], "512");
        assert_eq!(note.labels["version"], "$LATEST");
        assert_eq!(note.labels["region"], "us-east-1");
    }
}

#[tokio::test]
async fn off_means_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let off = function(folder.path())
        .env("FLAMBEAU_PROFILING", "off")
        .env("FLAMBEAU_INTERVAL", "0")
        .build()
        .unwrap();
    truth(&spend(&off, 50).await);
    let ended = off.shutdown(ShutdownReason::Spindown).await.unwrap();
    assert!(!ended.graceful, "an extension was registered");
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_bucket_that_cannot_be_written_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder").unwrap();
    let function = function(&file).env("FLAMBEAU_INTERVAL", "0").build().unwrap();
    for _ in 0..3 {
        truth(&spend(&function, 50).await);
    }
}

#[tokio::test]
async fn a_killed_environment_is_followed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let function = function(folder.path())
        .env("FLAMBEAU_INTERVAL", "0")
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    truth(&spend(&function, 200).await);
    let late = spend(&function, 60_000).await;
    assert_eq!(late.status, InvokeStatus::TimedOut);
    truth(&spend(&function, 200).await);
    function.shutdown(ShutdownReason::Spindown).await.unwrap();
    let snapshots = snapshots(folder.path());
    let boots: std::collections::BTreeSet<_> =
        snapshots.iter().map(|(key, _)| key.boot().clone()).collect();
    assert!(boots.len() <= 2);
    for boot in boots {
        let of_boot = snapshots.iter().filter(|(key, _)| *key.boot() == boot);
        let seqs: Vec<u64> = of_boot.map(|(key, _)| key.identity.seq).collect();
        assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
    }
}
