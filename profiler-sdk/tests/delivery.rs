//! From the end of an invocation to the sink: closing, retrying, dropping, telling.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flambeau_layout::{Note, SnapshotKey, SnapshotNote};
use flambeau_profile::proto::{Profile, Sample, ValueType};
use flambeau_profile::{Limits, Temporality, decode};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use profiler_sdk::{
    DEFAULT_BUDGET, Engine, EngineError, FlushError, Profiler, PutFuture, Receipt, Recorder,
    Settings, Sink, SinkError, SteeringFuture,
};
use tower::{Service, ServiceExt};

/// Long enough for anything that works, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine whose every collection has as many samples as it was resumed.
#[derive(Default, Clone)]
struct Counter(Arc<AtomicU32>);

impl Engine for Counter {
    fn start(&self) -> Result<(), EngineError> {
        Ok(())
    }
    fn resume(&self) {
        self.0.fetch_add(1, SeqCst);
    }
    fn pause(&self) {}
    fn collect(&self, _seq: u64) -> Result<Option<Profile>, EngineError> {
        let resumed = i64::from(self.0.swap(0, SeqCst));
        Ok((resumed > 0).then(|| Profile {
            string_table: ["", "samples", "count"].map(String::from).to_vec(),
            sample_type: vec![ValueType { r#type: 1, unit: 2 }],
            sample: vec![Sample { value: vec![resumed], ..Sample::default() }],
            ..Profile::default()
        }))
    }
    fn stop(&self) {}
}

type Attempt = (String, Bytes);

/// A sink that does as it is told, and remembers what it was asked.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<Vec<Result<Receipt, SinkError>>>>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    down: Arc<AtomicBool>,
    mute: Arc<AtomicBool>,
    steering: Arc<Mutex<Option<String>>>,
    steering_keys: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn answer(&self, answers: impl IntoIterator<Item = Result<Receipt, SinkError>>) {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        *self.answers.lock().unwrap() = answers;
    }

    fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }

    fn seqs(&self) -> Vec<u64> {
        let attempts = self.attempts();
        attempts.iter().map(|(key, _)| key.parse::<SnapshotKey>().unwrap().identity.seq).collect()
    }
}

impl Sink for Scripted {
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> PutFuture<'a> {
        self.attempts.lock().unwrap().push((key.to_owned(), bytes));
        Box::pin(async move {
            if self.mute.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.down.load(SeqCst) {
                return Err(SinkError::Refused("switched off".into()));
            }
            let next = self.answers.lock().unwrap().pop();
            next.unwrap_or(Ok(Receipt::default()))
        })
    }

    fn steering<'a>(&'a self, key: &'a str) -> SteeringFuture<'a> {
        self.steering_keys.lock().unwrap().push(key.to_owned());
        Box::pin(async move { Ok(self.steering.lock().unwrap().clone().map(Bytes::from)) })
    }
}

fn settings(interval: Duration) -> Settings {
    Settings {
        tenant: "t".parse().unwrap(),
        service: "s".parse().unwrap(),
        hz: 99,
        interval,
        steering: false,
        symbols: true,
        billed: false,
        timeline: false,
        budget: DEFAULT_BUDGET,
        labels: BTreeMap::from([("version".to_owned(), "7".to_owned())]),
    }
}

async fn profiler(interval: Duration, sink: &Scripted) -> Profiler {
    Profiler::builder()
        .settings(settings(interval))
        .sink(sink.clone())
        .engine(Counter::default())
        .handle_sigterm(false)
        .start()
        .await
}

