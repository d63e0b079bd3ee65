//! Compaction, sweep, rebuild, check and erasure on the embedded stores.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use flambeau_layout::{
    BlockRow, Level, ParkReason, ProfileType, RowState, ServiceName, TenantId, Total, UnixMillis,
};
use flambeau_local::{
    dynamo::EmbeddedDynamo,
    loopback::Served,
    s3::{ACCESS_KEY_ID, EmbeddedS3, Options, SECRET_ACCESS_KEY},
};
use flambeau_pipeline::{
    CompactOptions, CompactReport, ItemOutcome, MergeOptions, Scope, catalogue, check, compact,
    drain, erase, merge, rebuild::rebuild, sweep,
};
use flambeau_profile::{
    DEFAULT_LEVEL, Limits, encode_gzip,
    proto::{Function, Line, Location, Profile, Sample, ValueType},
};
use flambeau_query::{Plan, Range, Selection, fetch, plan};
use flambeau_store::{Config, Effect, ErrorKind, Hook, Seam, Store, StoreError};
use tempfile::TempDir;
use tokio::net::TcpListener;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

struct Stack {
    config: Config,
    store: Store,
    now: UnixMillis,
    /// Start of the day four days ago.
    base: i64,
    _servers: [Served; 2],
    _dir: TempDir,
}

impl Stack {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (s3_dir, dynamo_dir) = (dir.path().join("s3"), dir.path().join("dynamodb"));
        let opened = tokio::task::spawn_blocking(move || {
            let s3 = EmbeddedS3::open(&s3_dir, Options::default()).unwrap();
            (s3, EmbeddedDynamo::open(&dynamo_dir).unwrap())
        });
        let (s3, dynamo) = opened.await.unwrap();
        let listener = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = s3.serve(listener().await).unwrap();
        let dynamo = dynamo.serve(listener().await).unwrap();
        let config = Config {
            bucket: "flambeau".to_owned(),
            table: "flambeau".to_owned(),
            s3_endpoint: Some(s3.url()),
            dynamodb_endpoint: Some(dynamo.url()),
            credentials: Some((ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned())),
        };
        let store = Store::connect(&config).await.with_page_size(1);
        store.create().await.unwrap();
        let now = UnixMillis::from(jiff::Timestamp::now());
        let base = (now.0 - 4 * DAY).div_euclid(DAY) * DAY;
        Self { config, store, now, base, _servers: [s3, dynamo], _dir: dir }
    }

    /// Puts a snapshot that ends `offset` after the base; answers its key.
    async fn put(&self, service: &str, seq: i64, offset: i64) -> String {
        let key = format!("snapshots/default/{service}/2026-01-01/e1.b1.{seq}.cpu.pb.gz");
        let bytes = encode_gzip(&cpu(1000 + seq, self.base + offset));
        self.store.put_new(&key, bytes.into(), "application/gzip").await.unwrap();
        key
    }

    async fn merge(&self, store: &Store, keys: &[String], now: UnixMillis) -> Vec<ItemOutcome> {
        let (tenant, limits) = (tenant(), Limits::default());
        let options = MergeOptions { tenant, now, fetches: 4, limits };
        Box::pin(merge(store, keys, &options)).await.outcomes
    }

    /// One block per snapshot, over minutes, hours and two days.
    async fn fill(&self, service: &str, snapshots: usize) {
        let day_two = DAY + 7 * HOUR;
        let offsets = [
            0,
            1,
            2,
            3,
            4,
            61_000,
            62_000,
            30 * MINUTE,
            59 * MINUTE,
            HOUR,
            HOUR + MINUTE,
            5 * HOUR,
            day_two,
            day_two + 1,
            day_two + 90 * MINUTE,
        ];
        // Written long enough ago that nothing waits for stragglers.
        let written = self.now.plus_millis(-2 * DAY);
        for (seq, offset) in (0..).zip(offsets).take(snapshots) {
            let key = self.put(service, seq, offset).await;
            let outcomes = self.merge(&self.store, &[key], written).await;
            assert_eq!(outcomes, [ItemOutcome::Merged]);
        }
    }

    fn ranges(&self) -> Vec<Range> {
        let at = |offset: i64| UnixMillis(self.base + offset);
        let range = |from, until| Range { from: at(from), until: at(until) };
        vec![
            Range::all(),
            range(0, DAY),
            range(0, MINUTE),
            range(MINUTE, HOUR + MINUTE),
            range(30 * MINUTE, DAY + 8 * HOUR),
            range(59 * MINUTE, DAY + 7 * HOUR + MINUTE),
        ]
    }

    async fn plans(&self, store: &Store, service: &str) -> Vec<Plan> {
        let mut plans = Vec::new();
        for range in self.ranges() {
            plans.push(plan(store, &selection(service, range)).await.unwrap());
        }
        plans
    }

    async fn totals(&self, service: &str) -> Vec<Vec<(String, Total)>> {
        self.plans(&self.store, service).await.iter().map(Plan::totals).collect()
    }

    /// Compacts now, and again when what that made has settled.
    async fn compact(&self, store: &Store, service: &str) -> Result<CompactReport, StoreError> {
        let mut sum = CompactReport::default();
        for now in [self.now, self.now.plus_millis(2 * HOUR)] {
            let options = CompactOptions { now, limits: Limits::default() };
            let report = compact(store, &tenant(), &name(service), &Scope::All, &options).await?;
            sum.rollups += report.rollups;
            sum.retired += report.retired;
            sum.lost += report.lost;
            sum.refused.extend(report.refused);
        }
        Ok(sum)
    }

    async fn open(&self, service: &str, level: Level) -> Vec<BlockRow> {
        let range = (UnixMillis(0), self.now);
        let rows = self.store.rows(&tenant(), &name(service), RowState::Open, level, range).await;
        rows.unwrap().into_iter().map(|indexed| indexed.row).collect()
    }
}

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

