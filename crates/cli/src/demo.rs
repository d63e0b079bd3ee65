//! `flambeau demo`: an example function, from its first sample to the flame
//! graph, on this machine alone.

use std::{
    io::IsTerminal,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use flambeau_fast_slow::{Order, Truth};
use flambeau_layout::{ProfileType, ServiceName, SnapshotKey, archive, snapshot::MAX_TYPES};
use flambeau_local::{
    ServeOptions, Serving,
    lambda::{Function, ShutdownReason},
};
use flambeau_profile::{AddOptions, Limits, Merged, Merger};
use flambeau_query::{Range, Selection};
use flambeau_store::Store;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{exit::Exit, serve::interrupted};

/// The hidden command that makes this binary the function itself.
pub(crate) const FUNCTION_COMMAND: &str = "be-fast-slow";

const SERVICE: &str = "fast-slow";
const TYPE: &str = "cpu";
/// Work of one invocation.
const INVOCATION: Duration = Duration::from_secs(1);
/// What the function is given: one vCPU, as Lambda counts.
const MEMORY_MB: u32 = 1_769;
/// Samples per second of CPU asked for: below the tick of 4 ms that many
/// kernels have, at which this sampler counts a tenth too much.
const HZ: &str = "199";
/// Samples from which the answer means something…
const MIN_SAMPLES: i128 = 4_000;
/// …and no more than this many invocations are made for them.
const MAX_INVOCATIONS: u64 = 90;
/// Longest wait for the last snapshot to be merged.
const MAX_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where all state lives; without it a temporary folder.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where HTTP listens; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:4040")]
    listen: SocketAddr,
    /// End when done: status 0 if the totals agree, else 5.
    #[arg(long)]
    exit: bool,
}

/// Is the example function, until Lambda (or the demo) ends it.
pub(crate) async fn function() -> anyhow::Result<Exit> {
    flambeau_fast_slow::serve().await.map_err(|error| anyhow::anyhow!(error))?;
    Ok(Exit::Ok)
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let temporary = tempfile::tempdir().context("make a temporary folder")?;
        let dir = self.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
        let serving = Serving::start(ServeOptions::in_dir(dir, self.listen)?).await?;
        println!("serving on {}", serving.endpoints.url);
        let truth = profile_function(&serving).await?;
        let snapshots = merged_snapshots(&serving).await?;
        let exit = compare(&serving, &truth, &snapshots).await?;
        if !self.exit {
            println!("\nCtrl-C ends it.");
            interrupted().await?;
        }
        serving.stop().await;
        Ok(exit)
    }
}

/// Invokes the function until its profile has enough samples; answers the
/// truth by the thread's own CPU clock.
async fn profile_function(serving: &Serving) -> anyhow::Result<Truth> {
    let function = start_function(serving)?;
    let progress = Progress::new();
    let mut truth = Truth::default();
    for count in 1..=MAX_INVOCATIONS {
        let order =
            serde_json::to_vec(&Order { millis: INVOCATION.as_millis() as u64, ending: None })?;
        let outcome = function.invoke(order).await?;
        ensure!(
            outcome.is_ok(),
            "the function ended {:?}: {}\n{}",
            outcome.status,
            String::from_utf8_lossy(&outcome.payload),
            outcome.logs
        );
        let told: Truth = serde_json::from_slice(&outcome.payload)?;
        truth.fast_ns += told.fast_ns;
        truth.slow_ns += told.slow_ns;
        let dead = serving.progress().borrow().dead;
        ensure!(dead == 0, "{dead} snapshots could not be merged; FLAMBEAU_LOG=info says why");
        let samples = samples_held(serving).await?;
        progress.at(count, samples);
        if samples >= MIN_SAMPLES {
            break;
        }
    }
    progress.end();
    function.shutdown(ShutdownReason::Spindown).await;
    Ok(truth)
}

fn start_function(serving: &Serving) -> anyhow::Result<Function> {
    let program = std::env::current_exe().context("find this very program")?;
    let mut builder = Function::builder(SERVICE, program.to_string_lossy())
        .arg(FUNCTION_COMMAND)
        .timeout(INVOCATION * 30)
        .memory_mb(MEMORY_MB)
        .env("FLAMBEAU_HZ", HZ)
        .env("FLAMBEAU_INTERVAL", "5")
        .env("FLAMBEAU_TIMELINE", "on")
        .env("FLAMBEAU_SERVICE", SERVICE);
    for (name, value) in serving.endpoints.environment() {
        builder = builder.env(name, value);
    }
    Ok(builder.build()?)
}

