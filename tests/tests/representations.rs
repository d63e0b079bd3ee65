//! One resource, many representations: each asked for by HTTP, and opened by
//! the tool it is for where that is installed.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, path::PathBuf};

use flambeau_layout::{Fate, SnapshotShape};
use flambeau_tests::{
    ask::get,
    judge::go_tool_pprof,
    profiles::cpu_gzip,
    stack::{Stack, key, now},
};
use serde_json::Value;

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A stack that holds each of these files as the profile of a service.
async fn holding(files: &[(&str, &str, &str)]) -> Stack {
    let stack = Stack::start().await.unwrap();
    let mut keys = Vec::new();
    for (seq, (service, typ, file)) in (0..).zip(files) {
        let key = key(service, seq, SnapshotShape::Single(typ.parse().unwrap())).unwrap();
        stack.put(&key.to_string(), std::fs::read(corpus(file)).unwrap()).await.unwrap();
        keys.push(key);
    }
    for fate in stack.fates(&keys).await.unwrap() {
        assert!(matches!(fate.fate, Fate::Block { .. }), "{fate:?}");
    }
    stack
}

const FORMATS: [(&str, &str); 13] = [
    ("pprof", "application/octet-stream"),
    ("svg", "image/svg+xml"),
    ("html", "text/html"),
    ("flame.json", "application/json"),
    ("top.json", "application/json"),
    ("folded", "text/plain"),
    ("csv", "text/csv"),
    ("speedscope", "application/json"),
    ("chrome", "application/json"),
    ("firefox", "application/json"),
    ("flamebearer", "application/json"),
    ("timeline.json", "application/json"),
    ("timeline.svg", "image/svg+xml"),
];

#[tokio::test]
async fn every_format_is_answered_and_any_other_refused() {
    let stack = holding(&[("shop", "cpu", "go-cpu.pb.gz")]).await;
    for (format, content_type) in FORMATS {
        let named = get(&stack, &format!("/s/shop/cpu?format={format}"), &[]).await;
        assert_eq!(named.status, 200, "{format}: {}", String::from_utf8_lossy(&named.body));
        assert!(named.header("content-type").starts_with(content_type), "{format}");
        assert_eq!(named.header("x-content-type-options"), "nosniff");
        let suffixed = get(&stack, &format!("/s/shop/cpu.{format}"), &[]).await;
        assert_eq!(suffixed.body, named.body, "{format}");
    }
    let accepted = get(&stack, "/s/shop/cpu", &[("accept", "application/json")]).await;
    assert_eq!(accepted.body, get(&stack, "/s/shop/cpu.json", &[]).await.body);
    assert!(accepted.header("vary").contains("accept"));
    let plain = get(&stack, "/s/shop/cpu", &[("accept", "*/*")]).await;
    assert!(plain.body.starts_with(&[0x1f, 0x8b]) && plain.header("content-encoding").is_empty());
    let named = "attachment; filename=\"shop-cpu.pb.gz\"";
    assert_eq!(plain.header("content-disposition"), named);

    let refused = get(&stack, "/s/shop/cpu?format=png", &[]).await;
    let said = refused.text();
    assert_eq!((refused.status, refused.header("x-go-pprof")), (400, "1"));
    assert!(FORMATS.iter().all(|(format, _)| said.contains(format)), "{said}");
    stack.serving.stop().await;
}

