//! Lifetimes on a simulated clock: more than two months day by day, with
//! outages, and then years by leaps. After each day every answer is exact, and
//! every row names bytes that are there.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, sync::Arc};

use flambeau_index::{State, TICK_MILLIS, tick};
use flambeau_layout::{
    KeyDate, Level, MergedKey, ParkReason, ServiceName, SnapshotKey, TenantId, UnixMillis, Window,
    lifetime::{DAY_MILLIS, QUEUE_DAYS, SEGMENT_DAYS, SNAPSHOT_DAYS},
    object::{BLOCKS, SEGMENTS},
    snapshot::SNAPSHOTS,
};
use flambeau_pipeline::{
    ItemOutcome,
    catalogue::repair,
    drain, merge,
    rebuild::rebuild,
    sweep::{expire, is_daily_turn},
    verify,
};
use flambeau_query::{QueryError, Range};
use flambeau_store::ErrorKind;
use flambeau_tests::{
    faults::{
        Faults, Model, Outcome, Random, Snapshot, Stores, check_objects, check_range_at,
        check_read_at, deliver_at, learn, merge_options,
    },
    stack::now,
};

const HOUR: i64 = 3_600_000;
/// Days lived one by one.
const DAYS: i64 = 70;
/// Merge is down from the first day to before the last.
const MERGE_DOWN: std::ops::Range<i64> = 20..25;
/// So is index.
const INDEX_DOWN: std::ops::Range<i64> = 8..13;
/// Writes every day. Both are so named that their daily turn is their tenant's:
/// one tick is enough for all.
const STEADY: &str = "steady-28";
/// Writes on one day only, when index is down.
const BRIEF: &str = "brief-11";
const BRIEF_DAY: i64 = 9;

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

/// A message: when it was sent, and what it names.
#[derive(Debug, Clone)]
struct Message {
    sent: UnixMillis,
    key: String,
}

struct Calendar {
    stores: Stores,
    begin: UnixMillis,
    model: Model,
    queue: Vec<Message>,
    /// Keys whose messages outlived the queue.
    lost: Vec<String>,
    random: Random,
    seq: u64,
    objects_deleted: usize,
    items_expired: usize,
    answers: usize,
}

impl Calendar {
    async fn begin() -> Self {
        let begin = UnixMillis(now().0 / DAY_MILLIS * DAY_MILLIS);
        Self {
            stores: Stores::start_at(begin).await.unwrap(),
            begin,
            model: Model::default(),
            queue: Vec::new(),
            lost: Vec::new(),
            random: Random::new(1),
            seq: 0,
            objects_deleted: 0,
            items_expired: 0,
            answers: 0,
        }
    }

    fn at(&self, day: i64, millis: i64) -> UnixMillis {
        self.begin.plus_millis(day * DAY_MILLIS + millis)
    }

    /// It is now so late.
    fn set(&self, now: UnixMillis) -> UnixMillis {
        self.stores.set_clock(now);
        now
    }

    /// A snapshot that ended a minute ago.
    fn snapshot(&mut self, service: &str, now: UnixMillis) -> Snapshot {
        self.seq += 1;
        Snapshot::good(service, self.seq, &["cpu"], (now.plus_millis(-60_000), 0)).unwrap()
    }

    async fn write(&mut self, service: &str, now: UnixMillis) -> String {
        let snapshot = self.snapshot(service, now);
        self.stores.accept(&mut self.model, &snapshot).await.unwrap();
        self.queue.push(Message { sent: now, key: snapshot.key.clone() });
        snapshot.key
    }

    async fn deliver(&mut self, faults: Option<&Arc<Faults>>, now: UnixMillis) {
        let keys: Vec<String> = self.queue.iter().map(|message| message.key.clone()).collect();
        let store = faults.map_or_else(|| self.stores.store.clone(), |f| self.stores.through(f));
        let again = deliver_at(&store, &keys, None, now).await.unwrap();
        self.queue.retain(|message| again.contains(&message.key));
        learn(&self.stores.store, &mut self.model).await.unwrap();
    }

    async fn tick(&self, now: UnixMillis) {
        let state = State { store: self.stores.store.clone(), tenant: tenant() };
        let ticked = tick(&state, now).await.unwrap();
        assert_eq!((ticked.refused, ticked.failed), (0, 0), "{ticked:?}");
    }

