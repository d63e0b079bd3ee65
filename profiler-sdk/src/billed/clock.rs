//! What time it is, for the ledger. The only place that asks.

/// Two clocks, in nanoseconds. A simulated day puts others here.
pub trait Clock: Send + Sync + 'static {
    /// Time that passes, also while the process sleeps, from an origin of its own
    /// (`CLOCK_MONOTONIC`, as CPU samples have it).
    fn now(&self) -> u64;

    /// CPU time of the whole process (`CLOCK_PROCESS_CPUTIME_ID`), a system call.
    fn cpu(&self) -> u64;
}

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> u64 {
        read(libc::CLOCK_MONOTONIC)
    }

    fn cpu(&self) -> u64 {
        read(libc::CLOCK_PROCESS_CPUTIME_ID)
    }
}

/// When this process was started, on [`SystemClock::now`]'s scale, to the kernel's tick of a
/// hundredth of a second; `None` where there is no `/proc`. A program that replaces another
/// (`exec`) does not start its process: a wrapper's time is part of init, as Lambda has it.
pub fn process_started() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // SAFETY: asks for a constant of the system.
    let tick = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    let started = start_ticks(&stat)?.checked_mul(1_000_000_000u64.checked_div(tick)?)?;
    let age = since_boot()?.checked_sub(started)?;
    SystemClock.now().checked_sub(age)
}

/// Field 22 of proc(5)'s `stat`, counted behind the program's name, which may hold anything.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(target_os = "linux")]
fn since_boot() -> Option<u64> {
    Some(read(libc::CLOCK_BOOTTIME))
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<u64> {
    None
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in `time`; a clock it does not have leaves zeros.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_may_be_named_like_its_own_fields() {
        let rest: Vec<_> = (3..=30).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) S (b) {}", rest.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        assert_eq!(start_ticks("7 (a"), None);
        assert_eq!(start_ticks("7 (a) 3 4"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_was_started_before_now() {
        assert!(process_started().unwrap() <= SystemClock.now());
    }

    #[test]
    fn work_takes_cpu_time() {
        let before = SystemClock.cpu();
        while SystemClock.cpu() == before {}
    }
}