#[tokio::test]
async fn long_answers_come_compressed_to_who_takes_it() {
    let stack = holding(&[("shop", "cpu", "go-cpu.pb.gz")]).await;
    let plain = get(&stack, "/s/shop/cpu.folded", &[("accept-encoding", "identity")]).await;
    let packed = get(&stack, "/s/shop/cpu.folded", &[("accept-encoding", "gzip;q=1")]).await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    let limits = flambeau_profile::Limits::default();
    // ureq hands over what was sent where it was told which encoding to ask for.
    let unpacked = flambeau_profile::inflate(&packed.body, &limits).unwrap();
    assert_eq!(unpacked.as_ref(), plain.body);
    assert!(packed.body.len() < plain.body.len() / 2);
    stack.serving.stop().await;
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let stack = holding(&[("shop", "cpu", "go-cpu.pb.gz")]).await;
    let long = format!("f={}", "x".repeat(3_000));
    for (query, word) in [
        ("f=(", "`f`"),
        ("tf=k%3D(", "`tf`"),
        ("q={", "`q`"),
        (long.as_str(), "`f` has 3000 bytes"),
        ("si=wall", "samples, cpu"),
        ("si=2", "samples, cpu"),
        ("norm=perhaps", "norm"),
        ("seconds=soon", "seconds"),
        ("max_nodes=0", "max_nodes"),
        ("root=xyz", "root"),
        ("draw=pie", "draw"),
        ("sort=name", "sort"),
        ("f=a&focus=b", "duplicate"),
    ] {
        let format = if query.starts_with("sort") { "csv" } else { "svg" };
        let answer = get(&stack, &format!("/s/shop/cpu.{format}?{query}"), &[]).await;
        assert_eq!((answer.status, answer.header("x-go-pprof")), (400, "1"), "{query}");
        assert!(answer.text().contains(word), "{query}: {}", answer.text());
    }
    let nowhere = get(&stack, "/s/shop/cpu.json?root=0123456789abcdef", &[]).await;
    assert_eq!(nowhere.status, 404);
    let nothing = get(&stack, "/s/shop/cpu?f=no_such_function", &[]).await;
    assert_eq!(nothing.status, 200);
    assert!(nothing.header("x-flambeau-answered").ends_with("; f matched nothing"));
    stack.serving.stop().await;
}

/// Functions as `pprof -top` lists them: flat, cum, how far inlined.
fn listed(top: &str) -> BTreeMap<String, (i64, i64, &'static str)> {
    let rows = top.lines().skip_while(|line| !line.trim_start().starts_with("flat ")).skip(1);
    let value = |text: &str| -> i64 {
        text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap()
    };
    rows.map(|row| {
        let (mut words, mut rest) = (Vec::new(), row.trim());
        for _ in 0..5 {
            let (word, more) = rest.split_once(' ').unwrap();
            words.push(word);
            rest = more.trim_start();
        }
        let (name, inlined) = match rest {
            name if name.ends_with(" (inline)") => (name.trim_end_matches(" (inline)"), "all"),
            name if name.ends_with(" (partial-inline)") => {
                (name.trim_end_matches(" (partial-inline)"), "some")
            }
            name => (name, "no"),
        };
        (name.to_owned(), (value(words[0]), value(words[3]), inlined))
    })
    .collect()
}

#[tokio::test]
async fn the_top_table_is_pprofs() {
    let stack = holding(&[("go", "cpu", "go-cpu.pb.gz"), ("cpp", "cpu", "cpp-cpu.pb.gz")]).await;
    for service in ["go", "cpp"] {
        let url = format!("{}/s/{service}/cpu", stack.serving.endpoints.url);
        let whole = ["-top", "-nodecount=1000000", "-nodefraction=0", "-unit=nanoseconds"];
        let asked: Vec<&str> =
            whole.iter().chain(&["-symbolize=none", url.as_str()]).copied().collect();
        let Some(top) = go_tool_pprof(&asked).await.unwrap() else { break };
        let expected = listed(&top);
        let ours = get(&stack, &format!("/s/{service}/cpu.top.json"), &[]).await;
        let ours: Value = serde_json::from_slice(&ours.body).unwrap();
        let rows = ours["rows"].as_array().unwrap().iter();
        let row = |row: &Value| {
            let number = |name: &str| row[name].as_i64().unwrap();
            let inlined = row["inlined"].as_str().unwrap().to_owned();
            let name = row["function"].as_str().unwrap().to_owned();
            (name, (number("flat"), number("cum"), inlined))
        };
        let rows: BTreeMap<String, (i64, i64, String)> = rows.map(row).collect();
        let with_words = expected
            .into_iter()
            .map(|(name, (flat, cum, inlined))| (name, (flat, cum, inlined.to_owned())));
        assert_eq!(rows, with_words.collect(), "{service}");
    }
    stack.serving.stop().await;
}

/// pprof's options, by our short names and by pprof's flags.
const OPTIONS: [(&str, &str, &str); 11] = [
    ("f", "focus", "json"),
    ("i", "ignore", "runtime\\."),
    ("h", "hide", "runtime\\.|syscall"),
    ("s", "show", "main\\.|regexp"),
    ("sf", "show_from", "regexp\\.\\(\\*Regexp\\)"),
    ("tf", "tagfocus", "handler=json"),
    ("ti", "tagignore", "handler=json"),
    ("tf", "tagfocus", "tenant:"),
    ("ts", "tagshow", "handler"),
    ("th", "taghide", "handler"),
    ("si", "sample_index", "samples"),
];

