//! What is shown is what is there: every way of telling a selection apart adds up
//! to the whole, before and after blocks are rolled up; links say what they said;
//! large answers are fetched from the bucket; errors come in the form asked for.
#![allow(clippy::unwrap_used)]

use flambeau_layout::{Fate, SnapshotShape, UnixMillis};
use flambeau_pipeline::{CompactOptions, Scope, compact};
use flambeau_profile::{
    BASE_LABEL, Limits, Merged, encode_gzip,
    proto::{Function, Line, Location, Profile, Sample, ValueType},
};
use flambeau_query::prices::GB_SECOND_EVERYWHERE;
use flambeau_tests::{
    ask::get,
    gallery::{self, SHOP},
    judge::go_tool_pprof,
    profiles::cpu_gzip,
    stack::{Stack, key, now},
};
use serde_json::Value;

async fn gallery() -> Stack {
    let stack = Stack::start().await.unwrap();
    let keys = gallery::fill(&stack.serving.store, now()).await.unwrap();
    for fate in stack.fates(&keys).await.unwrap() {
        assert!(matches!(fate.fate, Fate::Block { .. }), "{fate:?}");
    }
    stack
}

/// Rolls up as it will be in two days.
async fn roll_up(stack: &Stack, service: &str) {
    let options =
        CompactOptions { now: now().plus_millis(2 * 86_400_000), limits: Limits::default() };
    let (tenant, service) = ("default".parse().unwrap(), service.parse().unwrap());
    let report = compact(&stack.serving.store, &tenant, &service, &Scope::All, &options).await;
    assert!(report.unwrap().rollups > 0);
}

