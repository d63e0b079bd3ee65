//! Invocations that end badly, and their profiles.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flambeau_fast_slow::{Ending, Order};
use flambeau_layout::{Note, SnapshotKey, SnapshotNote, archive};
use flambeau_local::lambda::{Function, InvokeOutcome, InvokeStatus};
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
    files(folder).iter().filter_map(|file| open(folder, file)).collect()
}

/// `None` for a draft that is being written.
fn open(folder: &Path, file: &Path) -> Option<Snapshot> {
    let key: SnapshotKey = file.strip_prefix(folder).unwrap().to_str().unwrap().parse().ok()?;
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
    Some(Snapshot { key, note, cpu, billed })
}

/// Milliseconds in a profile, by its last sample type.
fn millis(profile: &Profile) -> i64 {
    profile.sample.iter().filter_map(|sample| sample.value.last()).sum::<i64>() / 1_000_000
}

async fn order(function: &Function, millis: u64, ending: Option<Ending>) -> InvokeOutcome {
    let order = serde_json::to_vec(&Order { millis, ending }).unwrap();
    function.invoke(order).await.unwrap()
}

/// One bad end, then good invocations until what it left is written.
async fn survive(
    ending: Ending,
    status: InvokeStatus,
    is_written: impl Fn(&[Snapshot]) -> bool,
) -> Vec<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    let function = Function::builder("fast-slow", env!("CARGO_BIN_EXE_fast-slow"))
        .env("FLAMBEAU_BUCKET", format!("file://{}", folder.path().display()))
        .env("FLAMBEAU_INTERVAL", "1")
        .timeout(if ending == Ending::Loop { TIMEOUT } else { PATIENCE })
        .init_timeout(PATIENCE)
        .memory_mb(256)
        .enforce_memory(true)
        .build()
        .unwrap();
    assert_eq!(order(&function, SPENT, Some(ending)).await.status, status);
    let begun = Instant::now();
    loop {
        // A frozen process writes nothing.
        assert!(order(&function, 100, None).await.is_ok());
        let found = snapshots(folder.path());
        if is_written(&found) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "what was left is not written");
    }
}

fn says(outcome: &'static str) -> impl Fn(&[Snapshot]) -> bool {
    move |found| found.iter().any(|it| it.note.outcome.as_deref() == Some(outcome))
}

fn cpu_millis(found: &[Snapshot]) -> i64 {
    found.iter().map(|it| millis(&it.cpu)).sum()
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
    same_boot.collect()
}

fn cpu_of_the_dead(found: &[Snapshot], outcome: &str) -> i64 {
    of_the_dead(found, outcome).into_iter().map(|it| millis(&it.cpu)).sum()
}

#[tokio::test]
async fn a_timeout_loses_nothing() {
    let found = survive(Ending::Loop, InvokeStatus::TimedOut, says("timeout")).await;
    let dead = of_the_dead(&found, "timeout");
    assert!(dead.iter().all(|it| millis(&it.cpu) > 0));
    // How much CPU it got until the kill depends on the machine, how long it ran does not: all
    // of it was billed, with the init on top.
    let billed: i64 = dead.iter().map(|it| millis(&it.billed)).sum();
    assert!(billed >= TIMEOUT.as_millis() as i64 - 40, "{billed} ms billed");
}

#[tokio::test]
async fn exhausted_memory_loses_nothing() {
    let found = survive(Ending::FillMemory, InvokeStatus::OutOfMemory, says("killed")).await;
    assert!(cpu_of_the_dead(&found, "killed") >= SEEN);
}

#[tokio::test]
async fn an_exit_loses_nothing() {
    let found = survive(Ending::Exit, InvokeStatus::Crashed, says("killed")).await;
    assert!(cpu_of_the_dead(&found, "killed") >= SEEN);
}

#[tokio::test]
async fn a_panic_loses_nothing() {
    let found =
        survive(Ending::Panic, InvokeStatus::FunctionError, |found| cpu_millis(found) >= SEEN)
            .await;
    let boots: std::collections::HashSet<_> = found.iter().map(|it| it.key.boot()).collect();
    assert_eq!(boots.len(), 1, "the runtime lives on");
}
