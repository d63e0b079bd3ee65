//! The hash index under every interned table.

/// From hashes to positions in a table kept elsewhere: open addressing, one
/// slot after the other, so that most searches touch one cache line.
///
/// Hashes must be seeded at random per process: inputs come from strangers, who
/// must not be able to choose what collides. No output depends on the seed.
#[derive(Default)]
pub(crate) struct Index {
    /// A power of two, or none yet.
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// The hash's upper half; its lower half chose the slot.
    tag: u32,
    /// The position + 1; 0 is a free slot.
    entry: u32,
}

/// Slots of the first table.
const FEWEST: usize = 64;

impl Index {
    /// The position whose entry `is` the one sought.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let tag = (hash >> 32) as u32;
        let mut at = tag as usize;
        loop {
            let slot = self.slots.get(at & mask)?;
            if slot.entry == 0 {
                return None;
            }
            if slot.tag == tag && is(slot.entry - 1) {
                return Some(slot.entry - 1);
            }
            at += 1;
        }
    }

    /// Makes room in an index that is empty.
    pub(crate) fn make_room(&mut self, entries: usize) {
        if self.slots.is_empty() && entries > 0 {
            let size = (entries * 3 / 2 + 1).next_power_of_two().max(FEWEST);
            self.slots = vec![Slot::default(); size];
        }
    }

    /// Remembers an entry that [`Index::find`] did not find.
    pub(crate) fn insert(&mut self, hash: u64, position: u32) {
        if (self.len + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        self.len += 1;
        self.put(Slot { tag: (hash >> 32) as u32, entry: position + 1 });
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.slots.fill(Slot::default());
            self.len = 0;
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(FEWEST);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.entry != 0) {
            self.put(slot);
        }
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.tag as usize & mask;
        while self.slots[at].entry != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_and_nothing_else() {
        let mut index = Index::default();
        let hash = |i: u32| u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(index.find(hash(1), |_| true), None);
        for i in 0..1000 {
            index.insert(hash(i), i);
        }
        for i in 0..1000 {
            assert_eq!(index.find(hash(i), |found| found == i), Some(i));
            assert_eq!(index.find(hash(i), |_| false), None);
        }
        assert_eq!(index.find(hash(1000), |found| found == 1000), None);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_their_entries() {
        let mut index = Index::default();
        for i in 0..100 {
            index.insert(7 << 32, i);
        }
        assert_eq!(index.find(7 << 32, |found| found == 99), Some(99));
        index.clear();
        assert_eq!(index.find(7 << 32, |_| true), None);
    }
}
