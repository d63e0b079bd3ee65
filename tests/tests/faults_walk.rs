//! A random walk over everything that can happen, held against the model after
//! every step.
//!
//! `FLAMBEAU_WALK_SEED` and `FLAMBEAU_WALK_STEPS` choose another walk; the seed
//! of a failing one is printed. The same seed takes the same steps, on times
//! relative to now; how tasks interleave inside a step is the runtime's.
//! `FLAMBEAU_WALK_AT_ONCE` epochs run side by side, each on stores of its own. In
//! every fifth, the workers' way to the stores leads through troubles, and
//! transactions come to light item by item.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, ensure};
use flambeau_layout::{Level, ProfileType, ServiceName, TenantId, UnixMillis, Window};
use flambeau_pipeline::{
    CompactOptions, MergeOptions, Scope, compact, drain,
    rebuild::rebuild,
    sweep::{ORPHAN_MILLIS, sweep_rollups, sweep_segments},
};
use flambeau_profile::Limits;
use flambeau_query::Range;
use flambeau_store::{Config, Store};
use flambeau_tests::{
    faults::{
        Faults, Model, Random, Rates, Snapshot, Stores, Troubles, Veil, Wire, check, check_range,
        check_settled, deliver, learn,
    },
    stack::now,
};
use futures::future::join_all;

/// Steps of the default walk: about a minute, unoptimised, on two cores.
const STEPS: usize = 2_000;
/// Steps after which a walk comes to rest, loses its tables and begins anew: so
/// many that days fill and roll up, so few that reading stays cheap.
const EPOCH: usize = 100;
/// Everything is compared after so many steps; one answer after each.
const FULL_CHECK: usize = 50;
const HOUR: i64 = 3_600_000;
const SERVICES: [&str; 2] = ["walk-a", "walk λ/b"];
const TYPES: [&[&str]; 4] = [&["cpu"], &["cpu", "wall"], &["wall"], &["heap", "cpu"]];
const RATES: Rates = Rates { fail: 80, kill: 40, repeat: 80, delay: 80 };

/// Every so many epochs go through a [`Wire`].
const WIRED: u64 = 5;
/// So many of a thousand requests meet trouble there.
const TROUBLES: usize = 25;

struct Walk {
    stores: Stores,
    /// The workers' way to the stores, where it is not the straight one.
    wire: Option<(Wire, Arc<Veil>)>,
    /// The tables in use; each loss begins new ones.
    store: Store,
    /// The same, as workers reach it.
    workers: Store,
    losses: usize,
    model: Model,
    random: Random,
    queue: Vec<String>,
    seq: u64,
    taken: BTreeMap<&'static str, usize>,
}

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

impl Walk {
    async fn begin(seed: u64) -> anyhow::Result<Self> {
        let (stores, mut random) = (Stores::start().await?, Random::new(seed));
        let mut wire = None;
        if seed.is_multiple_of(WIRED) {
            let troubles = Arc::new(Troubles::new(Random::new(random.draw()), TROUBLES));
            let veil = Arc::new(Veil::new(Random::new(random.draw())));
            wire = Some((Wire::open(&stores.config, &troubles, Some(&veil)).await?, veil));
        }
        Ok(Self {
            workers: match &wire {
                Some((wire, _)) => wire.store(&stores.config.table).await,
                None => stores.store.clone(),
            },
            store: stores.store.clone(),
            stores,
            wire,
            losses: 0,
            model: Model::default(),
            random,
            queue: Vec::new(),
            seq: 0,
            taken: BTreeMap::new(),
        })
    }

    /// A worker's access, with faults of its own.
    fn worker(&mut self) -> (Store, Arc<Faults>) {
        let faults = Faults::seeded(Random::new(self.random.draw()), RATES);
        (self.workers.clone().with_seam(Arc::clone(&faults) as _), faults)
    }

    fn service(&mut self) -> ServiceName {
        self.random.pick(&SERVICES).parse().unwrap()
    }

