//! Invocations that end badly, and their profiles.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use flambeau_fast_slow::{Ending, Order};
use flambeau_layout::{Note, SnapshotKey, SnapshotNote, archive};
use flambeau_local::lambda::{Function, InvokeOutcome, InvokeStatus, ShutdownReason};
use flambeau_profile::proto::Profile;
use flambeau_profile::{Limits, decode};

const PATIENCE: Duration = Duration::from_secs(120);

/// Of the function that is to run into it.
const TIMEOUT: Duration = Duration::from_secs(4);

/// CPU time before the end, in milliseconds.
const SPENT: u64 = 1_500;

/// That, less a period of each thread: what is sampled is behind by so much.
const SEEN: i64 = 1_450;

struct Snapshot {
    key: SnapshotKey,
    note: SnapshotNote,
    cpu: Profile,
    billed: Profile,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn snapshots(folder: &Path) -> Vec<Snapshot> {
    files(folder).iter().map(|file| open(folder, file)).collect()
}

fn open(folder: &Path, file: &Path) -> Snapshot {
    let key: SnapshotKey = file.strip_prefix(folder).unwrap().to_str().unwrap().parse().unwrap();
    let entries = archive::read(&std::fs::read(file).unwrap(), 1 << 24).unwrap();
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.starts_with(&["cpu.pb.gz", "billed.pb.gz"]), "{names:?}");
    let mut profiles = entries.into_iter().map(|(_, bytes)| {
        let bytes = bytes.unwrap();
        decode(&bytes, &Limits::default()).unwrap().clone()
    });
    let (cpu, billed) = (profiles.next().unwrap(), profiles.next().unwrap());
    let comments = cpu.comment.iter().map(|id| cpu.string_table[*id as usize].as_str());
    let Some(Note::Snapshot(note)) = Note::find(comments).unwrap() else { panic!("no note") };
    Snapshot { key, note, cpu, billed }
}

/// Milliseconds in a profile, by its last sample type.
fn millis(profile: &Profile) -> i64 {
    profile.sample.iter().filter_map(|sample| sample.value.last()).sum::<i64>() / 1_000_000
}

async fn order(function: &Function, millis: u64, ending: Option<Ending>) -> InvokeOutcome {
    let order = serde_json::to_vec(&Order { millis, ending }).unwrap();
    function.invoke(order).await.unwrap()
}

/// One bad end, then a good invocation, then the shutdown; what was written.
async fn survive(ending: Ending, status: InvokeStatus) -> Vec<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    let function = Function::builder("fast-slow", env!("CARGO_BIN_EXE_fast-slow"))
        .env("FLAMBEAU_BUCKET", format!("file://{}", folder.path().display()))
        .timeout(if ending == Ending::Loop { TIMEOUT } else { PATIENCE })
        .init_timeout(PATIENCE)
        .memory_mb(256)
        .enforce_memory(true)
        .build()
        .unwrap();
    assert_eq!(order(&function, SPENT, Some(ending)).await.status, status);
    assert!(order(&function, 100, None).await.is_ok());
    function.shutdown(ShutdownReason::Spindown).await.unwrap();
    snapshots(folder.path())
}

/// What belongs to the boot that died, and the outcome it was written with.
fn of_the_dead<'s>(found: &'s [Snapshot], outcome: &str) -> Vec<&'s Snapshot> {
    let dead = found.iter().find(|it| it.note.outcome.as_deref() == Some(outcome));
    let dead = dead.unwrap_or_else(|| panic!("no snapshot says `{outcome}`"));
    assert_eq!(dead.note.labels["outcome"], outcome);
    let same_boot = found.iter().filter(|it| it.key.boot() == dead.key.boot());
    let living = found.iter().filter(|it| it.key.boot() != dead.key.boot());
    assert!(living.clone().all(|it| it.note.outcome.is_none()));
    assert!(living.clone().all(|it| it.key.env() == dead.key.env()), "one environment");
    assert_ne!(living.count(), 0);
    same_boot.collect()
}

fn cpu_of_the_dead(found: &[Snapshot], outcome: &str) -> i64 {
    of_the_dead(found, outcome).into_iter().map(|it| millis(&it.cpu)).sum()
}

#[tokio::test]
async fn a_timeout_loses_nothing() {
    let found = survive(Ending::Loop, InvokeStatus::TimedOut).await;
    let dead = of_the_dead(&found, "timeout");
    assert!(dead.iter().any(|it| it.note.outcome.is_none()), "written ahead of the deadline");
    assert!(dead.iter().all(|it| millis(&it.cpu) > 0));
    // How much CPU it got until the kill depends on the machine, how long it ran does not: all
    // of it was billed, with the init on top.
    let billed: i64 = dead.iter().map(|it| millis(&it.billed)).sum();
    assert!(billed >= TIMEOUT.as_millis() as i64 - 40, "{billed} ms billed");
}

#[tokio::test]
async fn exhausted_memory_loses_nothing() {
    let found = survive(Ending::FillMemory, InvokeStatus::OutOfMemory).await;
    assert!(cpu_of_the_dead(&found, "killed") >= SEEN);
}

#[tokio::test]
async fn an_exit_loses_nothing() {
    let found = survive(Ending::Exit, InvokeStatus::Crashed).await;
    assert!(cpu_of_the_dead(&found, "killed") >= SEEN);
}

#[tokio::test]
async fn a_panic_loses_nothing() {
    let found = survive(Ending::Panic, InvokeStatus::FunctionError).await;
    let boots: std::collections::HashSet<_> = found.iter().map(|it| it.key.boot()).collect();
    assert_eq!(boots.len(), 1, "the runtime lives on");
    assert!(found.iter().map(|it| millis(&it.cpu)).sum::<i64>() >= SEEN);
}
