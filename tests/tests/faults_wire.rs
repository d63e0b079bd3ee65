//! Stores with troubles of their own: throttled, failing, silent, their answers
//! torn. Every answer is exact or an error, and nothing is lost.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use flambeau_layout::{ServiceName, TenantId, UnixMillis};
use flambeau_pipeline::{
    CompactOptions, Scope, compact,
    sweep::{sweep_rollups, sweep_segments},
    verify,
};
use flambeau_profile::Limits;
use flambeau_query::{QueryError, Range};
use flambeau_store::{Store, StoreError};
use flambeau_tests::{
    faults::{
        Model, Random, Snapshot, Stores, Troubles, Wire, check_range, check_settled, deliver, learn,
    },
    stack::now,
};
use futures::future::join_all;

const HOUR: i64 = 3_600_000;
const SERVICES: [&str; 2] = ["wire-a", "wire λ/b"];
/// Rounds of everything under troubles, per seed.
const ROUNDS: u64 = 6;
/// So many of a thousand requests meet trouble.
const PER_MILLE: usize = 100;

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

fn later() -> UnixMillis {
    now().plus_millis(72 * HOUR)
}

fn batch(random: &mut Random, from: u64) -> Vec<Snapshot> {
    let snapshot = |seq| {
        let service = *random.pick(&SERVICES);
        let ago = *random.pick(&[1, 1, 5, 26]) * HOUR;
        let end = now().plus_millis(-ago);
        match seq % 8 {
            0 => Snapshot::rubbish(service, seq).unwrap(),
            1 => Snapshot::half_good(service, seq, end).unwrap(),
            2 => Snapshot::stray(service, seq),
            _ => Snapshot::good(service, seq, &["cpu", "wall"], (end, 0)).unwrap(),
        }
    };
    (from..from + 8).map(snapshot).collect()
}

/// What was asked, and how often it was answered or refused.
#[derive(Debug, Default)]
struct Tally(BTreeMap<&'static str, [usize; 2]>);

impl Tally {
    fn note<T, E>(&mut self, what: &'static str, ended: &Result<T, E>) {
        self.0.entry(what).or_default()[usize::from(ended.is_err())] += 1;
    }

    /// An answer that is not an error of the store must be exact.
    fn answer(&mut self, what: &'static str, answered: anyhow::Result<()>) {
        self.note(what, &answered);
        let Err(error) = answered else { return };
        let honest = error.chain().any(|cause| {
            cause.is::<StoreError>() || matches!(cause.downcast_ref(), Some(QueryError::Store(_)))
        });
        assert!(honest, "{what}: {error:#}");
    }
}

async fn roll_up(store: &Store, service: &str) -> Result<(), StoreError> {
    let options = CompactOptions { now: later(), limits: Limits::default() };
    let service = service.parse().unwrap();
    let report = compact(store, &tenant(), &service, &Scope::All, &options).await?;
    assert_eq!(report.refused, Vec::<String>::new());
    Ok(())
}

async fn under_troubles(
    (stores, wire): (&Stores, &Wire),
    model: &mut Model,
    queue: &mut Vec<String>,
    tally: &mut Tally,
) {
    let store = wire.store(&stores.config.table).await;
    let again = deliver(&store, queue, None).await.unwrap();
    tally.note("merge", if again.is_empty() { &Ok(()) } else { &Err(()) });
    *queue = again;
    for service in SERVICES {
        tally.note("compaction", &roll_up(&store, service).await);
    }
    // What was begun ends, whether or not somebody waits for it.
    wire.quiet().await;
    learn(&stores.store, model).await.unwrap();
    for service in SERVICES {
        let (service, typ): (ServiceName, _) = (service.parse().unwrap(), "cpu".parse().unwrap());
        let answer = check_range(&store, model, (&service, &typ), Range::all()).await;
        tally.answer("query", answer);
    }
    let all = Range::all();
    let scope = verify::Scope { tenant: tenant(), service: None, range: (all.from, all.until) };
    let verified = verify::verify(&store, &scope).await;
    tally.note("verify", &verified);
    if let Ok(verified) = verified {
        assert_eq!(verified.differences, Vec::<String>::new());
    }
}

/// Without troubles: everything is delivered, rolled up and swept.
async fn settle(stores: &Stores, mut queue: Vec<String>, model: &mut Model) {
    for _ in 0..10 {
        queue = deliver(&stores.store, &queue, None).await.unwrap();
    }
    assert_eq!(queue, Vec::<String>::new());
    sweep_segments(&stores.store, &tenant(), later()).await.unwrap();
    for service in SERVICES {
        roll_up(&stores.store, service).await.unwrap();
        let service = service.parse().unwrap();
        sweep_rollups(&stores.store, &tenant(), &service, later()).await.unwrap();
    }
    check_settled(&stores.store, model).await.unwrap();
}

/// One story under troubles; answers its tally and the troubles it met.
async fn story(seed: u64) -> (Tally, BTreeMap<&'static str, usize>) {
    let stores = Stores::start().await.unwrap();
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    let troubles = Arc::new(Troubles::new(Random::new(random.draw()), PER_MILLE));
    let wire = Wire::open(&stores.config, &troubles, None).await.unwrap();
    let (mut model, mut queue) = (Model::default(), Vec::new());
    for round in 0..ROUNDS {
        for snapshot in batch(&mut random, round * 8) {
            stores.accept(&mut model, &snapshot).await.unwrap();
            queue.push(snapshot.key);
        }
        under_troubles((&stores, &wire), &mut model, &mut queue, &mut tally).await;
    }
    troubles.cease();
    settle(&stores, queue, &mut model).await;
    wire.close().await;
    stores.stop().await;
    (tally, troubles.met())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_exact_or_an_error_while_stores_have_troubles() {
    let (mut tally, mut met) = (Tally::default(), BTreeMap::<_, usize>::new());
    // Most of the time goes by waiting for answers that never come.
    for (own, troubles) in join_all((0..4).map(story)).await {
        for (what, [answered, refused]) in own.0 {
            let sum = tally.0.entry(what).or_default();
            *sum = [sum[0] + answered, sum[1] + refused];
        }
        for (trouble, count) in troubles {
            *met.entry(trouble).or_default() += count;
        }
    }
    println!("wire: [answered, refused] {tally:?}; troubles met {met:?}");
    let [answered, refused] =
        tally.0.values().fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
    for trouble in ["refused", "refused after it happened", "torn"] {
        assert!(met.get(trouble).is_some_and(|count| *count > 0), "no request was {trouble}");
    }
}
