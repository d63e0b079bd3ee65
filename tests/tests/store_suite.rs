//! One suite for the index, run on every server that can hold it.
#![allow(clippy::unwrap_used)]

use std::{collections::HashSet, sync::Arc};

use flambeau_layout::{
    BlockId, BlockRow, ClaimRow, Fate, Identity, Level, ObjectRange, ParkReason, ProfileType,
    RowState, ServiceEntry, UnixMillis, Window,
};
use flambeau_local::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use flambeau_store::{ChunkCommit, CommitOutcome, Config, ErrorKind, Put, Store};
use flambeau_tests::{judge::DynamoDbLocal, stack::Stack};
use futures::future::join_all;
use second_s3::SecondS3;

#[path = "../second-s3/server.rs"]
mod second_s3;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn claim(service: &str, seq: u64, block: &BlockId) -> ClaimRow {
    let identity = Identity {
        tenant: "default".parse().unwrap(),
        service: service.parse().unwrap(),
        env: "e".parse().unwrap(),
        boot: "b".parse().unwrap(),
        seq,
    };
    let window = Window::of(Level::Minute, NOW);
    ClaimRow {
        identity: identity.hash(),
        fate: Fate::Block { block: block.clone(), window },
        key: format!("{service}/{seq}"),
        claimed: NOW,
    }
}

fn row(service: &str, block: &BlockId, time: UnixMillis) -> BlockRow {
    let (tenant, service) = ("default".parse().unwrap(), service.parse().unwrap());
    let window = Window::of(Level::Minute, time);
    let empty = BlockRow::empty(tenant, service, window, block.clone());
    BlockRow { snapshots: 1, written: NOW, ..empty }
}

fn chunk(service: &str, seqs: std::ops::Range<u64>) -> ChunkCommit {
    let block = BlockId::random().unwrap();
    let claims = seqs.map(|seq| claim(service, seq, &block)).collect();
    ChunkCommit { rows: vec![row(service, &block, NOW)], claims, token: block.to_string() }
}

async fn rows(store: &Store, service: &str) -> Vec<BlockRow> {
    let range = (NOW.plus_millis(-3_600_000), NOW.plus_millis(3_600_000));
    let (tenant, service) = ("default".parse().unwrap(), service.parse().unwrap());
    let rows = store.rows(&tenant, &service, RowState::Open, Level::Minute, range).await.unwrap();
    rows.into_iter().map(|indexed| indexed.row).collect()
}

async fn a_chunk_commits_whole_or_not_at_all(store: &Store) {
    let first = chunk("whole", 0..99);
    assert_eq!(first.items(), 100);
    assert_eq!(store.commit(&first).await.unwrap(), CommitOutcome::Committed);
    // The very same again is the same commit, with or without its token.
    assert_eq!(store.commit(&first).await.unwrap(), CommitOutcome::Committed);
    let fresh = ChunkCommit { token: BlockId::random().unwrap().to_string(), ..first.clone() };
    assert_eq!(store.commit(&fresh).await.unwrap(), CommitOutcome::Committed);
    // One claimed snapshot among new ones: nothing is written, and who is named.
    let second = chunk("whole", 98..150);
    let CommitOutcome::Claimed(others) = store.commit(&second).await.unwrap() else { panic!() };
    assert_eq!(others, [first.claims[98].clone()]);
    assert_eq!(rows(store, "whole").await.len(), 1);
    let unclaimed = store.claims_of(&[second.claims[1].identity.clone()]).await.unwrap();
    assert!(unclaimed.is_empty());
    let all: Vec<_> = first.claims.iter().map(|claim| claim.identity.clone()).collect();
    assert_eq!(store.claims_of(&all).await.unwrap().len(), 99);
    let twice = [all.as_slice(), &all].concat();
    assert_eq!(store.claims_of(&twice).await.unwrap().len(), 99);
}

async fn one_of_many_racers_wins_each_snapshot(store: &Store) {
    const RACERS: u64 = 32;
    for round in 0..3 {
        let service = format!("race-{round}");
        let race = (0..RACERS).map(|_| {
            let (store, chunk) = (store.clone(), chunk(&service, 0..10));
            async move { (store.commit(&chunk).await, chunk.rows[0].block.clone()) }
        });
        let ended = join_all(race).await;
        let won: Vec<_> = ended
            .iter()
            .filter(|(outcome, _)| matches!(outcome, Ok(CommitOutcome::Committed)))
            .collect();
        assert_eq!(won.len(), 1, "{ended:?}");
        let rows = rows(store, &service).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].block, won[0].1);
    }
}

async fn a_parked_claim_stays(store: &Store) {
    let block = BlockId::random().unwrap();
    let parked = ClaimRow {
        fate: Fate::Parked { reason: ParkReason::Invalid, detail: "why".into() },
        ..claim("parked", 0, &block)
    };
    assert_eq!(store.claim(&parked).await.unwrap(), parked);
    let other = claim("parked", 0, &block);
    assert_eq!(store.claim(&other).await.unwrap(), parked);
}

