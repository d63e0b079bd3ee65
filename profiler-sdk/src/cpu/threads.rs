//! All threads of the process, their timers, and the books on their CPU time.
//!
//! A thread's *active* time is the CPU time it used while the engine was sampling. Samples and
//! residual records of a thread always add up to it: what the kernel's tick came too late for,
//! or lies behind the last sample, goes onto the stack seen last when the books are closed, at
//! the thread's end or with a snapshot.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::context::{self, Context};
use crate::cpu::bounds::{self, Bounds};
use crate::cpu::handler::{self, Count, count};
use crate::cpu::random::up_to;
use crate::cpu::sites::Sites;
use crate::cpu::slot::Slot;
use crate::cpu::tasks;
use crate::cpu::timer::{Timer, cpu_time, this_thread};
use crate::log::SampleKind;

/// When the first sample of a thread is due that will hardly live for a second one: with the
/// first tick that meets it.
const SOON: u64 = 200_000;

/// CPU time that a thread runs at least before its next sample: long enough to get out of here,
/// and out of the system call it slept in.
const HEAD_START: u64 = 50_000;

/// Whether samples are wanted now. Read by the handler.
static SAMPLING: AtomicBool = AtomicBool::new(false);

static THREADS: Mutex<Threads> = Mutex::new(Threads::new());

/// Where a thread came from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    /// Its start routine; 0 if not known.
    pub(crate) start: u64,
    /// A hash of the stack that started it; 0 if not known.
    pub(crate) site: u64,
}

struct Thread {
    slot: &'static Slot,
    origin: Origin,
    timer: Option<Timer>,
    /// CPU time used while sampling, up to the last pause.
    active: u64,
    /// The thread's clock when sampling went on.
    resumed_at: u64,
    is_named: bool,
    /// Whether it was counted that there is no timer for it.
    is_refused: bool,
}

struct Threads {
    /// By their slots' numbers.
    known: Vec<Option<Thread>>,
    free: Vec<usize>,
    sites: Sites,
    /// What the task directory said when it was last read, and what changed since.
    tasks: i64,
    period: u64,
}

/// Whether samples are wanted now. Async-signal-safe.
#[inline]
pub(crate) fn is_sampling() -> bool {
    SAMPLING.load(Acquire)
}

fn threads() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enters the calling thread; the ticket is for [`end_here`]. `None` if there are too many.
pub(crate) fn begin_here(origin: Origin, bounds: Bounds) -> Option<u64> {
    let tid = this_thread();
    let mut threads = threads();
    if let Some(known) = threads.find(tid) {
        known.slot.set_bounds(bounds);
        return Some(known.slot.ticket());
    }
    let slot = threads.add(tid, origin, bounds)?;
    if is_sampling() {
        let now = cpu_time(tid).unwrap_or(0);
        threads.resume(slot.index(), now);
        // The thread's life began inside of what is sampled: all of it counts.
        threads.credit(slot.index(), now);
    }
    Some(slot.ticket())
}

/// The ticket of a thread that is in the books.
pub(crate) fn ticket_of(tid: u32) -> Option<u64> {
    threads().find(tid).map(|thread| thread.slot.ticket())
}

/// Closes the books on the calling thread, which is about to end.
pub(crate) fn end_here(ticket: u64) {
    let Some(slot) = Slot::of_ticket(ticket) else { return };
    let now = cpu_time(slot.tid());
    let mut threads = threads();
    let Some(mut thread) = threads.remove(slot.index()) else { return };
    thread.timer = None;
    slot.end();
    if is_sampling() {
        thread.pass(now);
    }
    threads.close(&thread);
    threads.free.push(slot.index());
}

/// Begins sampling, or goes on, now with this period.
pub(crate) fn resume(period: u64) {
    let mut threads = threads();
    threads.period = period;
    let was_sampling = SAMPLING.swap(true, AcqRel);
    if threads.tasks != tasks::count() {
        threads.scan();
    }
    for index in 0..threads.known.len() {
        let Some(thread) = threads.known.get_mut(index).and_then(Option::as_mut) else { continue };
        let Some(now) = cpu_time(thread.slot.tid()) else { continue };
        if was_sampling && thread.timer.is_some() {
            thread.pass(Some(now));
        }
        threads.resume(index, now);
    }
    threads.name_sampled();
}

