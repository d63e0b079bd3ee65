//! The work, and the truth about it.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use profiler_sdk::label_scope;
use serde::{Deserialize, Serialize};

/// How much more work `slow` does than `fast`.
pub const SLOW_TO_FAST: u32 = 4;

/// Steps of work in the shortest call of `fast`: about half a millisecond when optimised.
const LEAST_STEPS: u32 = 400_000;

/// Calls take one to this many times [`LEAST_STEPS`], by turns that repeat only after long: a
/// sampler with a steady beat must not fall into step with the work.
const LONGEST: u32 = 8;

/// CPU time that was really spent, by the thread's own clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Nanoseconds in `fast`.
    pub fast_ns: u64,
    /// Nanoseconds in `slow`.
    pub slow_ns: u64,
}

impl Truth {
    /// The share of `slow`, between 0 and 1; 0 if nothing was done.
    pub fn slow_share(&self) -> f64 {
        let total = self.total_ns();
        if total == 0 { 0.0 } else { self.slow_ns as f64 / total as f64 }
    }

    /// All CPU time spent, in nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.fast_ns.saturating_add(self.slow_ns)
    }

    /// Both truths together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            fast_ns: self.fast_ns.saturating_add(other.fast_ns),
            slow_ns: self.slow_ns.saturating_add(other.slow_ns),
        }
    }
}

static LOCK: Mutex<u64> = Mutex::new(1);

/// Alternates `fast` and `slow` on this thread until they took `millis` of its CPU time.
pub fn run(millis: u64) -> Truth {
    let enough = millis.saturating_mul(1_000_000);
    let mut truth = Truth::default();
    let mut dice = 1;
    while truth.total_ns() < enough {
        dice = step(dice);
        let steps = LEAST_STEPS * (1 + (dice >> 32) as u32 % LONGEST);
        truth.fast_ns += cpu_time_of(|| fast(steps));
        truth.slow_ns += cpu_time_of(|| slow(steps));
    }
    truth
}

/// One part of the work.
#[inline(never)]
fn fast(steps: u32) {
    let mut state = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    label_scope("function", "fast", || *state = work(*state, steps));
}

/// Four parts of the work.
#[inline(never)]
fn slow(steps: u32) {
    let mut state = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    label_scope("function", "slow", || *state = work(*state, steps * SLOW_TO_FAST));
}

#[inline(never)]
fn work(mut state: u64, steps: u32) -> u64 {
    // No iterator: its inlined parts would be the leaves of every stack.
    let mut left = steps;
    while left > 0 {
        state = black_box(step(state));
        left -= 1;
    }
    state
}

/// A linear congruential step: arithmetic that needs its predecessor.
#[inline(always)]
fn step(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

fn cpu_time_of(call: impl FnOnce()) -> u64 {
    let before = thread_cpu_ns();
    call();
    thread_cpu_ns().saturating_sub(before)
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes into a structure of ours; this clock always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_takes_about_four_times_as_long() {
        let truth = run(400);
        assert!(truth.total_ns() >= 400_000_000);
        assert!((0.72..0.88).contains(&truth.slow_share()), "{truth:?}");
    }

    #[test]
    fn nothing_asked_is_nothing_done() {
        let nothing = run(0);
        assert_eq!(nothing, Truth::default());
        assert_eq!(nothing.slow_share(), 0.0);
    }

    #[test]
    fn truths_add_up() {
        let one = Truth { fast_ns: 1, slow_ns: 4 };
        let two = one.plus(one);
        assert_eq!((two.fast_ns, two.slow_ns, two.slow_share()), (2, 8, 0.8));
    }
}