fn name(service: &str) -> ServiceName {
    service.parse().unwrap()
}

fn selection(service: &str, range: Range) -> Selection {
    let typ: ProfileType = "cpu".parse().unwrap();
    Selection { tenant: tenant(), service: name(service), typ, range }
}

/// One sample of `nanos`, taken at `millis`.
fn cpu(nanos: i64, millis: i64) -> Profile {
    Profile {
        string_table: ["", "cpu", "nanoseconds", "main"].map(str::to_owned).to_vec(),
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        function: vec![Function { id: 1, name: 3, ..Default::default() }],
        location: vec![Location {
            id: 1,
            line: vec![Line { function_id: 1, line: 1, column: 0 }],
            ..Default::default()
        }],
        sample: vec![Sample { location_id: vec![1], value: vec![nanos], ..Default::default() }],
        time_nanos: millis * 1_000_000,
        ..Default::default()
    }
}

/// Refuses effects: before they happen, or after.
struct Fault {
    /// Effects let pass first.
    pass: AtomicUsize,
    after: bool,
    which: fn(&Effect) -> bool,
}

impl Fault {
    fn new(pass: usize, after: bool, which: fn(&Effect) -> bool) -> Arc<Self> {
        Arc::new(Self { pass: AtomicUsize::new(pass), after, which })
    }

    fn judge(&self, effect: &Effect) -> Result<(), StoreError> {
        let spend = |left: usize| left.checked_sub(1);
        if !(self.which)(effect)
            || self.pass.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok()
        {
            return Ok(());
        }
        Err(StoreError::new(ErrorKind::Denied, format!("{effect}"), "killed by the test"))
    }
}

impl Seam for Fault {
    fn before<'a>(&'a self, effect: &'a Effect) -> Hook<'a, usize> {
        let ended = if self.after { Ok(()) } else { self.judge(effect) };
        Box::pin(async { ended.map(|()| 1) })
    }

    fn after<'a>(&'a self, effect: &'a Effect) -> Hook<'a, ()> {
        let ended = if self.after { self.judge(effect) } else { Ok(()) };
        Box::pin(async { ended })
    }
}

