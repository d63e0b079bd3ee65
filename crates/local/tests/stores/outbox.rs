//! Events: in the commit's order, at least once, over restarts.

use super::support::{BUCKET, Rig, client, close, start};
use flambeau_local::s3::{EmbeddedS3, Event, EventName, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn told(events: &[Event]) -> Vec<(EventName, &str, u64)> {
    events.iter().map(|event| (event.name, &*event.key, event.size)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_until_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (s3, served) = start(dir.path(), Options::default()).await;
    s3.ensure_bucket(BUCKET).await.unwrap();
    let client = client(&served.url());
    let put = |key, body: &'static [u8]| {
        let put = client.put_object().bucket(BUCKET).key(key);
        put.body(aws_sdk_s3::primitives::ByteStream::from_static(body)).send()
    };
    let etag = put("a λ+b", b"1").await.unwrap().e_tag.unwrap();
    put("b", b"22").await.unwrap();
    let delete = client.delete_object().bucket(BUCKET);
    delete.key("a λ+b").send().await.unwrap();
    let delete = client.delete_object().bucket(BUCKET);
    delete.key("never there").send().await.unwrap();
    let copy = client.copy_object().bucket(BUCKET).key("c");
    copy.copy_source(format!("{BUCKET}/b")).send().await.unwrap();

    let outbox = s3.outbox();
    let events = outbox.pending(10).await.unwrap();
    let expected = [
        (EventName::CreatedPut, "a λ+b", 1),
        (EventName::CreatedPut, "b", 2),
        (EventName::RemovedDelete, "a λ+b", 1),
        (EventName::CreatedCopy, "c", 2),
    ];
    assert_eq!(told(&events), expected);
    assert_eq!(format!("\"{}\"", events[0].etag), etag);
    assert_eq!(events[0].bucket, BUCKET);
    assert!(events.is_sorted_by_key(|event| event.seq));
    assert_eq!(*outbox.newest().borrow(), events[3].seq);

    let page = outbox.pending(2).await.unwrap();
    assert_eq!(page, events[..2]);
    let next = outbox.pending_for_prefix("", page[1].seq, 10).await.unwrap();
    assert_eq!(next, events[2..]);
    let of_a = outbox.pending_for_prefix("a λ", 0, 10).await.unwrap();
    assert_eq!(of_a, [events[0].clone(), events[2].clone()]);

    outbox.ack(&[events[0].seq, events[2].seq, 999_999]).await.unwrap();
    let left = outbox.pending(10).await.unwrap();
    assert_eq!(told(&left), [expected[1], expected[3]]);
    drop(outbox);
    served.stop().await;
    drop(client);
    close(s3, dir.path()).await;
    let s3 = EmbeddedS3::open(dir.path(), Options::default()).unwrap();
    assert_eq!(s3.outbox().pending(10).await.unwrap(), left);
    let newest = s3.outbox().newest();
    assert_eq!(*newest.borrow(), events[3].seq, "numbers are not used twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_prefixes_asked_for_are_recorded() {
    let options = Options {
        event_prefixes: vec!["snapshots/".into(), "config/".into()],
        ..Options::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let (s3, served) = start(dir.path(), options).await;
    s3.ensure_bucket(BUCKET).await.unwrap();
    let client = client(&served.url());
    for key in ["segments/1", "snapshots/1", "snapshots", "config/1", "x/snapshots/1"] {
        let put = client.put_object().bucket(BUCKET).key(key);
        put.body(b"x".to_vec().into()).send().await.unwrap();
    }
    let events = s3.outbox().pending(10).await.unwrap();
    let keys: Vec<_> = events.iter().map(|e| &*e.key).collect();
    assert_eq!(keys, ["snapshots/1", "config/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_pump_is_woken() {
    let rig = Rig::new().await;
    let Some(s3) = &rig.s3 else { return };
    let mut newest = s3.outbox().newest();
    newest.mark_unchanged();
    let waiting = tokio::spawn(async move {
        newest.changed().await.unwrap();
        *newest.borrow_and_update()
    });
    rig.put("k", b"x").await;
    let woken = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    let events = s3.outbox().pending(10).await.unwrap();
    assert_eq!(woken.unwrap().unwrap(), events[0].seq);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_can_be_set() {
    let shift = Arc::new(AtomicI64::new(86_400_000));
    let now = {
        let shift = Arc::clone(&shift);
        move || UNIX_EPOCH + Duration::from_millis(shift.load(Ordering::Relaxed) as u64)
    };
    let options = Options { clock: Arc::new(now), ..Options::default() };
    let dir = tempfile::tempdir().unwrap();
    let (s3, served) = start(dir.path(), options).await;
    s3.ensure_bucket(BUCKET).await.unwrap();
    let client = client(&served.url());
    shift.store(172_800_999, Ordering::Relaxed);
    let put = client.put_object().bucket(BUCKET).key("k");
    put.body(b"x".to_vec().into()).send().await.unwrap();
    let head = client.head_object().bucket(BUCKET).key("k");
    let head = head.send().await.unwrap();
    assert_eq!(head.last_modified().unwrap().secs(), 172_800);
    let events = s3.outbox().pending(1).await.unwrap();
    let at: SystemTime = UNIX_EPOCH + Duration::from_millis(172_800_999);
    assert_eq!(events[0].event_time, at);
    let url = served.url();
    let date = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = agent.build().into();
        let answer = agent.get(&url).call().unwrap();
        answer.headers()["date"].to_str().unwrap().to_owned()
    });
    assert_eq!(date.await.unwrap(), "Sat, 03 Jan 1970 00:00:00 GMT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = EmbeddedS3::open(dir.path(), Options::default()).unwrap();
    let second = EmbeddedS3::open(dir.path(), Options::default()).unwrap_err();
    assert!(second.to_string().contains(&std::process::id().to_string()));
    drop(s3);
    EmbeddedS3::open(dir.path(), Options::default()).unwrap();
}