async fn invoke(profiler: &Profiler) {
    let handler = service_fn(|event: LambdaEvent<u32>| async move {
        Ok::<u32, std::convert::Infallible>(event.payload + 1)
    });
    let mut profiled = profiler.wrap(handler);
    let event = LambdaEvent::new(41, Context::default());
    assert_eq!(profiled.ready().await.unwrap().call(event).await.unwrap(), 42);
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn opened(bytes: &Bytes) -> (Profile, SnapshotNote) {
    let profile = decode(bytes, &Limits::default()).unwrap();
    let comments = profile.comment.iter().map(|id| profile.string_table[*id as usize].as_str());
    let Some(Note::Snapshot(note)) = Note::find(comments).unwrap() else { panic!("no note") };
    (profile.clone(), note)
}

fn unreachable() -> Result<Receipt, SinkError> {
    Err(SinkError::Unreachable("on purpose".into()))
}

#[tokio::test]
async fn a_due_snapshot_is_written_behind_the_answer() {
    let sink = Scripted::default();
    let profiler = profiler(Duration::ZERO, &sink).await;
    assert!(profiler.is_on());
    for count in 1..=3 {
        invoke(&profiler).await;
        until("written", || sink.attempts().len() == count).await;
    }
    assert_eq!(sink.seqs(), [0, 1, 2]);
    let keys: Vec<SnapshotKey> =
        sink.attempts().iter().map(|(key, _)| key.parse().unwrap()).collect();
    assert_eq!(keys[0].identity.tenant.as_str(), "t");
    assert_eq!(keys[0].identity.service.as_str(), "s");
    assert!(keys[0].to_string().ends_with(".0.cpu.pb.gz"));
    assert_eq!((keys[0].env(), keys[0].boot()), (keys[2].env(), keys[2].boot()));
    let attempts = sink.attempts();
    let inits: Vec<String> =
        attempts.iter().map(|(_, bytes)| opened(bytes).1.labels["init"].clone()).collect();
    assert_eq!(inits, ["cold", "warm", "warm"]);
    let (profile, note) = opened(&attempts[0].1);
    assert_eq!(note.labels["version"], "7");
    assert!(note.start.unwrap() <= note.end.unwrap());
    assert!(note.active_nanos.unwrap() > 0);
    assert_eq!(note.offset_millis, None);
    assert_eq!(profile.time_nanos, note.start.unwrap().as_nanos());
    assert_eq!(profile.sample[0].value, [1]);
}

#[tokio::test]
async fn before_the_interval_nothing_is_closed_and_nothing_is_lost() {
    let sink = Scripted::default();
    let profiler = profiler(Duration::from_secs(3600), &sink).await;
    for _ in 0..5 {
        invoke(&profiler).await;
    }
    assert!(sink.attempts().is_empty());
    profiler.stop(PATIENCE).await.unwrap();
    assert_eq!(sink.seqs(), [0]);
    assert_eq!(opened(&sink.attempts()[0].1).0.sample[0].value, [5]);
    profiler.flush(PATIENCE).await.unwrap();
    assert_eq!(sink.seqs(), [0], "an empty snapshot was written");
}

#[tokio::test]
async fn a_retry_repeats_key_and_bytes() {
    let sink = Scripted::default();
    let there = Receipt { already_there: true, offset_millis: Some(-5000) };
    sink.answer([unreachable(), unreachable(), Ok(there)]);
    let profiler = profiler(Duration::from_secs(3600), &sink).await;
    invoke(&profiler).await;
    profiler.flush(PATIENCE).await.unwrap();
    let attempts = sink.attempts();
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| *attempt == attempts[0]));
    invoke(&profiler).await;
    profiler.flush(PATIENCE).await.unwrap();
    let (_, note) = opened(&sink.attempts()[3].1);
    assert_eq!(note.offset_millis, Some(-5000), "the clock's offset is told next time");
}

#[tokio::test]
async fn what_was_refused_waits_for_the_next_flush() {
    let sink = Scripted::default();
    sink.answer([Err(SinkError::Refused("no permission".into()))]);
    let profiler = profiler(Duration::from_secs(3600), &sink).await;
    invoke(&profiler).await;
    let refused = profiler.flush(PATIENCE).await;
    assert!(matches!(refused, Err(FlushError::NotWritten(_))), "{refused:?}");
    invoke(&profiler).await;
    assert_eq!(profiler.flush(PATIENCE).await, Ok(2));
    assert_eq!(sink.seqs(), [0, 0, 1]);
}

#[tokio::test]
async fn dropped_snapshots_are_told() {
    let sink = Scripted::default();
    sink.down.store(true, SeqCst);
    let profiler = profiler(Duration::from_secs(3600), &sink).await;
    for _ in 0..40 {
        invoke(&profiler).await;
        profiler.flush(PATIENCE).await.unwrap_err();
    }
    sink.down.store(false, SeqCst);
    sink.attempts.lock().unwrap().clear();
    for _ in 0..2 {
        invoke(&profiler).await;
        profiler.flush(PATIENCE).await.unwrap();
    }
    let held = sink.attempts();
    let told: u64 = held.iter().map(|(_, bytes)| opened(bytes).1.dropped).sum();
    assert!(told > 0);
    assert_eq!(held.len() as u64 + told, 42, "some snapshots vanished silently");
}

#[tokio::test]
async fn a_mute_sink_delays_nobody() {
    let sink = Scripted::default();
    sink.mute.store(true, SeqCst);
    let profiler = profiler(Duration::ZERO, &sink).await;
    // Each answer comes although no write ever ends.
    for _ in 0..3 {
        tokio::time::timeout(PATIENCE, invoke(&profiler)).await.unwrap();
    }
    until("attempted", || !sink.attempts().is_empty()).await;
}

