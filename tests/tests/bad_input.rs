//! Bad input is normal: each is parked with its reason, none blocks the
//! others.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use flambeau_layout::{Fate, ParkReason, SnapshotKey, SnapshotShape};
use flambeau_profile::encode_gzip;
use flambeau_tests::{
    command, profiles,
    stack::{Stack, key},
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
