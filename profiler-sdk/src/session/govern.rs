//! What profiling may cost, and what is done to keep to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What one sample costs, in nanoseconds of CPU: the upper end of what was measured
/// (`cargo run --release --example sampler_report`).
const SAMPLE_NANOS: u64 = 3_000;

/// Longest active time between two snapshots that the budget leads to.
pub const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// Fewest samples per second of CPU time that the budget leads to.
pub const MIN_HZ: u32 = 7;

/// Dollars per GB-second in us-east-1, first tier, on-demand, as of 2026-08
/// (<https://aws.amazon.com/lambda/pricing/>): x86_64 and arm64.
const GB_SECOND: [f64; 2] = [0.000_016_666_7, 0.000_013_333_4];

/// Dollars per PUT into S3 Standard in us-east-1.
const PUT: f64 = 0.000_005;

/// What profiling may cost; written `1%`, or `$0.5` for that many dollars per million
/// invocations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// A part of the billed time, between 0 and 1.
    Share(f64),
    /// Dollars per million invocations, by the prices of us-east-1: its time and its requests.
    DollarsPerMillion(f64),
}

/// Where nothing else is set: one hundredth of the billed time.
pub const DEFAULT_BUDGET: Budget = Budget::Share(0.01);

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| *number > 0.0);
        let share = text.strip_suffix('%').and_then(number).filter(|percent| *percent <= 100.0);
        let dollars = text.strip_prefix('$').and_then(number);
        match (share, dollars) {
            (Some(percent), _) => Ok(Self::Share(percent / 100.0)),
            (None, Some(dollars)) => Ok(Self::DollarsPerMillion(dollars)),
            (None, None) => Err("a share such as `1%`, or dollars per million invocations such \
                                 as `$0.5`"
                .to_owned()),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{}%", share * 100.0),
            Self::DollarsPerMillion(dollars) => write!(f, "${dollars}"),
        }
    }
}

/// What profiling cost over one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spent {
    /// Time in which invocations ran.
    pub(crate) active: Duration,
    pub(crate) invocations: u64,
    pub(crate) samples: u64,
    /// Billed time that only the flush took.
    pub(crate) flush: Duration,
    pub(crate) puts: u64,
}

/// Which machine the function runs on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Machine {
    pub(crate) memory_mb: f64,
    pub(crate) arm: bool,
}

/// Keeps to a budget by longer periods between snapshots, then by fewer samples. Weights go
/// with the rate, so totals stay what they are.
#[derive(Debug)]
pub(crate) struct Governor {
    budget: Budget,
    machine: Machine,
    /// By what interval and rate are multiplied and divided: powers of two.
    stretch: u32,
    thin: u32,
}

impl Governor {
    pub(crate) fn new(budget: Budget, machine: Machine) -> Self {
        Self { budget, machine, stretch: 1, thin: 1 }
    }

    /// Active time between two snapshots, where `wanted` is asked for.
    pub(crate) fn interval(&self, wanted: Duration) -> Duration {
        wanted.saturating_mul(self.stretch).min(MAX_INTERVAL.max(wanted))
    }

    /// Samples per second, where `wanted` are asked for.
    pub(crate) fn hz(&self, wanted: u32) -> u32 {
        (wanted / self.thin).max(MIN_HZ.min(wanted))
    }

    /// Learns what a span cost. Twice the budget's share of a part doubles that part's saving;
    /// a quarter of it takes one back: in between nothing swings.
    pub(crate) fn learn(&mut self, spent: &Spent) {
        let (flush, sampling) = self.parts(spent);
        adjust(&mut self.stretch, flush, 1 << 12);
        adjust(&mut self.thin, sampling, 1 << 5);
    }

