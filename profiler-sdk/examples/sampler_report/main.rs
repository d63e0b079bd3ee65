//! How true the CPU engine is, and what it costs, with the `pprof` crate beside it.
//!
//! ```text
//! cargo run --release -p profiler-sdk --no-default-features --features pprof-backend \
//!     --example sampler_report [scenario …]
//! ```
//!
//! Every line is a process of its own, since a process has one SIGPROF. Truth is each thread's
//! own CPU clock, read around the functions that are told apart. `ratio` is the CPU time in the
//! profile over the true one; `error` is the largest difference, in points, between a
//! function's share of the profile and its true share. Quiet machines give quiet numbers: the
//! load is printed.

#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod cost;
#[cfg(target_os = "linux")]
mod engines;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod quota;
#[cfg(target_os = "linux")]
mod work;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the engine is Linux's");
}

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", engine, scenario] => child(engine, scenario),
        ref wanted => report(wanted),
    }
}

/// Scenarios whose profile is compared with the truth: name, rate, and what is asked of it.
#[cfg(target_os = "linux")]
const ACCURACY: [(&str, u32, &str); 8] = [
    ("split", 99, "one thread, 4:1"),
    ("two", 99, "two threads, 68:32"),
    ("four", 99, "four threads, 4:3:2:1"),
    ("tokio", 99, "tokio, bursts and idle"),
    ("short", 99, "600 threads of 2.5 ms, 1:1"),
    ("quota", 99, "two threads, quota of 30 %"),
    ("split", 999, "one thread, 4:1, 999 Hz asked"),
    ("libc", 199, "work in the C library, 3 callers"),
];

#[cfg(target_os = "linux")]
fn report(wanted: &[&str]) {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.trim_end());
    println!("| scenario | engine | ratio | error, points | samples |\n|---|---|---|---|---|");
    for (name, hz, words) in ACCURACY.into_iter().filter(|(name, ..)| is_wanted(name)) {
        for engine in ["own", "pprof"] {
            println!("| {words} | {engine} | {} |", run(engine, name, hz));
        }
    }
    for (name, _) in cost::COSTS.iter().filter(|(name, _)| is_wanted(name)) {
        for engine in ["own", "pprof"] {
            println!("{name}, {engine}: {}", run(engine, name, 99));
        }
    }
}

/// Runs a child; the last line it prints, or why there is none.
#[cfg(target_os = "linux")]
fn run(engine: &str, scenario: &str, hz: u32) -> String {
    let quota = match scenario {
        "quota" => match quota::Quota::of_30_percent() {
            Ok(quota) => Some(quota),
            Err(error) => return format!("skipped: no CPU quota can be set here ({error})"),
        },
        _ => None,
    };
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["child", engine, scenario]).env("REPORT_HZ", hz.to_string());
    if let Some(quota) = &quota {
        child.env("REPORT_CGROUP", quota.entrance());
    }
    let output = child.stderr(std::process::Stdio::inherit()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last() {
        Some(line) if output.status.success() => line.to_owned(),
        _ => format!("failed: {}", output.status),
    }
}

#[cfg(target_os = "linux")]
fn child(engine: &str, scenario: &str) {
    if let Ok(entrance) = std::env::var("REPORT_CGROUP") {
        std::fs::write(entrance, std::process::id().to_string()).unwrap();
    }
    let hz = std::env::var("REPORT_HZ").ok().and_then(|hz| hz.parse().ok()).unwrap_or(99);
    if let Some((_, measure)) = cost::COSTS.iter().find(|(name, _)| *name == scenario) {
        return println!("{}", measure(engine));
    }
    let Some(mut sampler) = engines::start(engine, hz) else {
        return println!("skipped: built without the feature pprof-backend");
    };
    sampler.resume();
    work::run(scenario);
    let found = sampler.finish();
    println!("{}", compare(&found, &work::truth()));
}

/// The cells of one line of the table.
#[cfg(target_os = "linux")]
fn compare(found: &engines::Found, truth: &[(&str, u64)]) -> String {
    let all = truth.iter().map(|(_, nanos)| nanos).sum::<u64>() as f64;
    let error = truth.iter().map(|(name, nanos)| {
        let share = found.of(name) as f64 / found.nanos.max(1) as f64;
        (share - *nanos as f64 / all).abs() * 100.0
    });
    let ratio = found.nanos as f64 / all;
    format!("{ratio:.3} | {:.1} | {}", error.fold(0.0, f64::max), found.samples)
}
