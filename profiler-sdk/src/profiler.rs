//! The profiler as a function sees it.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Diagnostic, Error, IntoFunctionResponse, LambdaEvent, Runtime};
use serde::{Deserialize, Serialize};
use tower::Service;
use tracing::{debug, warn};

use crate::engine::{Engine, EngineError};
#[cfg(feature = "pprof-backend")]
use crate::pprof_backend::PprofEngine;
use crate::service::{Profiled, ProfilerLayer};
use crate::session::Session;
use crate::settings::{Destination, Settings, SettingsError};
use crate::shutdown::flush_at_the_end;
use crate::sink::{DirectorySink, Sink};

/// Profiles the CPU of a Lambda function and writes snapshots to S3.
///
/// Cheap to clone. A profiler that is off does nothing at all: no signal handler, no thread, no
/// request.
#[derive(Clone)]
pub struct Profiler(Option<Arc<Session>>);

/// Describes a [`Profiler`] by hand, where [`Profiler::from_env`] does not fit.
pub struct ProfilerBuilder {
    settings: Settings,
    sink: Box<dyn Sink>,
    engine: Arc<dyn Engine>,
    handle_sigterm: bool,
}

impl Profiler {
    /// A profiler set up by the environment (the crate's page lists the variables).
    ///
    /// Call it in the init phase, before the runtime runs. It never fails: what is missing or
    /// wrong becomes one warning and a profiler that is off, and `FLAMBEAU_PROFILING=off` one
    /// that is off without a word.
    pub async fn from_env() -> Self {
        match Settings::read(|name| std::env::var(name).ok()) {
            Ok((settings, destination)) => match sink(destination) {
                Some(sink) => ProfilerBuilder::new(settings, sink).start().await,
                None => Self::off(),
            },
            Err(error @ SettingsError::Off) => {
                debug!(%error, "not profiling");
                Self::off()
            }
            Err(error) => {
                warn!(%error, "not profiling");
                Self::off()
            }
        }
    }

    /// A profiler that does nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Describes a profiler that writes to a sink of your own.
    pub fn builder(settings: Settings, sink: impl Sink) -> ProfilerBuilder {
        ProfilerBuilder::new(settings, Box::new(sink))
    }

    /// Whether invocations are sampled.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Runs `handler` as [`lambda_runtime::run`] does, profiled.
    ///
    /// A snapshot that is due is closed and written after the answer has been sent and before
    /// the next invocation is asked for, within [`FLUSH_LIMIT`](crate::FLUSH_LIMIT) and with
    /// [`DEADLINE_MARGIN`](crate::DEADLINE_MARGIN) to spare: the caller does not wait for it,
    /// the environment is not frozen in the middle of it, and Lambda bills it.
    ///
    /// # Errors
    /// Those of [`lambda_runtime::run`].
    pub async fn run<A, F, R, B, S, D, E>(&self, handler: F) -> Result<(), Error>
    where
        F: Service<LambdaEvent<A>, Response = R>,
        F::Future: Future<Output = Result<R, F::Error>>,
        F::Error: Into<Diagnostic> + Debug,
        A: for<'de> Deserialize<'de>,
        R: IntoFunctionResponse<B, S>,
        B: Serialize,
        S: Stream<Item = Result<D, E>> + Unpin + Send + 'static,
        D: Into<Bytes> + Send,
        E: Into<Error> + Send + Debug,
    {
        let runtime = Runtime::new(handler).layer(TracingLayer::new());
        runtime.layer(self.layer()).run().await
    }

    /// The layer of [`Profiler::run`], for a [`Runtime`] of your own. Add it last, so that it
    /// is the outermost.
    pub fn layer(&self) -> ProfilerLayer {
        ProfilerLayer::new(self.0.clone())
    }

    /// Profiles a handler, where the runtime itself is not at hand.
    ///
    /// A snapshot that is due is then closed and written on a task of its own while the answer
    /// is sent. The freeze may well interrupt it; it goes on with the next invocation.
    pub fn wrap<S>(&self, handler: S) -> Profiled<S> {
        Profiled::new(handler, self.0.clone())
    }

    /// Closes a snapshot now and tries to write everything within `limit`.
    pub async fn flush(&self, limit: Duration) {
        if let Some(session) = &self.0 {
            Arc::clone(session).flush(Some(Instant::now() + limit)).await;
        }
    }

    /// Closes and writes the last snapshot, and ends sampling for good.
    ///
    /// For a shutdown handler of your own; see [`ProfilerBuilder::handle_sigterm`].
    pub async fn stop(&self, limit: Duration) {
        self.flush(limit).await;
        if let Some(session) = self.0.clone() {
            let stopping = tokio::task::spawn_blocking(move || session.stop());
            if let Err(error) = stopping.await {
                warn!(%error, "the profiler did not stop");
            }
        }
    }
}

impl ProfilerBuilder {
    fn new(settings: Settings, sink: Box<dyn Sink>) -> Self {
        let engine = Arc::new(PprofEngine::new(settings.hz));
        Self { settings, sink, engine, handle_sigterm: true }
    }

    /// Samples with an engine of your own.
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Arc::new(engine);
        self
    }

    /// Whether to listen for `SIGTERM`, flush, and register the internal extension without
    /// which Lambda sends none; true by default.
    ///
    /// If nothing else in the process handled `SIGTERM` at the start, the process then exits
    /// after the flush. So where a shutdown handler of your own is installed later, say false,
    /// and call [`Profiler::stop`] in it.
    pub fn handle_sigterm(mut self, handle: bool) -> Self {
        self.handle_sigterm = handle;
        self
    }

    /// Starts the engine; like [`Profiler::from_env`] it never fails.
    pub async fn start(self) -> Profiler {
        let engine = Arc::clone(&self.engine);
        let starting = tokio::task::spawn_blocking(move || engine.start());
        let started =
            starting.await.unwrap_or_else(|error| Err(EngineError::Failed(error.to_string())));
        if let Err(error) = started {
            warn!(%error, "not profiling");
            return Profiler::off();
        }
        let session = Arc::new(Session::new(self.settings, self.engine, self.sink));
        session.read_steering(None).await;
        if self.handle_sigterm {
            flush_at_the_end(Arc::clone(&session)).await;
        }
        Profiler(Some(session))
    }
}

fn sink(destination: Destination) -> Option<Box<dyn Sink>> {
    match destination {
        Destination::Directory(path) => Some(Box::new(DirectorySink::new(path))),
        #[cfg(feature = "s3")]
        Destination::Bucket(bucket) => Some(Box::new(crate::s3::S3Sink::new(bucket))),
        #[cfg(not(feature = "s3"))]
        Destination::Bucket(bucket) => {
            warn!(bucket, "not profiling: profiler-sdk was built without its feature `s3`");
            None
        }
    }
}
