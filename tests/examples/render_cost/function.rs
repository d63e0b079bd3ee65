//! The render Lambda, asked as a Function URL asks, and what it costs.

use std::time::Instant;

use anyhow::{Context, ensure};
use flambeau_local::lambda::Function;
use flambeau_tests::stack::Stack;
use serde_json::json;

use super::Duration;

/// What one answer took.
pub(crate) struct Cost {
    /// CPU of the render process.
    pub(crate) render_ms: f64,
    /// With what the stores and the client took, which are in this process.
    pub(crate) all_ms: f64,
    /// Time.
    pub(crate) wall_ms: f64,
}

/// Describes the function; its process starts with the first question.
pub(crate) fn start(program: &str, stack: &Stack) -> anyhow::Result<Function> {
    let builder = Function::builder("render", program).timeout(Duration::from_secs(60));
    let told = stack.serving.endpoints.environment();
    let builder = told.into_iter().fold(builder, |b, (name, value)| b.env(name, value));
    Ok(builder.memory_mb(1769).build()?)
}

/// A process that has begun, and answered nothing of anybody's profiles.
pub(crate) async fn ready(program: &str, stack: &Stack) -> anyhow::Result<Function> {
    let function = start(program, stack)?;
    let outcome = function.invoke(event("/ready")).await?;
    ensure!(outcome.is_ok(), "{outcome:?}");
    Ok(function)
}

/// Asks for a path.
pub(crate) async fn ask(function: &Function, path: &str) -> anyhow::Result<Cost> {
    let child = child()?;
    let (own, its, since) = (cpu_ms(std::process::id())?, cpu_ms(child)?, Instant::now());
    let outcome = function.invoke(event(path)).await?;
    let wall_ms = since.elapsed().as_secs_f64() * 1e3;
    let render_ms = cpu_ms(child)? - its;
    let all_ms = render_ms + cpu_ms(std::process::id())? - own;
    ensure!(outcome.is_ok(), "{}", outcome.logs);
    let head = String::from_utf8_lossy(&outcome.payload[..outcome.payload.len().min(400)]);
    ensure!(head.contains("\"statusCode\":200"), "{path}: {head}");
    Ok(Cost { render_ms, all_ms, wall_ms })
}

/// A request as a Function URL hands it over, payload version 2.0.
pub(crate) fn event(path: &str) -> Vec<u8> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let host = "bench.lambda-url.us-east-1.on.aws";
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": { "accept": "*/*", "accept-encoding": "gzip", "host": host },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "bench",
            "domainName": host,
            "domainPrefix": "bench",
            "http": {
                "method": "GET",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "bench",
            },
            "requestId": "bench",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_i64,
        },
        "isBase64Encoded": false,
    });
    event.to_string().into_bytes()
}

/// The function's process: our only child.
fn child() -> anyhow::Result<u32> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        if status.contains(&parent) && !status.contains("State:\tZ") {
            return process.file_name().to_string_lossy().parse().context("a process id");
        }
    }
    anyhow::bail!("the function has gone")
}

/// CPU that a process has had so far.
fn cpu_ms(pid: u32) -> anyhow::Result<f64> {
    let pid = libc::pid_t::try_from(pid)?;
    // SAFETY: both calls fill what they are given, which is plain data.
    unsafe {
        let mut clock: libc::clockid_t = 0;
        ensure!(libc::clock_getcpuclockid(pid, &raw mut clock) == 0, "no clock of {pid}");
        let mut time = std::mem::zeroed::<libc::timespec>();
        ensure!(libc::clock_gettime(clock, &raw mut time) == 0, "no time of {pid}");
        Ok(time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6)
    }
}
