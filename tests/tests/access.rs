//! Who may ask, with tokens: nobody without one, each for one tenant, links for one
//! answer and no longer than they say.
#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use flambeau_layout::{SnapshotShape, TenantId};
use flambeau_render::access::{Secret, sign};
use flambeau_store::SecretPlace;
use flambeau_tests::{
    ask::get,
    judge::go_tool_pprof,
    profiles::cpu_gzip,
    stack::{Stack, key, now},
};
use tempfile::TempDir;

/// A stack that asks for tokens, and one of each kind of them.
struct Guarded {
    stack: Stack,
    secret: Secret,
    token: String,
    foreign: String,
    _dir: TempDir,
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

async fn guarded() -> Guarded {
    let dir = tempfile::tempdir().unwrap();
    let place = SecretPlace::File(dir.path().join("secret.json"));
    let mut secret = Secret::new().unwrap();
    let token = secret.add_token("grafana", &tenant("default")).unwrap();
    let foreign = secret.add_token("grafana", &tenant("another")).unwrap();
    place.write(&secret.to_json().unwrap()).await.unwrap();
    let stack = Stack::start_with(Some(place)).await.unwrap();
    let snapshot = key("shop", 0, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
    let profile = cpu_gzip(&[5_000_000, 7_000_000], now().as_nanos());
    stack.put(&snapshot.to_string(), profile).await.unwrap();
    stack.fates(&[snapshot]).await.unwrap();
    Guarded { stack, secret, token, foreign, _dir: dir }
}

fn in_seconds(seconds: i64) -> i64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as i64) + seconds
}

const PATHS: [&str; 9] = [
    "/",
    "/?format=json",
    "/s/shop",
    "/s/shop/cpu",
    "/s/shop/cpu.svg",
    "/s/shop/cpu/blocks/00",
    "/s/shop/cpu/traces",
    "/diff/shop/cpu?format=diff.json",
    "/nowhere",
];

#[tokio::test]
async fn nothing_is_shown_to_nobody() {
    let guarded = guarded().await;
    let wrong = format!("Bearer {}", "0".repeat(64));
    let foreign = format!("Bearer {}", guarded.foreign);
    let tenant = [("x-scope-orgid", "default"), ("x-flambeau-tenant", "default")];
    for path in PATHS {
        for headers in [
            &[][..],
            &tenant,
            &[("authorization", "Bearer ")],
            &[("authorization", "Basic ")],
            &[("authorization", wrong.as_str())],
            // A good token of somebody else's tenant.
            &[("authorization", foreign.as_str())],
        ] {
            let answer = get(&guarded.stack, path, headers).await;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{path}");
            assert!(!answer.text().contains("worker_1"), "{path}");
        }
    }
    // What tells nothing of anybody's profiles is open: a browser asks before it knows.
    assert_eq!(get(&guarded.stack, "/ready", &[]).await.status, 200);
    assert_eq!(get(&guarded.stack, "/favicon.ico", &[]).await.status, 200);
    guarded.stack.serving.stop().await;
}

#[tokio::test]
async fn a_token_lets_in_as_a_bearer_and_as_a_password() {
    let guarded = guarded().await;
    let bearer = format!("Bearer {}", guarded.token);
    for path in ["/", "/s/shop/cpu", "/s/shop/cpu.svg", "/s/shop/cpu.top.json"] {
        let answer = get(&guarded.stack, path, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("vary").contains("authorization") || path == "/", "{path}");
    }
    // pprof sends what stands in the URL before the host.
    let url = guarded.stack.serving.endpoints.url.replace("http://", "");
    let own = format!("http://me:{}@{url}/s/shop/cpu", guarded.token);
    if let Some(top) = go_tool_pprof(&["-top", &own]).await.unwrap() {
        assert!(top.contains("12ms total"), "{top}");
    }
    let wrong = format!("http://me:wrong@{url}/s/shop/cpu");
    if let Err(said) = go_tool_pprof(&["-top", &wrong]).await {
        assert!(said.to_string().contains("token is not known"), "{said}");
    }
    guarded.stack.serving.stop().await;
}

