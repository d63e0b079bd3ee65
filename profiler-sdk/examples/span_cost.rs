//! Prints what a span costs, made, entered, left and closed, with the registry alone beside:
//! `cargo run --release --example span_cost --features spans`.
//!
//! Rounds are interleaved and the least of each is printed: the machine's other work only adds.

use std::time::Instant;

use profiler_sdk::billed::{Ledger, SpanFilter, SpanLayer, SystemClock, kept_engine};
use tracing::dispatcher::with_default;
use tracing::{Dispatch, debug_span};
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt};

const SPANS: u32 = 50_000;
const ROUNDS: u32 = 15;

fn ledger() -> &'static Ledger {
    Box::leak(Box::new(Ledger::new(SystemClock, None)))
}

fn listening(ledger: &'static Ledger) -> Dispatch {
    let layer = SpanLayer::new(ledger).with_filter(SpanFilter::default());
    Dispatch::new(Registry::default().with(layer))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (between, inside, kept) = (ledger(), ledger(), ledger());
    let _engine = kept_engine(99, kept)?;
    for ledger in [inside, kept] {
        ledger.invocation_began(ledger.now());
    }
    let set_ups = [
        ("no subscriber", Dispatch::none()),
        ("registry alone", Dispatch::new(Registry::default())),
        ("registry and ours, between invocations", listening(between)),
        ("registry and ours, in an invocation", listening(inside)),
        ("the same, account kept beyond the process", listening(kept)),
    ];
    let mut least = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        for ((_, dispatch), least) in set_ups.iter().zip(&mut least) {
            *least = least.min(with_default(dispatch, nanos_per_span));
        }
    }
    for ((name, _), nanos) in set_ups.iter().zip(least) {
        println!("{nanos:>7.0} ns a span  {name}");
    }
    Ok(())
}

/// Spans inside one that stays open, as in a handler.
fn nanos_per_span() -> f64 {
    let _handler = debug_span!("handler").entered();
    let began = Instant::now();
    for _ in 0..SPANS {
        debug_span!("call").in_scope(|| std::hint::black_box(()));
    }
    began.elapsed().as_nanos() as f64 / f64::from(SPANS)
}
