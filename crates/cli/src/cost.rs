//! `flambeau cost`: what profiling a fleet costs a month, line by line.

use clap::Args;
use flambeau_query::bill::{Fleet, Line, total};

use crate::exit::Exit;

/// Grafana Cloud Profiles, per GB ingested (its price page, 2026).
const GRAFANA_GB: f64 = 0.50;
/// A Pyroscope server on the smallest EKS cluster: control plane and one
/// `t4g.medium`, storage left out (AWS price pages, 2026).
const PYROSCOPE_MONTH: f64 = 98.0;

/// Arguments of `cost`.
#[derive(Debug, Args)]
pub(crate) struct Cost {
    /// Environments (concurrent executions) that exist at a time.
    #[arg(long, default_value_t = 100.0)]
    environments: f64,
    /// Percent of the time that one runs an invocation.
    #[arg(long, default_value_t = 5.0, value_name = "PERCENT")]
    busy: f64,
    /// Memory of the profiled functions.
    #[arg(long, default_value_t = 1024.0, value_name = "MB")]
    memory: f64,
    /// Seconds of running between two snapshots of an environment.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    interval: f64,
    /// Only one of so many environments is sampled.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    one_in: f64,
    /// Snapshots that one merge takes; the queue's batching decides.
    #[arg(long, default_value_t = 1000.0)]
    batch: f64,
    /// Size of a snapshot, compressed; 13 KB is the mean of our CPU corpus.
    #[arg(long, default_value_t = 13.0, value_name = "KB")]
    snapshot_kb: f64,
    /// Flame graphs and profiles asked for in a month.
    #[arg(long, default_value_t = 1000.0)]
    questions: f64,
}

impl Cost {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let fleet = self.fleet()?;
        let bill = fleet.bill();
        for Line { what, quantity, unit, dollars } in &bill {
            println!("{what:<34} {:>16} {unit:<10} {dollars:>12.2} $", grouped(*quantity));
        }
        println!("{:<34} {:>16} {:<10} {:>12.2} $", "a month", "", "", total(&bill));
        println!();
        compare(&fleet, total(&bill));
        Ok(Exit::Ok)
    }

    fn fleet(&self) -> anyhow::Result<Fleet> {
        let positive = [self.environments, self.interval, self.one_in, self.batch];
        anyhow::ensure!(positive.iter().all(|n| *n > 0.0), "each number must be above 0");
        anyhow::ensure!((0.0..=100.0).contains(&self.busy), "--busy is 0 to 100 percent");
        Ok(Fleet {
            environments: self.environments,
            busy: self.busy / 100.0,
            memory_mb: self.memory,
            interval_secs: self.interval,
            one_in: self.one_in,
            batch: self.batch,
            snapshot_bytes: self.snapshot_kb * 1000.0,
            questions: self.questions,
        })
    }
}

fn compare(fleet: &Fleet, ours: f64) {
    let (snapshots, lambda) = (fleet.snapshots(), fleet.lambda_dollars());
    let caused = total(&fleet.per_snapshot());
    if snapshots > 0.0 {
        println!("per million snapshots {:>28.2} $", caused / snapshots * 1e6);
        println!(
            "the functions' own Lambda bill {lambda:>19.2} $, of which this is {:.2} %",
            100.0 * ours / lambda
        );
    }
    let grafana = snapshots * fleet.snapshot_bytes / 1e9 * GRAFANA_GB;
    println!("the same bytes at Grafana Cloud {grafana:>18.2} $");
    println!("the smallest Pyroscope on EKS, idle {PYROSCOPE_MONTH:>14.2} $");
    println!("us-east-1, on demand, no free tier; the formulae are in docs/cost.md");
}

/// Digits in threes.
fn grouped(number: f64) -> String {
    let digits = match number {
        n if n > 0.0 && n < 100.0 => return format!("{n:.2}"),
        n => format!("{n:.0}"),
    };
    let threes: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|c| std::str::from_utf8(c).ok()).collect();
    threes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567.0), "1 234 567");
        assert_eq!(grouped(0.25), "0.25");
        assert_eq!(grouped(0.0), "0");
    }
}