#[tokio::test]
async fn a_link_lets_in_to_one_answer_until_it_ends() {
    let guarded = guarded().await;
    let signed = |path: &str, query: &str, seconds: i64| {
        let ends = in_seconds(seconds);
        let query = sign(&guarded.secret, &tenant("default"), path, query, ends).unwrap();
        format!("{path}?{query}")
    };
    let link = signed("/s/shop/cpu", "from=now-2h", 60);
    assert_eq!(get(&guarded.stack, &link, &[]).await.status, 200);
    let page = get(&guarded.stack, &link, &[("accept", "text/html")]).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("link that ends at"));
    // The page's own data are signed as the link is.
    let data =
        page.text().split("data-src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let data = data.replace("&amp;", "&").replace("&#38;", "&");
    let data = get(&guarded.stack, &data, &[]).await;
    assert_eq!(data.status, 200, "{}", data.text());
    assert!(data.text().contains("flambeau-flame"));

    for (path, status) in [
        (link.replace("cpu", "heap"), 403),
        (link.replace("now-2h", "now-3h"), 403),
        (format!("{link}&f=main"), 403),
        (signed("/s/shop/cpu", "", -1), 403),
        (format!("{link}&root=cbf29ce484222325&format=flame.json"), 200),
    ] {
        let answer = get(&guarded.stack, &path, &[]).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let url = format!("{}{link}", guarded.stack.serving.endpoints.url);
    if let Some(top) = go_tool_pprof(&["-top", "-symbolize=none", &url]).await.unwrap() {
        assert!(top.contains("12ms total"), "{top}");
    }
    let ended = format!("{}{}", guarded.stack.serving.endpoints.url, signed("/s/shop/cpu", "", -1));
    if let Err(said) = go_tool_pprof(&["-top", &ended]).await {
        assert!(said.to_string().contains("has expired"), "{said}");
    }
    guarded.stack.serving.stop().await;
}

const FLAMBEAU: &str = env!("CARGO_BIN_EXE_flambeau-under-test");

async fn flambeau(place: &str, args: &[&str]) -> Result<String, String> {
    let args: Vec<&str> = args.iter().copied().chain(["--secret", place]).collect();
    let output = flambeau_tests::command::run(FLAMBEAU, &args).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn the_command_gives_tokens_and_links_and_takes_tokens_away() {
    let dir = tempfile::tempdir().unwrap();
    let place = format!("file:{}", dir.path().join("secret.json").display());
    let stack = Stack::start_with(Some(place.parse().unwrap())).await.unwrap();
    let said = flambeau(&place, &["token", "--list"]).await.unwrap_err();
    assert!(said.contains("secret.json"), "{said}");
    let token = flambeau(&place, &["token", "--name", "ann"]).await.unwrap();
    flambeau(&place, &["token", "--name", "ben", "--tenant", "other"]).await.unwrap();
    let listed = flambeau(&place, &["token", "--list"]).await.unwrap();
    assert_eq!(listed, "default\tann\nother\tben");
    let bearer = format!("Bearer {token}");
    assert_eq!(get(&stack, "/", &[("authorization", &bearer)]).await.status, 200);

    let url = format!("{}/?format=json", stack.serving.endpoints.url);
    let link = flambeau(&place, &["link", &url, "--for", "1h"]).await.unwrap();
    let path = link.strip_prefix(&stack.serving.endpoints.url).unwrap();
    assert_eq!(get(&stack, path, &[]).await.status, 200, "{link}");
    let foreign = flambeau(&place, &["link", &url, "--tenant", "other"]).await.unwrap();
    let path = foreign.strip_prefix(&stack.serving.endpoints.url).unwrap();
    assert_eq!(get(&stack, path, &[]).await.status, 403, "{foreign}");
    let said = flambeau(&place, &["link", &url, "--for", "8d"]).await.unwrap_err();
    assert!(said.contains("at most seven days"), "{said}");

    flambeau(&place, &["token", "--name", "ann", "--remove"]).await.unwrap();
    let said = flambeau(&place, &["token", "--name", "ann", "--remove"]).await.unwrap_err();
    assert!(said.contains("nobody named `ann`"), "{said}");
    // A server that starts now knows it no more; one that runs forgets within a minute.
    let fresh = Stack::start_with(Some(place.parse().unwrap())).await.unwrap();
    assert_eq!(get(&fresh, "/", &[("authorization", &bearer)]).await.status, 401);
    fresh.serving.stop().await;
    stack.serving.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_not_there_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let place = SecretPlace::File(dir.path().join("none.json"));
    let stack = Stack::start_with(Some(place)).await.unwrap();
    let answer = get(&stack, "/", &[("authorization", "Bearer x")]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("flambeau token"), "{}", answer.text());
    stack.serving.stop().await;
}
