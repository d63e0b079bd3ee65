//! Random numbers for when to look. Not for secrets.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::cpu::timer::{monotonic, this_thread};

static STATE: AtomicU64 = AtomicU64::new(0);

/// A number in `1..=limit`. The sequence is Steele, Lea and Flood's SplitMix64.
pub(crate) fn up_to(limit: u64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    // The clock and the thread are mixed in, so that processes differ, also after a restore
    // from the same image.
    let seed = monotonic() ^ u64::from(this_thread()) << 40;
    let mut mixed = STATE.fetch_add(STEP, Relaxed).wrapping_add(seed.wrapping_mul(STEP));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    mixed % limit.max(1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_range() {
        let mut seen = [false; 8];
        for _ in 0..10_000 {
            seen[up_to(8) as usize - 1] = true;
        }
        assert_eq!(seen, [true; 8]);
        assert_eq!((up_to(1), up_to(0)), (1, 1));
    }
}