async fn rows_come_in_order_of_time_and_range(store: &Store) {
    for minute in [5, 0, 3, 9] {
        let block = BlockId::random().unwrap();
        let row = row("ordered", &block, NOW.plus_millis(minute * 60_000));
        let commit = ChunkCommit { rows: vec![row], claims: vec![], token: block.to_string() };
        store.commit(&commit).await.unwrap();
    }
    let windows: Vec<_> = rows(store, "ordered").await.iter().map(|row| row.window.start).collect();
    assert_eq!(windows.len(), 4);
    assert!(windows.is_sorted());
    let (tenant, service) = ("default".parse().unwrap(), "ordered".parse().unwrap());
    let range = (windows[1], windows[2].plus_millis(1));
    let some = store.rows(&tenant, &service, RowState::Open, Level::Minute, range).await.unwrap();
    assert_eq!(some.len(), 2);
}

async fn the_catalogue_loses_no_writer(store: &Store) {
    let tenant = "catalogued".parse().unwrap();
    let writers = (0..32).map(|i| {
        let mut entry = ServiceEntry::new("s".parse().unwrap());
        (entry.first, entry.last) = (NOW, NOW);
        entry.types.insert(format!("t{}", i % 16).parse::<ProfileType>().unwrap(), vec![]);
        let (store, tenant) = (store.clone(), &tenant);
        async move {
            // Writers that meet too often are told; their event comes again.
            while store.note_service(tenant, &entry, 600_000).await.is_err() {}
        }
    });
    join_all(writers).await;
    let entries = store.services(&tenant).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].types.len(), 16);
}

async fn objects_are_put_once(store: &Store) {
    let puts =
        (0..32).map(|i| {
            let store = store.clone();
            async move {
                store.put_new("once/λ+ %2F", vec![i; 1000].into(), "text/plain").await.unwrap()
            }
        });
    let created = join_all(puts).await.into_iter().filter(|put| *put == Put::Created).count();
    assert_eq!(created, 1);
    let got = store.get("once/λ+ %2F", 1000).await.unwrap();
    assert_eq!(got.bytes.iter().collect::<HashSet<_>>().len(), 1);
    assert!(store.get("once/λ+ %2F", 999).await.is_err());
    assert_eq!(store.list_all("once/").await.unwrap().len(), 1);
    store.delete("once/λ+ %2F").await.unwrap();
    store.delete("once/λ+ %2F").await.unwrap();
    assert!(store.list_all("once/").await.unwrap().is_empty());
}

async fn parts_and_folders_are_exact(store: &Store) {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for key in ["parts/2026/a", "parts/2026/b", "parts/parts/a", "parts/c"] {
        store.put_new(key, bytes.clone().into(), "application/zip").await.unwrap();
    }
    let part = |key: &str, offset, len| {
        let at = ObjectRange { key: key.to_owned(), offset, len };
        async move { store.get_range(&at).await }
    };
    assert_eq!(part("parts/c", 70_000, 300).await.unwrap(), bytes[70_000..70_300]);
    let beyond = part("parts/c", 99_999, 2).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Corrupt);
    let missing = part("parts/d", 0, 1).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(store.size_of("parts/c").await.unwrap(), Some(100_000));
    assert_eq!(store.size_of("parts/d").await.unwrap(), None);
    assert_eq!(store.folders("parts/").await.unwrap(), ["2026", "parts"]);
    store.put_again("parts/c", b"other"[..].into(), "text/plain").await.unwrap();
    assert_eq!(store.get("parts/c", 5).await.unwrap().bytes, b"other"[..]);
}

async fn suite(store: Store) {
    let store = Arc::new(store);
    a_chunk_commits_whole_or_not_at_all(&store).await;
    one_of_many_racers_wins_each_snapshot(&store).await;
    a_parked_claim_stays(&store).await;
    rows_come_in_order_of_time_and_range(&store).await;
    the_catalogue_loses_no_writer(&store).await;
    objects_are_put_once(&store).await;
    parts_and_folders_are_exact(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    let stack = Stack::start().await.unwrap();
    suite(stack.serving.store.clone()).await;
    stack.serving.stop().await;
}

/// Without the nearness that the server's own store has.
#[tokio::test(flavor = "multi_thread")]
async fn embedded_by_requests_alone() {
    let stack = Stack::start().await.unwrap();
    suite(Store::connect(&stack.serving.endpoints.store_config()).await).await;
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_local() {
    let Some(dynamo) = DynamoDbLocal::start().await.unwrap() else { return };
    let stack = Stack::start().await.unwrap();
    let config = Config {
        dynamodb_endpoint: Some(dynamo.url.clone()),
        ..stack.serving.endpoints.store_config()
    };
    let store = Store::connect(&config).await;
    store.create().await.unwrap();
    suite(store).await;
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_s3_server() {
    let Some(s3) = SecondS3::start(ACCESS_KEY_ID, SECRET_ACCESS_KEY) else { return };
    let stack = Stack::start().await.unwrap();
    let config =
        Config { s3_endpoint: Some(s3.url.clone()), ..stack.serving.endpoints.store_config() };
    let store = Store::connect(&config).await;
    store.create().await.unwrap();
    suite(store).await;
    stack.serving.stop().await;
}
