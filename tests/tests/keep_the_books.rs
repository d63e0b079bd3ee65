//! What an operator does with the index, by the command itself: verify it, find
//! a forged block, lose the tables and make them again, erase.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use flambeau_layout::{BlockRow, RowState, TenantId};
use flambeau_store::Store;
use flambeau_tests::{
    command::{self, Server},
    profiles,
    stack::{get, now},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flambeau-under-test");

/// Runs the command at `url`; answers its exit status and what it printed.
async fn flambeau(url: &str, args: &[&str]) -> (i32, String) {
    let output = command::run(PROGRAM, &[args, &["--url", url]].concat()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

async fn pushed(dir: &Path, url: &str) {
    for i in 0..3 {
        let time = now().as_nanos() - i64::from(i) * 60_000_000_000;
        let file = dir.join(format!("{i}.pb.gz"));
        std::fs::write(&file, profiles::cpu_gzip(&[10 + i64::from(i), 5], time)).unwrap();
        let push = flambeau(url, &["push", "--service", "books", file.to_str().unwrap()]).await;
        assert_eq!(push.0, 0, "{}", push.1);
    }
}

async fn profile(url: &str) -> Vec<u8> {
    let (status, body) = get(format!("{url}/s/books/cpu")).await.unwrap();
    assert_eq!(status, 200);
    body
}

#[tokio::test]
async fn verify_rebuild_and_erase() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let server = Server::start(PROGRAM, &state).await.unwrap();
    let url = server.endpoints.url.clone();
    assert_eq!(flambeau(&url, &["verify"]).await.0, 3, "there is nothing to verify yet");
    pushed(dir.path(), &url).await;
    let (status, said) = flambeau(&url, &["verify"]).await;
    assert!(status == 0 && said.contains("3 snapshots"), "{status} {said}");
    assert_eq!(flambeau(&url, &["index", "check"]).await.0, 0);
    let before = profile(&url).await;
    server.kill().await.unwrap();

    std::fs::remove_dir_all(state.join("dynamodb")).unwrap();
    let server = Server::start(PROGRAM, &state).await.unwrap();
    let url = server.endpoints.url.clone();
    assert_eq!(get(format!("{url}/s/books/cpu")).await.unwrap().0, 404);
    let (status, said) = flambeau(&url, &["index", "rebuild"]).await;
    assert!(status == 0, "{said}");
    assert_eq!(profile(&url).await, before, "the same answer, byte for byte");
    assert_eq!(flambeau(&url, &["verify"]).await.0, 0);

    let store = Store::connect(&server.endpoints.store_config()).await;
    for raw in store.list_all("snapshots/").await.unwrap() {
        store.delete(&raw.key).await.unwrap();
    }
    let (status, said) = flambeau(&url, &["verify"]).await;
    assert!(status == 0 && said.contains("raw expired"), "{status} {said}");
    forge(&store).await;
    let (status, said) = flambeau(&url, &["verify"]).await;
    assert!(status == 5 && said.contains("differ in cpu"), "{status} {said}");

    let (status, said) = flambeau(&url, &["index", "erase", "--service", "books"]).await;
    assert!(status == 0 && said.contains("would erase"), "{said}");
    assert!(!profile(&url).await.is_empty(), "nothing is gone without --yes");
    let erase = ["index", "erase", "--service", "books", "--yes"];
    assert_eq!(flambeau(&url, &erase).await.0, 0);
    assert_eq!(get(format!("{url}/s/books/cpu")).await.unwrap().0, 404);
    assert_eq!(flambeau(&url, &["verify"]).await.0, 3);
    server.kill().await.unwrap();
}

/// Lets a row claim one nanosecond more than its profile holds.
async fn forge(store: &Store) {
    let tenant: TenantId = "default".parse().unwrap();
    let rows = store.all_rows(&tenant, &"books".parse().unwrap()).await.unwrap();
    let mut forged = rows.into_iter().find(|row| row.state == RowState::Open).unwrap();
    let partition = BlockRow::partition(&tenant, &forged.row.service);
    store.delete_row(&partition, &forged.key().to_string()).await.unwrap();
    forged.row.parts[0].totals[1].0 += 1;
    assert!(store.restore(&forged, None).await.unwrap());
}
