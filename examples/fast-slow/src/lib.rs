//! The fast/slow pair as an instrumented Lambda function.
//!
//! Two functions share one lock and do the same work, `slow` four times as much of it as
//! `fast`: the workload with which
//! [Pyroscope's examples](https://github.com/grafana/pyroscope/tree/main/examples) show what a
//! profile is. Here it also knows the truth: the thread's CPU clock, read around each call, goes
//! into the answer, so that anybody can compare.
//!
//! The event is an [`Order`], the answer a [`Truth`]. [`serve`] is the whole program, so that
//! another binary can be this function as well.

mod workload;

use anyhow::{Context, ensure};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use profiler_sdk::Profiler;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

pub use workload::{SLOW_TO_FAST, Truth, run};

/// Most CPU time one invocation can be asked for, in milliseconds.
pub const MAX_MILLIS: u64 = 600_000;

/// What to do in one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// CPU time to spend in `fast` and `slow` together, in milliseconds, at most [`MAX_MILLIS`].
    pub millis: u64,
    /// How to end instead of answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// The ends that an invocation's profile must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Computes until Lambda's deadline.
    Loop,
    /// Takes memory until Lambda's limit.
    FillMemory,
    /// Panics; the runtime reports it and lives on.
    Panic,
    /// Ends the process.
    Exit,
}

/// Serves invocations until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be spoken to.
pub async fn serve() -> Result<(), Error> {
    log_to_stderr();
    let profiler = Profiler::from_env().await;
    profiler.run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Order>) -> Result<Truth, Error> {
    Ok(spend(event.payload).await?)
}

async fn spend(order: Order) -> anyhow::Result<Truth> {
    let Order { millis, ending } = order;
    ensure!(millis <= MAX_MILLIS, "{millis} ms are more than the {MAX_MILLIS} allowed");
    let busy = tokio::task::spawn_blocking(move || {
        let truth = run(millis);
        ending.into_iter().for_each(end);
        truth
    });
    busy.await.context("the workload did not end well")
}

fn end(ending: Ending) {
    match ending {
        Ending::Loop => drop(run(MAX_MILLIS)),
        Ending::FillMemory => fill_memory(),
        Ending::Panic => panic!("as ordered"),
        Ending::Exit => std::process::exit(3),
    }
}

/// Touches every page: untouched memory is only promised.
fn fill_memory() {
    let mut blocks = Vec::new();
    loop {
        blocks.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A host that logs already keeps its own way.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
