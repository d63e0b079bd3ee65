//! What adds up, what does not, and what is shown: deltas, totals since the
//! process began, and values that are true at a moment.
#![allow(clippy::unwrap_used)]

use flambeau_layout::{Note, SnapshotKey, SnapshotNote, SnapshotShape, TenantId, UnixMillis};
use flambeau_pipeline::{
    CompactOptions, ItemOutcome, MergeOptions, Scope, compact,
    verify::{self, verify},
};
use flambeau_profile::{
    Limits, Temporality, encode_gzip,
    proto::{Function, Line, Location, Profile, Sample, ValueType},
};
use flambeau_query::{Aggregate, Range, Selection, plan};
use flambeau_tests::{
    faults::Stores,
    stack::{Stack, key, now},
};

const DAY: i64 = 86_400_000;

/// A Go heap profile: `alloc` bytes since the process began, `inuse` now.
fn heap(alloc: i64, inuse: i64, time: UnixMillis) -> Profile {
    let strings = ["", "alloc_space", "bytes", "inuse_space", "main"];
    Profile {
        string_table: strings.map(str::to_owned).to_vec(),
        sample_type: [1, 3].map(|r#type| ValueType { r#type, unit: 2 }).to_vec(),
        function: vec![Function { id: 1, name: 4, ..Default::default() }],
        location: vec![Location {
            id: 1,
            line: vec![Line { function_id: 1, line: 1, column: 0 }],
            ..Default::default()
        }],
        sample: vec![Sample {
            location_id: vec![1],
            value: vec![alloc, inuse],
            ..Default::default()
        }],
        time_nanos: time.as_nanos(),
        ..Default::default()
    }
}

fn heap_key(service: &str, seq: u64) -> SnapshotKey {
    key(service, seq, SnapshotShape::Single("heap".parse().unwrap())).unwrap()
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![vec![]];
    }
    let insert = |shorter: Vec<usize>| {
        (0..of).map(move |at| {
            let mut order = shorter.clone();
            order.insert(at, of - 1);
            order
        })
    };
    orders(of - 1).into_iter().flat_map(insert).collect()
}

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

#[tokio::test]
async fn four_cumulative_snapshots_count_alike_in_all_24_orders() {
    let stores = Stores::start().await.unwrap();
    let store = &stores.store;
    let at = now().plus_millis(-3 * DAY);
    let orders = orders(4);
    assert_eq!(orders.len(), 24);
    for (n, order) in orders.iter().enumerate() {
        let service = format!("s{n}");
        for seq in order {
            let seq = *seq as u64;
            let (key, steps) = (heap_key(&service, seq).to_string(), seq as i64);
            let bytes = encode_gzip(&heap(1000 + 100 * steps, 50 + steps, at.plus_millis(steps)));
            store.put_new(&key, bytes.into(), "application/gzip").await.unwrap();
            let options = MergeOptions {
                tenant: tenant(),
                now: now().plus_millis(-2 * DAY),
                fetches: 4,
                limits: Limits::default(),
            };
            let report = Box::pin(flambeau_pipeline::merge(store, &[key], &options)).await;
            assert_eq!(report.outcomes, [ItemOutcome::Merged]);
        }
        let selection = Selection {
            tenant: tenant(),
            service: service.parse().unwrap(),
            typ: "heap".parse().unwrap(),
            range: Range::all(),
        };
        let options = CompactOptions { now: now(), limits: Limits::default() };
        for compacted in [false, true] {
            if compacted {
                let service = &selection.service;
                compact(store, &tenant(), service, &Scope::All, &options).await.unwrap();
            }
            let plan = plan(store, &selection).await.unwrap();
            let totals: Vec<i128> = plan.totals().iter().map(|(_, total)| total.0).collect();
            assert_eq!(totals, [1000, 50 + 51 + 52 + 53], "{order:?}, compacted: {compacted}");
            assert_eq!((plan.snapshots(), plan.undifferenced()), (4, 3));
            let shown = plan.shown_totals(Aggregate::Mean);
            assert_eq!((shown[0].1.0, shown[1].1.0), (1000, 52), "51.5, rounded");
        }
    }
    let scope = verify::Scope { tenant: tenant(), service: None, range: (UnixMillis(0), now()) };
    let verified = verify(store, &scope).await.unwrap();
    assert_eq!(verified.differences, Vec::<String>::new());
    assert_eq!(verified.snapshots, 96);
}

#[tokio::test]
async fn ten_environments_with_fifty_in_use_read_fifty() {
    let stack = Stack::start().await.unwrap();
    let keys: Vec<SnapshotKey> = (0..10).map(|seq| heap_key("mean", seq)).collect();
    for key in &keys {
        // The writer made differences itself, and says so.
        let temporality = [("alloc_space".to_owned(), Temporality::Delta)].into();
        let note = SnapshotNote { temporality, ..SnapshotNote::default() };
        let mut profile = heap(7, 50, now());
        profile.comment.push(5);
        profile.string_table.push(Note::Snapshot(note).to_comment().unwrap());
        stack.put(&key.to_string(), encode_gzip(&profile)).await.unwrap();
    }
    stack.fates(&keys).await.unwrap();
    assert_eq!(stack.profile("/s/mean/heap").await.unwrap().totals(), [70, 50]);
    assert_eq!(stack.profile("/s/mean/heap?agg=mean").await.unwrap().totals(), [70, 50]);
    assert_eq!(stack.profile("/s/mean/heap?agg=sum").await.unwrap().totals(), [70, 500]);
    assert_eq!(stack.get("/s/mean/heap?agg=most").await.unwrap().0, 400);
    let (_, page) = stack.get("/s/mean/heap?format=html").await.unwrap();
    assert!(String::from_utf8(page).unwrap().contains("mean per snapshot"));
    stack.serving.stop().await;
}
