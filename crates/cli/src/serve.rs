//! `flambeau serve`: everything on this machine.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use flambeau_local::{Endpoints, ServeOptions, Serving};
use flambeau_store::SecretPlace;

use crate::exit::Exit;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where all state lives; it survives restarts.
    #[arg(long, default_value = ".flambeau")]
    dir: PathBuf,
    /// Where HTTP listens: a loopback address; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:4040")]
    listen: SocketAddr,
    /// Ask for a token: where tokens are kept, as `file:PATH` or
    /// `secretsmanager:NAME`; `flambeau token` makes them.
    #[arg(long, value_name = "PLACE")]
    secret: Option<SecretPlace>,
    /// Print one line of JSON when ready.
    #[arg(long)]
    json: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let options = ServeOptions::in_dir(self.dir, self.listen)?;
        let serving = Serving::start(ServeOptions { secret: self.secret, ..options }).await?;
        println!("{}", ready_line(&serving.endpoints, self.json)?);
        interrupted().await?;
        serving.stop().await;
        Ok(Exit::Ok)
    }
}

fn ready_line(endpoints: &Endpoints, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(serde_json::to_string(endpoints)?);
    }
    let Endpoints { url, s3, dynamodb, bucket, table, .. } = endpoints;
    Ok(format!("ready: {url}  (s3 {s3}, dynamodb {dynamodb}, bucket {bucket}, table {table})"))
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
