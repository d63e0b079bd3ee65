//! The profiler as a function sees it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flambeau_layout::environment;
use futures::Stream;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Diagnostic, Error, IntoFunctionResponse, LambdaEvent, Runtime};
use serde::{Deserialize, Serialize};
use tower::Service;
use tracing::{debug, warn};

use crate::engine::Engine;
use crate::recorder::Recorder;
use crate::service::{Profiled, ProfilerLayer};
use crate::session::{FlushError, Session, Survival, worker};
use crate::settings::{Destination, Settings, SettingsError};
use crate::sink::{DirectorySink, Sink};

/// Profiles the CPU of a Lambda function and writes snapshots to S3.
///
/// Cheap to clone. A profiler that is off does nothing at all: no signal handler, no thread, no
/// request.
#[derive(Clone)]
pub struct Profiler(Option<Arc<Session>>);

/// Describes a [`Profiler`] by hand; what is not said, the environment says.
#[must_use = "nothing is profiled before `start`"]
pub struct ProfilerBuilder {
    variables: HashMap<&'static str, String>,
    settings: Option<Settings>,
    labels: BTreeMap<String, String>,
    sink: Option<Box<dyn Sink>>,
    engine: Option<Arc<dyn Engine>>,
    recorders: Vec<Arc<dyn Recorder>>,
    handle_sigterm: bool,
}

impl Profiler {
    /// A profiler set up by the environment (the crate's page lists the variables).
    ///
    /// Call it in the init phase, before the runtime runs. It never fails: what is missing or
    /// wrong becomes one warning and a profiler that is off, and `FLAMBEAU_PROFILING=off` one
    /// that is off without a word.
    pub async fn from_env() -> Self {
        Self::builder().start().await
    }

    /// A profiler that does nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Describes a profiler that differs from what the environment says.
    pub fn builder() -> ProfilerBuilder {
        ProfilerBuilder {
            variables: HashMap::new(),
            settings: None,
            labels: BTreeMap::new(),
            sink: None,
            engine: None,
            recorders: Vec::new(),
            handle_sigterm: true,
        }
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

    /// Closes a snapshot of every type over the time since the last one, and writes everything
    /// that waits; how many snapshots were written and acknowledged.
    ///
    /// # Errors
    /// [`FlushError`]: what could not be written within `limit` is kept for the next flush.
    pub async fn flush(&self, limit: Duration) -> Result<usize, FlushError> {
        match &self.0 {
            Some(session) => session.flush(Some(Instant::now() + limit)).await,
            None => Ok(0),
        }
    }

    /// Closes and writes the last snapshot, and ends sampling for good.
    ///
    /// For a shutdown handler of your own; see [`ProfilerBuilder::handle_sigterm`].
    ///
    /// # Errors
    /// As [`Profiler::flush`]; sampling ends in any case.
    pub async fn stop(&self, limit: Duration) -> Result<usize, FlushError> {
        let flushed = self.flush(limit).await;
        if let Some(session) = self.0.clone() {
            let written = flushed.is_ok();
            let stopping = tokio::task::spawn_blocking(move || {
                session.stop();
                if written {
                    session.finish();
                }
            });
            if let Err(error) = stopping.await {
                warn!(%error, "the profiler did not stop");
            }
        }
        flushed
    }

    /// The state behind it, for what drives it without invocations.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        self.0.as_ref()
    }
}

impl ProfilerBuilder {
    /// Takes these settings and reads none from the environment.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Writes to this bucket, or below this folder if it is `file:///path`.
    pub fn bucket(self, bucket: impl Into<String>) -> Self {
        self.variable(environment::BUCKET, bucket)
    }

    /// What is profiled; else the function's name.
    pub fn service(self, service: impl Into<String>) -> Self {
        self.variable(environment::SERVICE, service)
    }

