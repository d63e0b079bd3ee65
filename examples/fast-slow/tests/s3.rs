//! The function's snapshots in an S3 that follows the protocol to the letter.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use bytes::Bytes;
use flambeau_fast_slow::Order;
use flambeau_layout::{Note, SnapshotNote};
use flambeau_local::lambda::{Function, ShutdownReason};
use flambeau_local::loopback::Served;
use flambeau_local::s3::{ACCESS_KEY_ID, EmbeddedS3, Options, REGION, SECRET_ACCESS_KEY};
use flambeau_profile::{Limits, decode};
use profiler_sdk::{S3Sink, Sink, SinkError};
use tokio::net::TcpListener;

const BUCKET: &str = "snapshots-here";
const PATIENCE: Duration = Duration::from_secs(120);

/// How far the server's clock is ahead of ours.
const AHEAD: Duration = Duration::from_secs(3600);

struct Bucket {
    client: Client,
    endpoint: String,
    _served: Served,
    _folder: tempfile::TempDir,
}

async fn bucket() -> Bucket {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(|| SystemTime::now() + AHEAD);
    let store = EmbeddedS3::open(folder.path(), Options { clock, ..Options::default() }).unwrap();
    store.ensure_bucket(BUCKET).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = store.serve(listener).unwrap();
    Bucket { client: client(&endpoint), endpoint, _served: served, _folder: folder }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(
            ACCESS_KEY_ID,
            SECRET_ACCESS_KEY,
            None,
            None,
            "test",
        ))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

/// Every object's bytes, by key.
async fn objects(client: &Client) -> Vec<(String, Vec<u8>)> {
    let listed = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    let mut objects = Vec::new();
    for object in listed.contents() {
        let key = object.key().unwrap().to_owned();
        let got = client.get_object().bucket(BUCKET).key(&key).send().await.unwrap();
        objects.push((key, got.body.collect().await.unwrap().to_vec()));
    }
    objects
}

fn note(bytes: &[u8]) -> SnapshotNote {
    let profile = decode(bytes, &Limits::default()).unwrap();
    let comments = profile.comment.iter().map(|id| profile.string_table[*id as usize].as_str());
    let Some(Note::Snapshot(note)) = Note::find(comments).unwrap() else { panic!("no note") };
    note
}

#[tokio::test]
async fn snapshots_reach_the_bucket_and_learn_its_time() {
    let bucket = bucket().await;
    let function = Function::builder("fast-slow", env!("CARGO_BIN_EXE_fast-slow"))
        .env("FLAMBEAU_BUCKET", BUCKET)
        .env("FLAMBEAU_TENANT", "acme")
        .env("FLAMBEAU_BILLED", "off")
        .env("FLAMBEAU_INTERVAL", "0")
        .env("AWS_ENDPOINT_URL_S3", &bucket.endpoint)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .timeout(PATIENCE)
        .init_timeout(PATIENCE)
        .build()
        .unwrap();
    let order = serde_json::to_vec(&Order { millis: 200, ending: None }).unwrap();
    let begun = std::time::Instant::now();
    // Where nothing is optimised the first snapshot may miss its flush and come later.
    let mut held: Vec<(String, Vec<u8>)> = Vec::new();
    while !held.iter().any(|(_, bytes)| note(bytes).offset_millis.is_some()) {
        assert!(begun.elapsed() < PATIENCE, "{held:?}");
        let outcome = function.invoke(order.clone()).await.unwrap();
        assert!(outcome.is_ok(), "{}", outcome.logs);
        held = objects(&bucket.client).await;
    }
    function.shutdown(ShutdownReason::Spindown).await.unwrap();

    held.sort_by_key(|(_, bytes)| note(bytes).end);
    assert!(held.iter().all(|(key, _)| key.starts_with("snapshots/acme/fast-slow/")));
    assert!(held[0].0.ends_with(".0.cpu.pb.gz") && held[1].0.ends_with(".1.cpu.pb.gz"));
    assert_eq!(note(&held[0].1).offset_millis, None, "nothing was answered before it");
    let told = held.iter().find_map(|(_, bytes)| note(bytes).offset_millis).unwrap();
    // A date has whole seconds, and a busy machine takes some to answer.
    assert!((told - AHEAD.as_millis() as i64).abs() < 30_000, "{told}");
}

#[tokio::test]
async fn a_key_is_written_once_and_its_repetition_is_a_success() {
    let bucket = bucket().await;
    let sink = S3Sink::with_client(BUCKET, bucket.client.clone());
    let first = sink.put("snapshots/a", Bytes::from_static(b"one")).await.unwrap();
    let again = sink.put("snapshots/a", Bytes::from_static(b"one")).await.unwrap();
    assert!(!first.already_there && again.already_there);
    for receipt in [first, again] {
        let offset = receipt.offset_millis.unwrap() - AHEAD.as_millis() as i64;
        assert!(offset.abs() < 30_000, "{offset}");
    }
    let held = objects(&bucket.client).await;
    assert_eq!(held, [("snapshots/a".to_owned(), b"one".to_vec())]);
}

#[tokio::test]
async fn what_cannot_get_better_is_told_from_what_can() {
    let bucket = bucket().await;
    let nowhere = S3Sink::with_client("no-such-bucket", bucket.client.clone());
    let refused = nowhere.put("snapshots/a", Bytes::new()).await;
    assert!(matches!(refused, Err(SinkError::Refused(_))), "{refused:?}");
    // A port that was just free: nobody listens.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let unreachable = S3Sink::with_client(BUCKET, client(&endpoint));
    let failed = unreachable.put("snapshots/a", Bytes::new()).await;
    assert!(matches!(failed, Err(SinkError::Unreachable(_))), "{failed:?}");
}
