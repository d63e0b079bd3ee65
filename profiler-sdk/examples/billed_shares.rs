//! Prints what each part of a known invocation was billed, beside what it took:
//! `cargo run --example billed_shares --features spans`.

#[allow(dead_code)]
mod shares;

use std::collections::BTreeMap;

use profiler_sdk::Engine;
use profiler_sdk::billed::{
    Clock, Ledger, SpanFilter, SpanLayer, SystemClock, billed_profile, kept_engine, wall_profile,
};
use shares::{handler, named_stacks};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Not the process's own ledger: `cargo run` starts no process, so the build would be init.
    let started = SystemClock.now();
    let ledger: &'static Ledger = Box::leak(Box::new(Ledger::new(SystemClock, Some(started))));
    let layer = SpanLayer::new(ledger).with_filter(SpanFilter::default());
    tracing_subscriber::registry().with(layer).init();
    let engine = kept_engine(99, ledger)?;
    engine.start()?;
    ledger.init_ended(ledger.now());

    engine.resume();
    let invocation = ledger.invocation_began(ledger.now());
    let parts = handler().await;
    let billed = ledger.invocation_ended(invocation, ledger.now());
    engine.pause();

    let window = ledger.take_window();
    let cpu = engine.collect(0)?;
    engine.stop();
    let total = window.total();
    println!("billed {billed} ns; the account sums to {total} ns\n");
    println!("{:>10} {:>7}  stack", "ns", "share");
    let profile = billed_profile(&window, cpu.as_ref()).ok_or("nothing was billed")?;
    let mut stacks: BTreeMap<String, i64> = BTreeMap::new();
    named_stacks(&profile).for_each(|(stack, nanos)| *stacks.entry(stack).or_default() += nanos);
    for (stack, nanos) in &stacks {
        println!("{nanos:>10} {:>6.2}%  {stack}", 100.0 * *nanos as f64 / total as f64);
    }
    println!("\n{:>10} {:>7}  part, by clocks of its own: wall, of which on CPU", "ns", "share");
    for part in parts {
        let share = 100.0 * part.wall as f64 / total as f64;
        println!("{:>10} {share:>6.2}%  {} ({} ns)", part.wall, part.span, part.cpu);
    }
    println!("\n{:>10}  idle time by span (type wall)", "ns");
    let wall = wall_profile(&window).ok_or("there were no spans")?;
    named_stacks(&wall).for_each(|(stack, nanos)| println!("{nanos:>10}  {stack}"));
    Ok(())
}
