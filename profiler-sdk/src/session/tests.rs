//! A day of an environment in simulated time.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flambeau_layout::{Note, SnapshotKey, SnapshotNote, UnixMillis};
use flambeau_profile::proto::{Profile, Sample, ValueType};
use flambeau_profile::{Limits, decode};

use super::clock::Moment;
use super::{DEFAULT_BUDGET, MAX_DELAY, Session};
use crate::engine::{Engine, EngineError};
use crate::settings::Settings;
use crate::sink::{PutFuture, Receipt, Sink};

const HOUR: i64 = 3_600_000;

/// Simulated clocks: what passes, and by how much the wall clock was set wrong.
#[derive(Default)]
struct Day {
    steady_millis: AtomicU64,
    wrong_millis: AtomicI64,
}

impl Day {
    fn now(&self) -> Moment {
        let steady = self.steady_millis.load(SeqCst);
        let wall = 1_800_000_000_000 + steady as i64 + self.wrong_millis.load(SeqCst);
        Moment { steady: Duration::from_millis(steady), wall: UnixMillis(wall) }
    }

    fn pass(&self, millis: u64) {
        self.steady_millis.fetch_add(millis, SeqCst);
    }
}

/// Gives one sample per millisecond in which something ran.
struct Ticks {
    day: Arc<Day>,
    resumed: AtomicU64,
    sampled: AtomicU64,
}

impl Engine for Ticks {
    fn start(&self) -> Result<(), EngineError> {
        Ok(())
    }
    fn resume(&self) {
        self.resumed.store(self.day.steady_millis.load(SeqCst), SeqCst);
    }
    fn pause(&self) {
        let ran = self.day.steady_millis.load(SeqCst) - self.resumed.load(SeqCst);
        self.sampled.fetch_add(ran, SeqCst);
    }
    fn collect(&self, _seq: u64) -> Result<Option<Profile>, EngineError> {
        let samples = self.sampled.swap(0, SeqCst);
        let text = ["", "samples", "count"].map(String::from).to_vec();
        Ok((samples > 0).then(|| Profile {
            string_table: text,
            sample_type: vec![ValueType { r#type: 1, unit: 2 }],
            sample: vec![Sample { value: vec![samples as i64], ..Sample::default() }],
            ..Profile::default()
        }))
    }
    fn stop(&self) {}
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(String, Bytes)>>>);

impl Sink for Kept {
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> PutFuture<'a> {
        self.0.lock().unwrap().push((key.to_owned(), bytes));
        Box::pin(async { Ok(Receipt::default()) })
    }
}

fn session(day: &Arc<Day>, kept: &Kept) -> Arc<Session> {
    let settings = Settings {
        tenant: "t".parse().unwrap(),
        service: "day".parse().unwrap(),
        hz: 99,
        interval: Duration::from_secs(60),
        steering: false,
        symbols: false,
        billed: false,
        timeline: false,
        budget: DEFAULT_BUDGET,
        labels: BTreeMap::new(),
    };
    let engine =
        Ticks { day: Arc::clone(day), resumed: AtomicU64::new(0), sampled: AtomicU64::new(0) };
    let mut session =
        Session::new(settings, Arc::new(engine), Vec::new(), Box::new(kept.clone()), None);
    let clock = Arc::clone(day);
    session.now = Box::new(move || clock.now());
    Arc::new(session)
}

fn opened(bytes: &[u8]) -> (i64, SnapshotNote) {
    let profile = decode(bytes, &Limits::default()).unwrap();
    let samples = profile.sample.iter().map(|sample| sample.value[0]).sum();
    let comments = profile.comment.iter().map(|id| profile.string_table[*id as usize].as_str());
    let Some(Note::Snapshot(note)) = Note::find(comments).unwrap() else { panic!("no note") };
    (samples, note)
}

/// 8 640 invocations of 10 to 400 ms, frozen in between for seconds and, five times, for hours
/// more; the wall clock is set an hour forth and back.
#[tokio::test]
async fn a_day_of_freezes_and_wrong_clocks_loses_nothing() {
    let day = Arc::new(Day::default());
    let kept = Kept::default();
    let session = session(&day, &kept);
    let mut ran = 0;
    for nth in 0..8_640_u64 {
        let millis = 10 + nth * 7919 % 391;
        let running = session.begin(None);
        day.pass(millis);
        drop(running);
        ran += millis as i64;
        day.pass(if nth % 1_728 == 1_727 { 2 * HOUR as u64 } else { 10_000 - millis });
        day.wrong_millis.store([0, HOUR, -HOUR][nth as usize / 500 % 3], SeqCst);
        if session.is_due() {
            session.close_and_deliver(None).await.unwrap();
        }
        assert!(session.delivery.outbox().len() == 0);
    }
    session.close_and_deliver(None).await.unwrap();

    let written = kept.0.lock().unwrap();
    let mut samples = 0;
    for (nth, (key, bytes)) in written.iter().enumerate() {
        let key: SnapshotKey = key.parse().unwrap();
        assert_eq!(key.identity.seq, nth as u64, "order hangs on no clock");
        let (more, note) = opened(bytes);
        samples += more;
        assert!(note.start <= note.end, "{note:?}");
        assert_eq!(note.active_nanos, Some(more * 1_000_000), "frozen time counted");
    }
    assert_eq!(samples, ran);
    // Few calls: a snapshot each MAX_DELAY, not each minute on the clock.
    let day_in_delays = 24 * HOUR as usize / MAX_DELAY.as_millis() as usize;
    assert!((day_in_delays / 2..=day_in_delays + 10).contains(&written.len()), "{}", written.len());
}