    /// A time at which windows of various levels have closed.
    fn some_now(&mut self) -> UnixMillis {
        now().plus_millis(*self.random.pick(&[0, 0, 2 * HOUR, 30 * HOUR, 72 * HOUR]))
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let action = match self.random.below(100) {
            0..34 => "put",
            34..66 => "deliver",
            66..82 => "compact",
            82..90 => "all at once",
            90..95 => "sweep",
            95..99 => "give up",
            _ => "lose the tables",
        };
        *self.taken.entry(action).or_default() += 1;
        let done = match action {
            "put" => self.put().await,
            "deliver" => self.deliver().await,
            "compact" => self.compact().await,
            "all at once" => self.all_at_once().await,
            "sweep" => self.sweep().await,
            "give up" => self.give_up().await,
            _ => self.lose_tables().await,
        };
        done.with_context(|| format!("while it did `{action}`"))?;
        if let Some((wire, _)) = &self.wire {
            // What was begun ends, whether or not somebody waits for it.
            wire.quiet().await;
        }
        self.look().await.with_context(|| format!("after it did `{action}`"))
    }

    /// Learns new fates and compares one answer over a random range.
    async fn look(&mut self) -> anyhow::Result<()> {
        learn(&self.store, &mut self.model).await?;
        let (service, typ, range) = self.question();
        check_range(&self.store, &self.model, (&service, &typ), range).await
    }

    fn question(&mut self) -> (ServiceName, ProfileType, Range) {
        let service = self.service();
        let typ = self.random.pick(&["cpu", "wall", "heap"]).parse().unwrap();
        let windows: Vec<Window> = self.model.windows(&service).into_iter().collect();
        if windows.is_empty() || self.random.per_mille(150) {
            return (service, typ, Range::all());
        }
        let (a, level) = (*self.random.pick(&windows), *self.random.pick(&Level::ALL));
        let b = if self.random.per_mille(500) { a } else { *self.random.pick(&windows) };
        let (first, last) = (a.min(b).within(level), a.max(b).within(level));
        (service, typ, Range { from: first.start, until: last.end() })
    }

    /// One to four new snapshots: mostly good, some late, some early, some not
    /// profiles, some under several keys.
    async fn put(&mut self) -> anyhow::Result<()> {
        for _ in 0..=self.random.below(4) {
            for snapshot in self.snapshots()? {
                self.stores.accept(&mut self.model, &snapshot).await?;
                self.queue.push(snapshot.key);
            }
        }
        Ok(())
    }

    fn snapshots(&mut self) -> anyhow::Result<Vec<Snapshot>> {
        self.seq += 1;
        let (service, seq) = (*self.random.pick(&SERVICES), self.seq);
        // Bursts of minutes, a few hours, and days that may be rolled up.
        let ago = *self.random.pick(&[0, 0, 1, 5, 26, 50]) * HOUR;
        let end = now().plus_millis(-ago - 60_000 * self.random.below(3) as i64);
        let skew = *self.random.pick(&[0, 0, 0, 2 * HOUR, -2 * HOUR]);
        Ok(match self.random.below(20) {
            0 => vec![Snapshot::rubbish(service, seq)?],
            1 => vec![Snapshot::half_good(service, seq, end)?],
            2 => {
                let single = Snapshot::good(service, seq, &["cpu"], (end, skew))?;
                vec![single.redated("2026-01-02")?, single.zipped()?, single]
            }
            3 => vec![Snapshot::good(service, seq, &["cpu"], (now().plus_millis(2 * HOUR), 0))?],
            _ => {
                let types = *self.random.pick(&TYPES);
                vec![Snapshot::good(service, seq, types, (end, skew))?]
            }
        })
    }

    /// Takes some messages, in any order, some of them twice.
    fn messages(&mut self) -> Vec<String> {
        self.random.shuffle(&mut self.queue);
        let count = 1 + self.random.below(self.queue.len().min(40));
        let mut some: Vec<String> = self.queue.iter().take(count).cloned().collect();
        let twice = self.random.below(some.len() + 1).min(3);
        some.extend_from_within(..twice);
        some
    }

