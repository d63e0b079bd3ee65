//! What sampling costs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use flambeau_profile::proto::Profile;
use profiler_sdk::cpu::Sampler;
use profiler_sdk::{Collected, Invocations};

use crate::engines;
use crate::work::{process_cpu, thread_cpu};

type Measure = fn(&str) -> String;

/// Measurements by name.
pub(crate) const COSTS: [(&str, Measure); 6] = [
    ("cost per sample", per_sample),
    ("start", start),
    ("flush of 6000 samples", flush),
    ("flush of a minute", |engine| flush_of_a_minute(engine, None)),
    ("flush with a timeline, 300 invocations", |engine| flush_of_a_minute(engine, Some(20))),
    ("flush with a timeline, 1 invocation", |engine| flush_of_a_minute(engine, Some(6_000))),
];

const DEPTHS: [usize; 3] = [10, 40, 100];

/// Medians of a signal to oneself, handled, at some depths.
fn per_sample(engine: &str) -> String {
    let own = (engine == "own").then(|| Sampler::start(1).unwrap());
    let peer = if own.is_none() { engines::start(engine, 1) } else { None };
    if let Some(sampler) = &own {
        sampler.wait_until_ready(Duration::from_secs(10));
        sampler.resume();
    } else if peer.is_none() {
        return "skipped: built without the feature pprof-backend".into();
    }
    let send = || match &own {
        Some(sampler) => assert!(sampler.signal_here()),
        // SAFETY: the crate's handler takes any SIGPROF for a sample.
        None => unsafe { assert_eq!(libc::raise(libc::SIGPROF), 0) },
    };
    let medians = DEPTHS.map(|depth| {
        let nanos = below(depth, &|| median(&send));
        format!("{:.2} µs at depth {depth}", nanos as f64 / 1e3)
    });
    // SAFETY: nobody sends this signal but us.
    unsafe { libc::signal(libc::SIGURG, nothing as *const () as libc::sighandler_t) };
    // SAFETY: handled by `nothing`.
    let empty = median(&|| unsafe { assert_eq!(libc::raise(libc::SIGURG), 0) });
    format!("{}; a signal with an empty handler {:.2} µs", medians.join(", "), empty as f64 / 1e3)
}

extern "C" fn nothing(_: libc::c_int) {}

fn median(work: &dyn Fn()) -> u64 {
    let mut times: Vec<_> = (0..3_000)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_nanos() as u64
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Calls `work` from so many frames further down.
#[inline(never)]
fn below<R>(depth: usize, work: &dyn Fn() -> R) -> R {
    let result = if depth == 0 { work() } else { below(depth - 1, work) };
    black_box(depth);
    result
}

/// CPU and memory of getting ready, first on the calling thread, then in all.
fn start(engine: &str) -> String {
    let (rss, mine, all) = (resident(), thread_cpu(), process_cpu());
    let begun = Instant::now();
    let sampler = if engine == "own" { Some(Sampler::start(99).unwrap()) } else { None };
    let peer = if sampler.is_none() { engines::start(engine, 99) } else { None };
    if sampler.is_none() && peer.is_none() {
        return "skipped: built without the feature pprof-backend".into();
    }
    let (mine, wall) = (thread_cpu() - mine, begun.elapsed());
    let tables = sampler.as_ref().map(|sampler| {
        sampler.wait_until_ready(Duration::from_secs(10));
        sampler.tables()
    });
    format!(
        "{:.2} ms CPU and {:.2} ms on the caller's path, {:.2} ms CPU in all, {:.2} MiB resident, \
         unwind rows and bytes {tables:?}",
        mine as f64 / 1e6,
        wall.as_secs_f64() * 1e3,
        (process_cpu() - all) as f64 / 1e6,
        (resident().saturating_sub(rss)) as f64 / f64::from(1 << 20),
    )
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// CPU of a snapshot's way from 6,000 samples on 600 stacks to compressed bytes.
fn flush(engine: &str) -> String {
    if engine != "own" {
        return "not comparable: the crate names addresses as it goes".into();
    }
    let mut sampler = Sampler::start(99).unwrap();
    sampler.wait_until_ready(Duration::from_secs(10));
    sampler.resume();
    for round in 0..6_000 {
        let depth = 20 + round % 30;
        below(depth, &|| if round / 30 % 2 == 0 { even(&sampler) } else { odd(&sampler) });
    }
    sampler.pause();
    let begun = process_cpu();
    let profile = sampler.collect().unwrap().unwrap();
    let read = process_cpu();
    let (packing, bytes) = pack(&profile);
    format!(
        "{:.2} ms CPU: {:.2} to a profile of {} stacks, {packing:.2} to {bytes} bytes",
        (read - begun) as f64 / 1e6 + packing,
        (read - begun) as f64 / 1e6,
        profile.sample.len(),
    )
}

/// Milliseconds of CPU to a snapshot's bytes, and how many.
fn pack(profile: &Profile) -> (f64, usize) {
    let begun = process_cpu();
    let bytes = flambeau_profile::gzip(&flambeau_profile::encode(profile), 1);
    ((process_cpu() - begun) as f64 / 1e6, bytes.len())
}

/// As [`flush`], with a sample every 10 ms, scattered over the stacks; on a timeline too if it is
/// said how many are in one invocation.
fn flush_of_a_minute(engine: &str, of_one: Option<u32>) -> String {
    if engine != "own" {
        return "not comparable: the crate's samples have no time".into();
    }
    let mut sampler = Sampler::start(99).unwrap();
    sampler.wait_until_ready(Duration::from_secs(10));
    sampler.resume();
    let invocations = Invocations::default();
    let begun = Instant::now();
    for round in 0..6_000_u32 {
        if of_one.is_some_and(|of_one| round % of_one == 0) {
            invocations.end();
            invocations.begin();
        }
        let stack = (round.wrapping_mul(2_654_435_761) >> 16) as usize % 60;
        below(20 + stack % 30, &|| if stack < 30 { even(&sampler) } else { odd(&sampler) });
        let next = begun + Duration::from_millis(10) * (round + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    sampler.pause();
    let begun = process_cpu();
    let Collected { cpu, timeline } = match of_one {
        Some(_) => sampler.collect_timed(&invocations).unwrap(),
        None => Collected { cpu: sampler.collect().unwrap(), timeline: None },
    };
    let collecting = (process_cpu() - begun) as f64 / 1e6;
    let profiles: Vec<_> = [cpu, timeline].into_iter().flatten().collect();
    let packed: Vec<_> = profiles.iter().map(pack).collect();
    let of_each = profiles.iter().zip(&packed).map(|(profile, (packing, bytes))| {
        format!("{} samples in {packing:.2} to {bytes} bytes", profile.sample.len())
    });
    format!(
        "{:.2} ms CPU: {collecting:.2} to profiles; {}",
        collecting + packed.iter().map(|(packing, _)| packing).sum::<f64>(),
        of_each.collect::<Vec<_>>().join(", "),
    )
}

#[inline(never)]
fn even(sampler: &Sampler) {
    black_box(sampler.signal_here());
}

#[inline(never)]
fn odd(sampler: &Sampler) {
    black_box(sampler.signal_here());
    black_box("odd");
}
