//! The real engine in a real process. One test only: a process has one SIGPROF.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flambeau_profile::{Function, Limits, Merged, Sample};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use profiler_sdk::{DEFAULT_BUDGET, DirectorySink, Profiler, Settings, label_future, label_scope};
use tower::Service;

const PATIENCE: Duration = Duration::from_secs(60);

/// CPU time per piece of work; some twenty samples.
const PIECE: Duration = Duration::from_millis(200);

#[inline(never)]
fn red() {
    burn();
    black_box("red");
}

#[inline(never)]
fn green() {
    burn();
    black_box("green");
}

#[inline(never)]
fn outside() {
    burn();
    black_box("outside");
}

fn burn() {
    let begun = thread_cpu();
    while thread_cpu() - begun < PIECE {
        black_box((0..1000_u64).fold(0, |sum, next| black_box(sum ^ next)));
    }
}

fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills a structure of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn handler(_: LambdaEvent<()>) -> Result<(), std::convert::Infallible> {
    label_scope("color", "red", red);
    label_scope("color", "wrong", || label_scope("color", "green", green));
    let thread = std::thread::Builder::new().name("painter".into());
    thread.spawn(|| label_scope("color", "green", green)).unwrap().join().unwrap();
    // Two tasks of different labels take turns on one thread.
    let turn = |paint: fn()| async move {
        for _ in 0..2 {
            paint();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(
        label_future("color", "red", turn(red)),
        label_future("color", "green", turn(green))
    );
    Ok(())
}

async fn invoke(profiler: &Profiler) {
    let mut profiled = profiler.wrap(service_fn(handler));
    profiled.call(LambdaEvent::new((), Context::default())).await.unwrap();
}

async fn start(folder: &Path) -> Profiler {
    let settings = Settings {
        tenant: "t".parse().unwrap(),
        // What another run left under this name would be sent too.
        service: format!("s-{}", std::process::id()).parse().unwrap(),
        hz: 100,
        interval: Duration::from_secs(3600),
        steering: false,
        symbols: true,
        billed: false,
        timeline: false,
        budget: DEFAULT_BUDGET,
        labels: BTreeMap::new(),
    };
    let sink = DirectorySink::new(folder);
    Profiler::builder().settings(settings).sink(sink).handle_sigterm(false).start().await
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

fn read(file: &Path) -> Merged {
    Merged::from_bytes(&std::fs::read(file).unwrap(), &Limits::default()).unwrap()
}

/// Samples with this function on the stack, by the label `color` ("" is none).
fn colors(profile: &Merged, function: &str) -> BTreeMap<String, i64> {
    let mut colors = BTreeMap::new();
    for sample in profile.samples() {
        if sample.frames().any(|frame| is_in(frame.function, function)) {
            let color = sample.label("color").unwrap_or_default().to_owned();
            *colors.entry(color).or_insert(0) += sample.values()[0];
        }
    }
    colors
}

fn is_in(found: Option<Function<'_>>, name: &str) -> bool {
    let wanted = format!("::{name}");
    found.is_some_and(|found| found.name == name || found.name.ends_with(&wanted))
}

fn total(profile: &Merged) -> i64 {
    i64::try_from(profile.totals()[0]).unwrap()
}

extern "C" fn somebody_elses(_: libc::c_int) {}

fn set_sigprof(handler: libc::sighandler_t) {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGPROF, handler) };
}

#[tokio::test]
async fn samples_say_what_ran_under_which_label() {
    let folder = tempfile::tempdir().unwrap();
    set_sigprof(somebody_elses as extern "C" fn(libc::c_int) as libc::sighandler_t);
    assert!(!start(folder.path()).await.is_on(), "another profiler's signal was taken away");
    set_sigprof(libc::SIG_DFL);

    let profiler = start(folder.path()).await;
    assert!(profiler.is_on());
    outside();
    invoke(&profiler).await;
    outside();
    profiler.flush(PATIENCE).await.unwrap();
    invoke(&profiler).await;
    profiler.stop(PATIENCE).await.unwrap();
    // A late signal must not end the process.
    // SAFETY: a plain system call.
    unsafe { libc::raise(libc::SIGPROF) };

    let written = files(folder.path());
    assert_eq!(written.len(), 2, "{written:?}");
    for file in &written {
        let profile = read(file);
        let (red, green) = (colors(&profile, "red"), colors(&profile, "green"));
        assert_eq!(red.keys().collect::<Vec<_>>(), ["red"], "{red:?}");
        assert_eq!(green.keys().collect::<Vec<_>>(), ["green"], "{green:?}");
        assert!(colors(&profile, "outside").is_empty(), "sampled between invocations");
        // Per invocation 7 pieces of 20 samples: wide bounds, since this engine loses some
        // on a busy machine, and nothing may be counted twice.
        assert!((50..=170).contains(&total(&profile)), "{}", total(&profile));
        for own in ["marker", "marked", "label_scope"] {
            assert!(colors(&profile, own).is_empty(), "our own `{own}` shows");
        }
    }
    let painter = |sample: &Sample<'_>| sample.label("thread") == Some("painter");
    assert!(read(&written[0]).samples().any(|sample| painter(&sample)));
}