/// Samples that are merged and readable now, by index rows alone.
async fn samples_held(serving: &Serving) -> anyhow::Result<i128> {
    match flambeau_query::plan(&serving.store, &selection(serving)?).await {
        Ok(plan) => Ok(plan.totals().first().map_or(0, |(_, total)| total.0)),
        Err(flambeau_query::QueryError::Nothing { .. }) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn selection(serving: &Serving) -> anyhow::Result<Selection> {
    Ok(Selection {
        tenant: serving.endpoints.tenant.clone(),
        service: SERVICE.parse::<ServiceName>()?,
        typ: TYPE.parse::<ProfileType>()?,
        range: Range::all(),
    })
}

/// Waits until every snapshot in the bucket is merged; answers their keys.
async fn merged_snapshots(serving: &Serving) -> anyhow::Result<Vec<String>> {
    let service = SERVICE.parse()?;
    let prefix = SnapshotKey::prefix(&serving.endpoints.tenant, &service);
    let since = Instant::now();
    loop {
        let objects = serving.store.list_all(&prefix).await?;
        let keys: Vec<String> = objects.into_iter().map(|object| object.key).collect();
        let identities: Result<Vec<_>, _> = keys
            .iter()
            .map(|key| key.parse::<SnapshotKey>().map(|key| key.identity.hash()))
            .collect();
        let claims = serving.store.claims_of(&identities?).await?;
        if !keys.is_empty() && claims.len() == keys.len() {
            return Ok(keys);
        }
        let waited = since.elapsed() < MAX_WAIT;
        ensure!(waited, "{} of {} snapshots are merged after a minute", claims.len(), keys.len());
        tokio::time::sleep(POLL).await;
    }
}

/// Compares what render answers with the raw snapshots and with the truth.
async fn compare(serving: &Serving, truth: &Truth, keys: &[String]) -> anyhow::Result<Exit> {
    let page = format!("{}/s/{SERVICE}/{TYPE}", serving.endpoints.url);
    let answered = download(&page).await?;
    let raw = merge_raw(&serving.store, keys).await?;
    let (samples, nanos) = (answered.totals()[0], answered.totals()[1]);
    let (slow, fast) = (labelled(&answered, "slow"), labelled(&answered, "fast"));
    println!(
        "\n{} snapshots merged: {samples} samples, {:.2} s of CPU",
        keys.len(),
        nanos as f64 / 1e9
    );
    println!("            profile   truth");
    let share = |part: i128, whole: i128| 100.0 * part as f64 / whole.max(1) as f64;
    let (true_slow, true_fast) = (i128::from(truth.slow_ns), i128::from(truth.fast_ns));
    for (name, part, true_part) in [("slow", slow, true_slow), ("fast", fast, true_fast)] {
        let (seen, real) = (share(part, slow + fast), share(true_part, true_slow + true_fast));
        println!("  {name}      {seen:5.1} %   {real:5.1} %");
    }
    let agree = raw.totals() == answered.totals() && samples >= MIN_SAMPLES;
    match agree {
        true => println!("totals agree with the raw snapshots"),
        false => {
            println!("totals differ: raw {:?}, answered {:?}", raw.totals(), answered.totals())
        }
    }
    println!("\nflame graph:  {page}  (in a browser)\ngo tool pprof -top {page}");
    Ok(if agree { Exit::Ok } else { Exit::Differs })
}

/// CPU of samples with this value of the label `function`.
fn labelled(profile: &Merged, value: &str) -> i128 {
    let of = profile.samples().filter(|sample| sample.label("function") == Some(value));
    of.map(|sample| i128::from(sample.values()[1])).sum()
}

async fn download(url: &str) -> anyhow::Result<Merged> {
    let url = url.to_owned();
    let get = tokio::task::spawn_blocking(move || ureq::get(&url).call()?.body_mut().read_to_vec());
    let bytes = get.await?.context("ask render for the profile")?;
    Ok(Merged::from_bytes(&bytes, &Limits::default())?)
}

/// The CPU profile of a snapshot, which may have several types.
fn cpu_of(key: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    if !key.ends_with(".zip") {
        return Ok(bytes.to_vec());
    }
    let entries = archive::read(bytes, MAX_TYPES)?;
    let cpu = entries.into_iter().find(|(name, _)| name == "cpu.pb.gz");
    Ok(cpu.with_context(|| format!("{key} has no CPU profile"))?.1?)
}

async fn merge_raw(store: &Store, keys: &[String]) -> anyhow::Result<Merged> {
    const MAX_BYTES: u64 = 32 << 20;
    let mut merger = Merger::new(Limits::default());
    for key in keys {
        let bytes = store.get(key, MAX_BYTES).await?.bytes;
        merger.add(&cpu_of(key, &bytes)?, &AddOptions::default())?;
    }
    Ok(merger.finish()?)
}

/// A bar on a terminal, plain lines elsewhere.
enum Progress {
    Bar(ProgressBar),
    Lines,
}

impl Progress {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new(MIN_SAMPLES as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} samples, {msg}");
        Self::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn at(&self, invocations: u64, samples: i128) {
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!("{invocations} invocations"));
                bar.set_position(samples as u64);
            }
            Self::Lines if invocations.is_multiple_of(5) => {
                eprintln!("{invocations} invocations, {samples} samples merged");
            }
            Self::Lines => {}
        }
    }

    fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
    }
}
