//! Readers against transactions that come to light item by item, page by page,
//! with compaction going on between pages.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use flambeau_layout::{CommitMark, Level, ServiceName, UnixMillis, Window, mark::MARK_SUFFIX};
use flambeau_pipeline::{
    CompactOptions, Scope, compact,
    sweep::{ORPHAN_MILLIS, sweep_segments},
};
use flambeau_profile::Limits;
use flambeau_query::Range;
use flambeau_store::{Effect, Store};
use flambeau_tests::{
    faults::{
        Between, Faults, Model, Outcome, Random, Snapshot, Stores, Troubles, Veil, Wire,
        check_range, check_settled, deliver,
    },
    stack::now,
};
use tokio::sync::watch;

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// Stories told; each takes its own seed.
const SEEDS: u64 = 16;

/// Blocks in two hours of one day, some of them in one minute.
async fn prepare(stores: &Stores, service: &str) -> Model {
    let mut model = Model::default();
    let noon = UnixMillis((now().0 / DAY - 1) * DAY + DAY / 2);
    for seq in 0..4 {
        let end = noon.plus_millis((seq % 2) * HOUR + (seq / 3) * 60_000 + 1_000);
        let seq = seq.unsigned_abs();
        let snapshot = Snapshot::good(service, seq, &["cpu"], (end, 0)).unwrap();
        stores.accept(&mut model, &snapshot).await.unwrap();
        assert!(deliver(&stores.store, &[snapshot.key], None).await.unwrap().is_empty());
    }
    check_settled(&stores.store, &mut model).await.unwrap();
    model
}

/// A compactor that stands still before each effect until it is let go on.
struct Steps {
    faults: Arc<Faults>,
    ended: watch::Receiver<bool>,
    random: Mutex<Random>,
}

impl Steps {
    fn begin(store: Store, service: &str, random: Random) -> Arc<Self> {
        let faults = Faults::script((0..10_000).map(|at| (at, Outcome::Pause)));
        let (store, service) = (store.with_seam(Arc::clone(&faults) as _), service.to_owned());
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move {
            let (tenant, service) = ("default".parse().unwrap(), service.parse().unwrap());
            // To hours, to days, and days to a month.
            for days in [3, 6, 70] {
                let now = now().plus_millis(days * DAY);
                let options = CompactOptions { now, limits: Limits::default() };
                compact(&store, &tenant, &service, &Scope::All, &options).await.unwrap();
            }
            end.send_replace(true);
        });
        Arc::new(Self { faults, ended, random: Mutex::new(random) })
    }

    /// Mostly none, now and then a few. Where the reader has just read the
    /// minutes, seldom so many that what it read is rolled up twice over.
    async fn some(&self, after_minutes: bool) {
        let steps = {
            let mut random = self.random.lock().unwrap();
            match random.below(10) {
                0..5 if after_minutes => 60,
                0..7 => 0,
                7..9 => random.below(3),
                _ => random.below(8),
            }
        };
        for _ in 0..steps {
            tokio::select! {
                () = self.faults.paused() => self.faults.release(),
                () = self.ended() => return,
            }
        }
    }

    async fn ended(&self) {
        self.ended.clone().wait_for(|ended| *ended).await.unwrap();
    }

    fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    fn rollups(&self) -> usize {
        let effects = self.faults.effects();
        effects.iter().filter(|(effect, _)| matches!(effect, Effect::RollUp(_))).count()
    }
}

