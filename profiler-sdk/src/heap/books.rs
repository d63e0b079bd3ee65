//! The account of allocations: what is on which stack, and which sampled block is still alive.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::context::Context;
use crate::heap::live::Live;
use crate::heap::stacks::{Copied, Room, Stacks};

/// Bytes allocated per sample, on average.
pub(crate) const PERIOD: u64 = 512 * 1024;

/// Objects are summed up in these parts of one: a sampled block of 700 KB stands for 1.36.
pub(crate) const PARTS: u64 = 1_024;

/// Sampled blocks that are alive; with each its size and the number of its stack.
pub(crate) static LIVE: Live = Live::new();

static BOOKS: Mutex<Option<Books>> = Mutex::new(None);

/// What was allocated on one stack.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// Since the last collection, in [`PARTS`].
    pub(crate) alloc_objects: u64,
    /// Since the last collection.
    pub(crate) alloc_bytes: u64,
    /// Alive, in [`PARTS`].
    pub(crate) live_objects: u64,
    /// Alive.
    pub(crate) live_bytes: u64,
    /// Sampled blocks alive: the stack's number is in the table of them.
    pub(crate) live_samples: u64,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Blocks sampled.
    pub(crate) samples: u64,
    /// Blocks sampled whose end will not be seen: they are in `alloc_*`, not in `inuse_*`.
    pub(crate) unkept: u64,
    /// Blocks sampled whose stack found no room.
    pub(crate) stackless: u64,
}

struct Books {
    live: &'static Live,
    stacks: Stacks<Sums>,
    counts: Counts,
}

/// A sampled block: what it was allocated with.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// Opens new books; false if there are some. Allocates.
pub(crate) fn open() -> bool {
    let fresh = Books::new(&LIVE);
    let mut books = lock();
    let is_closed = books.is_none();
    if is_closed {
        LIVE.clear();
        *books = Some(fresh);
        return true;
    }
    // Before `fresh` is dropped, and its memory freed.
    drop(books);
    false
}

/// Closes the books and forgets every block.
pub(crate) fn close() {
    let mut books = lock();
    LIVE.clear();
    let closed = books.take();
    drop(books);
    drop(closed);
}

/// Books a block that was sampled. Allocates nothing.
pub(crate) fn allocated(block: Block, frames: &[u64], context: Context) {
    if let Some(books) = lock().as_mut() {
        books.allocated(block, frames, context);
    }
}

/// Books the end of a block, if it is one that was sampled. Allocates nothing.
pub(crate) fn freed(address: u64) -> bool {
    if LIVE.find(address).is_none() {
        return false;
    }
    lock().as_mut().is_some_and(|books| books.freed(address))
}

/// Books a block as alive that was taken for freed and is not.
pub(crate) fn survived(block: Block, frames: &[u64], context: Context) {
    if let Some(books) = lock().as_mut() {
        books.lives(block, frames, context);
    }
}

/// Everything on the books; what was allocated begins anew.
pub(crate) fn take() -> Option<(Copied<Sums>, Counts)> {
    let mut copy = Copied::with_room(Room::NONE);
    loop {
        // The lock is free again where memory is taken.
        let taken = lock().as_mut().map(|books| books.take(&mut copy));
        match taken? {
            Ok(counts) => return Some((copy, counts)),
            Err(room) => copy = Copied::with_room(room),
        }
    }
}

/// What was counted since the start.
pub(crate) fn counts() -> Option<Counts> {
    lock().as_ref().map(|books| books.counts)
}

/// How many blocks a sampled one of `size` stands for, in [`PARTS`]: one over the chance that
/// it was sampled.
pub(crate) fn weight(size: u64) -> u64 {
    let chance = -(-(size as f64) / PERIOD as f64).exp_m1();
    (PARTS as f64 / chance).round() as u64
}

/// How many bytes a sampled block stands for.
fn weighed_bytes(size: u64) -> u64 {
    (weight(size) as f64 * size as f64 / PARTS as f64).round() as u64
}

impl Books {
    fn new(live: &'static Live) -> Self {
        Self { live, stacks: Stacks::new(), counts: Counts::default() }
    }

    fn allocated(&mut self, block: Block, frames: &[u64], context: Context) {
        self.counts.samples += 1;
        let number = self.lives(block, frames, context);
        if let Some(sums) = self.stacks.sums(number) {
            sums.alloc_objects = sums.alloc_objects.saturating_add(weight(block.size));
            sums.alloc_bytes = sums.alloc_bytes.saturating_add(weighed_bytes(block.size));
        }
    }

    fn lives(&mut self, block: Block, frames: &[u64], context: Context) -> u16 {
        let number = self.stacks.number(frames, context);
        self.counts.stackless += u64::from(number == crate::heap::stacks::OVERFLOW);
        // An end that was not seen: the address could not have been given out again.
        self.freed(block.address);
        if !self.live.insert(block.address, pack(block.size, number)) {
            self.counts.unkept += 1;
            return number;
        }
        if let Some(sums) = self.stacks.sums(number) {
            sums.live_objects = sums.live_objects.saturating_add(weight(block.size));
            sums.live_bytes = sums.live_bytes.saturating_add(weighed_bytes(block.size));
            sums.live_samples += 1;
        }
        number
    }

