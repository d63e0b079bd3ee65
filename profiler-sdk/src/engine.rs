//! What a sampler must offer.

use flambeau_profile::proto::Profile;

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

    /// What was sampled since the last call, or `None` if nothing was.
    ///
    /// The profile has its sample types, period, samples with their labels and everything they
    /// refer to; times and comments are the profiler's.
    ///
    /// # Errors
    /// [`EngineError`]; the samples concerned are lost or come with the next call.
    fn collect(&self) -> Result<Option<Profile>, EngineError>;

    /// Ends sampling and frees what it took.
    fn stop(&self);
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
