//! All recorders through a whole profiler: one object, every type, labels on each.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flambeau_layout::{Note, SnapshotNote, archive};
use flambeau_profile::{Limits, Merged, Temporality, decode};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use profiler_sdk::{
    DirectorySink, HeapRecorder, MutexRecorder, Profiler, SampledAlloc, ThreadsRecorder,
    TokioRecorder, profiled, tag_wrapper,
};
use tower::Service;

#[global_allocator]
static ALLOCATOR: SampledAlloc = SampledAlloc::system();

/// Allocated in one invocation: a hundred times the heap's mean between samples.
const ALLOCATED: usize = 100 * 512 * 1024;

static LOCK: profiled::Mutex<u64> = profiled::Mutex::new(0);

async fn handler(_: LambdaEvent<()>) -> Result<(), std::convert::Infallible> {
    tag_wrapper(&[("operation", "fill")], || {
        for _ in 0..100 {
            drop(black_box(vec![1_u8; ALLOCATED / 100]));
        }
    });
    wait_for_a_lock();
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// Waits until another thread, which holds the lock, lets go of it.
fn wait_for_a_lock() {
    let (locked, is_locked) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let held = LOCK.lock().unwrap();
        locked.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        drop(held);
    });
    is_locked.recv().unwrap();
    *LOCK.lock().unwrap() += 1;
    holder.join().unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn note(bytes: &[u8]) -> SnapshotNote {
    let profile = decode(bytes, &Limits::default()).unwrap();
    let comments = profile.comment.iter().map(|id| profile.string_table[*id as usize].as_str());
    let Some(Note::Snapshot(note)) = Note::find(comments).unwrap() else { panic!("no note") };
    note
}

fn total(profile: &Merged, column: usize) -> i128 {
    profile.totals()[column]
}

#[tokio::test]
async fn every_type_comes_in_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let profiler = Profiler::builder()
        // What another run left under this name would be sent too.
        .service(format!("recorders-{}", std::process::id()))
        .sink(DirectorySink::new(folder.path()))
        .recorder(HeapRecorder::start().unwrap())
        .recorder(MutexRecorder::with_period(Duration::from_nanos(1)).unwrap())
        .recorder(ThreadsRecorder::new())
        .recorder(TokioRecorder::new("main", &tokio::runtime::Handle::current()))
        .handle_sigterm(false)
        .start()
        .await;
    assert!(profiler.is_on());
    let mut profiled = profiler.wrap(service_fn(handler));
    profiled.call(LambdaEvent::new((), Context::default())).await.unwrap();
    assert_eq!(profiler.stop(Duration::from_secs(60)).await, Ok(1));

    let written = files(folder.path());
    assert_eq!(written.len(), 1, "{written:?}");
    let entries = archive::read(&std::fs::read(&written[0]).unwrap(), 16).unwrap();
    let parts: BTreeMap<String, Vec<u8>> =
        entries.into_iter().map(|(name, bytes)| (name, bytes.unwrap())).collect();
    let open = |name: &str| Merged::from_bytes(&parts[name], &Limits::default()).unwrap();

    let heap = open("heap.pb.gz");
    // A hundred samples: five standard errors are half of it.
    let filled: i64 = heap
        .samples()
        .filter(|sample| sample.label("operation") == Some("fill"))
        .map(|sample| sample.values()[1])
        .sum();
    let of_the_truth = filled as f64 / ALLOCATED as f64;
    assert!((0.5..1.5).contains(&of_the_truth), "{of_the_truth} of what was allocated");
    assert_eq!(note(&parts["heap.pb.gz"]).temporality["alloc_space"], Temporality::Delta);

    let billed = open("billed.pb.gz");
    let waited: i64 = billed
        .samples()
        .filter(|sample| {
            sample.frames().any(|frame| frame.function.is_some_and(|it| it.name == "[waiting]"))
        })
        .map(|sample| sample.values()[0])
        .sum();
    assert!(waited >= 50_000_000, "slept 50 ms and waited for a lock, but {waited} ns");
    assert!(total(&open("mutex.pb.gz"), 1) >= 10_000_000);
    assert!(total(&open("threads.pb.gz"), 0) >= 2);
    assert!(parts.contains_key("tasks.pb.gz") && parts.contains_key("cpu.pb.gz"), "{parts:?}");
}