    fn freed(&mut self, address: u64) -> bool {
        let Some(slot) = self.live.find(address) else { return false };
        let (size, number) = unpack(self.live.remove(slot));
        if let Some(sums) = self.stacks.sums(number) {
            sums.live_objects = sums.live_objects.saturating_sub(weight(size));
            sums.live_bytes = sums.live_bytes.saturating_sub(weighed_bytes(size));
            sums.live_samples = sums.live_samples.saturating_sub(1);
        }
        true
    }

    fn take(&mut self, copy: &mut Copied<Sums>) -> Result<Counts, Room> {
        self.stacks.copy_to(copy)?;
        for sums in self.stacks.all_sums() {
            (sums.alloc_objects, sums.alloc_bytes) = (0, 0);
        }
        if self.stacks.is_filling() {
            let moved = self.stacks.retain(|sums| sums.live_samples > 0);
            self.live.revalue(|value| {
                let (size, number) = unpack(value);
                pack(size, moved.get(usize::from(number)).copied().unwrap_or_default())
            });
        }
        Ok(self.counts)
    }
}

/// A size of up to 2^48 and the number of a stack in one word.
fn pack(size: u64, number: u16) -> u64 {
    size.min((1 << 48) - 1) << 16 | u64::from(number)
}

fn unpack(value: u64) -> (u64, u16) {
    (value >> 16, value as u16)
}

fn lock() -> MutexGuard<'static, Option<Books>> {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::heap::live::MAX_LIVE;
    use crate::heap::stacks::{MAX_STACKS, OVERFLOW};

    fn block(number: usize) -> Block {
        Block { address: 0x1000 + 16 * number as u64, size: PERIOD }
    }

    fn sum(books: &mut Books, field: impl Fn(&Sums) -> u64) -> u64 {
        books.stacks.all_sums().map(|sums| field(sums)).sum()
    }

    #[test]
    fn blocks_without_room_are_counted_and_only_missing_in_use() {
        static LIVE: Live = Live::new();
        let mut books = Books::new(&LIVE);
        for number in 0..=MAX_LIVE {
            books.allocated(block(number), &[1, 2], Context::default());
        }
        assert_eq!((books.counts.samples, books.counts.unkept), (MAX_LIVE as u64 + 1, 1));
        let each = weighed_bytes(PERIOD);
        assert_eq!(sum(&mut books, |sums| sums.alloc_bytes), each * (MAX_LIVE as u64 + 1));
        assert_eq!(sum(&mut books, |sums| sums.live_bytes), each * MAX_LIVE as u64);
        assert!((0..MAX_LIVE).all(|number| books.freed(block(number).address)));
        assert!(!books.freed(block(MAX_LIVE).address), "was not kept");
        assert_eq!(sum(&mut books, |sums| sums.live_bytes + sums.live_objects), 0);
    }

    #[test]
    fn stacks_without_room_are_counted_and_lose_no_bytes() {
        static LIVE: Live = Live::new();
        let mut books = Books::new(&LIVE);
        for number in 0..MAX_STACKS {
            books.allocated(block(number), &[number as u64], Context::default());
        }
        assert_eq!((books.counts.unkept, books.counts.stackless), (0, 1));
        let lost = *books.stacks.sums(OVERFLOW).unwrap();
        assert_eq!((lost.alloc_bytes, lost.live_bytes), (weighed_bytes(PERIOD), lost.alloc_bytes));
    }

    #[test]
    fn what_was_allocated_begins_anew_and_what_lives_keeps_its_stack() {
        static LIVE: Live = Live::new();
        let mut books = Books::new(&LIVE);
        for number in 0..MAX_STACKS {
            books.allocated(block(number), &[number as u64], Context::default());
        }
        // All but every hundredth are freed: their stacks can go.
        for number in (0..MAX_STACKS).filter(|number| number % 100 != 7) {
            assert!(books.freed(block(number).address));
        }
        for alloc_bytes in [weighed_bytes(PERIOD) * MAX_STACKS as u64, 0] {
            let mut copy = Copied::with_room(Room::NONE);
            while let Err(room) = books.take(&mut copy) {
                copy = Copied::with_room(room);
            }
            assert_eq!(copy.iter().map(|(.., sums)| sums.alloc_bytes).sum::<u64>(), alloc_bytes);
            let alive: Vec<_> = copy
                .iter()
                .filter(|(.., sums)| sums.live_bytes > 0)
                .map(|(at, ..)| at[0])
                .collect();
            assert_eq!(alive, (7..MAX_STACKS as u64).step_by(100).collect::<Vec<_>>());
        }
        assert!(!books.stacks.is_filling());
        assert!((7..MAX_STACKS).step_by(100).all(|number| books.freed(block(number).address)));
        assert_eq!(sum(&mut books, |sums| sums.live_bytes + sums.live_samples), 0);
    }

    #[test]
    fn a_sample_stands_for_one_over_its_chance() {
        assert_eq!(weight(1 << 40), PARTS);
        let small = weight(16) as f64 / PARTS as f64;
        assert!((small - (PERIOD as f64 / 16.0 + 0.5)).abs() < 0.01, "{small}");
        assert_eq!(unpack(pack(1 << 40, 4_095)), (1 << 40, 4_095));
        assert_eq!(unpack(pack(u64::MAX, 1)).1, 1);
    }
}
