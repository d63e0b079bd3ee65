//! Merge under faults: a crash at every effect, every effect twice, answers
//! lost, and whatever S3 events can do to a queue.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use flambeau_layout::UnixMillis;
use flambeau_tests::{
    faults::{
        Faults, Model, Outcome, Random, Rates, Snapshot, Stores, check, check_settled, deliver,
    },
    stack::now,
};
use futures::future::join_all;

/// Deliveries after which a message that still fails is a failure of ours.
const MAX_DELIVERIES: usize = 12;

fn minutes_ago(minutes: i64) -> UnixMillis {
    now().plus_millis(-60_000 * minutes)
}

/// A batch with everything in it: two services, three windows, one and several
/// types, rubbish, a zip with a bad entry, a stray key, one snapshot under two
/// keys.
fn batch(name: &str) -> Vec<Snapshot> {
    let (a, b) = (format!("{name}-a"), format!("{name}-b"));
    let good = |service: &str, seq, types: &[&str], ago| {
        Snapshot::good(service, seq, types, (minutes_ago(ago), 0)).unwrap()
    };
    let twice = good(&a, 1, &["cpu"], 3);
    vec![
        twice.redated("2026-01-02").unwrap(),
        twice.zipped().unwrap(),
        twice,
        good(&a, 2, &["cpu"], 3),
        good(&a, 3, &["cpu", "wall"], 90),
        Snapshot::half_good(&a, 4, minutes_ago(3)).unwrap(),
        Snapshot::rubbish(&a, 5).unwrap(),
        good(&b, 1, &["wall"], 3),
        good(&b, 2, &["cpu", "wall"], 1500),
        Snapshot::stray(&b, 3),
    ]
}

/// Keys of a batch, two of them delivered twice.
async fn accept(stores: &Stores, model: &mut Model, batch: &[Snapshot]) -> Vec<String> {
    for snapshot in batch {
        stores.accept(model, snapshot).await.unwrap();
    }
    let mut keys: Vec<String> = batch.iter().map(|snapshot| snapshot.key.clone()).collect();
    keys.extend_from_within(..2);
    keys
}

/// Delivers without faults until nothing comes again.
async fn settle(stores: &Stores, mut keys: Vec<String>) {
    for _ in 0..MAX_DELIVERIES {
        keys = deliver(&stores.store, &keys, None).await.unwrap();
        if keys.is_empty() {
            return;
        }
    }
    panic!("still to be delivered: {keys:?}");
}

