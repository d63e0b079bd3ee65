//! The `flambeau` command in a process of its own.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use anyhow::Context;
use flambeau_local::Endpoints;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A `flambeau serve` that can be killed.
pub struct Server {
    child: Child,
    /// Where it is.
    pub endpoints: Endpoints,
}

impl Server {
    /// Starts `program serve` in this directory and waits for its ready line.
    ///
    /// # Errors
    /// When it ends instead.
    pub async fn start(program: &str, dir: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("it has no output")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let line = line.context("the server ended before it was ready")?;
        Ok(Self { child, endpoints: serde_json::from_str(&line)? })
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill the server")
    }
}

/// Runs `program` to its end.
///
/// # Errors
/// When it does not start.
pub async fn run(program: &str, args: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output().await?)
}