#[tokio::test]
async fn overlapping_invocations_are_one_span() {
    let sink = Scripted::default();
    let profiler = profiler(Duration::ZERO, &sink).await;
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    let handler = service_fn(move |_: LambdaEvent<()>| {
        let gate = Arc::clone(&gate);
        async move {
            gate.wait().await;
            Ok::<(), std::convert::Infallible>(())
        }
    });
    let (mut one, mut two) = (profiler.wrap(handler.clone()), profiler.wrap(handler));
    let event = || LambdaEvent::new((), Context::default());
    let both = tokio::join!(one.call(event()), two.call(event()));
    assert!(both.0.is_ok() && both.1.is_ok());
    until("written", || sink.attempts().len() == 1).await;
    assert_eq!(opened(&sink.attempts()[0].1).0.sample[0].value, [1], "resumed once");
}

async fn steered(sink: &Scripted) -> Profiler {
    let settings = Settings { steering: true, ..settings(Duration::from_secs(3600)) };
    let builder = Profiler::builder().settings(settings).sink(sink.clone());
    builder.engine(Counter::default()).handle_sigterm(false).start().await
}

fn steer(sink: &Scripted, document: &str) {
    *sink.steering.lock().unwrap() = Some(document.to_owned());
}

#[tokio::test]
async fn one_environment_of_many_stands_for_all_of_them() {
    let mut sampled = 0;
    for _ in 0..40 {
        let sink = Scripted::default();
        steer(&sink, r#"{"v":1,"one_in":2}"#);
        let profiler = steered(&sink).await;
        invoke(&profiler).await;
        profiler.flush(PATIENCE).await.unwrap();
        if let Some((_, bytes)) = sink.attempts().first() {
            let (profile, note) = opened(bytes);
            assert_eq!((profile.sample[0].value[0], note.weight), (2, 2));
            sampled += 1;
        }
    }
    // All or none of 40 fair coins: once in 10^11 runs.
    assert!((1..40).contains(&sampled), "{sampled} of 40");
}

#[tokio::test]
async fn what_is_steered_holds_from_the_next_span_on() {
    let sink = Scripted::default();
    let profiler = steered(&sink).await;
    steer(&sink, r#"{"v":1,"interval_secs":5,"one_in":1}"#);
    invoke(&profiler).await;
    profiler.flush(PATIENCE).await.unwrap();
    steer(&sink, "rubbish");
    invoke(&profiler).await;
    profiler.flush(PATIENCE).await.unwrap();
    assert_eq!(sink.seqs(), [0, 1], "rubbish changes nothing");
    let keys = sink.steering_keys.lock().unwrap().clone();
    assert_eq!(keys, ["config/t/s.json"; 3], "at the start and behind each flush");
}

#[tokio::test]
async fn steering_that_is_off_reads_nothing() {
    let sink = Scripted::default();
    let profiler = profiler(Duration::from_secs(3600), &sink).await;
    invoke(&profiler).await;
    profiler.flush(PATIENCE).await.unwrap();
    assert!(sink.steering_keys.lock().unwrap().is_empty());
}

struct Broken {
    panics: bool,
}

impl Engine for Broken {
    fn start(&self) -> Result<(), EngineError> {
        assert!(!self.panics, "on purpose");
        Err(EngineError::SignalTaken)
    }
    fn resume(&self) {}
    fn pause(&self) {}
    fn collect(&self, _seq: u64) -> Result<Option<Profile>, EngineError> {
        Ok(None)
    }
    fn stop(&self) {}
}

#[tokio::test]
async fn a_broken_engine_leaves_the_function_alone() {
    for panics in [false, true] {
        let sink = Scripted::default();
        let builder = Profiler::builder().settings(settings(Duration::ZERO)).sink(sink.clone());
        let profiler = builder.engine(Broken { panics }).handle_sigterm(false).start().await;
        assert!(!profiler.is_on());
        invoke(&profiler).await;
        profiler.stop(PATIENCE).await.unwrap();
        assert!(sink.attempts().is_empty());
    }
}

struct PanicsLater;

impl Engine for PanicsLater {
    fn start(&self) -> Result<(), EngineError> {
        Ok(())
    }
    fn resume(&self) {}
    fn pause(&self) {}
    fn collect(&self, _seq: u64) -> Result<Option<Profile>, EngineError> {
        panic!("on purpose")
    }
    fn stop(&self) {}
}

#[tokio::test]
async fn a_panic_of_the_engine_stays_there() {
    let sink = Scripted::default();
    let builder = Profiler::builder().settings(settings(Duration::ZERO)).sink(sink.clone());
    let profiler = builder.engine(PanicsLater).handle_sigterm(false).start().await;
    for _ in 0..2 {
        invoke(&profiler).await;
        let failed = profiler.flush(PATIENCE).await;
        assert!(matches!(failed, Err(FlushError::NotClosed(_))), "{failed:?}");
    }
    assert!(sink.attempts().is_empty());
}

/// An invocation that outlasts the interval, or comes close to its deadline, is not left to
/// its end: that may be a kill. The function's runtime is blocked all the while.
#[tokio::test]
async fn a_long_invocation_is_written_in_its_midst() {
    for (interval, left) in [(Duration::ZERO, 3600), (Duration::from_secs(3600), 1)] {
        let sink = Scripted::default();
        let profiler = profiler(interval, &sink).await;
        let seen = sink.clone();
        let mut profiled = profiler.wrap(service_fn(move |_: LambdaEvent<u32>| {
            let seen = seen.clone();
            async move {
                let begun = Instant::now();
                while seen.attempts().is_empty() && begun.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok::<usize, std::convert::Infallible>(seen.attempts().len())
            }
        }));
        let mut context = Context::default();
        let deadline = SystemTime::now() + Duration::from_secs(left);
        context.deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let event = LambdaEvent::new(0, context);
        assert_ne!(profiled.ready().await.unwrap().call(event).await.unwrap(), 0);
    }
}

struct Letters;

impl Recorder for Letters {
    fn profile_type(&self) -> &'static str {
        "letters"
    }
    fn collect(&self) -> Option<Profile> {
        let mut strings = vec![String::new()];
        strings.extend(["alloc_space", "bytes"].map(String::from));
        Some(Profile {
            string_table: strings,
            sample_type: vec![ValueType { r#type: 1, unit: 2 }],
            sample: vec![Sample { value: vec![3], ..Sample::default() }],
            ..Profile::default()
        })
    }
    fn temporality(&self) -> BTreeMap<String, Temporality> {
        BTreeMap::from([("alloc_space".to_owned(), Temporality::Delta)])
    }
}

#[tokio::test]
async fn several_types_share_one_object() {
    let sink = Scripted::default();
    let builder = Profiler::builder().settings(settings(Duration::ZERO)).sink(sink.clone());
    let builder = builder.engine(Counter::default()).recorder(Letters).handle_sigterm(false);
    let profiler = builder.start().await;
    invoke(&profiler).await;
    until("written", || !sink.attempts().is_empty()).await;
    let (key, bytes) = sink.attempts()[0].clone();
    assert!(key.ends_with(".0.zip"), "{key}");
    let entries = flambeau_layout::archive::read(&bytes, 1 << 20).unwrap();
    let opened: Vec<_> = entries
        .into_iter()
        .map(|(name, bytes)| (name, opened(&Bytes::from(bytes.unwrap())).1))
        .collect();
    let names: Vec<_> = opened.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cpu.pb.gz", "letters.pb.gz"]);
    assert_eq!(opened[0].1.labels, opened[1].1.labels);
    assert_eq!(opened[0].1.temporality.len(), 0);
    assert_eq!(opened[1].1.temporality["alloc_space"], Temporality::Delta);
}

#[tokio::test]
async fn an_engine_whose_samples_have_no_time_gives_no_timeline() {
    let sink = Scripted::default();
    let wanted = Settings { timeline: true, ..settings(Duration::ZERO) };
    let builder = Profiler::builder().settings(wanted).sink(sink.clone());
    let builder = builder.engine(Counter::default()).handle_sigterm(false);
    let profiler = builder.start().await;
    invoke(&profiler).await;
    until("written", || !sink.attempts().is_empty()).await;
    assert!(sink.attempts()[0].0.ends_with(".0.cpu.pb.gz"));
}

#[tokio::test]
async fn the_loop_samples_by_the_clock_and_skips_what_it_does_not_know() {
    let sink = Scripted::default();
    let builder = Profiler::builder().settings(settings(Duration::from_secs(3600)));
    let builder = builder.sink(sink.clone()).engine(Counter::default()).recorder(Letters);
    let tick = Duration::from_millis(1);
    let types = ["cpu", "letters", "goroutine"];
    let builder = builder.handle_sigterm(false);
    let profiler = builder.schedule(tick, tick, &types).await;
    until("three rounds", || sink.attempts().len() >= 3).await;
    assert!(sink.attempts().iter().all(|(key, _)| key.ends_with(".zip")));
    profiler.stop(PATIENCE).await.unwrap();
}
