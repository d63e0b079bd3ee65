//! Profiles by Go's own runtime go in and come out: `go tool pprof` judges.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use flambeau_layout::{Fate, SnapshotShape};
use flambeau_tests::{
    judge::go_tool_pprof,
    stack::{Stack, key},
};

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// The samples as `go tool pprof -raw` prints them, without header and ids.
fn total(raw: &str) -> String {
    let head = raw.lines().find(|line| line.contains("/")).unwrap_or_default().to_owned();
    let samples = raw.lines().skip_while(|line| !line.starts_with("Samples:")).skip(2);
    let values = samples.take_while(|line| !line.starts_with("Locations")).filter_map(|line| {
        let (values, _) = line.split_once(':')?;
        let values: Option<Vec<i64>> =
            values.split_whitespace().map(|value| value.parse().ok()).collect();
        values
    });
    let sums = values.fold(Vec::new(), |mut sums: Vec<i64>, values| {
        sums.resize(values.len().max(sums.len()), 0);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        sums
    });
    format!("{head} {sums:?}")
}

#[tokio::test]
async fn go_accepts_what_go_wrote() {
    let stack = Stack::start().await.unwrap();
    let services = [
        ("cpus", "cpu", vec!["go-cpu.pb.gz", "go-cpu-500hz.pb.gz", "go-cpu-idle.pb.gz"]),
        ("heaps", "heap", vec!["go-heap-1.pb.gz"]),
    ];
    for (service, typ, files) in services {
        let shape = || SnapshotShape::Single(typ.parse().unwrap());
        let keys: Vec<_> =
            (0..).zip(&files).map(|(seq, _)| key(service, seq, shape()).unwrap()).collect();
        for (key, file) in keys.iter().zip(&files) {
            let bytes = std::fs::read(corpus(file)).unwrap();
            stack.put(&key.to_string(), bytes).await.unwrap();
        }
        let fates = stack.fates(&keys).await.unwrap();
        let url = format!("{}/s/{service}/{typ}", stack.serving.endpoints.url);
        let paths: Vec<PathBuf> = files.iter().map(|file| corpus(file)).collect();
        let mut local = vec!["-raw", "-symbolize=none"];
        local.extend(paths.iter().map(|path| path.to_str().unwrap()));
        let Some(expected) = go_tool_pprof(&local).await.unwrap() else { return };
        let fetched = go_tool_pprof(&["-raw", "-symbolize=none", &url]).await.unwrap().unwrap();
        assert_eq!(total(&fetched), total(&expected));
        assert!(total(&expected).chars().any(|c| ('1'..='9').contains(&c)));
        go_tool_pprof(&["-top", &url]).await.unwrap().unwrap();
        let Fate::Block { block, .. } = &fates[0].fate else { panic!("{:?}", fates[0]) };
        go_tool_pprof(&["-top", &format!("{url}/blocks/{block}")]).await.unwrap().unwrap();
    }
    stack.serving.stop().await;
}
