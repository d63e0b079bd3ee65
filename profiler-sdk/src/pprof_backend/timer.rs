//! The process's CPU interval timer, and who listens to it.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `ITIMER_PROF`, armed only while somebody wants samples.
///
/// The kernel allows one per process. It counts CPU time of all threads, so it stands still
/// while the process sleeps or is frozen.
pub(crate) struct CpuTimer {
    period: Duration,
    /// What was left of the current period when the timer was last disarmed.
    left: Mutex<Duration>,
}

impl CpuTimer {
    /// A disarmed timer of `hz` signals per CPU second, the first of which comes after a
    /// random part of a period: short-lived processes are then sampled without bias.
    pub(crate) fn new(hz: u32) -> Self {
        let period = period(hz);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let first = Duration::from_micros(u64::from(nanos) % micros(period).max(1));
        Self { period, left: Mutex::new(first) }
    }

    /// CPU time between two signals.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    /// Goes on where [`CpuTimer::disarm`] stopped.
    pub(crate) fn arm(&self) {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // A zero would disarm.
        set(self.period, (*left).max(Duration::from_micros(1)));
    }

    /// Stops signals that somebody else asked for.
    pub(crate) fn stop(&self) {
        set(self.period, Duration::ZERO);
    }

    /// Stops signals and remembers how much of the period was left.
    pub(crate) fn disarm(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = set(self.period, Duration::ZERO) {
            *left = rest.min(self.period);
        }
    }
}

/// The true period for a rate: the kernel takes whole microseconds.
pub(crate) fn period(hz: u32) -> Duration {
    Duration::from_micros(1_000_000 / u64::from(hz.max(1)))
}

/// Sets the timer; what was left of it, if it was armed.
fn set(interval: Duration, first: Duration) -> Option<Duration> {
    let wanted = libc::itimerval { it_interval: timeval(interval), it_value: timeval(first) };
    let mut before = MaybeUninit::<libc::itimerval>::zeroed();
    // SAFETY: both point to structures of ours; zeroes are a valid itimerval.
    let before = unsafe {
        libc::setitimer(libc::ITIMER_PROF, &wanted, before.as_mut_ptr());
        before.assume_init()
    };
    let seconds = u64::try_from(before.it_value.tv_sec).unwrap_or(0);
    let rest = u64::try_from(before.it_value.tv_usec).unwrap_or(0);
    let left = Duration::from_secs(seconds) + Duration::from_micros(rest);
    (!left.is_zero()).then_some(left)
}

fn timeval(duration: Duration) -> libc::timeval {
    let seconds = libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX);
    libc::timeval {
        tv_sec: seconds,
        tv_usec: libc::suseconds_t::from(duration.subsec_micros() as i32),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Who gets SIGPROF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Nobody: the signal would end the process.
    Fatal,
    /// Nobody: the signal is ignored.
    Ignored,
    /// The function at this address.
    Handler(usize),
}

/// Reads who gets SIGPROF.
pub(crate) fn sigprof() -> io::Result<Disposition> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: reads into a structure of ours, for which zeroes are valid.
    let action = unsafe {
        if libc::sigaction(libc::SIGPROF, std::ptr::null(), action.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        action.assume_init()
    };
    Ok(match action.sa_sigaction {
        libc::SIG_DFL => Disposition::Fatal,
        libc::SIG_IGN => Disposition::Ignored,
        handler => Disposition::Handler(handler),
    })
}

/// Makes a late SIGPROF harmless if nobody handles it any more: a signal may still be pending
/// on another thread when its timer is gone, and by default it would end the process.
pub(crate) fn survive_late_signals() {
    if matches!(sigprof(), Ok(Disposition::Fatal)) {
        // SAFETY: a plain system call with a constant of its own.
        unsafe { libc::signal(libc::SIGPROF, libc::SIG_IGN) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn periods_are_what_the_kernel_takes() {
        assert_eq!(period(99), Duration::from_micros(10_101));
        assert_eq!(period(0), Duration::from_secs(1));
    }
}
