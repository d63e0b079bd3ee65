//! The `flambeau` command: one file per verb.
//!
//! A library with a thin binary, so that tests can run the very same program.

mod connect;
mod cost;
mod demo;
mod exit;
mod index;
mod link;
mod ls;
mod merge;
mod open;
mod push;
mod serve;
mod steer;
mod token;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

pub use exit::Exit;

/// Continuous profiling for AWS Lambda with nothing to keep running.
#[derive(Debug, Parser)]
#[command(name = "flambeau", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: S3, DynamoDB, merge, index, render.
    Serve(serve::Serve),
    /// Profile an example function from its first sample to the flame graph.
    Demo(demo::Demo),
    /// Send pprof files in, as snapshots of a service.
    Push(push::Push),
    /// Merge pprof files into one, here and now.
    Merge(merge::Merge),
    /// Reckon what profiling a fleet costs a month.
    Cost(cost::Cost),
    /// Open a Function URL that wants signed requests: a loopback address that signs.
    Open(open::Open),
    /// Give out a token, for a deployment that asks for one.
    Token(token::Token),
    /// Sign an address, so that it opens one answer to whoever has it, for a while.
    Link(link::Link),
    /// List what is there: services, or parked snapshots.
    Ls(ls::Ls),
    /// Recompute totals from raw snapshots and from blocks, and compare.
    Verify(verify::Verify),
    /// Make the index again from the bucket, check it, or erase from it.
    Index(index::Index),
    /// Change how often and how many environments of a service are profiled.
    Steer(steer::Steer),
    /// Be the example function; the demo starts this in a process of its own.
    #[command(name = demo::FUNCTION_COMMAND, hide = true)]
    Function,
}

/// Runs the command line; the exit status is one of [`Exit`].
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(anyhow::Error::from(error).context("start the runtime"))),
    };
    report(runtime.block_on(run(cli.command)))
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    if !matches!(command, Command::Function) {
        log_to_stderr();
    }
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Push(push) => push.run().await,
        Command::Merge(merge) => merge.run(),
        Command::Cost(cost) => cost.run(),
        Command::Open(open) => open.run().await,
        Command::Token(token) => token.run().await,
        Command::Link(link) => link.run().await,
        Command::Ls(ls) => ls.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Index(index) => index.run().await,
        Command::Steer(steer) => steer.run().await,
        Command::Function => demo::function().await,
    }
}

/// Standard output belongs to answers; `FLAMBEAU_LOG` decides what is logged.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("FLAMBEAU_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn report(ended: anyhow::Result<Exit>) -> ExitCode {
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("flambeau: {error:#}");
            ExitCode::from(Exit::Failed as u8)
        }
    }
}
