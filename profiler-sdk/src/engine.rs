//! What a sampler must offer.

use flambeau_profile::proto::Profile;

use crate::invocations::Invocations;

/// A source of CPU samples, owned by one [`Profiler`](crate::Profiler).
///
/// All methods take `&self` and may be called from any thread. [`resume`](Engine::resume) and
/// [`pause`](Engine::pause) run on the way of every invocation: they must neither block nor
/// fail. The others may take their time, and are never called from an async thread.
pub trait Engine: Send + Sync + 'static {
    /// Gets ready to sample, without sampling yet.
    ///
    /// # Errors
    /// [`EngineError`]; the profiler is then off for the life of the process.
    fn start(&self) -> Result<(), EngineError>;

    /// Samples from now on.
    fn resume(&self);

    /// Stops sampling until the next [`resume`](Engine::resume), without losing the part of a
    /// period already spent: many short invocations are seen like one long one.
    fn pause(&self);

    /// Ends the time of the snapshot number `seq` here: what is sampled from now on belongs to
    /// the next. Quick, for the function's spans wait meanwhile; the work is left to
    /// [`collect`](Engine::collect), which follows. An engine that cannot lets `collect` do it.
    fn cut(&self, seq: u64) {
        let _ = seq;
    }

    /// What was sampled since the last call, or `None` if nothing was; it will be part of the
    /// process's snapshot number `seq`. The same number may come again while nothing was.
    ///
    /// The profile has its sample types, period, samples with their labels and everything they
    /// refer to; times, comments and, where there are none, names of functions are the
    /// profiler's.
    ///
    /// # Errors
    /// [`EngineError`]; the samples concerned are lost or come with the next call.
    fn collect(&self, seq: u64) -> Result<Option<Profile>, EngineError>;

    /// As [`collect`](Engine::collect), which is not called then, and the same samples by the
    /// time since their invocation began. An engine whose samples have no time gives no
    /// `timeline`.
    ///
    /// # Errors
    /// As [`collect`](Engine::collect).
    fn collect_timed(&self, seq: u64, invocations: &Invocations) -> Result<Collected, EngineError> {
        let _ = invocations;
        Ok(Collected { cpu: self.collect(seq)?, timeline: None })
    }

    /// The snapshot `seq` is safe from the end of this process; what was kept for its sake need
    /// not be kept any longer.
    fn release(&self, seq: u64) {
        let _ = seq;
    }

    /// Takes `hz` samples per second of CPU time from now on, with weights to match. An engine
    /// that cannot goes on as it is.
    fn set_rate(&self, hz: u32) {
        let _ = hz;
    }

    /// How the engine has fared since the last call.
    fn report(&self) -> EngineReport {
        EngineReport::default()
    }

    /// Ends sampling and frees what it took.
    fn stop(&self);
}

/// What an engine has sampled since the last time.
#[derive(Debug, Default)]
pub struct Collected {
    /// As [`Engine::collect`] gives it.
    pub cpu: Option<Profile>,
    /// Its samples taken inside invocations, with the numeric label `invocation_ms` (see
    /// `flambeau_layout::timeline`), and with no label that this does not need.
    pub timeline: Option<Profile>,
}

/// How an engine has fared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EngineReport {
    /// Samples per second of CPU time asked for; 0 if that is not known.
    pub requested_hz: f64,
    /// Samples per second of CPU time taken; 0 if that is not known.
    pub achieved_hz: f64,
    /// Samples taken.
    pub samples: u64,
    /// Samples lost for want of room.
    pub dropped: u64,
    /// Stacks cut short.
    pub truncated: u64,
    /// Periods that ended before the sample of the last one was taken; the sample counts them.
    pub overruns: u64,
    /// How stacks are read, such as `frame-pointer+cfi`.
    pub unwinder: &'static str,
    /// Whether stacks are only the interrupted function, since no unwinder works here.
    pub degraded: bool,
}

/// Why an engine cannot sample.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another profiler of this process holds the signal.
    #[error("SIGPROF is handled by somebody else in this process; only one profiler can run")]
    SignalTaken,
    /// The engine's own library said no.
    #[error("{0}")]
    Failed(String),
}
