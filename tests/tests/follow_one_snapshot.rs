//! The story of one snapshot: S3 → event → merge → index → render.
#![allow(clippy::unwrap_used)]

use flambeau_layout::{Fate, Note, SnapshotNote, SnapshotShape};
use flambeau_profile::encode_gzip;
use flambeau_tests::{
    profiles,
    stack::{Stack, key, now},
};

#[tokio::test]
async fn a_snapshot_becomes_a_flame_graph() {
    let stack = Stack::start().await.unwrap();
    let mut profile = profiles::cpu(&[30, 70], now().as_nanos());
    let labels = [("version".to_owned(), "42".to_owned())].into();
    let note = SnapshotNote { labels, end: Some(now()), ..Default::default() };
    profile.comment.push(i64::try_from(profile.string_table.len()).unwrap());
    profile.string_table.push(Note::Snapshot(note).to_comment().unwrap());
    let key = key("story", 0, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();

    stack.put(&key.to_string(), encode_gzip(&profile)).await.unwrap();
    let fates = stack.fates(std::slice::from_ref(&key)).await.unwrap();
    let Fate::Block { block, .. } = &fates[0].fate else { panic!("{:?}", fates[0]) };

    let merged = stack.profile("/s/story/cpu").await.unwrap();
    assert_eq!(merged.totals(), [2, 100]);
    assert!(merged.samples().all(|sample| sample.label("version") == Some("42")));
    let of_block = stack.profile(&format!("/s/story/cpu/blocks/{block}")).await.unwrap();
    assert_eq!(of_block.totals(), merged.totals());
    let (status, svg) = stack.get("/s/story/cpu?format=svg").await.unwrap();
    assert_eq!(status, 200);
    assert!(String::from_utf8(svg).unwrap().contains("worker_1"));
    let (status, services) = stack.get("/").await.unwrap();
    assert_eq!(status, 200);
    assert!(String::from_utf8(services).unwrap().contains("/s/story/cpu"));
    stack.serving.stop().await;
}

#[tokio::test]
async fn a_snapshot_of_several_types_commits_whole() {
    let stack = Stack::start().await.unwrap();
    let (cpu, wall) = (profiles::cpu_gzip(&[5], 0), profiles::cpu_gzip(&[7, 8], 0));
    let entries =
        [("cpu.pb.gz", cpu.as_slice()), ("wall.pb.gz", &wall), ("heap.pb.gz", b"rubbish")];
    let (zip, _) = flambeau_layout::archive::write(entries).unwrap();
    let key = key("λ/several", 3, SnapshotShape::Zip).unwrap();
    stack.put(&key.to_string(), zip).await.unwrap();
    let fates = stack.fates(&[key]).await.unwrap();
    assert!(matches!(fates[0].fate, Fate::Block { .. }));
    assert_eq!(stack.profile("/s/%CE%BB%2Fseveral/cpu").await.unwrap().totals(), [1, 5]);
    assert_eq!(stack.profile("/s/%CE%BB%2Fseveral/wall").await.unwrap().totals(), [2, 15]);
    let parked = stack.serving.store.list_all("parked/default/").await.unwrap();
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!(stack.get("/s/%CE%BB%2Fseveral/heap").await.unwrap().0, 404);
    stack.serving.stop().await;
}

#[tokio::test]
async fn the_same_seq_in_two_places_counts_once() {
    let stack = Stack::start().await.unwrap();
    let single = key("twice", 0, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
    let zipped = flambeau_layout::SnapshotKey {
        date: "2026-01-02".parse().unwrap(),
        shape: SnapshotShape::Zip,
        ..single.clone()
    };
    let bytes = profiles::cpu_gzip(&[11], 0);
    let (zip, _) = flambeau_layout::archive::write([("cpu.pb.gz", bytes.as_slice())]).unwrap();
    stack.put(&single.to_string(), bytes).await.unwrap();
    stack.fates(std::slice::from_ref(&single)).await.unwrap();
    stack.put(&zipped.to_string(), zip).await.unwrap();
    let other = key("twice", 1, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
    stack.put(&other.to_string(), profiles::cpu_gzip(&[1], 0)).await.unwrap();
    stack.fates(&[other]).await.unwrap();
    assert_eq!(stack.profile("/s/twice/cpu").await.unwrap().totals(), [2, 12]);
    stack.serving.stop().await;
}