/// Goes on with another period, if it goes on at all.
pub(crate) fn set_period(period: u64) {
    if is_sampling() {
        resume(period);
    }
}

/// Stops sampling. No signal comes until the next [`resume`].
pub(crate) fn pause() {
    let mut threads = threads();
    SAMPLING.store(false, Release);
    for thread in threads.known.iter_mut().flatten() {
        if let Some(timer) = &thread.timer {
            timer.disarm();
            let now = cpu_time(thread.slot.tid());
            thread.pass(now);
        }
    }
}

/// Stops sampling and gives the timers back.
pub(crate) fn stop() {
    pause();
    for thread in threads().known.iter_mut().flatten() {
        thread.timer = None;
    }
}

/// In a forked child: nothing is sampled there, and none of these threads exists.
pub(crate) fn forget() {
    SAMPLING.store(false, Release);
}

/// Brings the books in line with the task directory: the net under threads that nobody told of.
pub(crate) fn scan() {
    threads().scan();
}

/// As [`scan`], if threads came or went without a word.
pub(crate) fn scan_if_changed() {
    let mut threads = threads();
    if threads.tasks != tasks::count() {
        threads.scan();
    }
}

/// Closes the books for a snapshot. While sampling nothing is closed: the next one has it.
pub(crate) fn settle() {
    let mut threads = threads();
    threads.scan();
    threads.name_sampled();
    if is_sampling() {
        return;
    }
    let period = threads.period;
    for thread in threads.known.iter_mut().flatten() {
        // A thread without a sample in this snapshot has hardly run: it goes on to the next.
        if thread.slot.weighed.load(Relaxed) > 0 && thread.slot.is_quiet() {
            thread.settle(&[]);
            thread.begin_books(period, false);
        }
    }
}

impl Threads {
    const fn new() -> Self {
        Self { known: Vec::new(), free: Vec::new(), sites: Sites::new(), tasks: 0, period: 0 }
    }

    fn find(&self, tid: u32) -> Option<&Thread> {
        self.known.iter().flatten().find(|thread| thread.slot.tid() == tid)
    }

