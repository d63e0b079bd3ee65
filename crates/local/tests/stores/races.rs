//! Many clients at once.

use super::support::{Rig, code, pattern, status};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const RACERS: usize = 32;
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn one_client_is_refused_by_its_conditions() {
    let rig = Rig::new().await;
    let put = || {
        let put = rig.client.put_object().bucket(&rig.bucket).key("k");
        put.body(b"x".to_vec().into())
    };
    let absent = put().if_match("\"0\"").send().await.unwrap_err();
    assert_eq!((status(&absent), &*code(&absent)), (404, "NoSuchKey"));
    put().if_none_match("*").send().await.unwrap();
    let exists = put().if_none_match("*").send().await.unwrap_err();
    assert_eq!((status(&exists), &*code(&exists)), (412, "PreconditionFailed"));
    let stale = put().if_match("\"0\"").send().await.unwrap_err();
    assert_eq!((status(&stale), &*code(&stale)), (412, "PreconditionFailed"));
    if rig.is_ours() {
        let by_tag = put().if_none_match("\"0\"").send().await.unwrap_err();
        assert_eq!(status(&by_tag), 501);
    }
    let etag = rig.put("k", b"y").await;
    put().if_match(&etag).send().await.unwrap();
    assert_eq!(rig.get("k").await.unwrap(), b"x");
    let delete = || rig.client.delete_object().bucket(&rig.bucket).key("k");
    if rig.is_ours() {
        let stale = delete().if_match(&etag).send().await.unwrap_err();
        assert_eq!(status(&stale), 412);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_many_creators_wins() {
    let rig = Arc::new(Rig::new().await);
    for round in 0..ROUNDS {
        let start = Arc::new(Barrier::new(RACERS));
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            let (rig, start) = (Arc::clone(&rig), Arc::clone(&start));
            racers.spawn(async move {
                let body = pattern(racer as u64, 3000);
                let put = rig.client.put_object().bucket(&rig.bucket);
                let put = put.key(format!("claim-{round}")).if_none_match("*");
                start.wait().await;
                match put.body(body.into()).send().await {
                    Ok(_) => Some(racer as u64),
                    Err(error) => {
                        assert_eq!(code(&error), "PreconditionFailed");
                        None
                    }
                }
            });
        }
        let winners: Vec<u64> = racers.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let body = rig.get(&format!("claim-{round}")).await.unwrap();
        assert!(body == pattern(winners[0], 3000), "the winner's bytes are there");
    }
    if rig.is_ours() {
        assert_eq!(rig.body_files(), ROUNDS, "losers leave no bodies");
        let pending = rig.s3.as_ref().unwrap().outbox().pending(1000).await;
        assert_eq!(pending.unwrap().len(), ROUNDS, "losers leave no events");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_counts_without_loss() {
    const WRITERS: usize = 16;
    const STEPS: u64 = 4;
    let rig = Arc::new(Rig::new().await);
    rig.put("counter", b"0").await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let rig = Arc::clone(&rig);
        writers.spawn(async move {
            for _ in 0..STEPS {
                increment(&rig).await;
            }
        });
    }
    writers.join_all().await;
    let total = String::from_utf8(rig.get("counter").await.unwrap()).unwrap();
    assert_eq!(total, (WRITERS as u64 * STEPS).to_string());
}

async fn increment(rig: &Rig) {
    loop {
        let get = rig.client.get_object().bucket(&rig.bucket).key("counter");
        let got = get.send().await.unwrap();
        let etag = got.e_tag().unwrap().to_owned();
        let body = got.body.collect().await.unwrap().to_vec();
        let value: u64 = String::from_utf8(body).unwrap().parse().unwrap();
        let put = rig.client.put_object().bucket(&rig.bucket).key("counter");
        let put = put.if_match(etag).body((value + 1).to_string().into_bytes().into());
        match put.send().await {
            Ok(_) => return,
            Err(error) => assert_eq!(code(&error), "PreconditionFailed"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_one_version_while_it_is_replaced() {
    // Larger than what is read at a time, so a body outlives its row.
    const SIZE: usize = 300_000;
    const VERSIONS: u64 = 25;
    let rig = Arc::new(Rig::new().await);
    let body = |version: u64| pattern(version, SIZE + version as usize);
    let mut etags = HashMap::new();
    etags.insert(rig.put("k", &body(0)).await, 0);
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let (rig, done) = (Arc::clone(&rig), Arc::clone(&done));
        readers.spawn(async move {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let get = rig.client.get_object().bucket(&rig.bucket).key("k");
                let got = get.send().await.unwrap();
                let etag = got.e_tag().unwrap().to_owned();
                seen.push((etag, got.body.collect().await.unwrap().to_vec()));
                if seen.len() > 8 {
                    seen.remove(0);
                }
            }
            seen
        });
    }
    for version in 1..=VERSIONS {
        etags.insert(rig.put("k", &body(version)).await, version);
    }
    done.store(true, Ordering::Relaxed);
    for (etag, bytes) in readers.join_all().await.into_iter().flatten() {
        assert!(bytes == body(etags[&etag]), "bytes of another version than the tag");
    }
    if rig.is_ours() {
        assert_eq!(rig.body_files(), 1, "replaced bodies are removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_puts_at_once_all_arrive() {
    let rig = Arc::new(Rig::new().await);
    let mut puts = JoinSet::new();
    for number in 0..200_u64 {
        let rig = Arc::clone(&rig);
        puts.spawn(async move {
            let body = pattern(number, 2000);
            rig.put(&format!("many/{number:03}"), &body).await;
        });
    }
    puts.join_all().await;
    let list = rig.client.list_objects_v2().bucket(&rig.bucket);
    let list = list.prefix("many/").send().await.unwrap();
    assert_eq!(list.key_count(), Some(200));
    for number in 0..200_u64 {
        let body = rig.get(&format!("many/{number:03}")).await.unwrap();
        assert!(body == pattern(number, 2000));
    }
}