fn encoded(text: &str) -> String {
    flambeau_layout::name::encode_part(text)
}

#[tokio::test]
async fn pprofs_short_names_mean_what_pprof_means() {
    let stack = holding(&[("shop", "cpu", "go-cpu.pb.gz")]).await;
    let url = format!("{}/s/shop/cpu", stack.serving.endpoints.url);
    let whole = ["-symbolize=none", "-nodecount=1000000", "-nodefraction=0", "-unit=nanoseconds"];
    for (short, long, value) in OPTIONS {
        for report in ["-top", "-tags"] {
            let flag = format!("-{long}={value}");
            let asked = format!("{url}?{short}={}", encoded(value));
            // A pprof holds all sample types: which one is shown is chosen there.
            let show = if short == "si" { flag.as_str() } else { "-sample_index=cpu" };
            let mut by_pprof = vec![report, show, flag.as_str()];
            by_pprof.extend(whole);
            by_pprof.push(&url);
            let mut by_us = vec![report, show];
            by_us.extend(whole);
            by_us.push(&asked);
            let Some(expected) = go_tool_pprof(&by_pprof).await.unwrap() else { return };
            let ours = go_tool_pprof(&by_us).await.unwrap().unwrap();
            // The heads name active filters, and shares are of other totals.
            let body = |text: &str| -> Vec<String> {
                let lines = text.lines().map(str::trim);
                let lines =
                    lines.filter(|line| line.ends_with(|c: char| c != ':') && !line.is_empty());
                let plain = |line: &str| -> String {
                    let line = line.split(" of ").next().unwrap_or_default();
                    let words = line.split_whitespace();
                    let words = words.filter(|word| *word != "(" && !word.contains('%'));
                    words.collect::<Vec<_>>().join(" ")
                };
                let skip = ["Active filters", "focus=", "Showing", "Time:", "Duration:", "Dropped"];
                lines
                    .filter(|line| !skip.iter().any(|head| line.starts_with(head)))
                    .filter(|line| !line.starts_with(&format!("{long}=")))
                    .map(plain)
                    .collect()
            };
            assert_eq!(body(&ours), body(&expected), "{report} {flag}");
            assert!(body(&ours).len() > 2, "{report} {flag}: {ours}");
        }
    }
    stack.serving.stop().await;
}

#[tokio::test]
async fn selectors_and_sample_types_choose() {
    let stack =
        holding(&[("shop", "cpu", "go-cpu.pb.gz"), ("shop", "heap", "go-heap-1.pb.gz")]).await;
    let total = async |query: &str| {
        let top = get(&stack, &format!("/s/shop/{query}"), &[]).await;
        assert_eq!(top.status, 200, "{query}: {}", String::from_utf8_lossy(&top.body));
        serde_json::from_slice::<Value>(&top.body).unwrap()["total"].as_i64().unwrap()
    };
    let whole = total("cpu.top.json").await;
    let json = total(&format!("cpu.top.json?q={}", encoded("{handler=\"json\"}"))).await;
    let others = total(&format!("cpu.top.json?q={}", encoded("{handler!=\"json\"}"))).await;
    assert!(json > 0 && others > 0);
    assert_eq!(json + others, whole);
    assert_eq!(total("cpu.top.json?si=cpu").await, whole);
    assert_eq!(total("cpu.top.json?st=1").await, whole);
    assert_ne!(total("cpu.top.json?st=samples").await, whole);
    assert_ne!(
        total("heap.top.json?si=inuse_space").await,
        total("heap.top.json?si=inuse_objects").await
    );
    stack.serving.stop().await;
}