    fn add(&mut self, tid: u32, origin: Origin, bounds: Bounds) -> Option<&'static Slot> {
        let index = self.free.pop().unwrap_or(self.known.len());
        let Some(slot) = Slot::numbered(index) else {
            count(Count::Refused);
            return None;
        };
        slot.begin(tid, bounds);
        let thread = Thread {
            slot,
            origin,
            timer: None,
            active: 0,
            resumed_at: 0,
            is_named: false,
            is_refused: false,
        };
        match self.known.get_mut(index) {
            Some(place) => *place = Some(thread),
            None => self.known.push(Some(thread)),
        }
        self.tasks += 1;
        Some(slot)
    }

    fn remove(&mut self, index: usize) -> Option<Thread> {
        let thread = self.known.get_mut(index)?.take()?;
        self.tasks -= 1;
        Some(thread)
    }

    /// Arms a thread's timer for the next sample that is due; its clock says `now`.
    fn resume(&mut self, index: usize, now: u64) {
        let Some(thread) = self.known.get_mut(index).and_then(Option::as_mut) else { return };
        if thread.timer.is_none() {
            thread.timer = Timer::create(thread.slot.tid(), thread.slot.ticket());
            thread.begin_books(self.period, self.sites.are_short(thread.origin.site, self.period));
        }
        let Some(timer) = &thread.timer else {
            if !std::mem::replace(&mut thread.is_refused, true) {
                count(Count::Refused);
            }
            return;
        };
        let slot = thread.slot;
        slot.period.store(self.period, Relaxed);
        thread.resumed_at = now;
        // A sample that is due already must not come at once: it would interrupt a thread that
        // is asleep and show where it sleeps, or the calling one right here.
        let late = (thread.active + HEAD_START).saturating_sub(slot.due());
        slot.owed.store(late / self.period.max(1) * self.period, Relaxed);
        let wait = slot.due().saturating_sub(thread.active).max(HEAD_START);
        timer.arm(now.saturating_add(wait), self.period);
    }

    /// Counts CPU time of a thread from before it was entered.
    fn credit(&mut self, index: usize, nanos: u64) {
        if let Some(thread) = self.known.get_mut(index).and_then(Option::as_mut) {
            thread.active += nanos;
        }
    }

    /// Finds threads that came and went unnoticed.
    fn scan(&mut self) {
        self.tasks = tasks::count();
        let Some(present) = tasks::list() else { return };
        for index in 0..self.known.len() {
            let tid = self.known[index].as_ref().map(|thread| thread.slot.tid());
            // The directory may miss a thread while others end: its clock does not.
            if tid.is_some_and(|tid| !present.contains(&tid) && cpu_time(tid).is_none()) {
                self.lose(index);
            }
        }
        let missing: Vec<_> = present.into_iter().filter(|tid| self.find(*tid).is_none()).collect();
        for tid in missing {
            self.tasks -= 1;
            let Some(slot) = self.add(tid, Origin::default(), tasks::bounds(tid)) else { break };
            if is_sampling()
                && let Some(now) = cpu_time(tid)
            {
                self.resume(slot.index(), now);
            }
        }
        for thread in self.known.iter_mut().flatten() {
            find_bounds(thread.slot);
        }
    }

    /// A thread went without a word: its stack is nobody's to read any more.
    fn lose(&mut self, index: usize) {
        if let Some(thread) = self.remove(index) {
            self.tasks += 1;
            thread.slot.end();
            self.free.push(index);
        }
    }

    /// Closes the books on a thread that ends.
    fn close(&mut self, thread: &Thread) {
        if thread.active == 0 {
            return;
        }
        // SAFETY: the thread's own, with its timer gone and its tickets void.
        let (seen, _) = unsafe { thread.slot.last() };
        let is_seen = thread.slot.weighed.load(Relaxed) > 0;
        if is_seen {
            thread.settle(&[]);
        } else {
            let start = [thread.origin.start];
            let sibling = self.sites.stack(thread.origin.site);
            let stack = [seen, sibling, &start].into_iter().find(|stack| !stack.is_empty());
            thread.settle(stack.unwrap_or_default());
        }
        let seen = if is_seen { seen } else { &[] };
        self.sites.ended(thread.origin.site, thread.active, seen);
        tasks::name_here(thread.slot.tid());
    }

    /// Notes the names of sampled threads, once each: a log left behind by a killed process
    /// should have them.
    fn name_sampled(&mut self) {
        for thread in self.known.iter_mut().flatten() {
            if thread.slot.was_sampled() && !thread.is_named {
                tasks::name(thread.slot.tid());
                thread.is_named = true;
            }
        }
    }
}

impl Thread {
    /// Draws when the first sample is due. A thread that is likely to be short gets it with
    /// its first tick.
    fn begin_books(&mut self, period: u64, is_short: bool) {
        let first = up_to(if is_short { period.min(SOON) } else { period });
        self.active = 0;
        self.slot.period.store(period, Relaxed);
        self.slot.first.store(first, Relaxed);
        self.slot.weighed.store(0, Relaxed);
        self.slot.owed.store(0, Relaxed);
    }

    /// The thread was sampled up to `now`.
    fn pass(&mut self, now: Option<u64>) {
        if let Some(now) = now {
            self.active += now.saturating_sub(self.resumed_at);
            self.resumed_at = now;
        }
    }

    /// Writes what no sample stands for yet: onto the stack seen last, or onto `otherwise`,
    /// which is nobody's labels.
    fn settle(&self, otherwise: &[u64]) {
        let rest = self.active.saturating_sub(self.slot.weighed.load(Relaxed));
        if rest == 0 {
            return;
        }
        // SAFETY: see `close`; in `settle` nothing is sampled.
        let (seen, context) = unsafe { self.slot.last() };
        let (stack, context) = match otherwise {
            [] => (seen, context),
            stack => (stack, own_context(self.slot.tid())),
        };
        handler::record(self.slot.tid(), SampleKind::Residual, rest, context, stack);
    }
}

/// The context of a thread that ends is still to be seen, by itself only.
fn own_context(tid: u32) -> Context {
    if tid == this_thread() { context::current() } else { Context::default() }
}

/// Bounds of a thread that was found by a scan, from a stack pointer that its handler saw.
fn find_bounds(slot: &Slot) {
    let sp = slot.seen_sp.load(Relaxed);
    if sp != 0 && !slot.bounds().is_known() {
        let found = bounds::mapping_of(sp, &mut [0; 4096]);
        slot.set_bounds(found.unwrap_or(Bounds::UNKNOWN));
    }
}
