//! What a thread's signal handler and everybody else know of the thread together.
//!
//! Slots are never freed, only given to the next thread, so a handler may look at one at any
//! time. A timer carries a ticket: the slot's number and the generation it was made for.

use std::cell::UnsafeCell;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, fence};

use crate::context::Context;
use crate::cpu::bounds::Bounds;

/// Most threads that are sampled at a time; further ones are counted as refused.
pub(crate) const MAX_THREADS: usize = 4_096;

/// Most frames of a stack; what is further out is cut off, and counted.
pub(crate) const MAX_FRAMES: usize = 256;

/// The upper bits of every ticket, against signals of other timers.
const MARK: u64 = 0xf1a6;

static SLOTS: [AtomicPtr<Slot>; MAX_THREADS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MAX_THREADS];

/// The state of one thread.
pub(crate) struct Slot {
    index: u16,
    generation: AtomicU32,
    tid: AtomicU32,
    low: AtomicU64,
    high: AtomicU64,
    /// A stack pointer seen while the bounds were unknown, for somebody to find them out.
    pub(crate) seen_sp: AtomicU64,
    /// CPU time between two samples.
    pub(crate) period: AtomicU64,
    /// CPU time up to the first sample: a random part of a period.
    pub(crate) first: AtomicU64,
    /// CPU time that samples stand for so far.
    pub(crate) weighed: AtomicU64,
    /// Whole periods that ended while the timer was off; the next sample stands for them too.
    pub(crate) owed: AtomicU64,
    /// The last stack that was seen. Written by the thread's handler, read when no handler
    /// can run any more.
    stack: UnsafeCell<[u64; MAX_FRAMES]>,
    depth: AtomicU32,
    context: AtomicU64,
    /// Whether the thread is in its handler.
    busy: AtomicBool,
}

// SAFETY: `stack` is written by the slot's own thread, and read when that cannot be (see
// `stack_mut` and `last`); everything else is atomic.
unsafe impl Sync for Slot {}

impl Slot {
    fn new(index: u16) -> Self {
        Self {
            index,
            generation: AtomicU32::new(0),
            tid: AtomicU32::new(0),
            low: AtomicU64::new(0),
            high: AtomicU64::new(0),
            seen_sp: AtomicU64::new(0),
            period: AtomicU64::new(0),
            first: AtomicU64::new(0),
            weighed: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            stack: UnsafeCell::new([0; MAX_FRAMES]),
            depth: AtomicU32::new(0),
            context: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        }
    }

