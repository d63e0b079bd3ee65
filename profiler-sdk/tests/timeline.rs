//! The type `timeline` through a whole profiler. One test only: a process has one SIGPROF.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flambeau_layout::archive;
use flambeau_layout::timeline::{INVOCATION_MS, INVOCATION_MS_UNIT, bucket_ms};
use flambeau_profile::{LabelValue, Limits, Merged, Sample};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use profiler_sdk::{Profiler, ProfilerBuilder, label_scope};
use tower::Service;

const PATIENCE: Duration = Duration::from_secs(60);
const INVOCATIONS: usize = 8;
const FIRST: Duration = Duration::from_millis(60);
const SECOND: Duration = Duration::from_millis(80);

/// When in its invocation the second phase began, at the earliest, and the first one ended, at
/// the latest, as the function itself saw it: on a busy machine both are late.
struct Truth {
    second_began: Duration,
    first_ended: Duration,
}

#[inline(never)]
fn first() {
    burn(FIRST);
    black_box("first");
}

#[inline(never)]
fn second() {
    burn(SECOND);
    black_box("second");
}

fn burn(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        black_box((0..1000_u64).fold(0, |sum, next| black_box(sum ^ next)));
    }
}

/// The event is when it was called. `flushing` writes a snapshot in its midst.
async fn handler(
    called: LambdaEvent<Instant>,
    flushing: Option<Profiler>,
) -> Result<Truth, std::convert::Infallible> {
    let entered = Instant::now();
    label_scope("phase", "first", first);
    let first_ended = called.payload.elapsed();
    if let Some(profiler) = flushing {
        profiler.flush(PATIENCE).await.unwrap();
    }
    let second_began = entered.elapsed();
    label_scope("phase", "second", second);
    Ok(Truth { second_began, first_ended })
}

/// Some invocations, one after another, with pauses in between and a snapshot in the midst of
/// one.
async fn invoke(profiler: &Profiler) -> Truth {
    let mut truth = Truth { second_began: Duration::MAX, first_ended: Duration::ZERO };
    for nth in 0..INVOCATIONS {
        let flushing = (nth == INVOCATIONS / 2).then(|| profiler.clone());
        let mut profiled = profiler.wrap(service_fn(|event| handler(event, flushing.clone())));
        let event = LambdaEvent::new(Instant::now(), Context::default());
        let Truth { second_began, first_ended } = profiled.call(event).await.unwrap();
        truth.second_began = truth.second_began.min(second_began);
        truth.first_ended = truth.first_ended.max(first_ended);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    truth
}

async fn start(
    folder: &Path,
    builder: impl FnOnce(ProfilerBuilder) -> ProfilerBuilder,
) -> Profiler {
    let described = Profiler::builder()
        .bucket(format!("file://{}", folder.display()))
        // What another run left under this name would be sent too.
        .service(format!("timeline-{}", std::process::id()))
        .hz(199)
        .handle_sigterm(false);
    let profiler = builder(described).start().await;
    assert!(profiler.is_on());
    profiler
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The profiles of each snapshot, by type.
fn written(folder: &Path) -> Vec<BTreeMap<String, Merged>> {
    let open = |bytes: &[u8]| Merged::from_bytes(bytes, &Limits::default()).unwrap();
    let snapshot = |file: PathBuf| {
        let entries = archive::read(&std::fs::read(file).unwrap(), 16).unwrap();
        entries.into_iter().map(|(name, bytes)| (name, open(&bytes.unwrap()))).collect()
    };
    files(folder).into_iter().map(snapshot).collect()
}

/// Milliseconds into the invocation, by the only numeric label there is.
fn since_begin(sample: &Sample<'_>) -> u64 {
    let numbers = sample.labels().filter_map(|label| match label.value {
        LabelValue::Number(number, unit) => Some((label.key.to_owned(), number, unit.to_owned())),
        LabelValue::Text(_) => None,
    });
    let numbers: Vec<_> = numbers.collect();
    let [(key, number, unit)] = &numbers[..] else { panic!("{numbers:?}") };
    assert_eq!((key.as_str(), unit.as_str()), (INVOCATION_MS, INVOCATION_MS_UNIT));
    u64::try_from(*number).unwrap()
}

fn is_in(sample: &Sample<'_>, function: &str) -> bool {
    let wanted = format!("::{function}");
    sample.frames().any(|frame| frame.function.is_some_and(|it| it.name.ends_with(&wanted)))
}

/// Buckets in which a function was sampled, and for how many nanoseconds.
fn buckets(timelines: &[&Merged], function: &str) -> BTreeMap<u64, i64> {
    let mut buckets = BTreeMap::new();
    for sample in timelines.iter().flat_map(|timeline| timeline.samples()) {
        if is_in(&sample, function) {
            assert_eq!(sample.label("phase"), Some(function), "labels stay");
            *buckets.entry(since_begin(&sample)).or_insert(0) += sample.values()[1];
        }
    }
    buckets
}

fn mean(buckets: &BTreeMap<u64, i64>) -> f64 {
    let sum: f64 = buckets.iter().map(|(bucket, nanos)| *bucket as f64 * *nanos as f64).sum();
    sum / buckets.values().sum::<i64>() as f64
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

#[tokio::test]
async fn what_comes_first_in_an_invocation_stands_before_what_comes_second() {
    let without = tempfile::tempdir().unwrap();
    let profiler = start(without.path(), |described| described).await;
    invoke(&profiler).await;
    profiler.stop(PATIENCE).await.unwrap();
    let snapshots = written(without.path());
    assert!(!snapshots.is_empty() && snapshots.iter().all(|it| it.contains_key("cpu.pb.gz")));
    assert!(snapshots.iter().all(|snapshot| !snapshot.contains_key("timeline.pb.gz")), "off");

    let folder = tempfile::tempdir().unwrap();
    let profiler = start(folder.path(), |described| described.timeline(true)).await;
    let Truth { second_began, first_ended } = invoke(&profiler).await;
    profiler.stop(PATIENCE).await.unwrap();
    let snapshots = written(folder.path());
    assert_eq!(snapshots.len(), 2);
    for snapshot in &snapshots {
        let [timeline, cpu] = ["timeline.pb.gz", "cpu.pb.gz"].map(|name| &snapshot[name]);
        assert_eq!(timeline.totals(), cpu.totals(), "nothing is sampled outside invocations");
        let is_bare =
            |sample: Sample<'_>| sample.label("thread").or(sample.label("span")).is_none();
        assert!(timeline.samples().all(is_bare));
    }

    let timelines: Vec<_> = snapshots.iter().map(|snapshot| &snapshot["timeline.pb.gz"]).collect();
    let [first, second] = ["first", "second"].map(|function| buckets(&timelines, function));
    let last_of_first = *first.keys().next_back().unwrap();
    let first_of_second = *second.keys().next().unwrap();
    assert!(last_of_first <= bucket_ms(millis(first_ended)), "{first:?}");
    assert!(first_of_second >= bucket_ms(millis(second_began)), "{second:?}");
    // These hold whatever else the machine does; that 60 ms lie between the middles of the two
    // it would have to do much to hide.
    assert!(mean(&first) + 30.0 < mean(&second), "{first:?}, then {second:?}");
}
