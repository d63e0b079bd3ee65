//! A program for the `pprof` crate to profile: generics, closures, iterator
//! chains and a second thread. Usage: `corpus-rust OUT.pb`.

use pprof::protos::Message;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).ok_or("usage: corpus-rust OUT.pb")?;
    let guard = pprof::ProfilerGuardBuilder::default().frequency(250).build()?;
    let end = Instant::now() + Duration::from_secs(2);
    let helper = std::thread::Builder::new().name("helper".into()).spawn(move || run_until(end))?;
    let total = run_until(end).wrapping_add(helper.join().map_err(|_| "helper panicked")?);
    let mut bytes = Vec::new();
    guard.report().build()?.pprof()?.encode(&mut bytes)?;
    std::fs::write(out, bytes)?;
    println!("{total}");
    Ok(())
}

fn run_until(end: Instant) -> u64 {
    let mut total = 0u64;
    while Instant::now() < end {
        total =
            total.wrapping_add(words(total) + collatz(2_000) + transform(&[3u64, 1, 4, 1, 5], 9));
    }
    total
}

#[inline(never)]
fn words(seed: u64) -> u64 {
    let text: String = (0..800)
        .map(|i| ["ash", "beech", "cedar"][((i ^ seed) % 3) as usize].to_owned() + " ")
        .collect();
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_uppercase()).or_insert(0u64) += 1;
    }
    counts.values().max().copied().unwrap_or(0)
}

#[inline(never)]
fn collatz(limit: u64) -> u64 {
    (1..limit)
        .map(|n| {
            std::iter::successors(Some(n), |&n| {
                (n > 1).then(|| if n % 2 == 0 { n / 2 } else { 3 * n + 1 })
            })
            .count() as u64
        })
        .max()
        .unwrap_or(0)
}

#[inline(never)]
fn transform<T: Copy + Into<u64>>(values: &[T], depth: u32) -> u64 {
    let sum = values.iter().map(|&v| v.into()).fold(0u64, |a, v| a.rotate_left(7) ^ v);
    if depth == 0 {
        sum & 0xff
    } else {
        transform(&[sum, sum >> 1, sum >> 3], depth - 1)
            + (0..300).fold(sum & 1, |a, i| a ^ (i & sum) & 1)
    }
}