/// One batch under one script, then delivered again.
async fn case(stores: &Stores, name: &str, script: &[(usize, Outcome)]) -> usize {
    let mut model = Model::default();
    let keys = accept(stores, &mut model, &batch(name)).await;
    let faults = Faults::script(script.iter().copied());
    let again = deliver(&stores.through(&faults), &keys, Some(&faults)).await.unwrap();
    let effects = faults.effects();
    let at = script.first().map(|(at, outcome)| (outcome, effects.get(*at)));
    let fail = |error: anyhow::Error| panic!("{name} {at:?}: {error:#}\n{effects:#?}");
    check(&stores.store, &mut model).await.unwrap_or_else(fail);
    settle(stores, again).await;
    let once = check_settled(&stores.store, &mut model).await.unwrap_or_else(fail);
    // Everything once more, as the queue may at any time: nothing may change.
    settle(stores, keys).await;
    let twice = check_settled(&stores.store, &mut model).await.unwrap_or_else(fail);
    assert_eq!(once, twice, "{name}");
    assert_eq!((once.merged, once.parked, once.queued), (6, 1, 0), "{name}");
    effects.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_effect_loses_and_doubles_nothing() {
    let stores = Stores::start().await.unwrap();
    let clean = case(&stores, "clean", &[]).await;
    let mut cases = 0;
    for outcome in Outcome::MATRIX {
        for at in 0..clean {
            case(&stores, &format!("{outcome:?}-{at}"), &[(at, outcome)]).await;
            cases += 1;
        }
    }
    println!("merge: {clean} crash points × {} outcomes = {cases}", Outcome::MATRIX.len());
    assert!(clean >= 7, "{clean} effects are fewer than the batch needs");
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_effect_twice_changes_nothing() {
    let stores = Stores::start().await.unwrap();
    let all: Vec<_> = (0..100).map(|at| (at, Outcome::Repeat)).collect();
    case(&stores, "all-twice", &all).await;
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mergers_that_meet_on_the_same_snapshots_share_them() {
    let stores = Stores::start().await.unwrap();
    for round in 0..12_u64 {
        let mut random = Random::new(round);
        let mut model = Model::default();
        let name = format!("meet-{round}");
        let mut snapshots = batch(&name);
        snapshots.extend((10..30).map(|seq| {
            let times = (minutes_ago(3), 0);
            Snapshot::good(&format!("{name}-a"), seq, &["cpu"], times).unwrap()
        }));
        let keys = accept(&stores, &mut model, &snapshots).await;
        let mergers = (0..4 + random.below(5)).map(|_| {
            let mut keys = keys.clone();
            random.shuffle(&mut keys);
            keys.truncate(1 + random.below(keys.len()));
            let rates = Rates { fail: 60, kill: 20, repeat: 60, delay: 300 };
            let faults = Faults::seeded(Random::new(random.draw()), rates);
            let store = stores.through(&faults);
            tokio::spawn(async move { deliver(&store, &keys, Some(&faults)).await })
        });
        for merger in join_all(mergers).await {
            merger.unwrap().unwrap();
        }
        check(&stores.store, &mut model).await.unwrap();
        settle(&stores, keys).await;
        check_settled(&stores.store, &mut model).await.unwrap();
    }
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_duplicates_and_order_change_no_total() {
    let stores = Stores::start().await.unwrap();
    for seed in 0..10_u64 {
        let mut random = Random::new(seed);
        let mut model = Model::default();
        let mut queue = accept(&stores, &mut model, &batch(&format!("seed-{seed}"))).await;
        for delivery in 0.. {
            random.shuffle(&mut queue);
            let some = queue.split_off(random.below(queue.len()));
            let fail = if delivery < MAX_DELIVERIES { 250 } else { 0 };
            let rates = Rates { fail, kill: fail / 4, repeat: 100, delay: 50 };
            let faults = Faults::seeded(Random::new(random.draw()), rates);
            let again = deliver(&stores.through(&faults), &some, Some(&faults)).await.unwrap();
            check(&stores.store, &mut model)
                .await
                .unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{:#?}", faults.effects()));
            queue.extend(again);
            // What was answered for may be delivered again all the same.
            queue.extend(
                some.into_iter().filter(|_| delivery < MAX_DELIVERIES && random.per_mille(200)),
            );
            if queue.is_empty() {
                break;
            }
        }
        check_settled(&stores.store, &mut model).await.unwrap();
    }
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_two_hours_off_change_no_window_and_no_total() {
    let stores = Stores::start().await.unwrap();
    let mut model = Model::default();
    let hours = |n: i64| n * 3_600_000;
    let mut snapshots = Vec::new();
    for (seq, offset) in (0..).zip([0, hours(2), hours(-2), hours(2) + 1, -1, hours(30)]) {
        // The writer's clock is wrong by the offset it has seen: corrected.
        let times = (minutes_ago(10), offset);
        snapshots.push(Snapshot::good("skew", seq, &["cpu"], times).unwrap());
        // Wrong, and it does not know: the future is clamped, the past stands.
        let times = (now().plus_millis(offset), 0);
        snapshots.push(Snapshot::good("skew", seq + 100, &["cpu", "wall"], times).unwrap());
    }
    let keys = accept(&stores, &mut model, &snapshots).await;
    settle(&stores, keys).await;
    let checked = check_settled(&stores.store, &mut model).await.unwrap();
    assert_eq!(checked.merged, 12);
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_snapshot_under_many_keys_counts_once_in_any_order() {
    let stores = Stores::start().await.unwrap();
    for order in 0..24_u64 {
        let single = Snapshot::good(&format!("many-{order}"), 7, &["cpu"], (minutes_ago(2), 0));
        let single = single.unwrap();
        let zipped = single.zipped().unwrap();
        let forms = [
            single.redated("2026-01-02").unwrap(),
            zipped.redated("2026-01-02").unwrap(),
            single,
            zipped,
        ];
        let mut model = Model::default();
        let mut keys = accept(&stores, &mut model, &forms).await;
        keys.truncate(4);
        let mut random = Random::new(order);
        random.shuffle(&mut keys);
        // Some together, some alone, some at the same time.
        let (first, rest) = keys.split_at(random.below(4));
        settle(&stores, first.to_vec()).await;
        join_all(rest.iter().map(|key| settle(&stores, vec![key.clone()]))).await;
        let checked = check_settled(&stores.store, &mut model).await.unwrap();
        assert_eq!((checked.merged, checked.parked), (1, 0));
    }
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merger_paused_before_every_effect_meets_one_that_is_not() {
    let stores = Stores::start().await.unwrap();
    let mut pauses = BTreeMap::new();
    for at in 0.. {
        let mut model = Model::default();
        let keys = accept(&stores, &mut model, &batch(&format!("paused-{at}"))).await;
        let faults = Faults::script([(at, Outcome::Pause)]);
        let (store, slow, of_slow) = (stores.through(&faults), keys.clone(), Arc::clone(&faults));
        let mut merging =
            tokio::spawn(async move { deliver(&store, &slow, Some(&of_slow)).await.unwrap() });
        tokio::select! {
            () = faults.paused() => {}
            ended = &mut merging => { drop(ended.unwrap()); break; }
        }
        settle(&stores, keys.clone()).await;
        check_settled(&stores.store, &mut model).await.unwrap();
        faults.release();
        assert!(merging.await.unwrap().is_empty());
        check_settled(&stores.store, &mut model).await.unwrap();
        pauses.insert(at, faults.effects().len());
    }
    println!("merge: paused before each of {} effects", pauses.len());
    assert!(pauses.len() >= 7);
    stores.stop().await;
}