    /// Whose it is; else `default`.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.variable(environment::TENANT, tenant)
    }

    /// Samples per second of CPU time.
    pub fn hz(self, hz: u32) -> Self {
        self.variable(environment::HZ, hz.to_string())
    }

    /// Active time between two snapshots, in whole seconds.
    pub fn interval(self, interval: Duration) -> Self {
        self.variable(environment::INTERVAL, interval.as_secs().to_string())
    }

    /// Whether snapshots tell CPU samples by the time since their invocation began too, as the
    /// type `timeline`; else not.
    pub fn timeline(self, on: bool) -> Self {
        self.variable(environment::TIMELINE, if on { "on" } else { "off" })
    }

    /// A label of every snapshot.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Writes to a sink of your own.
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// Adds one more profile type.
    pub fn recorder(mut self, recorder: impl Recorder) -> Self {
        self.recorders.push(Arc::new(recorder));
        self
    }

    /// Keeps the recorders of these types, or all if none is named; gives the names that no
    /// recorder has.
    pub(crate) fn keep_recorders<'a>(&mut self, types: &[&'a str]) -> Vec<&'a str> {
        let has = |typ: &str| self.recorders.iter().any(|known| known.profile_type() == typ);
        let unknown = types.iter().copied().filter(|typ| *typ != "cpu" && !has(typ)).collect();
        let named = |known: &Arc<dyn Recorder>| types.contains(&known.profile_type());
        self.recorders.retain(|known| types.is_empty() || named(known));
        unknown
    }

    fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    /// Samples with an engine of your own.
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Some(Arc::new(engine));
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

    /// Starts the engine. It never fails: what is missing or wrong becomes one warning and a
    /// profiler that is off, and `FLAMBEAU_PROFILING=off` one that is off without a word.
    pub async fn start(self) -> Profiler {
        let handle_sigterm = self.handle_sigterm;
        let Some(session) = self.session() else { return Profiler::off() };
        match worker::start(&session, handle_sigterm).await {
            Ok(()) => Profiler(Some(session)),
            Err(error) => {
                warn!(%error, "not profiling");
                Profiler::off()
            }
        }
    }

    fn session(mut self) -> Option<Arc<Session>> {
        let (mut settings, destination) = match self.resolve() {
            Ok(resolved) => resolved,
            Err(error @ SettingsError::Off) => {
                debug!(%error, "not profiling");
                return None;
            }
            Err(error) => {
                warn!(%error, "not profiling");
                return None;
            }
        };
        settings.labels.append(&mut self.labels);
        let sink = match self.sink {
            Some(sink) => sink,
            None => sink(destination?)?,
        };
        let (engine, survival) = match self.engine {
            Some(engine) => (engine, None),
            None => own_engine(&settings)?,
        };
        Some(Arc::new(Session::new(settings, engine, self.recorders, sink, survival)))
    }

    /// Settings as given or as read, and where to write if that is to be read too.
    fn resolve(&mut self) -> Result<(Settings, Option<Destination>), SettingsError> {
        if let Some(settings) = self.settings.take() {
            let bucket = self.variables.get(environment::BUCKET);
            return Ok((settings, bucket.map(|bucket| Destination::parse(bucket))));
        }
        let own_sink = self.sink.is_some();
        let variable = |name: &str| {
            let said = self.variables.get(name).cloned();
            let read = said.or_else(|| std::env::var(name).ok());
            // A sink of one's own needs no bucket.
            read.or_else(|| (own_sink && name == environment::BUCKET).then(|| "none".into()))
        };
        Settings::read(variable).map(|(settings, destination)| (settings, Some(destination)))
    }
}

/// The engine of this crate, and the log it writes.
fn own_engine(settings: &Settings) -> Option<(Arc<dyn Engine>, Option<Survival>)> {
    match Survival::begin(settings) {
        Ok(survival) => Some((survival.engine(settings.hz), Some(survival))),
        Err(error) => {
            warn!(%error, "not profiling");
            None
        }
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