#[tokio::test]
async fn answers_stay_while_blocks_become_few() {
    let stack = Stack::start().await;
    stack.fill("s", 15).await;
    let before = stack.totals("s").await;
    let report = stack.compact(&stack.store, "s").await.unwrap();
    assert!(report.rollups > 0 && report.refused.is_empty(), "{report:?}");
    let plans = stack.plans(&stack.store, "s").await;
    assert_eq!(before, plans.iter().map(Plan::totals).collect::<Vec<_>>());
    // One block a day, or of a 32-day window that ended meanwhile.
    assert!(plans[0].blocks.len() <= 2, "{}", plans[0].blocks.len());
    assert!(stack.open("s", Level::Minute).await.is_empty());
    assert!(stack.open("s", Level::Hour).await.is_empty());
    for plan in &plans {
        let merged = fetch(&stack.store, plan, &Limits::default()).await.unwrap();
        let totals: Vec<Total> = merged.totals().iter().copied().map(Total).collect();
        assert_eq!(totals, plan.totals().into_iter().map(|(_, t)| t).collect::<Vec<_>>());
        let moments = plan.timeline(HOUR).moments;
        assert_eq!(moments.iter().map(|moment| moment.totals[0]).sum::<Total>(), totals[0]);
        assert_eq!(moments.iter().map(|moment| moment.snapshots).sum::<u64>(), plan.snapshots());
    }
    // Doing it again does nothing.
    let again = stack.compact(&stack.store, "s").await.unwrap();
    assert_eq!(again, CompactReport::default());
    // A latecomer gets a rollup of its own, and counts.
    let key = stack.put("s", 99, 10 * MINUTE).await;
    stack.merge(&stack.store, &[key], stack.now.plus_millis(-2 * DAY)).await;
    stack.compact(&stack.store, "s").await.unwrap();
    let late = plan(&stack.store, &selection("s", Range::all())).await.unwrap();
    assert!(late.blocks.len() <= 3, "{}", late.blocks.len());
    assert_eq!(late.snapshots(), 16);
    let (everything, child) = (selection("s", Range::all()), &late.blocks[0].children[0]);
    assert!(flambeau_query::block(&stack.store, &everything, child).await.is_ok());
    let checked = check::check_service(&stack.store, &tenant(), &name("s")).await.unwrap();
    assert_eq!(checked.findings, []);
    assert!(checked.rollups >= report.rollups);
}

#[tokio::test]
async fn a_compactor_may_die_at_every_effect() {
    for after in [false, true] {
        let stack = Stack::start().await;
        stack.fill("s", 6).await;
        let whole =
            async || plan(&stack.store, &selection("s", Range::all())).await.unwrap().totals();
        let truth = whole().await;
        let mut deaths = 0;
        loop {
            // Always dying at the same place would never end: die a little later with
            // every third death. (Children retire side by side, so how far one run
            // gets differs; that some run gets through does not.)
            let pass = deaths / 3;
            assert!(pass < 100, "no end after {deaths} deaths");
            let dying = stack.store.clone().with_seam(Fault::new(pass, after, |_| true));
            let ended = stack.compact(&dying, "s").await;
            assert_eq!(whole().await, truth, "after {deaths} deaths");
            match ended {
                Ok(_) => break,
                Err(_) => deaths += 1,
            }
        }
        assert!(deaths > 5, "{deaths}");
        let checked = check::check_service(&stack.store, &tenant(), &name("s")).await.unwrap();
        assert_eq!(checked.findings, []);
        assert!(stack.open("s", Level::Minute).await.is_empty());
    }
}

#[tokio::test]
async fn many_may_compact_at_the_same_time() {
    let stack = Stack::start().await;
    stack.fill("s", 15).await;
    let truth = stack.totals("s").await;
    let runs = (0..4).map(|_| stack.compact(&stack.store, "s"));
    for ended in futures::future::join_all(runs).await {
        ended.unwrap();
    }
    assert_eq!(stack.totals("s").await, truth);
    let checked = check::check_service(&stack.store, &tenant(), &name("s")).await.unwrap();
    assert_eq!(checked.findings, []);
}

#[tokio::test]
async fn tables_come_back_from_the_bucket() {
    let stack = Stack::start().await;
    stack.fill("s", 15).await;
    // Some of it rolled up, one rollup begun and not finished.
    let dying = Fault::new(2, true, |effect| matches!(effect, Effect::PutDone(_)));
    stack.compact(&stack.store.clone().with_seam(dying), "s").await.unwrap_err();
    let queued = stack.put("s", 500, HOUR).await;
    let config = Config { table: "fresh".to_owned(), ..stack.config.clone() };
    let fresh = Store::connect(&config).await;
    fresh.create().await.unwrap();
    let rebuilt = rebuild(&fresh, &tenant(), stack.now).await.unwrap();
    assert_eq!(rebuilt.requeue, [queued]);
    assert_eq!(rebuilt.claims, 15);
    let (old, new) = (stack.plans(&stack.store, "s").await, stack.plans(&fresh, "s").await);
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(old.blocks, new.blocks);
        let bytes = async |store, plan| {
            fetch(store, plan, &Limits::default()).await.unwrap().encode_gzip(DEFAULT_LEVEL)
        };
        assert_eq!(bytes(&stack.store, old).await, bytes(&fresh, new).await);
    }
    assert_eq!(check::check_claims(&fresh, &tenant()).await.unwrap().findings, []);
    assert_eq!(fresh.services(&tenant()).await.unwrap().len(), 1);
    let again = rebuild(&fresh, &tenant(), stack.now).await.unwrap();
    assert_eq!((again.rows, again.marks), (0, rebuilt.marks));
}

