//! Bad input is normal: each is parked with its reason, none blocks the
//! others.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use flambeau_layout::{Fate, ParkReason, SnapshotKey, SnapshotShape, archive};
use flambeau_pipeline::{
    ItemOutcome, MergeOptions, merge,
    merge::{MAX_OBJECT_BYTES, SMALL_OBJECT_BYTES},
};
use flambeau_profile::{Limits, encode_gzip};
use flambeau_tests::{
    command,
    faults::Stores,
    profiles,
    stack::{Stack, key, now},
};

/// 300 MB of zeros; some 300 KB as gzip.
fn bomb() -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..300).for_each(|_| gzip.write_all(&zeros).unwrap());
    gzip.finish().unwrap()
}

fn dangling() -> Vec<u8> {
    let mut profile = profiles::cpu(&[1], 0);
    profile.sample[0].location_id[0] = 99;
    encode_gzip(&profile)
}

/// A zip, longer by what its comment pads, so that its size is exact.
fn zip_of(bytes: usize) -> Vec<u8> {
    let profile = profiles::cpu_gzip(&[7], 0);
    let (zip, _) = archive::write([("cpu.pb.gz", profile.as_slice())]).unwrap();
    let padding = bytes - zip.len();
    let filler = vec![b'x'; padding];
    // A second entry of no known name is parked by itself; its header takes room.
    let (padded, _) = archive::write([("cpu.pb.gz", profile.as_slice()), ("x", &filler)]).unwrap();
    let excess = padded.len() - bytes;
    let filler = &filler[excess..];
    archive::write([("cpu.pb.gz", profile.as_slice()), ("x", filler)]).unwrap().0
}

#[tokio::test]
async fn sizes_count_on_both_sides_of_their_limits() {
    let stores = Stores::start().await.unwrap();
    let (small, most) = (SMALL_OBJECT_BYTES as usize, MAX_OBJECT_BYTES as usize);
    let mut keys = Vec::new();
    for (seq, bytes) in (0..).zip([small, small + 1, most, most + 1]) {
        let key = key("size", seq, SnapshotShape::Zip).unwrap().to_string();
        let zip = zip_of(bytes);
        assert_eq!(zip.len(), bytes);
        stores.store.put_new(&key, zip.into(), "application/zip").await.unwrap();
        keys.push(key);
    }
    let options = MergeOptions {
        tenant: "default".parse().unwrap(),
        now: now(),
        fetches: 4,
        limits: Limits::default(),
    };
    let report = Box::pin(merge(&stores.store, &keys, &options)).await;
    let merged = || ItemOutcome::Merged;
    let parked = ItemOutcome::Parked(ParkReason::TooLarge);
    assert_eq!(report.outcomes, [merged(), merged(), merged(), parked]);
    stores.stop().await;
}

#[tokio::test]
async fn each_bad_snapshot_is_parked_with_its_reason() {
    let stack = Stack::start().await.unwrap();
    let good = profiles::cpu_gzip(&[10], 0);
    let bomb = bomb();
    assert!(bomb.len() < 400_000, "{}", bomb.len());
    let cases = [
        (good[..good.len() / 2].to_vec(), ParkReason::Truncated),
        (Vec::new(), ParkReason::Empty),
        (dangling(), ParkReason::Invalid),
        (bomb, ParkReason::TooLarge),
        (b"hello, world".to_vec(), ParkReason::NotPprof),
    ];
    let cpu = || SnapshotShape::Single("cpu".parse().unwrap());
    let key = |seq| key("bad", seq, cpu()).unwrap();
    let stray = "snapshots/default/not a key λ+%.gz";
    stack.put(stray, good.clone()).await.unwrap();
    let bad: Vec<SnapshotKey> = (1_u64..).zip(&cases).map(|(seq, _)| key(seq)).collect();
    for (key, (bytes, _)) in bad.iter().zip(&cases) {
        stack.put(&key.to_string(), bytes.clone()).await.unwrap();
    }
    stack.put(&key(0).to_string(), good).await.unwrap();

    let merged = stack.fates(&[key(0)]).await.unwrap();
    assert!(matches!(merged[0].fate, Fate::Block { .. }));
    for (claim, (_, expected)) in stack.fates(&bad).await.unwrap().iter().zip(&cases) {
        let Fate::Parked { reason, detail } = &claim.fate else { panic!("{claim:?}") };
        assert_eq!(reason, expected, "{detail}");
    }
    assert_eq!(stack.profile("/s/bad/cpu").await.unwrap().totals(), [1, 10]);

    let url = stack.serving.endpoints.url.clone();
    let program = env!("CARGO_BIN_EXE_flambeau-under-test");
    let listed = command::run(program, &["ls", "parked", "--url", &url]).await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for reason in ["truncated", "empty", "invalid", "too large", "not a pprof", "outside layout"] {
        assert!(listed.contains(reason), "{reason} is missing in\n{listed}");
    }
    assert!(listed.contains(stray), "{listed}");
    stack.serving.stop().await;
}
