//! An invocation whose every share is known: it computes, sleeps, awaits two calls at once, and
//! blocks a thread. Each part looks at the clocks itself.

use std::hint::black_box;
use std::time::Duration;

use profiler_sdk::billed::{Clock, SystemClock};
use tracing::{Instrument, debug_span, info_span};

/// CPU time of the computing part, and length of each of the others.
pub(crate) const PART: Duration = Duration::from_millis(200);

/// What one part took, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Its span below `handler`.
    pub(crate) span: &'static str,
    /// Wall time.
    pub(crate) wall: u64,
    /// CPU time of the process meanwhile.
    pub(crate) cpu: u64,
}

/// The handler; gives its parts in order.
pub(crate) async fn handler() -> Vec<Part> {
    async {
        vec![
            part("compute", async { debug_span!("compute").in_scope(compute) }).await,
            part("sleep", async { debug_span!("sleep").in_scope(|| std::thread::sleep(PART)) })
                .await,
            part("calls", calls().instrument(debug_span!("calls"))).await,
            part("block", block()).await,
        ]
    }
    .instrument(info_span!("handler"))
    .await
}

/// Two calls that take the same time at the same time.
async fn calls() {
    let call = || tokio::time::sleep(PART);
    tokio::join!(call().instrument(debug_span!("left")), call().instrument(debug_span!("right")));
}

async fn block() {
    let span = debug_span!("block");
    let blocked = tokio::task::spawn_blocking(move || span.in_scope(|| std::thread::sleep(PART)));
    assert!(blocked.await.is_ok(), "a sleep does not panic");
}

/// Takes [`PART`] of CPU time, however long the machine makes that.
#[inline(never)]
fn compute() {
    let until = SystemClock.cpu() + PART.as_nanos() as u64;
    let mut sum = 0u64;
    while SystemClock.cpu() < until {
        for round in 0..10_000u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(round));
        }
    }
}

async fn part(span: &'static str, work: impl Future<Output = ()>) -> Part {
    let (wall, cpu) = (SystemClock.now(), SystemClock.cpu());
    work.await;
    Part { span, wall: SystemClock.now() - wall, cpu: SystemClock.cpu() - cpu }
}

/// Stacks of a profile by name, root first, with their last values; code has no name here.
pub(crate) fn named_stacks(
    profile: &flambeau_profile::proto::Profile,
) -> impl Iterator<Item = (String, i64)> {
    let text = |id: i64| profile.string_table[id as usize].as_str();
    let function = move |id: u64| profile.function.iter().find(|function| function.id == id);
    let name = move |id: &u64| {
        let location = profile.location.iter().find(|location| location.id == *id)?;
        let line = location.line.first()?;
        function(line.function_id).map(|function| text(function.name))
    };
    profile.sample.iter().map(move |sample| {
        let names: Vec<_> = sample.location_id.iter().rev().filter_map(name).collect();
        (names.join(";"), sample.value.last().copied().unwrap_or(0))
    })
}
