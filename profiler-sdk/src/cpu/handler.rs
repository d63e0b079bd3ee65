//! The signal handler, and what it may touch.
//!
//! It interrupts anything: an allocator inside its lock, a loader, another handler. So it takes
//! no lock, allocates nothing, and calls nothing but the clock, which is no system call. All
//! else is atomics, its thread's slot, and its thread's own stack.

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

use libc::{c_int, c_void, siginfo_t};

use crate::context::{self, Context};
use crate::cpu::bounds::cut_here;
use crate::cpu::registers::interrupted;
use crate::cpu::slot::Slot;
use crate::cpu::threads::is_sampling;
use crate::cpu::timer::monotonic;
use crate::cpu::unwind::{self, End};
use crate::engine::EngineError;
use crate::log::{Counter, SampleHead, SampleKind, SampleLog};

/// What is counted along the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Samples written.
    Samples,
    /// Nanoseconds that samples and residual records stand for.
    Weight,
    /// Records that found no room.
    Dropped,
    /// Periods that ended unseen and are part of the next sample's weight.
    Overruns,
    /// Stacks with more frames than are kept.
    Truncated,
    /// Stacks that ended at a frame nobody understands.
    Lost,
    /// Stacks of a thread whose bounds are not known: the interrupted function only.
    Unbounded,
    /// Threads without a timer.
    Refused,
    /// Signals that no timer of ours sent.
    Foreign,
}

static COUNTS: [AtomicU64; 9] = [const { AtomicU64::new(0) }; 9];

/// Where samples go; null if nowhere.
static LOG: AtomicPtr<SampleLog> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn count(what: Count) {
    add(what, 1);
}

#[inline]
fn add(what: Count, more: u64) {
    if let Some(count) = COUNTS.get(what as usize) {
        count.fetch_add(more, Relaxed);
    }
}

/// How much was counted so far.
pub(crate) fn counted(what: Count) -> u64 {
    COUNTS.get(what as usize).map_or(0, |count| count.load(Relaxed))
}

/// Samples go there from now on.
pub(crate) fn set_log(log: &'static SampleLog) {
    LOG.store(std::ptr::from_ref(log).cast_mut(), Release);
}

#[inline]
fn log() -> Option<&'static SampleLog> {
    // SAFETY: null or from a reference for the life of the process.
    unsafe { LOG.load(Acquire).as_ref() }
}

/// Writes a record, also outside of the handler.
#[inline]
pub(crate) fn record(tid: u32, kind: SampleKind, weight: u64, context: Context, stack: &[u64]) {
    let head = SampleHead { tid, kind, at: monotonic(), weight, context };
    if log().is_some_and(|log| log.append(head, stack)) {
        add(Count::Weight, weight);
    } else {
        count(Count::Dropped);
    }
}

/// Becomes the process's handler of SIGPROF, for good: a signal that comes late must find it.
///
/// # Errors
/// [`EngineError::SignalTaken`] if somebody else handles it.
pub(crate) fn install() -> Result<(), EngineError> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if is_ours() {
        return Ok(());
    }
    if INSTALLED.load(Acquire) || !is_free() {
        return Err(EngineError::SignalTaken);
    }
    // SAFETY: zeroes are a valid action; the handler is one for `SA_SIGINFO`.
    let result = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut())
    };
    INSTALLED.store(result == 0, Release);
    match result {
        0 => Ok(()),
        _ => Err(EngineError::Failed(std::io::Error::last_os_error().to_string())),
    }
}

/// Whether SIGPROF still comes here.
pub(crate) fn is_ours() -> bool {
    disposition() == Some(on_signal as *const () as usize)
}

fn is_free() -> bool {
    matches!(disposition(), Some(libc::SIG_DFL | libc::SIG_IGN))
}

fn disposition() -> Option<usize> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: reads into a structure of ours, for which zeroes are valid.
    unsafe {
        let result = libc::sigaction(libc::SIGPROF, std::ptr::null(), action.as_mut_ptr());
        (result == 0).then(|| action.assume_init().sa_sigaction)
    }
}

/// The part of `siginfo_t` that a timer's signal has, as the kernel lays it out on 64 bits.
#[repr(C)]
struct TimerInfo {
    signal: c_int,
    error: c_int,
    code: c_int,
    _padding: c_int,
    timer: c_int,
    overrun: c_int,
    value: u64,
}

extern "C" fn on_signal(_signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the thread's own; the kernel's structures are valid during the handler.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        sample(&*info.cast::<TimerInfo>(), context);
        *errno = before;
    }
}

/// # Safety
/// `context` is the third argument of the handler.
unsafe fn sample(info: &TimerInfo, context: *mut c_void) {
    if info.code != libc::SI_TIMER || info.signal != libc::SIGPROF {
        return count(Count::Foreign);
    }
    // None: of a thread or an engine that is no more.
    let Some(slot) = Slot::of_ticket(info.value) else { return };
    slot.enter();
    if is_sampling() {
        // SAFETY: the caller's promise, and this is the slot's thread: its timer signals it.
        unsafe { take(slot, info.overrun, context) };
    }
    slot.leave();
}

/// # Safety
/// In the handler, on the slot's thread; `context` is the handler's third argument.
unsafe fn take(slot: &'static Slot, overrun: c_int, context: *mut c_void) {
    let overruns = u64::try_from(overrun).unwrap_or(0);
    // SAFETY: the caller's promises.
    let (registers, stack) = unsafe { (interrupted(context), slot.stack_mut()) };
    let (depth, end) = unwind::walk(registers, cut_here(slot.bounds()), stack);
    note(end, slot, registers.sp);
    let context = context::current();
    slot.set_last(depth, context);
    let frames = stack.get(..depth).unwrap_or_default();
    record(slot.tid(), SampleKind::Cpu, slot.weigh(overruns), context, frames);
    count(Count::Samples);
    if overruns > 0 {
        add(Count::Overruns, overruns);
        tell(Counter::Overruns, overruns);
    }
}

/// Counts how a walk ended, if not at the root.
#[inline]
fn note(end: End, slot: &Slot, sp: u64) {
    match end {
        End::Root => {}
        End::Full => {
            count(Count::Truncated);
            tell(Counter::Truncated, 1);
        }
        End::Lost => count(Count::Lost),
        End::Off => tell(Counter::Unwalked, 1),
        End::NoBounds => {
            slot.seen_sp.store(sp, Relaxed);
            count(Count::Unbounded);
            tell(Counter::Unwalked, 1);
        }
    }
}

/// Counts in the log too, for whoever reads it after this process.
#[inline]
fn tell(counter: Counter, by: u64) {
    if let Some(log) = log() {
        log.count(counter, by);
    }
}
