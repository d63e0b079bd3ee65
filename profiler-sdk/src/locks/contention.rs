//! Waits: which are kept, and what they stand for.
//!
//! A wait of `d` is kept with probability p = min(1, d / period) and then counts 1/p waits and
//! d/p of delay. Both are right in expectation, waits that matter are all kept, and what is
//! kept costs a walk up the stack per period waited at most. Go's block profile chooses alike
//! (`blocksampled` in runtime/mprof.go); its mutex profile keeps one wait in so many whatever
//! they cost, which is as right but says little of few long ones.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::context::{self, Context};
use crate::heap::draw::Draw;
use crate::heap::stack::Stack;
use crate::heap::stacks::{Copied, OVERFLOW, Room, Stacks};

/// Waits are counted in these parts of one.
pub(crate) const PARTS: u64 = 1_024;

/// Nanoseconds of waiting per sample; 0 if nothing is recorded.
static PERIOD: AtomicU64 = AtomicU64::new(0);

static BOOKS: Mutex<Option<Books>> = Mutex::new(None);

thread_local! {
    static DRAW: Draw = const { Draw::new() };
}

/// Waits on one stack, since the last collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// In [`PARTS`].
    pub(crate) contentions: u64,
    /// In nanoseconds.
    pub(crate) delay: u64,
}

struct Books {
    stacks: Stacks<Sums>,
    stackless: u64,
}

/// Whether waits are timed: all there is to do when they are not.
#[inline(always)]
pub(crate) fn is_recorded() -> bool {
    PERIOD.load(Relaxed) != 0
}

/// Opens new books; false if there are some.
pub(crate) fn open(period: u64) -> bool {
    let fresh = Books { stacks: Stacks::new(), stackless: 0 };
    let mut books = lock();
    let is_closed = books.is_none();
    if is_closed {
        *books = Some(fresh);
        PERIOD.store(period, Relaxed);
    }
    is_closed
}

/// Closes the books.
pub(crate) fn close() {
    PERIOD.store(0, Relaxed);
    let closed = lock().take();
    drop(closed);
}

/// What was kept since the last time, and how many waits have lost their stack since the start.
pub(crate) fn take() -> Option<(Copied<Sums>, u64)> {
    let mut copy = Copied::with_room(Room::NONE);
    loop {
        // The lock is free again where memory is taken.
        let taken = lock().as_mut().map(|books| books.take(&mut copy));
        match taken? {
            Ok(stackless) => return Some((copy, stackless)),
            Err(room) => copy = Copied::with_room(room),
        }
    }
}

/// Times `lock`, which has to wait, and books the wait if it is one that is kept.
#[cold]
#[inline(never)]
pub(crate) fn waiting<G>(lock: impl FnOnce() -> G) -> G {
    let began = Instant::now();
    let guard = lock();
    let delay = began.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
    let unit = DRAW.with(Draw::unit);
    if let Some(sums) = weighed(delay, PERIOD.load(Relaxed), unit) {
        add(Stack::here().callers(), sums);
    }
    guard
}

fn add(frames: &[u64], sums: Sums) {
    if let Some(books) = lock().as_mut() {
        books.add(frames, context::current(), sums);
    }
}

/// What a wait stands for, given a number drawn evenly from (0, 1]; `None` if it is not kept.
fn weighed(delay: u64, period: u64, unit: f64) -> Option<Sums> {
    let delay = delay.max(1);
    if delay >= period {
        return Some(Sums { contentions: PARTS, delay });
    }
    let parts = PARTS as f64 * period as f64 / delay as f64;
    (unit * period as f64 <= delay as f64)
        .then_some(Sums { contentions: parts.round() as u64, delay: period })
}

impl Books {
    fn take(&mut self, copy: &mut Copied<Sums>) -> Result<u64, Room> {
        self.stacks.copy_to(copy)?;
        self.stacks.clear();
        Ok(self.stackless)
    }

    fn add(&mut self, frames: &[u64], context: Context, more: Sums) {
        let number = self.stacks.number(frames, context);
        self.stackless += u64::from(number == OVERFLOW);
        if let Some(sums) = self.stacks.sums(number) {
            sums.contentions = sums.contentions.saturating_add(more.contentions);
            sums.delay = sums.delay.saturating_add(more.delay);
        }
    }
}

fn lock() -> MutexGuard<'static, Option<Books>> {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::heap::stacks::MAX_STACKS;

    #[test]
    fn long_waits_are_all_kept_as_they_are() {
        for delay in [1_000, 1_001, u64::MAX] {
            assert_eq!(weighed(delay, 1_000, 1.0), Some(Sums { contentions: PARTS, delay }));
        }
        assert_eq!(weighed(999, 1_000, 1.0), None);
        // Switched off meanwhile: kept, and the books are closed.
        assert!(weighed(0, 0, 1.0).is_some());
    }

    #[test]
    fn short_waits_add_up_to_what_they_were() {
        let (draw, count, period) = (Draw::new(), 200_000, 10_000);
        for delay in [50, 1_000, 9_000] {
            let kept: Vec<_> =
                (0..count).filter_map(|_| weighed(delay, period, draw.unit())).collect();
            let chance = delay as f64 / period as f64;
            // Of so many, each kept with this chance, five deviations.
            let wanted = count as f64 * chance;
            let bound = 5.0 * (wanted * (1.0 - chance)).sqrt();
            assert!((kept.len() as f64 - wanted).abs() < bound, "{delay}: {}", kept.len());
            let [contentions, waited] = kept.iter().fold([0, 0], |[contentions, waited], sums| {
                [contentions + sums.contentions, waited + sums.delay]
            });
            let per_kept = |sum: u64| sum as f64 / kept.len() as f64 * chance;
            assert!((per_kept(contentions) / PARTS as f64 - 1.0).abs() < 0.001);
            assert!((per_kept(waited) / delay as f64 - 1.0).abs() < 0.001);
        }
    }

    #[test]
    fn stacks_without_room_are_counted_and_lose_no_waits() {
        let mut books = Books { stacks: Stacks::new(), stackless: 0 };
        let each = Sums { contentions: PARTS, delay: 3 };
        (0..MAX_STACKS as u64).for_each(|stack| books.add(&[stack], Context::default(), each));
        assert_eq!(books.stackless, 1);
        assert_eq!(books.stacks.sums(OVERFLOW), Some(&mut Sums { contentions: PARTS, delay: 3 }));
        let delay: u64 = books.stacks.all_sums().map(|sums| sums.delay).sum();
        assert_eq!(delay, 3 * MAX_STACKS as u64);
    }
}
