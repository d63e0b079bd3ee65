//! The engine by itself, for our own examples and tests.

use std::path::Path;
use std::time::{Duration, Instant};

use flambeau_profile::proto::Profile;

use crate::cpu::engine::TimerEngine;
use crate::cpu::prepare::{self, Unwinder};
use crate::cpu::{lifetime, timer};
use crate::engine::{Collected, Engine, EngineError, EngineReport};
use crate::invocations::Invocations;
use crate::log::{LogError, LogOptions, SampleLog};

/// A `TimerEngine` with a log of its own.
pub struct Sampler {
    engine: TimerEngine,
    seq: u64,
}

impl Sampler {
    /// Starts an engine; one per process. Unwind tables may still be on their way.
    ///
    /// # Errors
    /// As any engine's start.
    pub fn start(hz: u32) -> Result<Self, EngineError> {
        Self::over(hz, SampleLog::anonymous(LogOptions::default()))
    }

    /// As [`start`](Self::start), with a log in `folder` that outlives the process.
    ///
    /// # Errors
    /// As any engine's start.
    pub fn start_in(hz: u32, folder: &Path) -> Result<Self, EngineError> {
        Self::over(hz, SampleLog::create(folder, LogOptions::default()))
    }

    fn over(hz: u32, log: Result<SampleLog, LogError>) -> Result<Self, EngineError> {
        let log = log.map_err(|error| EngineError::Failed(error.to_string()))?;
        // As the process's own, which handlers may look at to its end.
        let engine = TimerEngine::new(hz, Box::leak(Box::new(log)));
        engine.start()?;
        Ok(Self { engine, seq: 0 })
    }

    /// Waits for the unwinder's self-test; whether it passed in time.
    pub fn wait_until_ready(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        while prepare::state() == Unwinder::Starting && begun.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        prepare::state() == Unwinder::Tables
    }

    /// Samples from now on.
    pub fn resume(&self) {
        self.engine.resume();
    }

    /// Samples no more, until the next call of the other.
    pub fn pause(&self) {
        self.engine.pause();
    }

    /// Another rate.
    pub fn set_rate(&self, hz: u32) {
        self.engine.set_rate(hz);
    }

    /// What was sampled since the last call.
    ///
    /// # Errors
    /// As any engine's.
    pub fn collect(&mut self) -> Result<Option<Profile>, EngineError> {
        let profile = self.engine.collect(self.seq)?;
        self.engine.release(self.seq);
        self.seq += 1;
        Ok(profile)
    }

    /// As [`collect`](Self::collect), on a timeline of these invocations too.
    ///
    /// # Errors
    /// As any engine's.
    pub fn collect_timed(&mut self, invocations: &Invocations) -> Result<Collected, EngineError> {
        let collected = self.engine.collect_timed(self.seq, invocations)?;
        self.engine.release(self.seq);
        self.seq += 1;
        Ok(collected)
    }

    /// How it fared since the last call.
    pub fn report(&self) -> EngineReport {
        self.engine.report()
    }

    /// Ends sampling.
    pub fn stop(&self) {
        self.engine.stop();
    }

    /// Rows and bytes of the unwind tables.
    pub fn tables(&self) -> (usize, usize) {
        prepare::size()
    }

    /// Sends the calling thread the signal of its timer, as the kernel would; false if it has
    /// no timer.
    pub fn signal_here(&self) -> bool {
        timer::signal_here(lifetime::ticket_here())
    }
}
