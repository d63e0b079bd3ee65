//! Objects read from within the process, against what a GET answers.

use super::support::{Rig, close, pattern};
use flambeau_local::s3::{EmbeddedS3, Options};
use std::time::Duration;

const SIZE: u64 = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn near_reads_are_what_a_get_answers() {
    let rig = Rig::new().await;
    let near = rig.s3.as_ref().unwrap().near(&rig.bucket);
    let body = pattern(1, SIZE as usize);
    rig.put("λ+ %2F", &body).await;
    let head = rig.client.head_object().bucket(&rig.bucket).key("λ+ %2F").send().await.unwrap();
    let whole = near.read("λ+ %2F", None, SIZE).await.unwrap();
    assert_eq!(whole.bytes, body);
    assert_eq!(whole.modified.0, head.last_modified().unwrap().to_millis().unwrap());
    let part = near.read("λ+ %2F", Some((1000, 300)), SIZE).await.unwrap();
    assert_eq!(part.bytes, body[1000..1300]);
    let end = near.read("λ+ %2F", Some((SIZE - 1, 1)), SIZE).await.unwrap();
    assert_eq!(end.bytes, body[body.len() - 1..]);
    rig.put("empty", b"").await;
    assert_eq!(near.read("empty", None, 0).await.unwrap().bytes.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_whole_is_left_to_a_get() {
    let rig = Rig::new().await;
    let s3 = rig.s3.as_ref().unwrap();
    let near = s3.near(&rig.bucket);
    rig.put("k", &pattern(1, SIZE as usize)).await;
    assert!(near.read("none", None, SIZE).await.is_none());
    assert!(s3.near("no-such-bucket").read("k", None, SIZE).await.is_none());
    assert!(near.read("k", None, SIZE - 1).await.is_none(), "over the limit");
    assert!(near.read("k", Some((SIZE - 1, 2)), SIZE).await.is_none(), "past the end");
    assert!(near.read("k", Some((u64::MAX, 2)), SIZE).await.is_none(), "past any end");
    rig.client.delete_object().bucket(&rig.bucket).key("k").send().await.unwrap();
    assert!(near.read("k", None, SIZE).await.is_none(), "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_near_reader_sees_one_version_while_it_is_replaced() {
    const VERSIONS: u64 = 200;
    let rig = Rig::new().await;
    let near = rig.s3.as_ref().unwrap().near(&rig.bucket);
    let body = |version: u64| pattern(version, (SIZE + version) as usize);
    rig.put("k", &body(0)).await;
    let reader = tokio::spawn(async move {
        loop {
            // Replaced between row and file: a GET would answer.
            let Some(got) = near.read("k", None, u64::MAX).await else { continue };
            let version = got.bytes.len() as u64 - SIZE;
            assert!(got.bytes == body(version), "bytes of version {version} are mixed");
            if version == VERSIONS {
                return;
            }
        }
    });
    for version in 1..=VERSIONS {
        rig.put("k", &body(version)).await;
    }
    tokio::time::timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_near_reader_does_not_keep_the_store_open() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = EmbeddedS3::open(dir.path(), Options::default()).unwrap();
    let near = s3.near("bucket");
    close(s3, dir.path()).await;
    assert!(near.read("k", None, SIZE).await.is_none());
}