    /// One to three mergers, on messages that overlap.
    async fn deliver(&mut self) -> anyhow::Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let mergers = (0..=self.random.below(3)).map(|_| self.merger()).collect::<Vec<_>>();
        self.answered(join_all(mergers).await)
    }

    fn merger(&mut self) -> impl Future<Output = anyhow::Result<Delivered>> + use<> {
        let (messages, (store, faults)) = (self.messages(), self.worker());
        async move {
            let again = deliver(&store, &messages, Some(&faults)).await?;
            Ok(Delivered { messages, again })
        }
    }

    /// Acknowledges what was answered for; now and then that is lost.
    fn answered(&mut self, delivered: Vec<anyhow::Result<Delivered>>) -> anyhow::Result<()> {
        for delivered in delivered {
            let Delivered { messages, again } = delivered?;
            let lost = self.random.per_mille(100);
            self.queue.retain(|key| lost || again.contains(key) || !messages.contains(key));
        }
        Ok(())
    }

    fn compactor(&mut self) -> impl Future<Output = ()> + use<> {
        let (service, (store, _faults)) = (self.service(), self.worker());
        let options = CompactOptions { now: self.some_now(), limits: Limits::default() };
        let mut windows: Vec<Window> = self.model.windows(&service).into_iter().collect();
        self.random.shuffle(&mut windows);
        windows.truncate(3);
        let hinted = self.random.per_mille(300);
        let scope = if hinted { Scope::Minutes(windows) } else { Scope::All };
        // Failing is its right; what counts is what readers see.
        async move { drop(compact(&store, &tenant(), &service, &scope, &options).await) }
    }

    /// One or two compactors, with a reader beside them.
    async fn compact(&mut self) -> anyhow::Result<()> {
        let compactors: Vec<_> = (0..=self.random.below(2)).map(|_| self.compactor()).collect();
        let (service, typ, range) = self.question();
        let read = check_range(&self.store, &self.model, (&service, &typ), range);
        futures::future::join(join_all(compactors), read).await.1
    }

    /// Merger, compactor and sweeper at the same time.
    async fn all_at_once(&mut self) -> anyhow::Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let (merger, compactor, sweeper) = (self.merger(), self.compactor(), self.sweeper());
        let (delivered, (), ()) = futures::future::join3(merger, compactor, sweeper).await;
        self.answered(vec![delivered])
    }

    fn sweeper(&mut self) -> impl Future<Output = ()> + use<> {
        let (service, (store, _faults)) = (self.service(), self.worker());
        let old = now().plus_millis(2 * ORPHAN_MILLIS);
        async move {
            drop(sweep_segments(&store, &tenant(), old).await);
            drop(sweep_rollups(&store, &tenant(), &service, old).await);
        }
    }

    async fn sweep(&mut self) -> anyhow::Result<()> {
        self.sweeper().await;
        Ok(())
    }

    /// A dead letter is drained; its message stays, to be redriven.
    async fn give_up(&mut self) -> anyhow::Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let key = self.random.pick(&self.queue).clone();
        let (store, _faults) = self.worker();
        let options =
            MergeOptions { tenant: tenant(), now: now(), fetches: 1, limits: Limits::default() };
        // Where the store fails, the letter stays where it is.
        drop(drain(&store, &key, "given up by the walk", &options).await);
        Ok(())
    }

    /// Both tables are gone; the bucket tells what stood in them.
    async fn lose_tables(&mut self) -> anyhow::Result<()> {
        self.losses += 1;
        let table = format!("flambeau-{}", self.losses);
        let config = Config { table: table.clone(), ..self.stores.config.clone() };
        self.store = Store::connect(&config).await;
        self.store.create().await?;
        self.workers = match &self.wire {
            Some((wire, _)) => wire.store(&table).await,
            None => self.store.clone(),
        };
        self.model.forget_fates();
        let rebuilt = rebuild(&self.store, &tenant(), now()).await?;
        self.queue.extend(rebuilt.requeue);
        Ok(())
    }

    /// Delivers all there is, without faults.
    async fn settle(&mut self) -> anyhow::Result<()> {
        for _ in 0..10 {
            let queue = std::mem::take(&mut self.queue);
            self.queue = deliver(&self.store, &queue, None).await?;
            if self.queue.is_empty() {
                check_settled(&self.store, &mut self.model).await?;
                return Ok(());
            }
        }
        anyhow::bail!("still to be delivered: {:?}", self.queue)
    }

    /// Comes to rest, is swept and rolled up, loses its tables, and again.
    async fn end(mut self) -> anyhow::Result<BTreeMap<&'static str, usize>> {
        self.settle().await.context("at rest")?;
        let later = now().plus_millis(72 * HOUR);
        for loss in 0..2 {
            for service in SERVICES {
                let (service, limits) = (service.parse()?, Limits::default());
                let options = CompactOptions { now: later, limits };
                let swept = sweep_segments(&self.store, &tenant(), later).await?;
                ensure!(swept.unclear.is_empty(), "{swept:?}");
                let report =
                    compact(&self.store, &tenant(), &service, &Scope::All, &options).await?;
                ensure!(report.refused.is_empty(), "{report:?}");
                sweep_rollups(&self.store, &tenant(), &service, later).await?;
            }
            check_settled(&self.store, &mut self.model).await.context("rolled up")?;
            if loss == 0 {
                self.lose_tables().await?;
                self.settle().await.context("rebuilt")?;
            }
        }
        if let Some((wire, veil)) = self.wire {
            *self.taken.entry("(items withheld)").or_default() += veil.withheld();
            wire.close().await;
        }
        self.stores.stop().await;
        Ok(self.taken)
    }
}