    /// Ticks, after the catalogue has learnt the services as by an event.
    async fn tick_knowing(&self, now: UnixMillis) {
        let store = &self.stores.store;
        repair(store, &tenant(), self.begin, now).await.unwrap();
        self.tick(now).await;
    }

    /// When the daily turn of the services and of their tenant comes on a day.
    fn turns(&self, day: i64) -> BTreeSet<UnixMillis> {
        let ticks = (0..DAY_MILLIS / TICK_MILLIS).map(|n| self.at(day, n * TICK_MILLIS));
        let is_turn = |at: &UnixMillis| {
            [STEADY, BRIEF, "default"].iter().any(|name| is_daily_turn(name, *at))
        };
        let turns: BTreeSet<UnixMillis> = ticks.filter(is_turn).collect();
        assert_eq!(turns.len(), 1);
        turns
    }

    /// What rules of the bucket, of the tables and of the queue do by the day.
    async fn expire(&mut self, now: UnixMillis) {
        self.objects_deleted += expire(&self.stores.store, &tenant(), now).await.unwrap();
        self.items_expired += self.stores.expire_items(now).await.unwrap();
        let oldest = now.plus_millis(-QUEUE_DAYS * DAY_MILLIS);
        let (kept, lost) =
            std::mem::take(&mut self.queue).into_iter().partition(|m| m.sent > oldest);
        self.queue = kept;
        let lost: Vec<Message> = lost;
        self.lost.extend(lost.into_iter().map(|message| message.key));
    }

    /// One day of writing, merging, ticking, expiring.
    async fn live(&mut self, day: i64) {
        let (merges, indexes) = (!MERGE_DOWN.contains(&day), !INDEX_DOWN.contains(&day));
        let hours: &[i64] = if day % 7 == BRIEF_DAY % 7 { &[3, 15] } else { &[15] };
        for hour in hours {
            let now = self.set(self.at(day, hour * HOUR + 7 * 60_000));
            self.write(STEADY, now).await;
            if day == BRIEF_DAY {
                self.write(BRIEF, now).await;
            }
            if merges {
                // On that day one dies between two commits and their mark.
                let unmarked = day == BRIEF_DAY && *hour == 15;
                let faults = unmarked.then(|| Faults::script([(3, Outcome::KillBefore)]));
                self.deliver(faults.as_ref(), now).await;
            }
        }
        let mut ticks = self.turns(day);
        if day % 3 == 0 {
            ticks.insert(self.at(day, 15 * HOUR + 20 * 60_000));
        }
        for now in ticks.into_iter().filter(|_| indexes) {
            self.tick(self.set(now)).await;
        }
        let midnight = self.set(self.at(day + 1, -1));
        self.expire(midnight).await;
    }

    async fn check(&mut self, day: i64, now: UnixMillis) {
        let services: [ServiceName; 2] = [STEADY, BRIEF].map(|name| name.parse().unwrap());
        let fail = |error: anyhow::Error| panic!("day {day}: {error:#}");
        check_objects(&self.stores.store, &services).await.map(drop).unwrap_or_else(fail);
        let (a, b) = (self.random.below(day as usize + 1), self.random.below(day as usize + 1));
        let (a, b) = (a.min(b) as i64, a.max(b) as i64);
        let hours = self.random.below(24) as i64 * HOUR;
        let old = Range { from: self.at(a, hours), until: self.at(b, hours + HOUR) };
        let recent = Range { from: now.plus_millis(-30 * HOUR), until: now };
        let typ = "cpu".parse().unwrap();
        for (service, range) in [
            (&services[0], Range::all()),
            (&services[0], old),
            (&services[0], recent),
            (&services[1], Range::all()),
        ] {
            let asked = (service, &typ);
            check_range_at(&self.stores.store, &self.model, asked, range, now)
                .await
                .unwrap_or_else(fail);
            self.answers += 1;
        }
    }

    /// After the outage: what the queue lost is known to `verify`, and a
    /// rebuild gives it back, because raw snapshots outlive the queue.
    async fn recover(&mut self, day: i64) {
        let now = self.set(self.at(day, HOUR));
        self.deliver(None, now).await;
        let all = Range::all();
        let scope = verify::Scope { tenant: tenant(), service: None, range: (all.from, all.until) };
        let verified = verify::verify(&self.stores.store, &scope).await.unwrap();
        assert_eq!(verified.differences, Vec::<String>::new());
        assert_eq!(verified.queued as usize, self.lost.len());
        assert!(!self.lost.is_empty());
        let rebuilt = rebuild(&self.stores.store, &tenant(), now).await.unwrap();
        let mut requeued = rebuilt.requeue.clone();
        requeued.sort();
        self.lost.sort();
        assert_eq!(requeued, self.lost);
        self.queue.extend(rebuilt.requeue.into_iter().map(|key| Message { sent: now, key }));
        self.deliver(None, now).await;
        assert!(self.queue.is_empty() && self.model.queued().is_empty());
        self.lost.clear();
    }

