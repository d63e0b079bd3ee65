//! `kill -9` in the middle of writing, then what is there.
//!
//! The test binary starts itself as the victim. It prints a line for every
//! answer it got, so the lines are what was acknowledged. This kills a
//! process, not a machine: power loss is not tested.

use super::dynamo;
use super::support::{BUCKET, client, count_files, pattern, start};
use flambeau_local::dynamo::EmbeddedDynamo;
use flambeau_local::s3::{EmbeddedS3, Options};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Answers waited for before the kill.
const ACKS: usize = 60;
/// Clients of the victim.
const CLIENTS: u64 = 4;
/// A victim that nobody kills ends by itself.
const VICTIM_LIFE: Duration = Duration::from_secs(120);

const DIR: &str = "FLAMBEAU_KILL_DIR";
const ROUND: &str = "FLAMBEAU_KILL_ROUND";

fn rounds() -> u64 {
    let rounds = std::env::var("FLAMBEAU_KILL_ROUNDS").ok();
    rounds.and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Runs a victim until it was answered [`ACKS`] times, kills it, and returns
/// every answer it told of.
fn acks_of_killed(victim: &str, dir: &Path, round: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([victim, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acks = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(ack) = line.unwrap().strip_prefix("ack ") {
            acks.push(ack.to_owned());
        }
        if acks.len() == ACKS {
            // SIGKILL; the loop goes on with what the pipe still holds.
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && acks.len() >= ACKS, "{status}: {} acks", acks.len());
    acks
}

fn victim_dir() -> Option<(std::path::PathBuf, u64)> {
    let dir = std::env::var_os(DIR)?;
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    // Ends the harness's own line.
    println!();
    Some((dir.into(), round))
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_victim() {
    let Some((dir, round)) = victim_dir() else {
        return;
    };
    let (s3, served) = start(&dir, Options::default()).await;
    s3.ensure_bucket(BUCKET).await.unwrap();
    let client = client(&served.url());
    let clients = (0..CLIENTS).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            for step in 0.. {
                let seed = (round * CLIENTS + number) * 1_000_000 + step;
                put(&client, &format!("fresh/{seed}"), seed).await;
                put(&client, &format!("again/{number}"), seed).await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    tokio::time::sleep(VICTIM_LIFE).await;
    drop(clients);
}

fn s3_body(seed: u64) -> Vec<u8> {
    // Small and large ones, the large written in several pieces.
    let length = if seed.is_multiple_of(11) { 1_100_000 } else { 20_000 };
    pattern(seed, length + (seed % 1000) as usize)
}

async fn put(client: &aws_sdk_s3::Client, key: &str, seed: u64) {
    let put = client.put_object().bucket(BUCKET).key(key);
    let put = put.metadata("seed", seed.to_string()).body(s3_body(seed).into());
    put.send().await.unwrap();
    println!("ack {key} {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_objects_and_their_events_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut newest: HashMap<String, u64> = HashMap::new();
    for round in 0..rounds() {
        let acks = {
            let dir = dir.path().to_owned();
            let run = move || acks_of_killed("kill::s3_victim", &dir, round);
            tokio::task::spawn_blocking(run).await.unwrap()
        };
        for ack in acks {
            let (key, seed) = ack.split_once(' ').unwrap();
            newest.insert(key.to_owned(), seed.parse().unwrap());
        }
        check_s3(dir.path(), &newest).await;
    }
}

async fn check_s3(dir: &Path, acknowledged: &HashMap<String, u64>) {
    let s3 = EmbeddedS3::open(dir, Options::default()).unwrap();
    let served = s3.serve(super::support::listener().await).unwrap();
    let client = client(&served.url());
    let mut found: HashMap<String, u64> = HashMap::new();
    let list = client.list_objects_v2().bucket(BUCKET);
    let mut pages = list.into_paginator().send();
    while let Some(page) = pages.next().await {
        for object in page.unwrap().contents() {
            let key = object.key().unwrap();
            let get = client.get_object().bucket(BUCKET).key(key).send().await;
            let get = get.unwrap();
            let seed: u64 = get.metadata().unwrap()["seed"].parse().unwrap();
            assert!(get.body.collect().await.unwrap().to_vec() == s3_body(seed), "{key} is torn");
            found.insert(key.to_owned(), seed);
        }
    }
    for (key, seed) in acknowledged {
        let held = found.get(key).unwrap_or_else(|| panic!("{key} is lost"));
        assert!(held >= seed, "{key} went back from {seed} to {held}");
    }
    let bodies = count_files(&dir.join("bodies"));
    assert_eq!(bodies, found.len(), "an open leaves no orphan");
    let events = s3.outbox().pending(usize::MAX >> 1).await.unwrap();
    let told: HashSet<&str> = events.iter().map(|event| &*event.key).collect();
    let there: HashSet<&str> = found.keys().map(|key| &**key).collect();
    assert_eq!(told, there, "one event at least for each object, none for others");
    served.stop().await;
    super::support::close(s3, dir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_victim() {
    let Some((dir, round)) = victim_dir() else {
        return;
    };
    let (_dynamo, served) = dynamo::start(&dir).await;
    let client = dynamo::client(&served.url());
    if round == 0 {
        dynamo::create_table(&client).await;
    }
    let clients = (0..CLIENTS).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            for step in 0_u64.. {
                let id = format!("{round}-{number}-{step}");
                dynamo::put_pair(&client, &id).await;
                println!("ack {id}");
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    tokio::time::sleep(VICTIM_LIFE).await;
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_transactions_survive_kill_9_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..rounds() {
        let acks = {
            let dir = dir.path().to_owned();
            let run = move || acks_of_killed("kill::dynamo_victim", &dir, round);
            tokio::task::spawn_blocking(run).await.unwrap()
        };
        acknowledged.extend(acks);
        let dynamo = EmbeddedDynamo::open(dir.path()).unwrap();
        let served = dynamo.serve(super::support::listener().await).unwrap();
        let client = dynamo::client(&served.url());
        let claims = dynamo::keys_under(&client, "claim").await;
        let rows = dynamo::keys_under(&client, "row").await;
        assert_eq!(claims, rows, "both of a pair or none");
        for id in &acknowledged {
            assert!(rows.contains(id), "{id} is lost");
        }
        drop(client);
        served.stop().await;
        dynamo::close(dynamo, dir.path()).await;
    }
}