#[tokio::test]
async fn go_tool_pprof_asks_for_seconds() {
    let stack = Stack::start().await.unwrap();
    let recent = key("shop", 0, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
    let profile = cpu_gzip(&[5_000_000, 7_000_000], now().as_nanos());
    stack.put(&recent.to_string(), profile).await.unwrap();
    stack.fates(&[recent]).await.unwrap();
    let url = format!("{}/s/shop/cpu", stack.serving.endpoints.url);
    let asked = ["-top", "-symbolize=none", "-seconds=7200", url.as_str()];
    if let Some(top) = go_tool_pprof(&asked).await.unwrap() {
        assert!(top.contains("12ms total") && top.contains("worker_1"), "{top}");
        let said = go_tool_pprof(&["-top", &format!("{url}?from=now&until=1h")]).await.unwrap_err();
        assert!(said.to_string().contains("before it begins"), "{said}");
    }
    stack.serving.stop().await;
}

/// What a viewer reads in a file: see `viewers/open.mjs`. `None`, with a word on
/// standard error, where it is not installed.
async fn opened(tool: &str, body: &[u8]) -> Option<Value> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let tools = here.join("../target/viewers");
    if !tools.join(".complete").exists() {
        eprintln!("SKIPPED: run tests/viewers/fetch.sh to have {tool} judge");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile");
    std::fs::write(&file, body).unwrap();
    let run = tokio::process::Command::new("node")
        .arg(here.join("viewers/open.mjs"))
        .args([&tools, &PathBuf::from(tool), &file])
        .output()
        .await;
    let output = match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: no node here, so {tool} does not judge");
            return None;
        }
        run => run.unwrap(),
    };
    assert!(output.status.success(), "{tool} refused: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The functions that our own table has, with their flat and cum values.
async fn table(stack: &Stack, path: &str) -> BTreeMap<String, (f64, f64)> {
    let top = get(stack, &format!("{path}?format=top.json&max_nodes=65536"), &[]).await;
    let top: Value = serde_json::from_slice(&top.body).unwrap();
    let rows = top["rows"].as_array().unwrap().iter();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let row = |row: &Value| {
        let name = row["function"].as_str().unwrap().to_owned();
        (name, (number(row, "flat"), number(row, "cum")))
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn viewers_open_what_is_meant_for_them() {
    let files = [
        ("go", "cpu", "go-cpu.pb.gz"),
        ("cpp", "cpu", "cpp-cpu.pb.gz"),
        ("inlines", "cpu", "odd-inline-columns.pb"),
        ("markup", "cpu", "odd-markup-names.pb"),
    ];
    let stack = holding(&files).await;
    for (service, typ, _) in files {
        let path = format!("/s/{service}/{typ}");
        let expected = table(&stack, &path).await;
        // How many of the unit shown make one of ours, and what is read of it.
        for (tool, scale) in
            [("speedscope", 1.0), ("chrome", 1e3), ("firefox", 1e6), ("flamebearer", 1.0)]
        {
            let url = format!("{path}?format={tool}&max_nodes=65536");
            let Some(read) = opened(tool, &get(&stack, &url, &[]).await.body).await else { return };
            let shown = read.as_array().unwrap().last().unwrap();
            let near = |ours: f64, theirs: &Value, what: &str| {
                let theirs = theirs.as_f64().unwrap() * scale;
                assert!((ours - theirs).abs() <= 0.5, "{service} {tool} {what}: {ours} {theirs}");
            };
            let total: f64 = expected.values().map(|(flat, _)| flat).sum();
            near(total, &shown["total"], "total");
            for (name, (flat, cum)) in &expected {
                let frame = &shown["frames"][name];
                assert!(frame.is_object(), "{service}: {tool} does not see {name}");
                near(*flat, &frame["self"], name);
                // Of recursive calls each counts with some readers.
                if frame["total"].is_number() && tool != "chrome" {
                    near(*cum, &frame["total"], name);
                }
            }
        }
    }
    stack.serving.stop().await;
}

/// Runs a command on a URL or a file; `None` where it is not installed.
async fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = tokio::process::Command::new(program).args(args).output().await;
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: no {program} here to judge");
            None
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
    }
}

#[tokio::test]
async fn curl_and_a_reader_of_tables_take_it() {
    let stack = holding(&[("shop", "cpu", "odd-markup-names.pb")]).await;
    let url = format!("{}/s/shop/cpu", stack.serving.endpoints.url);
    let asked = ["--silent", "--fail", "--compressed", "--header", "accept: text/plain", &url];
    if let Some(lines) = said("curl", &asked).await {
        assert_eq!(lines, get(&stack, "/s/shop/cpu.folded", &[]).await.text());
        assert!(lines.lines().count() > 1);
    }
    let csv = get(&stack, "/s/shop/cpu.csv", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("top.csv");
    std::fs::write(&file, &csv.body).unwrap();
    let program = "import csv, json, sys; print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8')))))";
    if let Some(rows) = said("python3", &["-c", program, file.to_str().unwrap()]).await {
        let rows: Vec<BTreeMap<String, String>> = serde_json::from_str(&rows).unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["function"].as_str()).collect();
        let expected = table(&stack, "/s/shop/cpu").await;
        assert_eq!(names.len(), expected.len());
        assert!(names.iter().all(|name| expected.contains_key(*name)), "{names:?}");
    }
    stack.serving.stop().await;
}
