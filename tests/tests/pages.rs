//! A real browser walks the pages, where there is one: `browser/walk.mjs` says what
//! it looks at. Its screenshots stay in `target/browser/screens`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use flambeau_layout::Fate;
use flambeau_tests::{
    gallery,
    stack::{Stack, now},
};
use serde_json::Value;

/// The browser: what `CHROMIUM` names, or Debian's.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"));
    path.exists().then_some(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_walks_every_page() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = here.join("../target/browser");
    let Some(browser) = browser() else {
        eprintln!("SKIPPED: no Chromium here; install Debian's chromium, or say CHROMIUM=PATH");
        return;
    };
    if !tools.join(".complete").exists() {
        eprintln!("SKIPPED: run tests/browser/fetch.sh to have a browser walk the pages");
        return;
    }
    let stack = Stack::start().await.unwrap();
    let keys = gallery::fill(&stack.serving.store, now()).await.unwrap();
    for fate in stack.fates(&keys).await.unwrap() {
        assert!(matches!(fate.fate, Fate::Block { .. }), "{fate:?}");
    }
    let output = tokio::process::Command::new("node")
        .arg(here.join("browser/walk.mjs"))
        .arg(&tools)
        .arg(&stack.serving.endpoints.url)
        .arg(tools.join("screens"))
        .env("CHROMIUM", browser)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the walk ended early: {said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let none = |what: &str| {
        let found = &report[what];
        let empty = found.as_array().is_some_and(Vec::is_empty)
            || found.as_object().is_some_and(serde_json::Map::is_empty);
        assert!(empty, "{what}: {found:#}");
    };
    none("failures");
    none("troubles");
    none("axe");
    assert!(report["done"].as_array().unwrap().len() >= 70, "{report:#}");
    stack.serving.stop().await;
}
