//! Compaction under faults: readers are exact after every single effect,
//! whoever dies, repeats, waits or meets another.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use flambeau_layout::{ServiceName, TenantId, UnixMillis};
use flambeau_pipeline::{
    CompactOptions, CompactReport, Scope, compact,
    sweep::{ORPHAN_MILLIS, sweep_rollups, sweep_segments},
};
use flambeau_profile::Limits;
use flambeau_query::Range;
use flambeau_store::{Store, StoreError};
use flambeau_tests::{
    faults::{
        Faults, Model, Outcome, Random, Rates, Snapshot, Stores, check, check_range, check_settled,
        deliver,
    },
    stack::now,
};
use futures::future::join_all;

const DAY: i64 = 86_400_000;

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

/// When all that these stories write has come to rest: days are closed.
fn later() -> UnixMillis {
    now().plus_millis(3 * DAY)
}

/// To hours, and when those have come to rest, to days.
async fn roll_up(store: &Store, service: &str) -> Result<CompactReport, StoreError> {
    let (mut both, service) = (CompactReport::default(), service.parse().unwrap());
    for now in [later(), later().plus_millis(DAY)] {
        let options = CompactOptions { now, limits: Limits::default() };
        let report = compact(store, &tenant(), &service, &Scope::All, &options).await?;
        both.rollups += report.rollups;
        both.retired += report.retired;
        both.refused.extend(report.refused);
    }
    Ok(both)
}

/// Compacts without faults until there is nothing left to do.
async fn roll_up_all(store: &Store, service: &str) {
    for _ in 0..10 {
        let report = roll_up(store, service).await.unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
        if report.rollups == 0 && report.retired == 0 {
            return;
        }
    }
    panic!("`{service}` never comes to rest");
}

/// When snapshot `seq` of a service ended: two minutes of one hour, and
/// another hour of the same day.
fn end_of(seq: u64) -> UnixMillis {
    let noon = UnixMillis((now().0 / DAY - 1) * DAY + DAY / 2);
    let minutes = [0, 0, 1, 90][usize::try_from(seq % 4).unwrap()];
    noon.plus_millis(minutes * 60_000 + 10_000)
}

fn snapshot(service: &str, seq: u64) -> Snapshot {
    let types: &[&str] = if seq.is_multiple_of(3) { &["cpu", "wall"] } else { &["cpu"] };
    Snapshot::good(service, seq, types, (end_of(seq), 0)).unwrap()
}

/// Makes `blocks` level-0 blocks for each of these services: one merge after
/// the other, each over all services.
async fn prepare(stores: &Stores, services: &[String], blocks: u64) -> Vec<Model> {
    let mut models = vec![Model::default(); services.len()];
    for seq in 0..blocks {
        let mut keys = Vec::new();
        for (service, model) in services.iter().zip(&mut models) {
            let snapshot = snapshot(service, seq);
            stores.accept(model, &snapshot).await.unwrap();
            keys.push(snapshot.key);
        }
        assert!(deliver(&stores.store, &keys, None).await.unwrap().is_empty());
    }
    for model in &mut models {
        let settled = check_settled(&stores.store, model).await.unwrap();
        assert_eq!(settled.merged as u64, blocks);
    }
    models
}