fn question(random: &mut Random, model: &Model, service: &ServiceName) -> Range {
    let windows: Vec<Window> = model.windows(service).into_iter().collect();
    let window =
        random.pick(&windows).within(*random.pick(&[Level::Minute, Level::Hour, Level::Day]));
    match random.per_mille(500) {
        true => Range::all(),
        false => Range { from: window.start, until: window.end() },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_exact_while_transactions_come_to_light_item_by_item() {
    let stores = Stores::start().await.unwrap();
    let (mut reads, mut twice, mut withheld) = (0, 0, 0);
    for seed in 0..SEEDS {
        let service = format!("veiled-{seed}");
        let mut model = prepare(&stores, &service).await;
        let mut random = Random::new(seed);
        let veil = Arc::new(Veil::new(Random::new(random.draw())));
        let calm = Arc::new(Troubles::none());
        let wire = Wire::open(&stores.config, &calm, Some(&veil)).await.unwrap();
        let steps = Steps::begin(
            wire.store(&stores.config.table).await,
            &service,
            Random::new(random.draw()),
        );
        let between = Arc::clone(&steps);
        let act = Between(move |what: &str| {
            let (between, hours) = (Arc::clone(&between), what.contains("`open/1/"));
            Box::pin(async move { between.some(hours).await }) as _
        });
        let reader =
            wire.store(&stores.config.table).await.with_page_size(1).with_seam(Arc::new(act));
        let (named, typ) = (service.parse().unwrap(), "cpu".parse().unwrap());
        while !steps.has_ended() {
            let before = steps.rollups();
            let range = question(&mut random, &model, &named);
            let answer = check_range(&reader, &model, (&named, &typ), range).await;
            answer.unwrap_or_else(|error| {
                panic!("seed {seed}, read {reads}: {error:#}\n{:#?}", steps.faults.effects())
            });
            reads += 1;
            twice += usize::from(steps.rollups() >= before + 2);
        }
        withheld += veil.withheld();
        check_settled(&stores.store, &mut model).await.unwrap();
        wire.close().await;
    }
    println!(
        "veil: {reads} exact reads, {twice} with two rollups inside, {withheld} items withheld"
    );
    assert!(twice > 0 && withheld > 0);
    stores.stop().await;
}

/// Merges snapshots of one minute in one chunk, by a worker that dies before it
/// puts the mark.
async fn die_before_the_mark(stores: &Stores, store: &Store, service: &str) -> usize {
    let end = now().plus_millis(-HOUR);
    let snapshot = |seq| Snapshot::good(service, seq, &["cpu"], (end, 0)).unwrap();
    let snapshots: Vec<Snapshot> = (0..6).map(snapshot).collect();
    let mut model = Model::default();
    for snapshot in &snapshots {
        stores.accept(&mut model, snapshot).await.unwrap();
    }
    let keys: Vec<String> = snapshots.iter().map(|snapshot| snapshot.key.clone()).collect();
    // Its effects: the segment, the chunk, the mark.
    let faults = Faults::script([(2, Outcome::KillBefore)]);
    let dying = store.clone().with_seam(Arc::clone(&faults) as _);
    deliver(&dying, &keys, Some(&faults)).await.unwrap();
    let last = faults.effects().pop().unwrap();
    assert!(matches!(&last.0, Effect::PutObject(key) if key.ends_with(MARK_SUFFIX)), "{last:?}");
    snapshots.len()
}

/// How many claims the marks of a service's blocks name.
async fn marked_claims(store: &Store, service: &str) -> usize {
    let mut claims = 0;
    for object in store.list_all("segments/default/").await.unwrap() {
        if object.key.ends_with(MARK_SUFFIX) {
            let mark = store.get(&object.key, 1 << 20).await.unwrap().bytes;
            let mark: CommitMark = serde_json::from_slice(&mark).unwrap();
            let is_of_service = mark.rows.iter().any(|row| row.service.as_str() == service);
            claims += if is_of_service { mark.claims.len() } else { 0 };
        }
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_marks_no_block_before_all_its_claims_came_to_light() {
    let stores = Stores::start().await.unwrap();
    let (tenant, mut unclear) = ("default".parse().unwrap(), 0);
    for seed in 0..SEEDS / 4 {
        let veil = Arc::new(Veil::new(Random::new(seed)));
        let calm = Arc::new(Troubles::none());
        let wire = Wire::open(&stores.config, &calm, Some(&veil)).await.unwrap();
        let store = wire.store(&stores.config.table).await;
        let service = format!("unmarked-{seed}");
        let snapshots = die_before_the_mark(&stores, &store, &service).await;
        let later = now().plus_millis(ORPHAN_MILLIS + 1);
        let swept = loop {
            let swept = sweep_segments(&store, &tenant, later).await.unwrap();
            assert_eq!((swept.marked + swept.unclear.len(), swept.deleted.len()), (1, 0));
            if swept.marked == 1 {
                break swept;
            }
            assert!(swept.unclear[0].contains("claims of"), "{swept:?}");
            unclear += 1;
        };
        assert_eq!(swept.unmarked, 1);
        let claims = marked_claims(&stores.store, &service).await;
        assert_eq!(claims, snapshots, "seed {seed}");
        wire.close().await;
    }
    assert!(unclear > 0);
    stores.stop().await;
}
