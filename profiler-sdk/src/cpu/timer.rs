//! One kernel timer on one thread's CPU clock.
//!
//! System calls and the numbering of clocks: `timer_create(2)`, `clock_getcpuclockid(3)` and
//! the kernel's `include/linux/posix-timers_types.h`. The C library's own `timer_create` is
//! not used, for it arms timers of the calling thread only.

use std::mem::MaybeUninit;

use libc::{c_int, c_long, clockid_t, itimerspec, timespec};

/// The kernel's timer flag for a point in time instead of a delay.
const TIMER_ABSTIME: c_int = 1;

/// The clock of a thread, by its number: `!tid` above three bits that say "thread" and
/// "CPU time as the scheduler counts it".
fn clock_of(tid: u32) -> clockid_t {
    (!(tid.cast_signed()) << 3) | 6
}

/// CPU time of a thread of this process in nanoseconds; `None` if there is none of that number.
pub(crate) fn cpu_time(tid: u32) -> Option<u64> {
    read(clock_of(tid))
}

/// Nanoseconds of `CLOCK_MONOTONIC`. Async-signal-safe, and no system call.
#[inline]
pub(crate) fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

#[inline]
fn read(clock: clockid_t) -> Option<u64> {
    let mut time = MaybeUninit::<timespec>::uninit();
    // SAFETY: the kernel fills the structure or says that it did not.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return None;
        }
        time.assume_init()
    };
    Some(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// The kernel's number of the calling thread.
pub(crate) fn this_thread() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// A timer that sends SIGPROF to a thread when the thread has used its CPU time.
pub(crate) struct Timer(c_int);

impl Timer {
    /// A disarmed timer of thread `tid`; its signals carry `value`. `None` if the thread is
    /// gone or the user has too many signals pending (`RLIMIT_SIGPENDING` counts timers).
    pub(crate) fn create(tid: u32, value: u64) -> Option<Self> {
        // SAFETY: zeroes are a valid sigevent.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGPROF;
        event.sigev_notify_thread_id = tid.cast_signed();
        event.sigev_value = libc::sigval { sival_ptr: value as *mut libc::c_void };
        let mut id: c_int = 0;
        let clock = c_long::from(clock_of(tid));
        // SAFETY: both structures are ours; the kernel checks the rest.
        let result =
            unsafe { libc::syscall(libc::SYS_timer_create, clock, &raw mut event, &raw mut id) };
        (result == 0).then_some(Self(id))
    }

    /// Sends a signal when the thread's CPU time is `at`, and every `period` from then on.
    /// Whether there was still such a thread.
    pub(crate) fn arm(&self, at: u64, period: u64) -> bool {
        // Zero would disarm.
        self.set(timespec_of(at.max(1)), timespec_of(period))
    }

    /// No signal any more.
    pub(crate) fn disarm(&self) {
        self.set(timespec_of(0), timespec_of(0));
    }

    fn set(&self, value: timespec, interval: timespec) -> bool {
        let spec = itimerspec { it_interval: interval, it_value: value };
        let nothing = std::ptr::null_mut::<itimerspec>();
        let (id, flags) = (c_long::from(self.0), c_long::from(TIMER_ABSTIME));
        // SAFETY: our own timer and structure.
        unsafe { libc::syscall(libc::SYS_timer_settime, id, flags, &raw const spec, nothing) == 0 }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: our own timer, once.
        unsafe { libc::syscall(libc::SYS_timer_delete, c_long::from(self.0)) };
    }
}

/// Sends the calling thread what its timer would send; whether that was possible.
pub(crate) fn signal_here(ticket: u64) -> bool {
    // SAFETY: zeroes are a valid structure, and the kernel copies it; a process may send
    // itself any code.
    unsafe {
        let mut info: [u64; 16] = MaybeUninit::zeroed().assume_init();
        info[1] = u64::from(libc::SI_TIMER.cast_unsigned());
        info[3] = ticket;
        let (process, thread) = (c_long::from(libc::getpid()), c_long::from(this_thread()));
        let signal = c_long::from(libc::SIGPROF);
        let info = info.as_ptr();
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, info) == 0
    }
}

fn timespec_of(nanos: u64) -> timespec {
    timespec {
        tv_sec: (nanos / 1_000_000_000).cast_signed(),
        tv_nsec: (nanos % 1_000_000_000).cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_threads_clock_counts_its_own_time() {
        let before = cpu_time(this_thread()).unwrap();
        while cpu_time(this_thread()).unwrap() < before + 2_000_000 {}
        let idle = std::thread::spawn(|| cpu_time(this_thread()).unwrap()).join().unwrap();
        assert!(idle < before + 2_000_000_000, "{idle}");
        assert_eq!(cpu_time(u32::MAX >> 4), None);
    }

    #[test]
    fn there_is_no_timer_of_a_thread_that_is_not_there() {
        assert!(Timer::create(u32::MAX >> 4, 0).is_none());
        let timer = Timer::create(this_thread(), 0).unwrap();
        assert!(timer.arm(u64::MAX / 4, 1_000_000));
        timer.disarm();
    }
}
