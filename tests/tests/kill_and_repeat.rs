//! 200 snapshots pushed twice, in random order, with the server killed in the
//! middle: the totals are those of 200.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use flambeau_profile::{AddOptions, Limits, Merged, Merger};
use flambeau_tests::{command, command::Server, profiles, stack::now};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flambeau-under-test");
const SNAPSHOTS: usize = 200;

/// Writes the snapshots as files; answers them and their merge by the library
/// alone.
fn write_files(dir: &std::path::Path) -> (Vec<PathBuf>, Merged) {
    let mut truth = Merger::new(Limits::default());
    let start = now().as_nanos() - 600_000_000_000;
    let files = (0..SNAPSHOTS).map(|i| {
        let nanos: Vec<i64> = (0..5).map(|j| (i * 31 + j * 7 + 1) as i64).collect();
        let bytes = profiles::cpu_gzip(&nanos, start + i as i64 * 2_500_000_000);
        truth.add(&bytes, &AddOptions::default()).unwrap();
        let file = dir.join(format!("{i}.pb.gz"));
        std::fs::write(&file, bytes).unwrap();
        file
    });
    let files = files.collect();
    (files, truth.finish().unwrap())
}

/// A fixed shuffle: steps of a number coprime to the count, from `start`.
fn shuffled(files: &[PathBuf], start: usize, step: usize) -> Vec<&str> {
    let order = (0..files.len()).map(|i| (start + i * step) % files.len());
    order.map(|i| files[i].to_str().unwrap()).collect()
}

async fn push(files: &[&str], url: &str, extra: &[&str]) -> std::process::Output {
    let args = [&["push", "--service", "killed", "--url", url], extra, files].concat();
    command::run(PROGRAM, &args).await.unwrap()
}

#[tokio::test]
async fn totals_survive_kill_and_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let (files, truth) = write_files(dir.path());
    let state = dir.path().join("state");

    let server = Server::start(PROGRAM, &state).await.unwrap();
    let url = server.endpoints.url.clone();
    let first = shuffled(&files, 17, 73);
    let some = push(&first[..120], &url, &["--no-wait"]).await;
    assert!(some.status.success(), "{some:?}");
    // Merging has begun and is not done: now it dies.
    server.kill().await.unwrap();

    let server = Server::start(PROGRAM, &state).await.unwrap();
    let url = server.endpoints.url.clone();
    let rest = push(&first[60..], &url, &["--no-wait"]).await;
    assert!(rest.status.success(), "{rest:?}");
    server.kill().await.unwrap();

    let server = Server::start(PROGRAM, &state).await.unwrap();
    let url = server.endpoints.url.clone();
    let again = push(&shuffled(&files, 5, 41), &url, &[]).await;
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("0 accepted, 200 already there, 0 parked"), "{said}");

    let (status, body) = flambeau_tests::stack::get(format!("{url}/s/killed/cpu")).await.unwrap();
    assert_eq!(status, 200);
    let answer = Merged::from_bytes(&body, &Limits::default()).unwrap();
    assert_eq!(answer.totals(), truth.totals());
    assert_eq!(answer.samples().len(), truth.samples().len());
    server.kill().await.unwrap();
}