async fn json(stack: &Stack, path: &str) -> Value {
    let answer = get(stack, path, &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn sum(numbers: &Value) -> i64 {
    match numbers {
        Value::Array(list) => list.iter().map(sum).sum(),
        number => number.as_i64().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_telling_apart_adds_up() {
    let stack = gallery().await;
    // A range of its own: where none is given, a page ends with the current minute,
    // and a heat map begins with the first day.
    let until = now().0 / 60_000 * 60_000 + 60_000;
    let path = format!("/s/{SHOP}/cpu?from={}&until={until}", until - 6 * 3_600_000);
    let whole = json(&stack, &format!("{path}&format=top.json")).await["total"].as_i64().unwrap();
    assert!(whole > 100_000_000_000);
    let mut pin = None;
    for rolled_up in [false, true] {
        if rolled_up {
            roll_up(&stack, SHOP).await;
        }
        for by in ["instance", "version", "init", "handler", "nonsense"] {
            let map = json(&stack, &format!("{path}&format=heatmap.json&by={by}")).await;
            assert_eq!(sum(&map["cells"]), whole, "by {by}, rolled up: {rolled_up}");
        }
        let rows = |by: &'static str| {
            let path = format!("{path}&format=heatmap.json&by={by}");
            let stack = &stack;
            async move { json(stack, &path).await["rows"].as_array().unwrap().len() }
        };
        assert_eq!((rows("instance").await, rows("version").await), (6, 2));
        let timeline = json(&stack, &format!("{path}&format=timeline.json")).await;
        let moments = timeline["moments"].as_array().unwrap();
        assert_eq!(moments.iter().map(|moment| sum(&moment["totals"][1])).sum::<i64>(), whole);
        let versions: i64 = {
            let of =
                |version: u32| format!("{path}&format=top.json&q=%7Bversion%3D%22{version}%22%7D");
            let (old, new) = (json(&stack, &of(41)).await, json(&stack, &of(42)).await);
            sum(&old["total"]) + sum(&new["total"])
        };
        assert_eq!(versions, whole);
        // Rolled up, it is the same answer.
        let page = get(&stack, &path, &[("accept", "text/html")]).await.text();
        let found = page.split("pin=").nth(1).unwrap()[..32].to_owned();
        assert_eq!(*pin.get_or_insert(found.clone()), found, "rolled up: {rolled_up}");
    }
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_says_what_it_said_and_what_has_come_since() {
    let stack = Stack::start().await.unwrap();
    let send = async |seq: u64, nanos: &[i64]| {
        let key = key("shop", seq, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
        let minute = now().plus_millis(-3_600_000).0 / 60_000 * 60_000;
        stack.put(&key.to_string(), cpu_gzip(nanos, minute * 1_000_000)).await.unwrap();
        stack.fates(&[key]).await.unwrap();
    };
    send(0, &[5_000_000]).await;
    let page = get(&stack, "/s/shop/cpu", &[("accept", "text/html")]).await.text();
    let share = page.split("data-share=\"").nth(1).unwrap().split('"').next().unwrap();
    let link = format!("/s/shop/cpu{}", share.replace("&#38;", "&"));
    assert!(link.contains("pin=") && link.contains("until="), "{link}");

    let first = get(&stack, &link, &[]).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(first.header("cache-control").contains("immutable"));
    send(1, &[7_000_000]).await;
    let again = get(&stack, &link, &[]).await;
    assert_eq!(again.body, first.body, "what was shared is kept for a day");
    assert!(again.header("x-flambeau-answered").contains("as it was when it was shared"));
    let svg = get(&stack, &format!("{link}&format=top.json"), &[]).await.text();
    assert!(svg.contains("\"total\":5000000"), "{svg}");
    let unpinned = get(&stack, &link.replace("pin=", "unpinned="), &[]).await;
    assert_ne!(unpinned.body, first.body);
    // One that nobody kept says that it is not what it was.
    let lost = link.split("pin=").next().unwrap().to_owned() + "pin=" + &"0".repeat(32);
    let lost = get(&stack, &lost, &[]).await;
    assert_eq!((lost.status, lost.header("cache-control")), (200, "no-store"));
    assert!(lost.header("x-flambeau-answered").contains("more has come since it was shared"));
    stack.serving.stop().await;
}

/// A profile that hardly compresses: so many functions of random names.
fn large(functions: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut strings: Vec<String> = ["", "cpu", "nanoseconds"].map(str::to_owned).to_vec();
    strings.extend((0..functions).map(|_| format!("{:016x}{:016x}", random(), random())));
    encode_gzip(&Profile {
        string_table: strings,
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        function: (1..=functions)
            .map(|id| Function { id, name: id as i64 + 2, ..Default::default() })
            .collect(),
        location: (1..=functions)
            .map(|id| Location {
                id,
                line: vec![Line { function_id: id, line: 1, column: 0 }],
                ..Default::default()
            })
            .collect(),
        sample: (1..=functions)
            .map(|id| Sample { location_id: vec![id], value: vec![1], ..Default::default() })
            .collect(),
        time_nanos: now().plus_millis(-7_200_000).as_nanos(),
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_fetched_from_the_bucket() {
    const FUNCTIONS: u64 = 260_000;
    let stack = Stack::start().await.unwrap();
    let big = key("big", 0, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
    stack.put(&big.to_string(), large(FUNCTIONS)).await.unwrap();
    stack.fates(&[big]).await.unwrap();
    roll_up(&stack, "big").await;
    let page = get(&stack, "/s/big/cpu", &[("accept", "text/html")]).await.text();
    let block = page.split("cpu/blocks/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for path in
        ["/s/big/cpu".to_owned(), "/s/big/cpu?f=a".into(), format!("/s/big/cpu/blocks/{block}")]
    {
        let answer = get(&stack, &path, &[]).await;
        assert_eq!(answer.status, 302, "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store");
        let there = answer.header("location").to_owned();
        assert!(there.starts_with(&stack.serving.endpoints.s3), "{there}");
        let (status, body) = flambeau_tests::stack::get(there.clone()).await.unwrap();
        assert_eq!(status, 200);
        let total = Merged::from_bytes(&body, &Limits::default()).unwrap().totals()[0];
        assert!(total == i128::from(FUNCTIONS) || path.contains("f=a"), "{path}: {total}");
        // The link is for this object alone.
        let elsewhere = there.replace("results/", "snapshots/").replace("blocks/", "snapshots/");
        assert_eq!(flambeau_tests::stack::get(elsewhere).await.unwrap().0, 403);
        let url = format!("{}{path}", stack.serving.endpoints.url);
        let asked = ["-top", "-symbolize=none", "-nodecount=3", url.as_str()];
        if let Some(top) = go_tool_pprof(&asked).await.unwrap() {
            assert!(top.contains("ns, ") || top.contains("Showing nodes"), "{top}");
        }
    }
    // What is drawn is cut, and so it is sent.
    let graph = get(&stack, "/s/big/cpu.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(graph.status, 200);
    assert!(graph.body.len() < 600_000, "{}", graph.body.len());
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_pprofs() {
    let stack = Stack::start().await.unwrap();
    let times = [now().plus_millis(-7_200_000), now().plus_millis(-3_600_000)];
    let files = ["go-cpu.pb.gz", "go-cpu-500hz.pb.gz"];
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (seq, (time, file)) in (0..).zip(times.iter().zip(files)) {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/");
        let bytes = std::fs::read(format!("{data}{file}")).unwrap();
        let mut profile = flambeau_profile::decode(&bytes, &Limits::default()).unwrap();
        (profile.time_nanos, profile.duration_nanos) = (time.as_nanos(), 0);
        let bytes = encode_gzip(&profile);
        let path = folder.path().join(file);
        std::fs::write(&path, &bytes).unwrap();
        paths.push(path.to_str().unwrap().to_owned());
        let key = key("shop", seq, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
        stack.put(&key.to_string(), bytes).await.unwrap();
        stack.fates(&[key]).await.unwrap();
    }
    let between = |from: UnixMillis| (from.plus_millis(-60_000).0, from.plus_millis(60_000).0);
    let ((a, a_end), (b, b_end)) = (between(times[0]), between(times[1]));
    let query = format!("a.from={a}&a.until={a_end}&b.from={b}&b.until={b_end}");
    let ours = get(&stack, &format!("/diff/shop/cpu?{query}"), &[]).await;
    assert_eq!(ours.status, 200, "{}", ours.text());
    let merged = Merged::from_bytes(&ours.body, &Limits::default()).unwrap();
    assert!(merged.samples().any(|sample| sample.label(BASE_LABEL) == Some("true")));
    let file = folder.path().join("ours.pb.gz");
    std::fs::write(&file, &ours.body).unwrap();
    let whole = ["-top", "-symbolize=none", "-nodecount=100000", "-nodefraction=0", "-unit=ns"];
    let base = format!("-diff_base={}", paths[0]);
    let theirs: Vec<&str> = whole.iter().copied().chain([base.as_str(), &paths[1]]).collect();
    let ours: Vec<&str> = whole.iter().copied().chain([file.to_str().unwrap()]).collect();
    if let Some(theirs) = go_tool_pprof(&theirs).await.unwrap() {
        let ours = go_tool_pprof(&ours).await.unwrap().unwrap();
        let rows = |text: &str| -> Vec<String> {
            let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("flat "));
            let mut rows: Vec<String> = rows.skip(1).map(|row| row.trim().to_owned()).collect();
            rows.sort();
            rows
        };
        assert!(rows(&ours).len() > 100);
        assert_eq!(rows(&ours), rows(&theirs));
    }
    let diff =
        json(&stack, &format!("/diff/shop/cpu?format=diff.json&{query}&basis=absolute")).await;
    let sides = ["a", "b"].map(|side| if side == "a" { (a, a_end) } else { (b, b_end) });
    for (at, (from, until)) in sides.into_iter().enumerate() {
        let top = json(&stack, &format!("/s/shop/cpu.top.json?from={from}&until={until}")).await;
        assert_eq!(diff["total"][at], top["total"]);
    }
    let refused =
        get(&stack, &format!("/diff/shop/cpu?format=diff.json&{query}&basis=invocation"), &[])
            .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("basis=share"), "{}", refused.text());
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_money() {
    let stack = gallery().await;
    let path = format!("/s/{SHOP}/cpu?format=flame.json");
    let nanos = json(&stack, &path).await["whole"].as_f64().unwrap();
    let priced = json(&stack, &format!("{path}&unit=dollars")).await;
    // One GB on arm64: so many picodollars a nanosecond.
    let expected = nanos * GB_SECOND_EVERYWHERE[1] * 1e3;
    let near = |found: f64, expected: f64| {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} is not {expected}");
    };
    near(priced["total"].as_f64().unwrap(), expected);
    assert_eq!(priced["sample_type"]["unit"], "picodollars");
    // All that was billed is what it is a part of.
    assert_eq!(priced["whole_of"], "billed");
    near(priced["whole"].as_f64().unwrap(), expected * 1.6);
    let dearer = json(&stack, &format!("{path}&unit=dollars&price=0.1")).await;
    near(dearer["total"].as_f64().unwrap(), nanos * 0.1 * 1e3);
    let unpriced = get(&stack, "/s/report/cpu?format=top.json&unit=dollars", &[]).await;
    assert!(unpriced.header("x-flambeau-answered").contains("memory=MB"));
    let with = json(&stack, "/s/report/cpu?format=top.json&unit=dollars&memory=1024").await;
    assert!(with["total"].as_i64().unwrap() > 0);
    let bytes = get(&stack, "/s/report/heap?format=svg&unit=dollars", &[]).await;
    assert_eq!(bytes.status, 400);
    assert!(bytes.text().contains("is no time"), "{}", bytes.text());
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_stays_whole_while_its_values_are_merged() {
    let stack = gallery().await;
    let list = format!("/s/{SHOP}/perf/traces");
    let traces = json(&stack, &list).await;
    assert_eq!(traces.as_array().unwrap().len(), 1);
    let id = traces[0]["id"].as_str().unwrap().to_owned();
    let samples = traces[0]["samples"].as_u64().unwrap();
    let whole = get(&stack, &format!("{list}/{id}"), &[]).await;
    let trace = Merged::from_bytes(&whole.body, &Limits::default()).unwrap();
    assert_eq!(trace.timed().unwrap().samples, samples);
    let merged = stack.profile(&format!("/s/{SHOP}/perf")).await.unwrap();
    assert_eq!(merged.totals(), trace.totals(), "what is kept counts once");
    assert_eq!(merged.timed(), None, "and no time makes its samples differ");
    assert!(merged.samples().len() < trace.samples().len());

    roll_up(&stack, SHOP).await;
    let again = get(&stack, &format!("{list}/{id}"), &[]).await;
    assert_eq!(again.body, whole.body, "rolling up leaves it alone");
    let map = json(&stack, &format!("{list}/{id}?format=heatmap.json&si=samples")).await;
    assert_eq!(sum(&map["cells"]), sum(&Value::from(trace.totals()[0] as i64)));
    assert_eq!(
        (map["rows"].as_array().unwrap().len(), map["across"].as_str()),
        (50, Some("second"))
    );
    // A part and the rest are the whole.
    let part = |range: &str| format!("{list}/{id}?format=top.json&{range}");
    let first = json(&stack, &part("t1=3000000000")).await["total"].as_i64().unwrap();
    let rest = json(&stack, &part("t0=3000000000")).await["total"].as_i64().unwrap();
    assert!(first > 0 && rest > 0);
    assert_eq!(i128::from(first + rest), trace.totals()[1]);
    let none = get(&stack, &format!("{list}/00.7"), &[]).await;
    assert_eq!(none.status, 404);
    assert!(none.text().contains("/traces lists them"), "{}", none.text());
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_in_the_form_asked_for() {
    let stack = Stack::start().await.unwrap();
    let bad = "/s/shop/cpu?from=yesterday";
    let line = get(&stack, bad, &[]).await;
    assert_eq!((line.status, line.header("x-go-pprof")), (400, "1"));
    assert!(line.header("content-type").starts_with("text/plain"));
    let page = get(&stack, bad, &[("accept", "text/html")]).await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.text().contains("<h1>400") && page.header("x-go-pprof").is_empty());
    let document = get(&stack, bad, &[("accept", "application/json")]).await;
    assert_eq!(document.header("content-type"), "application/problem+json");
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    assert_eq!(document["status"], 400);
    assert!(document["detail"].as_str().unwrap().contains("now-1h"));

    let long = get(&stack, &format!("/s/shop/cpu?x={}", "y".repeat(17_000)), &[]).await;
    assert_eq!(long.status, 414);
    let nothing = get(&stack, "/s/shop/cpu", &[("accept", "text/html")]).await;
    assert_eq!(nothing.status, 404);
    assert!(nothing.text().contains("flambeau push cpu.pb.gz --service shop"));
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_says_how_to_ask_for_less() {
    let stack = Stack::start().await.unwrap();
    let old = |seq: u64, hours: i64| {
        let key = key("shop", seq, SnapshotShape::Single("cpu".parse().unwrap())).unwrap();
        (key, cpu_gzip(&[1], now().plus_millis(-hours * 3_600_000).as_nanos()))
    };
    for (key, bytes) in [old(0, 1), old(1, 30)] {
        stack.put(&key.to_string(), bytes).await.unwrap();
        stack.fates(&[key]).await.unwrap();
    }
    let wide = get(&stack, "/s/shop/cpu?format=heatmap.json&by=instance", &[]).await;
    assert_eq!(wide.status, 413);
    assert!(wide.text().contains("at most 24 h"), "{}", wide.text());
    let narrow = get(&stack, "/s/shop/cpu?format=heatmap.json&by=instance&from=now-2h", &[]).await;
    assert_eq!(narrow.status, 200, "{}", narrow.text());
    stack.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_do_nothing_but_what_an_answer_is_for() {
    let stack = gallery().await;
    let shop = format!("/s/{SHOP}/cpu");
    for path in ["/", &shop, &format!("{shop}.svg"), &format!("{shop}.json"), "/nowhere", "/ready"]
    {
        let answer = get(&stack, path, &[("accept", "text/html")]).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("script-src 'unsafe-inline'"), "{path}: {policy}");
        assert_eq!(policy.contains("sandbox"), path.ends_with(".svg"), "{path}: {policy}");
    }
    // Pages name the script and the style by what is in them, and keep them for ever.
    let page = get(&stack, "/", &[("accept", "text/html")]).await.text();
    let script = page.split("src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for (encoding, held) in [("br", "br"), ("gzip", "gzip"), ("identity", "")] {
        let asset = get(&stack, &script, &[("accept-encoding", encoding)]).await;
        assert_eq!((asset.status, asset.header("content-encoding")), (200, held));
        assert!(asset.header("cache-control").contains("immutable"));
        assert!(asset.body.len() < 48_000, "{}", asset.body.len());
    }
    assert_eq!(get(&stack, "/static/page.0000000000000000.js", &[]).await.status, 404);
    stack.serving.stop().await;
}
