//! What looking costs: the real render binary under an emulated Lambda, on embedded
//! stores in this process, and beside it what others take for the same files.
//!
//! ```sh
//! (cd tests/corpus-gen/go && go run . -snapshots 1000 -types cpu -out ../../../target/bench-corpus)
//! (cd tests/oracle && go build -o ../../target/oracle .)
//! cargo build --release -p flambeau-render
//! cargo run --release -p flambeau-tests --example render_cost -- target/release/render target/bench-corpus/cpu
//! ```
//!
//! CPU is that of the render process alone (its clock, in nanoseconds), and of it
//! with the stores and the client here. Every cold figure is of a process that has
//! answered `/ready` and nothing else; figures are medians of [`TIMES`].

mod function;
mod peers;
mod profiles;

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use flambeau_layout::{ServiceName, SnapshotShape, TenantId};
use flambeau_local::lambda::ShutdownReason;
use flambeau_pipeline::{CompactOptions, Scope, compact};
use flambeau_profile::Limits;
use flambeau_tests::{
    ask,
    stack::{Stack, key, now},
};
use function::Cost;

const TIMES: usize = 5;
const DAY_MILLIS: i64 = 86_400_000;
/// What Pyroscope took where google/pprof's merge of the same files took
/// [`GOOGLE_RECORDED_MS`]: CPU of `SelectMergeStacktraces`, one binary, 1 000 snapshots.
const PYROSCOPE_RECORDED_MS: f64 = 450.0;
const GOOGLE_RECORDED_MS: f64 = 1512.0;
/// Hours that the same traffic is looked at over.
const RANGES: [i64; 4] = [1, 6, 24, 72];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [render, folder] = &args[..] else {
        anyhow::bail!("usage: render_cost RENDER FOLDER");
    };
    let stack = Stack::start().await?;
    start(&stack, render).await?;
    thousand(&stack, render, Path::new(folder)).await?;
    ranges(&stack, render, Path::new(folder)).await?;
    big(&stack, render).await?;
    stack.serving.stop().await;
    Ok(())
}

/// From the start of the process to its first answer.
async fn start(stack: &Stack, render: &str) -> anyhow::Result<()> {
    println!("## from the start of the process to its first answer");
    let mut firsts = Vec::new();
    for _ in 0..2 * TIMES {
        let function = function::start(render, stack)?;
        let outcome = function.invoke(function::event("/ready")).await?;
        ensure!(outcome.is_ok(), "{outcome:?}");
        let init = outcome.init_ms.context("no init")?;
        firsts.push(init + outcome.answered_ms.unwrap_or(outcome.duration_ms));
        function.shutdown(ShutdownReason::Spindown).await;
    }
    println!("{:.1} ms (all: {firsts:.1?})\n", median(&mut firsts));
    Ok(())
}

/// A merged flame graph of all snapshots of the folder, beside google/pprof.
async fn thousand(stack: &Stack, render: &str, folder: &Path) -> anyhow::Result<()> {
    let files = profiles::files(folder)?;
    println!("## flame graph over {} snapshots, cold", files.len());
    let from = now().plus_millis(-3 * 3_600_000);
    push(stack, "thousand", profiles::spread(&files, from, 3_600_000)?).await?;
    let path = "/s/thousand/cpu?format=flame.json";
    let (mut google, mut ours, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        google.extend(peers::google_merge(folder)?);
        let function = function::ready(render, stack).await?;
        let cost = function::ask(&function, path).await?;
        ours.push(cost.render_ms);
        all.push(cost.all_ms);
        function.shutdown(ShutdownReason::Spindown).await;
    }
    let (ours, all) = (median(&mut ours), median(&mut all));
    println!("render {ours:.1} ms CPU; with stores and client {all:.1} ms");
    if google.is_empty() {
        println!("SKIPPED: there is no target/oracle to merge the same files\n");
        return Ok(());
    }
    let google = median(&mut google);
    let pyroscope = google * PYROSCOPE_RECORDED_MS / GOOGLE_RECORDED_MS;
    println!("google/pprof's merge {google:.0} ms; so Pyroscope {pyroscope:.0} ms as recorded");
    println!(
        "Pyroscope / ours: {:.1} (render alone), {:.1} (all of it)\n",
        pyroscope / ours,
        pyroscope / all
    );
    Ok(())
}

/// The same traffic, looked at over longer and longer ranges.
async fn ranges(stack: &Stack, render: &str, folder: &Path) -> anyhow::Result<()> {
    const EACH_HOUR: usize = 100;
    println!("## the same traffic over longer ranges: {EACH_HOUR} snapshots an hour");
    let files = profiles::files(folder)?;
    let files = &files[..EACH_HOUR.min(files.len())];
    let longest = RANGES[RANGES.len() - 1];
    let until = now().0 / 3_600_000 - 1;
    for hour in 0..longest {
        let from = flambeau_layout::UnixMillis((until - longest + hour) * 3_600_000);
        push(stack, "steady", profiles::spread(files, from, 3_600_000)?).await?;
    }
    for hours in RANGES {
        let (from, until) = ((until - hours) * 3_600_000, until * 3_600_000 - 1);
        let path = format!("/s/steady/cpu?format=flame.json&from={from}&until={until}");
        let mut costs = Vec::new();
        for _ in 0..TIMES {
            let function = function::ready(render, stack).await?;
            costs.push(function::ask(&function, &path).await?.render_ms);
            function.shutdown(ShutdownReason::Spindown).await;
        }
        let told = ask::get(stack, &path, &[]).await;
        let answered = told.header("x-flambeau-answered").to_owned();
        println!("{hours:>3} h: {:>6.1} ms CPU   {answered}", median(&mut costs));
    }
    println!();
    Ok(())
}

