//! `flambeau open`: unsigned requests to loopback arrive signed. The far side
//! checks signatures by AWS's description of Signature Version 4, with code of
//! its own.
#![allow(clippy::unwrap_used)]

use std::{future::IntoFuture, process::Stdio};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::{IntoResponse, Response},
};
use flambeau_tests::stack::get;
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flambeau-under-test");
const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA256, by RFC 2104.
fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// The value of `name=` in an Authorization header.
fn field<'a>(authorization: &'a str, name: &str) -> &'a str {
    let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
    rest.split(',').next().unwrap().trim()
}

/// The signature that a request should have, from its own parts.
fn expected(head: &http::request::Parts, body: &[u8], authorization: &str) -> String {
    let signed = field(authorization, "SignedHeaders");
    let value = |name: &str| head.headers[name].to_str().unwrap().trim().to_owned();
    let headers: String = signed.split(';').map(|n| format!("{n}:{}\n", value(n))).collect();
    // Each `%` of the path is encoded once more; the question's parts are sorted.
    let path = head.uri.path().replace('%', "%25");
    let mut query: Vec<&str> = head.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let canonical = format!(
        "{}\n{path}\n{}\n{headers}\n{signed}\n{}",
        head.method,
        query.join("&"),
        hex(&Sha256::digest(body))
    );
    let scope = field(authorization, "Credential").split_once('/').unwrap().1;
    let hashed = hex(&Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", value("x-amz-date"));
    let key = format!("AWS4{SECRET}").into_bytes();
    let key = scope.split('/').fold(key, |key, part| mac(&key, part));
    hex(&mac(&key, &text))
}

/// A Function URL in mode `AWS_IAM`, that answers what it was asked.
async fn function_url(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let Some(authorization) = head.headers.get(header::AUTHORIZATION) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let authorization = authorization.to_str().unwrap();
    let scope = field(authorization, "AWS4-HMAC-SHA256 Credential");
    assert!(scope.starts_with(KEY_ID) && scope.ends_with("/eu-north-1/lambda/aws4_request"));
    if field(authorization, "Signature") != expected(&head, &body, authorization) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if head.uri.path() == "/moved" {
        return Response::builder()
            .status(302)
            .header(header::LOCATION, "https://bucket.example/x?X-Amz-Signature=y")
            .body(Body::empty())
            .unwrap();
    }
    format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body)).into_response()
}

/// Starts the command; answers it and where it listens.
async fn open(far: &str) -> (Child, String) {
    let mut child = Command::new(PROGRAM)
        .args(["open", "--url", far, "--region", "eu-north-1", "--listen", "127.0.0.1:0"])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env_remove("AWS_SESSION_TOKEN")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let hint = lines.next_line().await.unwrap().unwrap();
    assert!(hint.starts_with("go tool pprof http://127.0.0.1:"), "{hint}");
    let near = line.strip_prefix("open ").unwrap().split(' ').next().unwrap().to_owned();
    (child, near)
}

#[tokio::test]
async fn requests_arrive_signed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().fallback(function_url);
    tokio::spawn(axum::serve(listener, app).into_future());
    assert_eq!(get(far.clone()).await.unwrap().0, 403, "the far side wants signatures");

    let (mut child, near) = open(&far).await;
    for path in ["/", "/s/a%2Fb/cpu?format=svg&from=now-1h&st=cpu", "/s/x/cpu?seconds=5"] {
        let (status, body) = get(format!("{near}{path}")).await.unwrap();
        assert_eq!((status, body), (200, format!("GET {path} ").into_bytes()), "{path}");
    }
    let posted = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().max_redirects(0).build().new_agent();
        let mut answer = agent.post(format!("{near}/symbolz")).send("0x1+0x2").unwrap();
        assert_eq!(answer.body_mut().read_to_string().unwrap(), "POST /symbolz 0x1+0x2");
        let moved = agent.get(format!("{near}/moved")).call().unwrap();
        assert_eq!(moved.status(), 302, "a redirect is the client's to follow");
        assert!(moved.headers().contains_key("location"));
        let foreign = agent.get(format!("{near}/")).header("host", "evil.example").call();
        assert!(
            matches!(foreign, Err(ureq::Error::StatusCode(403))),
            "no page may borrow our keys"
        );
    });
    posted.await.unwrap();
    child.kill().await.unwrap();
}
