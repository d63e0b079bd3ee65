//! The engine on per-thread CPU timers.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flambeau_profile::proto::Profile;
use tracing::{debug, warn};

use crate::cpu::handler::{self, Count, counted};
use crate::cpu::prepare::{self, Unwinder};
use crate::cpu::profile::{live_labels, profile};
use crate::cpu::timeline::timeline;
use crate::cpu::{spawn_hook, threads, watch};
use crate::engine::{Collected, Engine, EngineError, EngineReport};
use crate::invocations::Invocations;
use crate::log::{Sample, SampleLog, Sealed};
use crate::mappings::mappings;
use crate::names;
use crate::tick::tick_hz;

/// Samples the CPU by one kernel timer per thread, into a log.
///
/// One per process: the signal, the hook on new threads and the unwind tables are the
/// process's. A second one takes the first one's samples.
///
/// A sample stands for the CPU time since the one before it of the same thread, whatever the
/// kernel's tick made of the rate; what lies behind a thread's last sample follows at its end
/// or with the snapshot. So the sum is the CPU time, not an estimate of it.
pub(crate) struct TimerEngine {
    requested_hz: AtomicU64,
    log: &'static SampleLog,
    told: Mutex<Told>,
    /// What was cut and not collected yet.
    sealed: Mutex<Option<Sealed<'static>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the last report counted.
#[derive(Default)]
struct Told([u64; Told::COUNTS.len()]);

impl Told {
    const COUNTS: [Count; 7] = [
        Count::Samples,
        Count::Weight,
        Count::Dropped,
        Count::Overruns,
        Count::Truncated,
        Count::Lost,
        Count::Unbounded,
    ];

    /// What was counted since the last call.
    fn news(&mut self) -> [u64; Told::COUNTS.len()] {
        let now = Told::COUNTS.map(counted);
        let before = std::mem::replace(&mut self.0, now);
        std::array::from_fn(|index| now[index].saturating_sub(before[index]))
    }
}

impl TimerEngine {
    /// An engine that takes `hz` samples per second of each thread's CPU time, or as many as
    /// the kernel's tick allows.
    pub(crate) fn new(hz: u32, log: &'static SampleLog) -> Self {
        Self {
            requested_hz: AtomicU64::new(hz.into()),
            log,
            told: Mutex::default(),
            sealed: Mutex::default(),
        }
    }

    /// Nanoseconds of CPU time between two samples.
    pub(crate) fn period(&self) -> u64 {
        let hz = self.requested_hz.load(Relaxed).max(1);
        1_000_000_000 / tick_hz().map_or(hz, |most| hz.min(most.max(1).into()))
    }

    /// The samples of the snapshot `seq`; `None` if there is nothing.
    fn take_samples(&self, seq: u64) -> Option<Vec<Sample>> {
        prepare::refresh();
        if lock(&self.sealed).is_none() {
            self.cut(seq);
        }
        let sealed = lock(&self.sealed).take()?;
        Some(sealed.samples())
    }
}

impl Engine for TimerEngine {
    fn start(&self) -> Result<(), EngineError> {
        handler::install()?;
        handler::set_log(self.log);
        spawn_hook::watch_forks();
        prepare::begin().map_err(|error| EngineError::Failed(error.to_string()))?;
        threads::scan();
        watch::begin();
        lock(&self.told).news();
        debug!(period = self.period(), hook = spawn_hook::is_linked(), "ready to sample the CPU");
        Ok(())
    }

    fn resume(&self) {
        if !handler::is_ours() {
            warn!("SIGPROF was taken by somebody else: the CPU is not sampled any more");
            return threads::stop();
        }
        threads::resume(self.period());
        watch::set(true);
    }

    fn pause(&self) {
        threads::pause();
        watch::set(false);
    }

    fn cut(&self, seq: u64) {
        threads::settle();
        // Billed time of a snapshot without samples changes hands with a seal too.
        if self.log.fill().used > 0 || !self.log.account().ledger.is_empty() {
            // Both halves taken: what was sampled comes with the next snapshot.
            *lock(&self.sealed) = self.log.seal(seq);
        }
    }

    fn collect(&self, seq: u64) -> Result<Option<Profile>, EngineError> {
        let Some(samples) = self.take_samples(seq) else { return Ok(None) };
        Ok(profile(&samples, self.period(), &mappings(), live_labels))
    }

    fn collect_timed(&self, seq: u64, invocations: &Invocations) -> Result<Collected, EngineError> {
        let Some(samples) = self.take_samples(seq) else { return Ok(Collected::default()) };
        let (period, mapped) = (self.period(), mappings());
        Ok(Collected {
            cpu: profile(&samples, period, &mapped, live_labels),
            timeline: timeline(&samples, period, &mapped, invocations, names::labels_of),
        })
    }

    fn release(&self, seq: u64) {
        self.log.release(seq);
    }

    fn set_rate(&self, hz: u32) {
        self.requested_hz.store(hz.into(), Relaxed);
        threads::set_period(self.period());
    }

    fn report(&self) -> EngineReport {
        let mut told = lock(&self.told);
        let [samples, weight, dropped, overruns, truncated, lost, unbounded] = told.news();
        let unwinder = prepare::state();
        EngineReport {
            requested_hz: self.requested_hz.load(Relaxed) as f64,
            achieved_hz: if weight == 0 { 0.0 } else { samples as f64 * 1e9 / weight as f64 },
            samples,
            dropped,
            truncated: truncated + lost + unbounded,
            overruns,
            unwinder: match unwinder {
                Unwinder::Starting => "starting",
                Unwinder::Tables => "cfi+frame-pointer",
                Unwinder::Off => "none",
            },
            degraded: unwinder == Unwinder::Off,
        }
    }

    fn stop(&self) {
        self.pause();
        threads::stop();
    }
}