    /// The slot of this number, made at first sight; `None` beyond [`MAX_THREADS`].
    pub(crate) fn numbered(index: usize) -> Option<&'static Self> {
        let place = SLOTS.get(index)?;
        // SAFETY: null or leaked below.
        if let Some(slot) = unsafe { place.load(Acquire).as_ref() } {
            return Some(slot);
        }
        let slot: &'static Self = Box::leak(Box::new(Self::new(u16::try_from(index).ok()?)));
        place.store(std::ptr::from_ref(slot).cast_mut(), Release);
        Some(slot)
    }

    /// Makes this the slot of a thread that no sample was taken of.
    pub(crate) fn begin(&self, tid: u32, bounds: Bounds) {
        self.tid.store(tid, Relaxed);
        self.set_bounds(bounds);
        for count in [&self.seen_sp, &self.weighed, &self.owed, &self.context] {
            count.store(0, Relaxed);
        }
        self.depth.store(0, Relaxed);
        self.generation.fetch_add(1, Release);
    }

    /// Signals that are still on their way are nobody's from now on.
    pub(crate) fn end(&self) {
        self.generation.fetch_add(1, Release);
    }

    /// What the thread's timer sends along.
    pub(crate) fn ticket(&self) -> u64 {
        let generation = u64::from(self.generation.load(Relaxed));
        MARK << 48 | generation << 16 | u64::from(self.index)
    }

    /// The slot a ticket is for, if its thread is still the same. Async-signal-safe.
    #[inline]
    pub(crate) fn of_ticket(ticket: u64) -> Option<&'static Self> {
        let place = SLOTS.get((ticket & 0xffff) as usize)?;
        // SAFETY: null or leaked in `numbered`.
        let slot = unsafe { place.load(Acquire).as_ref() }?;
        (slot.ticket() == ticket).then_some(slot)
    }

    pub(crate) fn index(&self) -> usize {
        self.index.into()
    }

    pub(crate) fn tid(&self) -> u32 {
        self.tid.load(Relaxed)
    }

    #[inline]
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::new(self.low.load(Relaxed), self.high.load(Relaxed))
    }

    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.low.store(bounds.low(), Relaxed);
        self.high.store(bounds.high(), Relaxed);
    }

    /// CPU time of the thread, counted while sampling, at which the next sample is due.
    pub(crate) fn due(&self) -> u64 {
        match self.weighed.load(Relaxed) {
            0 => self.first.load(Relaxed),
            weighed => weighed.saturating_add(self.period.load(Relaxed)),
        }
    }

    /// CPU time that a sample taken now stands for, after `overruns` missed ones. The sum of
    /// all weights is always the CPU time up to the last sample that was due.
    #[inline]
    pub(crate) fn weigh(&self, overruns: u64) -> u64 {
        let weighed = self.weighed.load(Relaxed);
        let period = self.period.load(Relaxed);
        let step = if weighed == 0 { self.first.load(Relaxed) } else { period };
        let owed = self.owed.swap(0, Relaxed);
        let weight = step.saturating_add(overruns.saturating_mul(period)).saturating_add(owed);
        self.weighed.store(weighed.saturating_add(weight), Relaxed);
        weight
    }

    /// Says that the thread is in its handler, before that asks whether it is wanted.
    #[inline]
    pub(crate) fn enter(&self) {
        self.busy.store(true, Relaxed);
        fence(SeqCst);
    }

    /// Says that it is out again.
    #[inline]
    pub(crate) fn leave(&self) {
        self.busy.store(false, Release);
    }

    /// Whether no handler is at work, nor will be if none is wanted since before the call.
    pub(crate) fn is_quiet(&self) -> bool {
        fence(SeqCst);
        !self.busy.load(Acquire)
    }

    /// Where the thread's handler puts a stack.
    ///
    /// # Safety
    /// Only in the handler of the slot's own thread, which does not interrupt itself.
    #[allow(clippy::mut_from_ref)]
    #[inline]
    pub(crate) unsafe fn stack_mut(&self) -> &mut [u64; MAX_FRAMES] {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.stack.get() }
    }

    /// Notes how much of the stack is valid, and what it belonged to.
    #[inline]
    pub(crate) fn set_last(&self, depth: usize, context: Context) {
        self.depth.store(depth as u32, Relaxed);
        let packed = u64::from(context.labels) << 32 | u64::from(context.span);
        self.context.store(packed, Relaxed);
    }

    /// The last stack seen, empty if none was.
    ///
    /// # Safety
    /// Only when no handler writes it: [`end`](Slot::end) was called by the thread itself, or
    /// no samples are wanted and the slot [is quiet](Slot::is_quiet).
    pub(crate) unsafe fn last(&self) -> (&[u64], Context) {
        // SAFETY: the caller's promise.
        let stack = unsafe { &*self.stack.get() };
        let frames = stack.get(..self.depth.load(Relaxed) as usize).unwrap_or_default();
        let packed = self.context.load(Relaxed);
        (frames, Context { labels: (packed >> 32) as u32, span: packed as u32 })
    }

    pub(crate) fn was_sampled(&self) -> bool {
        self.depth.load(Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Far from the numbers that real threads of the test process get.
    fn slot(index: usize) -> &'static Slot {
        Slot::numbered(MAX_THREADS - 1 - index).unwrap()
    }

    #[test]
    fn a_ticket_is_for_one_thread_only() {
        let slot = slot(0);
        slot.begin(1, Bounds::UNKNOWN);
        let ticket = slot.ticket();
        assert_eq!(Slot::of_ticket(ticket).unwrap().tid(), 1);
        slot.end();
        assert!(Slot::of_ticket(ticket).is_none());
        slot.begin(2, Bounds::UNKNOWN);
        assert!(Slot::of_ticket(ticket).is_none());
        for foreign in [0, 1, ticket ^ 1 << 60, u64::MAX, 0xffff] {
            assert!(Slot::of_ticket(foreign).is_none(), "{foreign:#x}");
        }
        assert!(Slot::numbered(MAX_THREADS).is_none());
    }

    #[test]
    fn weights_add_up_to_the_time_of_the_last_sample() {
        let slot = slot(1);
        slot.begin(1, Bounds::UNKNOWN);
        slot.period.store(100, Relaxed);
        slot.first.store(30, Relaxed);
        assert_eq!(slot.due(), 30);
        assert_eq!((slot.weigh(0), slot.due()), (30, 130));
        assert_eq!((slot.weigh(2), slot.due()), (300, 430));
        slot.owed.store(500, Relaxed);
        assert_eq!((slot.weigh(0), slot.due()), (600, 1030));
        assert_eq!((slot.weigh(0), slot.due()), (100, 1130));
        slot.weigh(u64::MAX);
        assert_eq!(slot.due(), u64::MAX);
    }

    #[test]
    fn the_first_sample_may_be_late_too() {
        let slot = slot(2);
        slot.begin(1, Bounds::UNKNOWN);
        slot.period.store(100, Relaxed);
        slot.first.store(1, Relaxed);
        assert_eq!((slot.weigh(3), slot.due()), (301, 401));
    }
}