/// Compares the whole answer for each type of one service.
async fn read_all(store: &Store, model: &Model) -> anyhow::Result<()> {
    for (service, typ) in model.asked() {
        check_range(store, model, (&service, &typ), Range::all()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_exact_after_every_effect() {
    let stores = Stores::start().await.unwrap();
    let services = ["plain".to_owned(), "twice".to_owned()];
    let models = prepare(&stores, &services, 8).await;
    for (service, mut model) in services.iter().zip(models) {
        let (reader, known) = (stores.store.clone(), model.clone());
        let looked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looked);
        let all_twice = (0..1000).map(|at| (at, Outcome::Repeat)).filter(|_| service == "twice");
        let faults = Faults::observed(all_twice, move |_| {
            let (reader, known) = (reader.clone(), known.clone());
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { read_all(&reader, &known).await })
        });
        roll_up_all(&stores.through(&faults), service).await;
        assert_eq!(faults.complaints(), Vec::<String>::new());
        let looks = looked.load(Ordering::Relaxed);
        println!("compaction of `{service}`: exact after each of {looks} effects");
        assert!(looks > 20);
        check_settled(&stores.store, &mut model).await.unwrap();
    }
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_effect_of_compaction_changes_no_answer() {
    let stores = Stores::start().await.unwrap();
    let probe = ["probe".to_owned()];
    prepare(&stores, &probe, 4).await;
    let counting = Faults::script([]);
    roll_up_all(&stores.through(&counting), "probe").await;
    let clean = counting.effects().len();
    let cases: Vec<(usize, Outcome)> =
        Outcome::MATRIX.iter().flat_map(|outcome| (0..clean).map(|at| (at, *outcome))).collect();
    let services: Vec<String> =
        cases.iter().map(|(at, outcome)| format!("{outcome:?}-{at}")).collect();
    let models = prepare(&stores, &services, 4).await;
    for ((case, service), mut model) in cases.iter().zip(&services).zip(models) {
        let faults = Faults::script([*case]);
        // Whether it failed or not: what it did must not show.
        let ended = roll_up(&stores.through(&faults), service).await;
        let fail = |error: anyhow::Error| panic!("{service}: {error:#} after {ended:?}");
        read_all(&stores.store, &model).await.unwrap_or_else(fail);
        roll_up_all(&stores.store, service).await;
        check_settled(&stores.store, &mut model).await.map(drop).unwrap_or_else(fail);
    }
    let outcomes = Outcome::MATRIX.len();
    println!("compaction: {clean} crash points × {outcomes} outcomes = {}", cases.len());
    assert!(clean > 15, "{clean}");
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_and_compactors_at_the_same_time_agree_at_every_instant() {
    let stores = Stores::start().await.unwrap();
    let services: Vec<String> = (0..3).map(|round| format!("busy-{round}")).collect();
    let models = prepare(&stores, &services, 14).await;
    let mut reads = 0;
    for (round, (service, mut model)) in services.iter().zip(models).enumerate() {
        let done = Arc::new(AtomicBool::new(false));
        let readers = (0..2).map(|_| {
            let (store, model, done) = (stores.store.clone(), model.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut reads = 0;
                while !done.load(Ordering::Relaxed) {
                    read_all(&store, &model).await?;
                    reads += 1;
                }
                anyhow::Ok(reads)
            })
        });
        let readers: Vec<_> = readers.collect();
        let compactors = (0..3_u64).map(|worker| {
            let seed = Random::new(round as u64 * 100 + worker);
            let rates = Rates { fail: 30, kill: 10, repeat: 50, delay: 400 };
            let (store, service) = (stores.through(&Faults::seeded(seed, rates)), service.clone());
            tokio::spawn(async move { roll_up(&store, &service).await })
        });
        for compactor in join_all(compactors).await {
            // Failing is its right; what counts is what readers see.
            let _ = compactor.unwrap();
        }
        roll_up_all(&stores.store, service).await;
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reads += reader.await.unwrap().unwrap_or_else(|error| panic!("{service}: {error:#}"));
        }
        check_settled(&stores.store, &mut model).await.unwrap();
    }
    println!("compaction: {reads} exact reads beside it");
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_after_the_days_rollup_counts_at_once_and_is_rolled_up() {
    let stores = Stores::start().await.unwrap();
    let services = ["late".to_owned()];
    let mut model = prepare(&stores, &services, 4).await.remove(0);
    roll_up_all(&stores.store, "late").await;
    for seq in 100..104 {
        let late = snapshot("late", seq);
        stores.accept(&mut model, &late).await.unwrap();
        assert!(deliver(&stores.store, &[late.key], None).await.unwrap().is_empty());
        check(&stores.store, &mut model).await.unwrap();
        roll_up_all(&stores.store, "late").await;
        check_settled(&stores.store, &mut model).await.unwrap();
    }
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_beside_a_paused_merger_takes_nothing_that_counts() {
    let stores = Stores::start().await.unwrap();
    let old = now().plus_millis(2 * ORPHAN_MILLIS);
    let (mut pauses, mut deleted) = (0, 0);
    for at in 0.. {
        let service = format!("swept-{at}");
        let mut model = Model::default();
        let mut keys = Vec::new();
        for snapshot in [snapshot(&service, 0), Snapshot::rubbish(&service, 9).unwrap()] {
            stores.accept(&mut model, &snapshot).await.unwrap();
            keys.push(snapshot.key);
        }
        let faults = Faults::script([(at, Outcome::Pause)]);
        let (store, batch, own) = (stores.through(&faults), keys.clone(), Arc::clone(&faults));
        let mut merging =
            tokio::spawn(async move { deliver(&store, &batch, Some(&own)).await.unwrap() });
        tokio::select! {
            () = faults.paused() => {}
            ended = &mut merging => { drop(ended.unwrap()); break; }
        }
        deleted += sweep_segments(&stores.store, &tenant(), old).await.unwrap().deleted.len();
        check(&stores.store, &mut model).await.unwrap();
        faults.release();
        let mut again = merging.await.unwrap();
        check(&stores.store, &mut model).await.unwrap();
        for _ in 0..5 {
            again = deliver(&stores.store, &again, None).await.unwrap();
        }
        assert!(again.is_empty(), "paused at {at}: {again:?}");
        let swept = sweep_segments(&stores.store, &tenant(), old).await.unwrap();
        assert_eq!(swept.unclear, Vec::<String>::new());
        check_settled(&stores.store, &mut model)
            .await
            .unwrap_or_else(|error| panic!("paused at {at}: {error:#}\n{:#?}", faults.effects()));
        pauses += 1;
    }
    println!("sweep: merger paused before each of {pauses} effects, {deleted} segments deleted");
    assert!(pauses >= 5 && deleted > 0);
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_beside_a_paused_compactor_takes_nothing_that_counts() {
    let stores = Stores::start().await.unwrap();
    let (mut pauses, mut deleted) = (0, 0);
    for at in 0.. {
        let service = format!("rolled-{at}");
        let mut model = prepare(&stores, std::slice::from_ref(&service), 4).await.remove(0);
        let faults = Faults::script([(at, Outcome::Pause)]);
        let (store, of) = (stores.through(&faults), service.clone());
        let mut rolling = tokio::spawn(async move { roll_up(&store, &of).await });
        tokio::select! {
            () = faults.paused() => {}
            ended = &mut rolling => { drop(ended.unwrap()); break; }
        }
        let named: ServiceName = service.parse().unwrap();
        let swept = sweep_rollups(&stores.store, &tenant(), &named, later()).await.unwrap();
        deleted += swept.deleted.len();
        read_all(&stores.store, &model).await.unwrap();
        faults.release();
        let ended = rolling.await.unwrap();
        let fail = |error: anyhow::Error| panic!("paused at {at}: {error:#} after {ended:?}");
        read_all(&stores.store, &model).await.unwrap_or_else(fail);
        roll_up_all(&stores.store, &service).await;
        sweep_rollups(&stores.store, &tenant(), &named, later()).await.unwrap();
        check_settled(&stores.store, &mut model).await.map(drop).unwrap_or_else(fail);
        pauses += 1;
    }
    println!("sweep: compactor paused before each of {pauses} effects, {deleted} objects deleted");
    assert!(pauses > 15 && deleted > 0);
    stores.stop().await;
}
