//! Independent judges, where they are installed: `go tool pprof`, DynamoDB
//! Local.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};

use crate::stack::DEADLINE;

/// Runs `go tool pprof` and answers what it printed; `None`, with a word on
/// standard error, where there is no Go.
///
/// # Errors
/// When it refuses, with what it says.
pub async fn go_tool_pprof(args: &[&str]) -> anyhow::Result<Option<String>> {
    let home = tempfile::tempdir()?;
    let run = tokio::process::Command::new("go")
        .args(["tool", "pprof"])
        .args(args)
        // It keeps what it fetched; not in the home of whoever runs tests.
        .env("PPROF_TMPDIR", home.path())
        .stdin(Stdio::null())
        .output()
        .await;
    let output = match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: no Go here, so go tool pprof does not judge");
            return Ok(None);
        }
        run => run?,
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "go tool pprof refused: {said}");
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// A running DynamoDB Local.
pub struct DynamoDbLocal {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl DynamoDbLocal {
    /// Starts it in memory; `None`, with a word on standard error, where
    /// `tests/dynamodb-local/fetch.sh` has not put it or there is no Java.
    ///
    /// # Errors
    /// When it is there and does not start.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let jars = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/dynamodb-local");
        if !jars.join(".complete").exists() {
            eprintln!("SKIPPED: run tests/dynamodb-local/fetch.sh to have DynamoDB Local judge");
            return Ok(None);
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("java")
            .arg(format!("-Djava.library.path={}", jars.display()))
            .args(["-cp", &format!("{}/*", jars.display())])
            .arg("com.amazonaws.services.dynamodbv2.local.main.ServerRunner")
            .args(["-inMemory", "-sharedDb", "-port", &port.to_string()])
            // It writes a file about itself into its working directory.
            .current_dir(&jars)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start java")?;
        let server = Self { child, url: format!("http://127.0.0.1:{port}") };
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(since.elapsed() < DEADLINE, "DynamoDB Local does not listen");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(Some(server))
    }
}

impl Drop for DynamoDbLocal {
    fn drop(&mut self) {
        // It has no state worth a farewell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
