//! What others take for the same files, in the same run.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

const ORACLE: &str = "target/oracle";
/// pprof's server is given so long to read a file.
const PATIENCE: Duration = Duration::from_secs(120);

/// CPU of google/pprof reading, merging and writing a folder; nothing where the
/// oracle is not built.
pub(crate) fn google_merge(folder: &Path) -> anyhow::Result<Option<f64>> {
    if !Path::new(ORACLE).exists() {
        return Ok(None);
    }
    let out = tempfile::NamedTempFile::new()?;
    let answer =
        Command::new(ORACLE).arg("merge-files").arg(folder).arg(out.path()).output()?.stdout;
    let cost: serde_json::Value = serde_json::from_slice(&answer)?;
    Ok(Some(cost["cpu_ms"].as_f64().context("no cpu_ms")?))
}

/// Bytes and seconds of the flame graph that pprof's own web UI makes of a profile;
/// nothing where there is no Go.
pub(crate) async fn pprof_page(profile: &[u8]) -> anyhow::Result<Option<(usize, f64)>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("big.pb.gz");
    std::fs::write(&file, profile)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new("go");
    command.args(["tool", "pprof", "-no_browser", "-symbolize=none", "-http", &address]);
    command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut server) = command.spawn() else {
        println!("SKIPPED: there is no Go to show the same file");
        return Ok(None);
    };
    let page =
        tokio::task::spawn_blocking(move || fetch(&format!("http://{address}/ui/flamegraph")));
    let page = page.await?;
    // `go tool` runs pprof in a process of its own, which ends with its port's owner.
    server.kill().and_then(|()| server.wait()).context("end pprof")?;
    Command::new("pkill").args(["-f", &file.to_string_lossy()]).status().ok();
    page.map(Some)
}

fn fetch(url: &str) -> anyhow::Result<(usize, f64)> {
    let since = Instant::now();
    while ureq::get(url.replace("flamegraph", "nothing")).call().is_err_and(|e| !answered(&e)) {
        ensure!(since.elapsed() < PATIENCE, "pprof does not come up");
        std::thread::sleep(Duration::from_millis(200));
    }
    let since = Instant::now();
    let mut answer = ureq::get(url).call()?;
    let bytes = answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok((bytes.len(), since.elapsed().as_secs_f64()))
}

fn answered(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::StatusCode(_))
}
