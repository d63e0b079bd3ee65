//! Which sampled blocks are still in use.
//!
//! Every free asks here, so the answer "not this one" must cost next to nothing: a counting
//! filter of 16 KiB stays in the nearest cache and gives it for all but a few in a hundred.
//! The others probe the table without a lock. Only frees of sampled blocks take one.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize};

/// Most sampled blocks known at a time. With one sample per 512 KiB that is a heap of 12 GiB of
/// small blocks, more than a Lambda function can have.
pub(crate) const MAX_LIVE: usize = SLOTS / 4 * 3;

/// Places in the table; a quarter always is free, so that probes end soon.
const SLOTS: usize = 1 << 15;

/// Counters in the filter.
const COUNTERS: usize = 1 << 14;

/// Longest probe. With a quarter of the places free, one in some 10^8 keys has to go further.
const MAX_PROBE: usize = 512;

/// A place that never was taken since the probes through it began.
const EMPTY: u64 = 0;

/// A place that was given up: probes go on over it.
const GONE: u64 = 1;

/// A counter that has got so far is not to be trusted any more, and stays.
const STUCK: u8 = u8::MAX;

/// Addresses of blocks, with a value each.
///
/// Memory is safe whatever happens. Answers are right if changes are made one at a time (under
/// the lock of `books.rs`), and if who asks for an address owns its block: it was added before
/// the owner got it, and nobody else removes it.
pub(crate) struct Live {
    filter: [AtomicU8; COUNTERS],
    keys: [AtomicU64; SLOTS],
    values: [AtomicU64; SLOTS],
    len: AtomicUsize,
}

impl Live {
    pub(crate) const fn new() -> Self {
        Self {
            filter: [const { AtomicU8::new(0) }; COUNTERS],
            keys: [const { AtomicU64::new(EMPTY) }; SLOTS],
            values: [const { AtomicU64::new(0) }; SLOTS],
            len: AtomicUsize::new(0),
        }
    }

    /// Whether the block may be known; false nearly always, and then for sure.
    #[inline(always)]
    pub(crate) fn may_hold(&self, address: u64) -> bool {
        self.filter[counter_of(address)].load(Relaxed) != 0
    }

    /// Where the block is in the table.
    pub(crate) fn find(&self, address: u64) -> Option<usize> {
        for slot in probe(address) {
            match self.keys[slot].load(Relaxed) {
                EMPTY => return None,
                key if key == address => return Some(slot),
                _ => {}
            }
        }
        None
    }

    /// Adds a block that is not known; false without room.
    pub(crate) fn insert(&self, address: u64, value: u64) -> bool {
        if self.len() >= MAX_LIVE {
            return false;
        }
        let is_free = |slot: &usize| self.keys[*slot].load(Relaxed) <= GONE;
        let Some(slot) = probe(address).find(is_free) else { return false };
        self.values[slot].store(value, Relaxed);
        self.keys[slot].store(address, Relaxed);
        self.count(address, 1);
        self.len.fetch_add(1, Relaxed);
        true
    }

    /// Removes what [`Live::find`] has found, and gives its value.
    pub(crate) fn remove(&self, slot: usize) -> u64 {
        let address = self.keys[slot].swap(GONE, Relaxed);
        let value = self.values[slot].load(Relaxed);
        self.count(address, -1);
        self.len.fetch_sub(1, Relaxed);
        self.tidy(slot);
        value
    }

    /// Replaces the value of every block.
    pub(crate) fn revalue(&self, change: impl Fn(u64) -> u64) {
        for (key, value) in self.keys.iter().zip(&self.values) {
            if key.load(Relaxed) > GONE {
                value.store(change(value.load(Relaxed)), Relaxed);
            }
        }
    }

    /// Forgets all blocks.
    pub(crate) fn clear(&self) {
        self.filter.iter().for_each(|counter| counter.store(0, Relaxed));
        self.keys.iter().for_each(|key| key.store(EMPTY, Relaxed));
        self.len.store(0, Relaxed);
    }

    /// How many blocks are known.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// A place given up in front of an empty one is on nobody's way: it is empty too.
    fn tidy(&self, mut slot: usize) {
        while self.keys[(slot + 1) % SLOTS].load(Relaxed) == EMPTY
            && self.keys[slot].load(Relaxed) == GONE
        {
            self.keys[slot].store(EMPTY, Relaxed);
            slot = (slot + SLOTS - 1) % SLOTS;
        }
    }

    fn count(&self, address: u64, by: i8) {
        let counter = &self.filter[counter_of(address)];
        let count = counter.load(Relaxed);
        if count != STUCK {
            counter.store(count.wrapping_add_signed(by), Relaxed);
        }
    }
}

#[inline(always)]
fn hash(address: u64) -> u64 {
    address.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline(always)]
fn counter_of(address: u64) -> usize {
    (hash(address) >> (u64::BITS - COUNTERS.ilog2())) as usize
}

fn probe(address: u64) -> impl Iterator<Item = usize> {
    let home = (hash(address) >> (u64::BITS - SLOTS.ilog2())) as usize;
    (home..home + MAX_PROBE).map(|slot| slot % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use crate::heap::draw::Draw;

    #[test]
    fn there_is_room_for_exactly_so_many() {
        static LIVE: Live = Live::new();
        let address = |number: usize| 0x5500_0000_0000 + 4096 * number as u64;
        for number in 0..MAX_LIVE {
            assert!(LIVE.insert(address(number), number as u64), "{number}");
        }
        assert!(!LIVE.insert(address(MAX_LIVE), 0));
        assert_eq!(LIVE.find(address(MAX_LIVE)), None);
        for number in 0..MAX_LIVE {
            let slot = LIVE.find(address(number));
            assert_eq!(slot.map(|slot| LIVE.remove(slot)), Some(number as u64));
        }
        assert_eq!(LIVE.len(), 0);
        assert!(LIVE.insert(address(MAX_LIVE), 0));
        LIVE.clear();
        assert!(!LIVE.may_hold(address(MAX_LIVE)) && LIVE.find(address(MAX_LIVE)).is_none());
    }

    /// Against a hash map, through enough changes to leave given up places everywhere.
    #[test]
    fn blocks_come_and_go_and_are_always_found() {
        static LIVE: Live = Live::new();
        let (draw, mut truth) = (Draw::new(), HashMap::new());
        let mut addresses = Vec::new();
        for turn in 1..200_000_u64 {
            let is_growing = addresses.len() < MAX_LIVE / 2 || draw.unit() < 0.5;
            if is_growing && addresses.len() < MAX_LIVE {
                let address = ((draw.unit() * 4e12) as u64 + turn) << 4;
                if truth.insert(address, turn).is_none() {
                    assert!(LIVE.insert(address, turn));
                    addresses.push(address);
                }
            } else {
                let pick = (draw.unit() * (addresses.len() - 1) as f64) as usize;
                let address = addresses.swap_remove(pick);
                assert!(LIVE.may_hold(address));
                let value = LIVE.find(address).map(|slot| LIVE.remove(slot));
                assert_eq!(value, truth.remove(&address));
            }
        }
        LIVE.revalue(|value| value + 1);
        for (address, value) in &truth {
            let found = LIVE.find(*address).map(|slot| LIVE.values[slot].load(Relaxed));
            assert_eq!(found, Some(value + 1));
        }
        assert_eq!(LIVE.len(), truth.len());
    }
}