    /// What flushing and sampling cost, each as a multiple of half the budget.
    fn parts(&self, spent: &Spent) -> (f64, f64) {
        let flush = spent.flush.as_secs_f64();
        let sampling = (spent.samples.saturating_mul(SAMPLE_NANOS)) as f64 / 1e9;
        match self.budget {
            Budget::Share(share) => {
                let half = share * (spent.active.as_secs_f64() + flush) / 2.0;
                (flush / half, sampling / half)
            }
            Budget::DollarsPerMillion(dollars) => {
                let half = dollars / 1e6 * spent.invocations as f64 / 2.0;
                let second = self.machine.dollars_per_second();
                ((flush * second + spent.puts as f64 * PUT) / half, sampling * second / half)
            }
        }
    }
}

impl Machine {
    fn dollars_per_second(&self) -> f64 {
        self.memory_mb / 1024.0 * GB_SECOND[usize::from(self.arm)]
    }
}

fn adjust(saving: &mut u32, cost: f64, most: u32) {
    // Nothing billed at all says nothing.
    if cost.is_finite() && cost > 1.0 {
        *saving = (*saving * 2).min(most);
    } else if cost.is_finite() && cost < 0.25 {
        *saving = (*saving / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MACHINE: Machine = Machine { memory_mb: 1024.0, arm: false };

    #[test]
    fn budgets_are_read_as_written() {
        for text in ["1%", "0.25%", "$0.5"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
        for text in ["", "1", "%", "-1%", "0%", "101%", "$", "$x", "$-1", "NaN%"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
        assert!("100%".parse::<Budget>().is_ok());
    }

    /// A function in which every flush takes 100 ms and one thread is always busy.
    fn settle(budget: Budget, wanted: Duration, per_second: u64) -> (Governor, f64) {
        let mut governor = Governor::new(budget, MACHINE);
        let mut share = 0.0;
        for _ in 0..40 {
            let active = governor.interval(wanted);
            let spent = Spent {
                active,
                invocations: active.as_secs() * per_second,
                samples: active.as_secs() * u64::from(governor.hz(99)),
                flush: SECOND / 10,
                puts: 1,
            };
            governor.learn(&spent);
            share = spent.flush.as_secs_f64() / active.as_secs_f64();
        }
        (governor, share)
    }

    #[test]
    fn a_share_is_kept_by_longer_periods() {
        let (governor, share) = settle(Budget::Share(0.01), 5 * SECOND, 10);
        assert!(share <= 0.01, "{share}");
        assert_eq!(governor.interval(5 * SECOND), 20 * SECOND);
        assert_eq!(governor.hz(99), 99, "samples are cheap");
        let (tight, share) = settle(Budget::Share(0.000_1), 5 * SECOND, 10);
        assert!(share <= 0.000_1, "{share}");
        assert!(tight.hz(99) < 99 && tight.hz(99) >= MIN_HZ);
    }

    #[test]
    fn dollars_count_requests_too() {
        let (cheap, _) = settle(Budget::DollarsPerMillion(0.01), 5 * SECOND, 10);
        let (dear, _) = settle(Budget::DollarsPerMillion(10.0), 5 * SECOND, 10);
        assert!(cheap.interval(5 * SECOND) > 64 * SECOND);
        assert_eq!(dear.interval(5 * SECOND), 5 * SECOND);
    }

    #[test]
    fn what_was_saved_is_given_back_and_nothing_runs_away() {
        let (mut governor, _) = settle(Budget::Share(1e-9), SECOND, 1);
        assert_eq!(governor.interval(SECOND), MAX_INTERVAL);
        assert_eq!(governor.hz(99), MIN_HZ);
        assert_eq!((governor.hz(3), governor.interval(2 * MAX_INTERVAL)), (3, 2 * MAX_INTERVAL));
        for _ in 0..40 {
            governor.learn(&Spent { active: SECOND, ..Spent::default() });
        }
        assert_eq!((governor.hz(99), governor.interval(SECOND)), (99, SECOND));
        governor.learn(&Spent::default());
        assert_eq!(governor.interval(SECOND), SECOND, "nothing billed says nothing");
    }
}
