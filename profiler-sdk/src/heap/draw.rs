//! Random numbers for deciding what to keep, without a call to anybody.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The golden ratio in 64 bits: odd, and its multiples are spread evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the next thread's numbers begin.
static NEXT_SEED: AtomicU64 = AtomicU64::new(0);

/// Makes this process draw other numbers than its twins. Allocates.
pub(crate) fn reseed() {
    NEXT_SEED.store(RandomState::new().build_hasher().finish(), Relaxed);
}

/// One thread's random numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", 2014). Plain data without a destructor, for thread-local cells.
pub(crate) struct Draw(Cell<u64>);

impl Draw {
    /// Seeds itself at the first number.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Whether a number was ever drawn.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.0.get() != 0
    }

    /// The state, to tell whether a number was drawn meanwhile.
    pub(crate) fn state(&self) -> u64 {
        self.0.get()
    }

    /// Evenly distributed in (0, 1].
    pub(crate) fn unit(&self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        ((self.next() >> 11) + 1) as f64 * STEP
    }

    /// Exponentially distributed: the way to the next event, if there is one per `mean` on
    /// average and none knows of another. At most 37 times the mean.
    pub(crate) fn exponential(&self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }

    fn next(&self) -> u64 {
        let before = match self.0.get() {
            0 => mix(NEXT_SEED.fetch_add(GOLDEN, Relaxed)),
            state => state,
        };
        // Zero means not seeded: skipped, once in 2^64.
        let state = before.wrapping_add(GOLDEN).max(1);
        self.0.set(state);
        mix(state)
    }
}

fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_mean_they_should() {
        let draw = Draw::new();
        assert!(!draw.is_used());
        let count = 100_000;
        let sum: f64 = (0..count).map(|_| draw.exponential(512.0)).sum();
        let mean = sum / f64::from(count);
        // The deviation of an exponential is its mean: five of them.
        let bound = 5.0 * 512.0 / f64::from(count).sqrt();
        assert!((mean - 512.0).abs() < bound, "{mean}");
        assert!(draw.is_used());
    }

    #[test]
    fn units_never_are_zero_and_differ_from_thread_to_thread() {
        let (one, other) = (Draw::new(), Draw::new());
        let units: Vec<_> = (0..1_000).map(|_| one.unit()).collect();
        assert!(units.iter().all(|unit| *unit > 0.0 && *unit <= 1.0));
        assert!(units.iter().zip(0..1_000).any(|(unit, _)| *unit != other.unit()));
    }
}