#[tokio::test]
async fn the_sweep_marks_what_counts_and_deletes_what_does_not() {
    let stack = Stack::start().await;
    let later = stack.now.plus_millis(2 * HOUR);
    let dying = |which| stack.store.clone().with_seam(Fault::new(0, false, which));
    // Died before its transaction: an orphan.
    let lost = stack.put("lost", 1, 0).await;
    let dead = dying(|effect| matches!(effect, Effect::CommitChunk(_)));
    let outcomes = stack.merge(&dead, std::slice::from_ref(&lost), stack.now).await;
    assert!(matches!(outcomes[..], [ItemOutcome::Retry(_)]), "{outcomes:?}");
    // Died before its mark: counts, but is not rolled up.
    let unmarked = stack.put("unmarked", 1, 0).await;
    let dead = dying(|effect| matches!(effect, Effect::PutObject(key) if key.ends_with(".commit")));
    assert_eq!(stack.merge(&dead, &[unmarked], stack.now).await, [ItemOutcome::Merged]);
    let options = CompactOptions { now: later, limits: Limits::default() };
    let service = name("unmarked");
    let roll = async || {
        compact(&stack.store, &tenant(), &service, &Scope::All, &options).await.unwrap().rollups
    };
    assert_eq!(roll().await, 0);
    // Too young to be judged.
    let young = sweep::sweep_segments(&stack.store, &tenant(), stack.now).await.unwrap();
    assert_eq!(young, sweep::SweepReport::default());
    let swept = sweep::sweep_segments(&stack.store, &tenant(), later).await.unwrap();
    assert_eq!((swept.unmarked, swept.marked, swept.deleted.len()), (2, 1, 1), "{swept:?}");
    assert!(roll().await > 0);
    // The message comes again and is merged as if nothing had been.
    let outcomes = stack.merge(&stack.store, &[lost], stack.now).await;
    assert_eq!(outcomes, [ItemOutcome::Merged]);
}

#[tokio::test]
async fn what_nobody_swept_for_days_is_swept_on_the_daily_turn() {
    let stack = Stack::start().await;
    let key = stack.put("late", 0, 0).await;
    let unmarked =
        |effect: &Effect| matches!(effect, Effect::PutObject(key) if key.ends_with(".commit"));
    let dying = stack.store.clone().with_seam(Fault::new(0, false, unmarked));
    assert_eq!(stack.merge(&dying, &[key], stack.now).await, [ItemOutcome::Merged]);
    let is_turn = |now: &UnixMillis| sweep::is_daily_turn("default", *now);
    let after = (0..144).map(|n| stack.now.plus_millis(6 * DAY + n * sweep::TICK_MILLIS));
    let (turns, others): (Vec<_>, Vec<_>) = after.partition(is_turn);
    let swept = sweep::sweep_segments(&stack.store, &tenant(), others[0]).await.unwrap();
    assert_eq!((swept.unmarked, swept.marked), (0, 0));
    let swept = sweep::sweep_segments(&stack.store, &tenant(), turns[0]).await.unwrap();
    assert_eq!((swept.unmarked, swept.marked), (1, 1));
}

#[tokio::test]
async fn a_service_whose_events_were_lost_long_ago_is_learnt_from_its_rows() {
    let stack = Stack::start().await;
    stack.fill("unheard", 3).await;
    stack.put("unmerged", 0, 0).await;
    let later = stack.now.plus_millis(3 * DAY);
    let repair = async || {
        let since = later.plus_millis(-20 * MINUTE);
        catalogue::repair(&stack.store, &tenant(), since, later).await.unwrap()
    };
    assert_eq!(repair().await, 1);
    let entry = stack.store.service(&tenant(), &name("unheard")).await.unwrap().unwrap();
    assert!(entry.types.contains_key(&"cpu".parse::<ProfileType>().unwrap()));
    assert_eq!(stack.store.service(&tenant(), &name("unmerged")).await.unwrap(), None);
    assert_eq!(repair().await, 0);
}

#[tokio::test]
async fn orphaned_rollups_are_swept_and_made_anew() {
    let stack = Stack::start().await;
    stack.fill("s", 15).await;
    let truth = stack.totals("s").await;
    let dying = Fault::new(0, false, |effect| matches!(effect, Effect::RollUp(_)));
    stack.compact(&stack.store.clone().with_seam(dying), "s").await.unwrap_err();
    let later = stack.now.plus_millis(2 * HOUR);
    let swept = sweep::sweep_rollups(&stack.store, &tenant(), &name("s"), later).await.unwrap();
    assert_eq!((swept.unmarked, swept.deleted.len()), (1, 1), "{swept:?}");
    // The same rollup is barred for ever; another takes its place.
    let report = stack.compact(&stack.store, "s").await.unwrap();
    assert!(report.rollups > 0 && report.refused.is_empty(), "{report:?}");
    assert_eq!(stack.totals("s").await, truth);
    assert!(stack.open("s", Level::Minute).await.is_empty());
}

