//! The tables are lost: the bucket alone tells what stood in them.
#![allow(clippy::unwrap_used)]

use flambeau_pipeline::{MergeOptions, drain, rebuild::rebuild};
use flambeau_profile::Limits;
use flambeau_store::{Config, Store};
use flambeau_tests::{
    faults::{Faults, Model, Outcome, Snapshot, Stores, check, check_settled, deliver},
    stack::now,
};

/// New tables beside the same bucket.
async fn lost(stores: &Stores) -> Store {
    let table = "flambeau-again".to_owned();
    let store = Store::connect(&Config { table, ..stores.config.clone() }).await;
    store.create().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_once_and_merged_unmarked_is_queued_again() {
    let stores = Stores::start().await.unwrap();
    let mut model = Model::default();
    let end = now().plus_millis(-120_000);
    let snapshot = Snapshot::good("redriven", 1, &["cpu"], (end, 0)).unwrap();
    stores.accept(&mut model, &snapshot).await.unwrap();
    let (key, tenant) = (snapshot.key, "default".parse().unwrap());
    let options = MergeOptions { tenant, now: now(), fetches: 1, limits: Limits::default() };
    drain(&stores.store, &key, "given up", &options).await.unwrap();
    // Redriven, and merged; the worker dies before it can put the mark.
    let faults = Faults::script([(2, Outcome::KillBefore)]);
    deliver(&stores.through(&faults), std::slice::from_ref(&key), None).await.unwrap();
    assert_eq!(check(&stores.store, &mut model).await.unwrap().merged, 1);

    let again = lost(&stores).await;
    model.forget_fates();
    let rebuilt = rebuild(&again, &options.tenant, now()).await.unwrap();
    deliver(&again, &rebuilt.requeue, None).await.unwrap();
    check_settled(&again, &mut model).await.unwrap();
    stores.stop().await;
}
