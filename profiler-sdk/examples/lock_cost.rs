//! What profiled locks cost, in this machine's nanoseconds:
//! `cargo run --release -p profiler-sdk --example lock_cost`.
//!
//! Taking and giving back a free mutex: std's, and the profiled one without and with a
//! recorder; turn about, so that a busy machine is busy for all three.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use profiler_sdk::{MutexRecorder, profiled};

const TURNS: usize = 40;

const PASSES: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (plain, watched) = (std::sync::Mutex::new(0_u64), profiled::Mutex::new(0_u64));
    let mut best = [Duration::MAX; 3];
    for _ in 0..TURNS {
        best[0] = best[0].min(time(|| plain.lock().map(|mut count| *count += 1).is_ok()));
        best[1] = best[1].min(time(|| watched.lock().map(|mut count| *count += 1).is_ok()));
        let recorder = MutexRecorder::start()?;
        best[2] = best[2].min(time(|| watched.lock().map(|mut count| *count += 1).is_ok()));
        drop(recorder);
    }
    println!("ns per lock and unlock of a free mutex, best of {TURNS} turns");
    for (name, best) in ["std", "off", "on"].iter().zip(best) {
        println!("{name:>4} {:>6.2}", best.as_secs_f64() * 1e9 / f64::from(PASSES));
    }
    Ok(())
}

#[inline(never)]
fn time(lock: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    for _ in 0..PASSES {
        black_box(lock());
    }
    began.elapsed()
}