    /// Puts a raw snapshot as if it had been written then and never expired.
    async fn keep(&self, snapshot: &Snapshot, written: UnixMillis, now: UnixMillis) {
        self.set(written);
        self.stores.store.put_new(&snapshot.key, snapshot.bytes.clone(), "").await.unwrap();
        self.set(now);
    }

    async fn merge_one(&self, key: &str, now: UnixMillis) -> ItemOutcome {
        let options = merge_options(now).unwrap();
        merge(&self.stores.store, &[key.to_owned()], &options).await.outcomes.remove(0)
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let objects = self.stores.store.list_all(&format!("{prefix}default/")).await.unwrap();
        objects.into_iter().map(|object| object.key).collect()
    }

    /// Begins of the windows whose rolled-up objects of a level are there.
    async fn rolled_up(&self, level: Level) -> BTreeSet<UnixMillis> {
        let keys = self.keys(BLOCKS).await;
        let parsed = keys.iter().filter_map(|key| key.parse::<MergedKey>().ok());
        let of_level = parsed.filter(|key| key.window.level == level);
        of_level.map(|key| key.window.start).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_exact_on_each_of_many_days() {
    let mut calendar = Calendar::begin().await;
    for day in 0..DAYS {
        if day == MERGE_DOWN.end {
            calendar.recover(day).await;
        }
        calendar.live(day).await;
        calendar.check(day, calendar.stores.now()).await;
    }
    let (first, last) = (calendar.begin, calendar.stores.now());
    let segments = calendar.keys(SEGMENTS).await;
    let oldest = KeyDate::of(last.plus_millis(-(SEGMENT_DAYS + 1) * DAY_MILLIS)).to_string();
    let date = |key: &String| key.split('/').nth(2).unwrap_or_default().to_owned();
    assert!(segments.iter().all(|key| date(key) >= oldest), "{segments:#?}");
    assert!(calendar.keys(SNAPSHOTS).await.len() as i64 <= 2 * (SNAPSHOT_DAYS + 1));
    assert!(calendar.rolled_up(Level::Hour).await.contains(&hour_of(first.plus_millis(15 * HOUR))));

    // Years by leaps: hours are forgotten after 90 days, days after 400.
    for day in [95, 101, 130, 131, 540, 541] {
        for now in calendar.turns(day) {
            calendar.tick(calendar.set(now)).await;
        }
        let midnight = calendar.set(calendar.at(day + 1, -1));
        calendar.expire(midnight).await;
        calendar.check(day.min(DAYS - 1), midnight).await;
        if day == 101 {
            let hours = calendar.rolled_up(Level::Hour).await;
            assert!(hours.iter().all(|start| *start >= calendar.at(3, 0)), "{hours:?}");
        }
    }
    assert_eq!(calendar.rolled_up(Level::Hour).await, BTreeSet::new());
    assert_eq!(calendar.rolled_up(Level::Day).await, BTreeSet::new());
    assert!(!calendar.rolled_up(Level::Month).await.is_empty());
    let Calendar { answers, objects_deleted, items_expired, .. } = &calendar;
    println!(
        "lifetimes: {DAYS} days and 541 by leaps, {answers} exact answers, \
         {objects_deleted} objects and {items_expired} items expired"
    );
    calendar.stores.stop().await;
}

fn hour_of(time: UnixMillis) -> UnixMillis {
    Window::of(Level::Hour, time).start
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_and_copies_come_back_after_weeks_and_count_once_or_are_parked() {
    let mut calendar = Calendar::begin().await;
    let store = calendar.stores.store.clone();
    let day_0 = calendar.set(calendar.at(0, 3 * HOUR));
    let merged = calendar.snapshot(STEADY, day_0);
    calendar.stores.accept(&mut calendar.model, &merged).await.unwrap();
    assert_eq!(calendar.merge_one(&merged.key, day_0).await, ItemOutcome::Merged);
    // Given up at once, and redriven while its snapshot is there.
    let soon = calendar.snapshot(STEADY, day_0);
    calendar.stores.accept(&mut calendar.model, &soon).await.unwrap();
    // Given up, and redriven when its snapshot is gone.
    let gone = calendar.snapshot(STEADY, day_0);
    calendar.stores.store.put_new(&gone.key, gone.bytes.clone(), "").await.unwrap();
    for key in [&soon.key, &gone.key] {
        let options = merge_options(day_0).unwrap();
        let outcome = drain(&store, key, "given up", &options).await.unwrap();
        assert_eq!(outcome, ItemOutcome::Parked(ParkReason::RetriesExhausted));
    }
    let day_5 = calendar.set(calendar.at(5, 0));
    assert_eq!(calendar.merge_one(&soon.key, day_5).await, ItemOutcome::Merged);
    learn(&store, &mut calendar.model).await.unwrap();

    let day_25 = calendar.set(calendar.at(25, 3 * HOUR));
    calendar.expire(day_25).await;
    assert_eq!(calendar.keys(SNAPSHOTS).await, Vec::<String>::new());
    let outcome = calendar.merge_one(&gone.key, day_25).await;
    assert_eq!(outcome, ItemOutcome::Parked(ParkReason::Missing));
    assert_eq!(calendar.merge_one(&merged.key, day_25).await, ItemOutcome::AlreadyThere);
    // A bucket that keeps raw snapshots longer: 21 days are the limit.
    let (kept, late) = (calendar.snapshot(STEADY, day_25), calendar.snapshot(STEADY, day_0));
    let limit = day_25.plus_millis(-21 * DAY_MILLIS);
    calendar.keep(&late, limit.plus_millis(-1000), day_25).await;
    let outcome = calendar.merge_one(&late.key, day_25).await;
    assert_eq!(outcome, ItemOutcome::Parked(ParkReason::TooLate));
    calendar.keep(&kept, limit, day_25).await;
    assert_eq!(calendar.merge_one(&kept.key, day_25).await, ItemOutcome::Merged);
    calendar.model.accept(&kept, limit);
    learn(&store, &mut calendar.model).await.unwrap();

    // The claim has expired: what was merged may not be merged again.
    let day_31 = calendar.set(calendar.at(31, 0));
    calendar.expire(day_31).await;
    let identity = merged.key.parse::<SnapshotKey>().unwrap().identity.hash();
    assert!(store.claims_of(&[identity]).await.unwrap().is_empty());
    calendar.keep(&merged, day_0, day_31).await;
    let outcome = calendar.merge_one(&merged.key, day_31).await;
    assert_eq!(outcome, ItemOutcome::Parked(ParkReason::TooLate));
    calendar.stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_whose_object_has_gone_is_answered_from_coarser_ones_or_not_at_all() {
    let mut calendar = Calendar::begin().await;
    let store = calendar.stores.store.clone();
    let mut ends = Vec::new();
    for minutes in [5, 6, 40] {
        let now = calendar.set(calendar.at(0, 3 * HOUR + minutes * 60_000));
        calendar.write(STEADY, now).await;
        calendar.deliver(None, now).await;
        ends.push(now.plus_millis(-60_000));
    }
    let (service, typ) = (STEADY.parse().unwrap(), "cpu".parse().unwrap());
    let minute = Window::of(Level::Minute, ends[1]);
    let range = Range { from: minute.start, until: minute.end() };
    let later = calendar.set(calendar.at(0, 9 * HOUR));
    let model = &calendar.model;
    let ask = async || check_read_at(&store, model, (&service, &typ), range, later).await;
    assert_eq!(ask().await.unwrap().from_level, Level::Minute);
    calendar.tick_knowing(later).await;
    assert_eq!(ask().await.unwrap().from_level, Level::Minute);
    for key in calendar.keys(SEGMENTS).await.iter().filter(|key| key.ends_with(".zip")) {
        store.delete(key).await.unwrap();
    }
    let plan = ask().await.unwrap();
    assert_eq!((plan.from_level, plan.snapshots()), (Level::Hour, 3));
    // And where no coarser one holds it, it is an error, not a smaller answer.
    for key in calendar.keys(BLOCKS).await {
        store.delete(&key).await.unwrap();
    }
    let error = ask().await.unwrap_err();
    let missing = error.chain().any(|cause| match cause.downcast_ref::<QueryError>() {
        Some(QueryError::Store(error)) => error.kind() == ErrorKind::NotFound,
        _ => false,
    });
    assert!(missing, "{error:#}");
    calendar.stores.stop().await;
}