/// What a merger was given, and what must come again.
struct Delivered {
    messages: Vec<String>,
    again: Vec<String>,
}

async fn epoch(seed: u64, steps: usize) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    let mut walk = Walk::begin(seed).await?;
    for step in 1..=steps {
        walk.step().await.with_context(|| format!("step {step}"))?;
        if step.is_multiple_of(FULL_CHECK) {
            let checked = check(&walk.store, &mut walk.model).await;
            checked.with_context(|| format!("everything after step {step}"))?;
        }
    }
    walk.end().await.context("at the end")
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// One after the other: each worker of the walk takes the next epoch.
struct Epochs {
    seed: u64,
    steps: usize,
    begun: AtomicUsize,
    walked: AtomicUsize,
    taken: Mutex<BTreeMap<&'static str, usize>>,
}

impl Epochs {
    async fn walk(&self) {
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            let length = EPOCH.min(self.steps.saturating_sub(number * EPOCH));
            if length == 0 {
                return;
            }
            // An epoch fails alone: its own seed replays it.
            let own = self.seed.wrapping_add(number as u64);
            let done = Box::pin(epoch(own, length)).await;
            let done = done.unwrap_or_else(|error| {
                panic!("FLAMBEAU_WALK_SEED={own} FLAMBEAU_WALK_STEPS={length}: {error:#}")
            });
            self.add(length, done);
        }
    }

    fn add(&self, length: usize, done: BTreeMap<&'static str, usize>) {
        let mut taken = self.taken.lock().unwrap();
        for (action, count) in done {
            *taken.entry(action).or_default() += count;
        }
        let walked = self.walked.fetch_add(length, Ordering::Relaxed) + length;
        println!("walk: {walked} of {} steps, zero differences ({taken:?})", self.steps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_on_a_long_walk() {
    let seed = setting("FLAMBEAU_WALK_SEED", 1);
    let steps = usize::try_from(setting("FLAMBEAU_WALK_STEPS", STEPS as u64)).unwrap();
    let at_once = setting("FLAMBEAU_WALK_AT_ONCE", 2);
    println!("walk: FLAMBEAU_WALK_SEED={seed} FLAMBEAU_WALK_STEPS={steps}");
    let epochs = Arc::new(Epochs {
        seed,
        steps,
        begun: AtomicUsize::new(0),
        walked: AtomicUsize::new(0),
        taken: Mutex::default(),
    });
    let walkers = (0..at_once).map(|_| {
        let epochs = Arc::clone(&epochs);
        tokio::spawn(async move { epochs.walk().await })
    });
    for walker in join_all(walkers).await {
        walker.unwrap();
    }
    assert_eq!(epochs.walked.load(Ordering::Relaxed), steps);
}
