//! What a known invocation is billed for, against clocks that its parts read themselves.
//!
//! A binary of its own: the ledger reads the CPU time of the whole process, and other tests
//! would be part of it.
#![allow(clippy::unwrap_used)]

#[path = "../examples/shares/mod.rs"]
mod shares;
mod undisturbed;

use flambeau_profile::proto::{Function, Label, Line, Location, Profile, Sample};
use profiler_sdk::Engine;
use profiler_sdk::billed::{
    Ledger, SpanFilter, SpanLayer, SystemClock, Window, billed_profile, kept_engine, wall_profile,
};
use shares::{Part, handler, named_stacks};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};
use undisturbed::undisturbed;

/// How far a share may be off, in parts of the whole.
const POINTS: f64 = 0.02;

#[test]
fn every_share_is_where_the_time_went() {
    let ledger: &'static Ledger = Box::leak(Box::new(Ledger::new(SystemClock, None)));
    let layer = SpanLayer::new(ledger).with_filter(SpanFilter::default());
    tracing_subscriber::registry().with(layer).init();
    let engine = kept_engine(99, ledger).unwrap();
    engine.start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();

    let mut snapshots = 0..;
    undisturbed(|| one_invocation(ledger, &engine, &runtime, snapshots.next().unwrap()));
    engine.stop();
}

fn one_invocation(
    ledger: &'static Ledger,
    engine: &impl Engine,
    runtime: &tokio::runtime::Runtime,
    seq: u64,
) -> Result<(), String> {
    engine.resume();
    let began = ledger.now();
    let invocation = ledger.invocation_began(began);
    let parts = runtime.block_on(handler());
    let ended = ledger.now();
    let billed = ledger.invocation_ended(invocation, ended);
    engine.pause();
    let window = ledger.take_window();
    let sampled = engine.collect(seq).unwrap().unwrap();
    engine.release(seq);

    assert_eq!(billed, (ended - began).next_multiple_of(1_000_000));
    assert_eq!((window.total(), window.billed, window.invocations), (billed, billed, 1));
    for cpu in [&stand_in(&parts), &sampled] {
        check(&billed_profile(&window, Some(cpu)).unwrap(), &window, &parts)?;
    }
    let without = billed_profile(&window, None).unwrap();
    check(&without, &window, &parts)?;
    assert!(named_stacks(&without).any(|(stack, _)| stack.ends_with(";compute;[on cpu]")));
    check_wall(&window, &parts)
}

fn check(profile: &Profile, window: &Window, parts: &[Part]) -> Result<(), String> {
    let share = |wanted: &str| {
        let here = named_stacks(profile).filter(|(stack, _)| stack.starts_with(wanted));
        here.map(|(_, nanos)| nanos).sum::<i64>() as f64 / window.total() as f64
    };
    assert_eq!(named_stacks(profile).map(|it| it.1).sum::<i64>(), window.total() as i64);
    let mut known = 0.0;
    for Part { span, wall, cpu } in parts {
        let part = |nanos: u64| nanos as f64 / window.total() as f64;
        let path = format!("[invocation];handler;{span}");
        let waited = share(&format!("{path};[waiting]"))
            + share(&format!("{path};left;[waiting]"))
            + share(&format!("{path};right;[waiting]"));
        near(share(&path), part(*wall), span)?;
        near(waited, part(wall.saturating_sub(*cpu)), &format!("{span}, waiting"))?;
        known += share(&path);
    }
    near(known, 1.0, "all parts")?;
    let calls = "[invocation];handler;calls";
    near(share(&format!("{calls};left")), share(calls) / 2.0, "one of two calls")?;
    near(share(&format!("{calls};right")), share(calls) / 2.0, "the other")
}

/// Both calls were idle for all of the time that they share in `billed`.
fn check_wall(window: &Window, parts: &[Part]) -> Result<(), String> {
    let wall = wall_profile(window).unwrap();
    let calls = parts.iter().find(|part| part.span == "calls").unwrap();
    for call in ["left", "right"] {
        let path = format!("[invocation];handler;calls;{call}");
        let (_, idle) = named_stacks(&wall).find(|(stack, _)| *stack == path).unwrap();
        near(idle as f64 / window.total() as f64, calls.wall as f64 / window.total() as f64, call)?;
    }
    Ok(())
}

fn near(got: f64, wanted: f64, what: &str) -> Result<(), String> {
    let near = (got - wanted).abs() <= POINTS;
    near.then_some(()).ok_or_else(|| format!("{what}: {got:.4}, by its own clocks {wanted:.4}"))
}

/// A CPU profile as exact as the parts' own clocks.
fn stand_in(parts: &[Part]) -> Profile {
    let mut profile = Profile::default();
    let strings = ["", "span", "code"].map(str::to_owned);
    profile.string_table.extend(strings);
    profile.function.push(Function { id: 1, name: 2, ..Function::default() });
    let line = vec![Line { function_id: 1, ..Line::default() }];
    profile.location.push(Location { id: 1, address: 0x1000, line, ..Location::default() });
    for part in parts {
        profile.string_table.push(format!("handler;{}", part.span));
        let str = profile.string_table.len() as i64 - 1;
        let label = vec![Label { key: 1, str, ..Label::default() }];
        let value = vec![1, part.cpu as i64];
        profile.sample.push(Sample { location_id: vec![1], value, label });
    }
    profile
}