#[tokio::test]
async fn a_drained_letter_may_be_redriven() {
    let stack = Stack::start().await;
    let key = stack.put("s", 1, 0).await;
    let (now, limits) = (stack.now, Limits::default());
    let options = MergeOptions { tenant: tenant(), now, fetches: 1, limits };
    let parked = ItemOutcome::Parked(ParkReason::RetriesExhausted);
    for _ in 0..2 {
        assert_eq!(drain(&stack.store, &key, "why", &options).await.unwrap(), parked);
    }
    let merged = stack.merge(&stack.store, std::slice::from_ref(&key), now).await;
    assert_eq!(merged, [ItemOutcome::Merged]);
    // What has its fate keeps it.
    let drained = drain(&stack.store, &key, "why", &options).await.unwrap();
    assert_eq!(drained, ItemOutcome::AlreadyThere);
    let whole = plan(&stack.store, &selection("s", Range::all())).await.unwrap();
    assert_eq!(whole.snapshots(), 1);
}

#[tokio::test]
async fn sums_beyond_64_bits_stand_side_by_side() {
    let stack = Stack::start().await;
    let at = stack.base / 1000 * 1_000_000_000;
    let mut keys = Vec::new();
    for (seq, samples) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        let key = format!("snapshots/default/s/2026-01-01/e1.b1.{seq}.cpu.pb.gz");
        let mut profile = cpu(i64::MAX, at / 1_000_000);
        profile.sample = vec![profile.sample[0].clone(); samples];
        let bytes = encode_gzip(&profile);
        stack.store.put_new(&key, bytes.into(), "application/gzip").await.unwrap();
        keys.push(key);
    }
    let written = stack.now.plus_millis(-2 * DAY);
    let outcomes = stack.merge(&stack.store, &keys, written).await;
    let merged = ItemOutcome::Merged;
    let parked = ItemOutcome::Parked(ParkReason::TooLarge);
    assert_eq!(outcomes, [merged.clone(), merged.clone(), parked, merged]);
    let total = 3 * i128::from(i64::MAX);
    let told = async || plan(&stack.store, &selection("s", Range::all())).await.unwrap().totals();
    assert_eq!(told().await[0].1, Total(total));
    let report = stack.compact(&stack.store, "s").await.unwrap();
    assert!(report.rollups >= 3 && report.refused.is_empty(), "{report:?}");
    assert!(stack.open("s", Level::Minute).await.is_empty(), "nothing is left to expire");
    assert_eq!(told().await[0].1, Total(total));
}

#[tokio::test]
async fn erasing_one_service_leaves_the_other() {
    let stack = Stack::start().await;
    let keys = [stack.put("gone", 1, 0).await, stack.put("kept", 1, 0).await];
    stack.merge(&stack.store, &keys, stack.now).await;
    for service in ["gone", "kept"] {
        let bad = stack.put(service, 2, 0).await.replace(".2.", ".3.");
        stack.store.put_new(&bad, "rubbish".into(), "text/plain").await.unwrap();
        stack.merge(&stack.store, &[bad], stack.now).await;
    }
    let erased = erase::erase_service(&stack.store, &tenant(), &name("gone")).await.unwrap();
    assert_eq!((erased.rows, erased.overwritten), (1, 1), "{erased:?}");
    let parked = stack.store.list_all("parked/default/").await.unwrap();
    assert!(parked.len() == 1 && parked[0].key.contains("kept"), "{parked:?}");
    let gone = plan(&stack.store, &selection("gone", Range::all())).await;
    assert!(matches!(gone, Err(flambeau_query::QueryError::Nothing { .. })));
    let kept = plan(&stack.store, &selection("kept", Range::all())).await.unwrap();
    let merged = fetch(&stack.store, &kept, &Limits::default()).await.unwrap();
    assert_eq!(merged.totals(), [1001]);
    let checked = check::check_service(&stack.store, &tenant(), &name("kept")).await.unwrap();
    assert_eq!(checked.findings, []);
    let all = erase::erase_tenant(&stack.store, &tenant()).await.unwrap();
    assert_eq!(all.rows, 1);
    assert_eq!(stack.store.list_all("").await.unwrap(), []);
}
