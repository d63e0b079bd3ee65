//! Who gets in: signatures, presigned links, host names.

use super::support::{Rig, client, code, config, listener, status};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::presigning::PresigningConfig;
use flambeau_local::dynamo::EmbeddedDynamo;
use std::time::{Duration, SystemTime};

struct Answer {
    status: u16,
    body: String,
}

/// A plain HTTP request, no SDK.
async fn fetch(method: &'static str, url: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Vec::new()).unwrap();
    let call = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = agent.build().into();
        let mut answer = agent.run(request).unwrap();
        Answer {
            status: answer.status().as_u16(),
            body: answer.body_mut().read_to_string().unwrap(),
        }
    });
    call.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_link_opens_one_object() {
    let rig = Rig::new().await;
    rig.put("blocks/λ b.pb.gz", b"block").await;
    let presigned = async |at: SystemTime| {
        let config = PresigningConfig::builder().start_time(at).expires_in(Duration::from_secs(60));
        let get = rig.client.get_object().bucket(&rig.bucket);
        let get = get.key("blocks/λ b.pb.gz").response_content_type("text/x-test");
        let presigned = get.presigned(config.build().unwrap()).await.unwrap();
        presigned.uri().to_owned()
    };
    let url = presigned(SystemTime::now()).await;
    let answer = fetch("GET", &url, &[]).await;
    assert_eq!((answer.status, &*answer.body), (200, "block"));
    let ranged = fetch("GET", &url, &[("range", "bytes=1-2")]).await;
    assert_eq!((ranged.status, &*ranged.body), (206, "lo"));
    if rig.is_ours() {
        let tampered = url.replace("blocks/", "others/");
        assert_eq!(fetch("GET", &tampered, &[]).await.status, 403);
        assert_eq!(fetch("DELETE", &url, &[]).await.status, 403);
        let old = presigned(SystemTime::now() - Duration::from_secs(120)).await;
        assert_eq!(fetch("GET", &old, &[]).await.status, 403);
    }
    assert_eq!(rig.get("blocks/λ b.pb.gz").await.unwrap(), b"block");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_one_key_gets_in() {
    let rig = Rig::new().await;
    if !rig.is_ours() {
        return;
    }
    rig.put("k", b"x").await;
    let url = format!("{}/{}/k", rig.url, rig.bucket);
    assert_eq!(fetch("GET", &url, &[]).await.status, 403);
    for (id, secret) in [("flambeau", "wrong"), ("wrong", "flambeau-local")] {
        let credentials = Credentials::new(id, secret, None, None, "tests");
        let config = config(&rig.url).credentials_provider(credentials).build();
        let stranger = aws_sdk_s3::Client::from_conf(config);
        let get = stranger.get_object().bucket(&rig.bucket).key("k");
        assert_eq!(status(&get.send().await.unwrap_err()), 403, "{id} {secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_pages_are_refused_by_both_stores() {
    let rig = Rig::new().await;
    if !rig.is_ours() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dynamo = EmbeddedDynamo::open(dir.path()).unwrap();
    let dynamo = dynamo.serve(listener().await).unwrap();
    for url in [&rig.url, &dynamo.url()] {
        let refused = async |headers: &[(&str, &str)]| {
            let answer = fetch("POST", url, headers).await;
            (answer.status, answer.body.starts_with("refused:")) == (403, true)
        };
        assert!(refused(&[("host", "evil.example")]).await);
        assert!(refused(&[("origin", "http://evil.example")]).await);
        assert!(refused(&[("origin", "null")]).await);
        assert!(!refused(&[]).await);
        assert!(!refused(&[("host", "localhost:1234")]).await);
        assert!(!refused(&[("origin", "http://localhost:3000")]).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_can_stand_in_the_host_name() {
    let rig = Rig::new().await;
    if !rig.is_ours() {
        return;
    }
    rig.put("k", b"x").await;
    let port = rig.url.rsplit(':').next().unwrap();
    // Given a name, the SDK asks `{bucket}.localhost`; not every resolver
    // knows it, so the link goes to the address with that `Host`.
    let named = client(&format!("http://localhost:{port}"));
    let get = named.get_object().bucket(&rig.bucket).key("k");
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = get.presigned(expiry).await.unwrap().uri().to_owned();
    let host = format!("{}.localhost:{port}", rig.bucket);
    let at_address = url.replace(&host, &format!("127.0.0.1:{port}"));
    assert_ne!(url, at_address, "the SDK put the bucket into the host");
    let answer = fetch("GET", &at_address, &[("host", &host)]).await;
    assert_eq!((answer.status, &*answer.body), (200, "x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_says_so() {
    let rig = Rig::new().await;
    if !rig.is_ours() {
        return;
    }
    rig.put("k", b"x").await;
    let get = rig.client.get_object().bucket(&rig.bucket).key("k");
    let by_part = get.part_number(1).send().await.unwrap_err();
    assert_eq!((status(&by_part), &*code(&by_part)), (501, "NotImplemented"));
    let policy = rig.client.get_bucket_policy().bucket(&rig.bucket).send().await;
    assert_eq!(code(&policy.unwrap_err()), "NotImplemented");
    let get = rig.client.get_object().bucket(&rig.bucket).key("k");
    let version = get.version_id("v1").send().await.unwrap_err();
    assert_eq!(code(&version), "NoSuchVersion");
}
