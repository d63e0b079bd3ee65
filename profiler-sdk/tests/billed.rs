//! The ledger under sequences nobody planned, a day of invocations, and beside a log layer.
#![allow(clippy::unwrap_used)]

#[path = "billed/conserve.rs"]
mod conserve;
#[path = "billed/day.rs"]
mod day;
#[path = "billed/listen.rs"]
mod listen;
#[path = "billed/overlap.rs"]
mod overlap;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use profiler_sdk::billed::{Clock, Ledger, PathTime, Window};

const MS: u64 = 1_000_000;

/// Clocks that a test turns by hand.
#[derive(Clone, Default)]
struct Hands {
    now: Arc<AtomicU64>,
    cpu: Arc<AtomicU64>,
}

impl Clock for Hands {
    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    fn cpu(&self) -> u64 {
        self.cpu.load(Relaxed)
    }
}

impl Hands {
    fn set(&self, now: u64) {
        self.now.store(now, Relaxed);
    }

    /// Nothing computes.
    fn wait(&self, nanos: u64) {
        self.now.fetch_add(nanos, Relaxed);
    }

    /// One thread computes.
    fn compute(&self, nanos: u64) {
        self.wait(nanos);
        self.cpu.fetch_add(nanos, Relaxed);
    }
}

/// A ledger for the life of the test run. Its clock may go back by many hours.
fn ledger() -> (Hands, &'static Ledger) {
    let clock = Hands::default();
    clock.set(2_000 * 3_600_000 * MS);
    (clock.clone(), Box::leak(Box::new(Ledger::new(clock, None))))
}

fn at<'w>(window: &'w Window, path: &str) -> &'w PathTime {
    let found = window.paths.iter().find(|known| known.path == path);
    found.unwrap_or_else(|| panic!("nothing at `{path}` in {window:?}"))
}