/// A profile of a million and a half nodes: its page, its tree, a zoom into it.
async fn big(stack: &Stack, render: &str) -> anyhow::Result<()> {
    let (bytes, nodes) = profiles::big(now().plus_millis(-2 * 3_600_000));
    println!("## {nodes} nodes in one profile of {} MB", mega(bytes.len()));
    let snapshot = key("big", 0, SnapshotShape::Single("cpu".parse()?))?;
    stack.put(&snapshot.to_string(), bytes.clone()).await?;
    stack.fates(&[snapshot]).await?;
    roll_up(stack, "big").await?;
    println!("first page: {} KB over the wire", first_page(stack, "/s/big/cpu").await? / 1000);
    let path = "/s/big/cpu?format=flame.json&max_nodes=8192";
    let tree = ask::get(stack, path, &[("accept-encoding", "gzip")]).await;
    println!("flame.json of 8192 nodes: {:.1} KB as gzip", tree.body.len() as f64 / 1000.0);
    let plain = ask::get(stack, path, &[]).await;
    let zoom = format!(
        "{path}&root={:016x}",
        profiles::node_to_zoom(&serde_json::from_slice(&plain.body)?)?.0
    );
    let (mut first, mut zoomed, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let function = function::ready(render, stack).await?;
        first.push(function::ask(&function, path).await?);
        zoomed.push(function::ask(&function, &zoom).await?);
        function.shutdown(ShutdownReason::Spindown).await;
        // A zoom that another environment answers.
        let function = function::ready(render, stack).await?;
        apart.push(function::ask(&function, &zoom).await?);
        function.shutdown(ShutdownReason::Spindown).await;
    }
    say("first view", &mut first);
    say("zoom, same environment", &mut zoomed);
    say("zoom, another environment", &mut apart);
    if let Some((wire, wall)) = peers::pprof_page(&bytes).await? {
        println!("pprof's web UI, flame graph of the same file: {} MB, {wall:.1} s\n", mega(wire));
    }
    Ok(())
}

fn say(what: &str, costs: &mut [Cost]) {
    let of = |figure: fn(&Cost) -> f64| {
        let mut figures: Vec<f64> = costs.iter().map(figure).collect();
        median(&mut figures)
    };
    println!("{what}: {:.0} ms CPU, {:.0} ms", of(|c| c.render_ms), of(|c| c.wall_ms));
}

/// Everything a browser fetches before the graph stands.
async fn first_page(stack: &Stack, path: &str) -> anyhow::Result<usize> {
    let encodings = ("accept-encoding", "gzip, br");
    let page = ask::get(stack, path, &[("accept", "text/html"), encodings]).await;
    let plain = ask::get(stack, path, &[("accept", "text/html")]).await.text();
    let quoted = plain.split('"').filter(|part| part.starts_with("/static/"));
    let data = plain.split("data-src=\"").nth(1).context("no data")?;
    let data =
        data.split('"').next().unwrap_or_default().replace("&amp;", "&").replace("&#38;", "&");
    let mut wire = page.body.len() + ask::get(stack, &data, &[encodings]).await.body.len();
    for file in quoted {
        wire += ask::get(stack, file, &[encodings]).await.body.len();
    }
    Ok(wire)
}

/// Sends profiles in as one service's snapshots and waits until all are rolled up.
async fn push(stack: &Stack, service: &str, profiles: Vec<Vec<u8>>) -> anyhow::Result<()> {
    static SEQ: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    // All at once: what comes late to an hour that is over is a rollup of its own.
    let puts = profiles.into_iter().map(async |bytes| {
        let seq = SEQ.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let key = key(service, seq, SnapshotShape::Single("cpu".parse()?))?;
        stack.put(&key.to_string(), bytes).await?;
        anyhow::Ok(key)
    });
    let keys = futures::future::try_join_all(puts).await?;
    stack.fates(&keys).await?;
    roll_up(stack, service).await
}

async fn roll_up(stack: &Stack, service: &str) -> anyhow::Result<()> {
    let (tenant, service): (TenantId, ServiceName) = ("default".parse()?, service.parse()?);
    loop {
        let now = now().plus_millis(2 * DAY_MILLIS);
        let options = CompactOptions { now, limits: Limits::default() };
        let store = &stack.serving.store;
        let report = compact(store, &tenant, &service, &Scope::All, &options).await?;
        ensure!(report.refused.is_empty(), "{report:?}");
        if report.rollups == 0 {
            return Ok(());
        }
    }
}

fn mega(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
