//! What an operator steers is what a function's own S3 client reads.
#![allow(clippy::unwrap_used)]

use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use flambeau_layout::Steering;
use flambeau_local::s3::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use flambeau_tests::command::{self, Server};
use profiler_sdk::{S3Sink, Sink};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flambeau-under-test");
const KEY: &str = "config/default/orders%2Fv2.json";

async fn steer(url: &str, args: &[&str]) -> i32 {
    let args = [&["steer", "--service", "orders/v2", "--url", url], args].concat();
    command::run(PROGRAM, &args).await.unwrap().status.code().unwrap()
}

#[tokio::test]
async fn steering_reaches_the_function() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(PROGRAM, dir.path()).await.unwrap();
    let endpoints = &server.endpoints;
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&endpoints.s3)
        .force_path_style(true)
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "t"))
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let sink = S3Sink::with_client(endpoints.bucket.clone(), client);
    assert_eq!(sink.steering(KEY).await.unwrap(), None);
    assert_eq!(steer(&endpoints.url, &[]).await, 3, "nothing is steered yet");
    assert_ne!(steer(&endpoints.url, &["--one-in", "10001"]).await, 0, "beyond the limit");
    assert_eq!(steer(&endpoints.url, &["--interval", "7", "--one-in", "3"]).await, 0);
    let document = sink.steering(KEY).await.unwrap().unwrap();
    let steering = Steering { v: 1, interval_secs: Some(7), one_in: Some(3) };
    assert_eq!(Steering::read(&document).unwrap(), steering);
    assert_eq!(steer(&endpoints.url, &[]).await, 0);
    assert_eq!(steer(&endpoints.url, &["--reset"]).await, 0);
    assert_eq!(sink.steering(KEY).await.unwrap(), None);
    server.kill().await.unwrap();
}
