//! One profiled process: when to sample, when to close a snapshot, and how it gets away.

mod clock;
mod deliver;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod elsewhere;
mod govern;
mod outbox;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod recover;
mod scratch;
mod snapshot;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod survive;
#[cfg(test)]
mod tests;
pub(crate) mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flambeau_layout::timeline::TIMELINE;
use flambeau_layout::{ProfilerNote, SteeringKey};
use tracing::{Instrument, debug, debug_span, warn};

use crate::billed::{
    Clock, InvocationId, Ledger, Scope, SystemClock, billed_profile, wall_profile,
};
use crate::engine::{Collected, Engine, EngineError, EngineReport};
use crate::invocations::Invocations;
use crate::names;
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::sink::{Sink, SinkError};
use crate::steering::{Share, Steered};
use clock::{Now, Span, Spans};
use deliver::{Delivery, left};
use govern::{Governor, Machine, Spent};
use outbox::Outbox;
use snapshot::{About, CloseError, Part, Writer};
use worker::Worker;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) use elsewhere::Survival;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use survive::Survival;

pub use clock::MAX_DELAY;
pub use govern::{Budget, DEFAULT_BUDGET, MAX_INTERVAL, MIN_HZ};
pub use outbox::{MAX_SNAPSHOT_BYTES, MAX_SNAPSHOTS};

/// Time that reading the steering may take.
const STEERING_TIMEOUT: Duration = Duration::from_millis(500);

/// Time before an invocation's deadline at which what was sampled so far is written: the
/// process may be killed at the deadline.
pub const DEADLINE_FLUSH: Duration = Duration::from_millis(500);

/// Least running time between two snapshots within one invocation.
const LEAST_MIDST: Duration = Duration::from_secs(1);

/// Why a flush wrote less than there was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The samples could not be made a snapshot.
    #[error("no profile snapshot could be closed: {0}")]
    NotClosed(String),
    /// A snapshot could not be written; it is kept for the next flush.
    #[error("a profile snapshot could not be written and is kept for later: {0}")]
    NotWritten(#[from] SinkError),
    /// It was not over in time; it goes on in the background.
    #[error("the flush was not over in time; it goes on in the background")]
    Late,
}

/// The state behind a [`Profiler`](crate::Profiler) that is on.
pub(crate) struct Session {
    settings: Settings,
    engine: Arc<dyn Engine>,
    recorders: Vec<Arc<dyn Recorder>>,
    now: Now,
    spans: Spans,
    writer: Writer,
    next_seq: AtomicU64,
    delivery: Delivery,
    /// With an engine that writes a log.
    survival: Option<Survival>,
    /// Where billed time is wanted.
    ledger: Option<&'static Ledger>,
    /// Where a timeline is wanted.
    invocations: Option<Invocations>,
    steered: Steered,
    governor: Mutex<Governor>,
    /// What the span under way has cost so far.
    spent: Mutex<Spent>,
    /// Of the snapshots before: CPU time of the worker, and bytes.
    spent_cpu: AtomicU64,
    spent_bytes: AtomicU64,
    worker: OnceLock<Worker>,
    stopped: AtomicBool,
}

impl Session {
    pub(crate) fn new(
        settings: Settings,
        engine: Arc<dyn Engine>,
        recorders: Vec<Arc<dyn Recorder>>,
        sink: Box<dyn Sink>,
        survival: Option<Survival>,
    ) -> Self {
        let ledger = settings.billed.then(Ledger::of_process);
        if let Some(ledger) = ledger {
            begin_account(ledger, &settings, survival.as_ref());
        }
        let spool = survival.as_ref().and_then(Survival::spool);
        let outbox = spool.map_or_else(Outbox::default, Outbox::spooled);
        let governor = Governor::new(settings.budget, machine(&settings));
        let invocations = settings.timeline.then(Invocations::default);
        Self {
            writer: Writer::new(&settings),
            settings,
            engine,
            recorders,
            now: clock::machine(),
            spans: Spans::new(),
            next_seq: AtomicU64::new(0),
            delivery: Delivery::new(sink, outbox),
            survival,
            ledger,
            invocations,
            steered: Steered::new(),
            governor: Mutex::new(governor),
            spent: Mutex::default(),
            spent_cpu: AtomicU64::new(0),
            spent_bytes: AtomicU64::new(0),
            worker: OnceLock::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// An invocation begins, which must end by `deadline` if that is given; it ends when the
    /// guard goes, also by a panic or a cancellation.
    pub(crate) fn begin(self: &Arc<Self>, deadline: Option<SystemTime>) -> Invocation {
        // Without a deadline it is none of Lambda's: neither billed nor on a timeline.
        let is_lambdas = deadline.is_some();
        let ledger = self.ledger.filter(|_| is_lambdas);
        let invocations = self.invocations.as_ref().filter(|_| is_lambdas);
        invocations.into_iter().for_each(Invocations::begin);
        // One in the past is a test's, or another clock's.
        let deadline = deadline.filter(|deadline| *deadline > SystemTime::now());
        if let Some(survival) = &self.survival {
            survival.begin_invocation(deadline);
        }
        if self.spans.begin((self.now)(), deadline, || self.share()) {
            self.engine.resume();
        }
        if let (Some(worker), Some(wake)) = (self.worker.get(), self.next_wake()) {
            worker.wake_in(wake);
        }
        let billed = ledger.map(|ledger| ledger.invocation_began(ledger.now()));
        Invocation { session: Arc::clone(self), billed, is_lambdas }
    }

    fn end(&self, billed: Option<InvocationId>, is_lambdas: bool) {
        if let (Some(ledger), Some(id)) = (self.ledger, billed) {
            ledger.invocation_ended(id, ledger.now());
        }
        if self.spans.end((self.now)()) {
            self.engine.pause();
            self.survival.iter().for_each(Survival::end_invocations);
        }
        // Behind the pause: what was sampled up to that is inside.
        let invocations = self.invocations.as_ref().filter(|_| is_lambdas);
        invocations.into_iter().for_each(Invocations::end);
    }

    /// Whether a snapshot should be closed now, between two invocations.
    pub(crate) fn is_due(&self) -> bool {
        !self.spans.is_running() && self.spans.is_due((self.now)(), self.interval())
    }

    /// Asks for a snapshot now, and waits until everything is written or `until` has come.
    pub(crate) async fn flush(&self, until: Option<Instant>) -> Result<usize, FlushError> {
        match self.worker.get() {
            Some(worker) => worker.flush(until).await,
            None => Ok(0),
        }
    }

    /// Ends sampling for good; what waits can still be flushed.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.engine.stop();
    }

    /// The process ends after a flush: if that wrote everything, a next process has nothing to
    /// look for.
    pub(crate) fn finish(&self) {
        if self.delivery.outbox().len() == 0 {
            self.survival.iter().for_each(Survival::finish);
        }
    }

    /// Whether sampling has ended for good.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    fn interval(&self) -> Duration {
        lock(&self.governor).interval(self.steered.interval(&self.settings))
    }

    /// What a span that begins now is to this boot; all of it, if no boot can be drawn.
    fn share(&self) -> Share {
        match self.writer.ids(&self.settings) {
            Ok(ids) => {
                self.survival.iter().for_each(|survival| survival.identify(ids));
                self.steered.share(&ids.1)
            }
            Err(_) => Share { sampled: true, weight: 1 },
        }
    }

    /// When the running invocation needs a flush in its midst, counted from now.
    fn next_wake(&self) -> Option<Duration> {
        let interval = self.interval().max(LEAST_MIDST);
        let missing = self.spans.missing((self.now)(), interval)?;
        let ahead = self.spans.deadline().map(|deadline| {
            let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
            left.saturating_sub(DEADLINE_FLUSH)
        });
        Some(ahead.map_or(missing, |ahead| ahead.min(missing)))
    }

    /// Closes a snapshot and writes what waits; the worker's part of [`Session::flush`]. By its
    /// span the account knows what of the work is not the function's.
    async fn close_and_deliver(&self, until: Option<Instant>) -> Result<usize, FlushError> {
        self.flush_now(until).instrument(debug_span!("flush")).await
    }

    async fn flush_now(&self, until: Option<Instant>) -> Result<usize, FlushError> {
        let begun = Instant::now();
        self.ledger.iter().for_each(|ledger| ledger.flush_began(ledger.now()));
        let closed = self.close_or_complain();
        let written = self.delivery.deliver(until).await;
        if written.is_ok() {
            self.read_steering(until).await;
        }
        self.note_flush(begun, *written.as_ref().unwrap_or(&0));
        let written = written?;
        closed.map(|()| written)
    }

    /// A flush between invocations is billed for itself; one beside them is not.
    fn note_flush(&self, begun: Instant, written: usize) {
        self.ledger.iter().for_each(|ledger| ledger.flush_ended(ledger.now()));
        let mut spent = lock(&self.spent);
        spent.puts += written as u64;
        if !self.spans.is_running() {
            spent.flush += begun.elapsed();
        }
    }

    /// What the last span cost, and what follows from it for the next.
    fn keep_to_the_budget(&self, span: &Span, samples: u64) {
        let flushed = std::mem::take(&mut *lock(&self.spent));
        let Span { active, invocations, .. } = *span;
        let mut governor = lock(&self.governor);
        governor.learn(&Spent { active, invocations, samples, ..flushed });
        self.engine.set_rate(governor.hz(self.settings.hz));
    }

    /// An engine or a recorder that panics costs its samples, not the worker.
    fn close_or_complain(&self) -> Result<(), FlushError> {
        let closing = std::panic::AssertUnwindSafe(|| self.close());
        let why = match std::panic::catch_unwind(closing) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        warn!(error = %why, "no profile snapshot could be closed");
        Err(FlushError::NotClosed(why))
    }

    fn close(&self) -> Result<(), CloseError> {
        let seq = self.next_seq.load(Relaxed);
        let parts = self.collect(seq)?;
        let Some(span) = self.spans.take((self.now)(), !parts.is_empty()) else {
            self.engine.release(seq);
            return Ok(());
        };
        let profiler = self.account();
        self.keep_to_the_budget(&span, profiler.samples);
        let about = About {
            seq,
            span,
            offset_millis: self.delivery.offset_millis(),
            dropped: self.delivery.outbox().take_untold(),
            outcome: None,
            profiler,
        };
        let closed = self.writer.close(&self.settings, parts, &about)?;
        self.next_seq.store(seq + 1, Relaxed);
        debug!(key = closed.key, bytes = closed.bytes.len(), "closed a profile snapshot");
        self.spent_bytes.fetch_add(closed.bytes.len() as u64, Relaxed);
        if self.delivery.outbox().push(closed) {
            warn!("a profile snapshot was dropped: too many could not be written");
        }
        self.engine.release(seq);
        Ok(())
    }

    /// What there is to tell.
    fn collect(&self, seq: u64) -> Result<Vec<Part>, CloseError> {
        let begun = SystemClock.now();
        let window = self.ledger.map(|ledger| ledger.take_window_and(|| self.engine.cut(seq)).0);
        let Collected { cpu, timeline } = self.collect_samples(seq, begun)?;
        let billed = window.as_ref().and_then(|window| billed_profile(window, cpu.as_ref()));
        let wall = window.as_ref().and_then(wall_profile);
        let mut parts =
            Part::named([("cpu", cpu), (TIMELINE, timeline), ("billed", billed), ("wall", wall)]);
        for recorder in &self.recorders {
            if let Some(profile) = recorder.collect() {
                let (name, temporality) = (recorder.profile_type(), recorder.temporality());
                parts.push(Part { name, profile, temporality });
            }
        }
        Ok(parts)
    }

    /// CPU samples, where wanted on a timeline too; `begun` is before they were cut off.
    fn collect_samples(&self, seq: u64, begun: u64) -> Result<Collected, EngineError> {
        let Some(invocations) = &self.invocations else {
            return Ok(Collected { cpu: self.engine.collect(seq)?, timeline: None });
        };
        let collected = self.engine.collect_timed(seq, invocations)?;
        // Without samples these may be still to come, with the next snapshot.
        if collected.cpu.is_some() {
            invocations.forget_before(begun);
        }
        Ok(collected)
    }

    /// The profiler's account since the last snapshot.
    fn account(&self) -> ProfilerNote {
        let EngineReport {
            requested_hz,
            achieved_hz,
            samples,
            dropped,
            truncated,
            overruns,
            unwinder,
            ..
        } = self.engine.report();
        if names::refused() > 0 {
            debug!(count = names::refused(), "scopes ran without their labels");
        }
        let cpu = worker::thread_cpu_nanos();
        ProfilerNote {
            cpu_nanos: cpu.saturating_sub(self.spent_cpu.swap(cpu, Relaxed)),
            bytes: self.spent_bytes.swap(0, Relaxed),
            samples,
            dropped,
            truncated,
            overruns,
            requested_hz: requested_hz.round() as u32,
            achieved_hz: achieved_hz.round() as u32,
            unwinder: unwinder.to_owned(),
        }
    }

    /// Reads what the service's owners want, where that is switched on; what cannot be read in
    /// time changes nothing.
    async fn read_steering(&self, until: Option<Instant>) {
        if !self.settings.steering {
            return;
        }
        let Settings { tenant, service, .. } = self.settings.clone();
        let key = SteeringKey { tenant, service }.to_string();
        let allowed = until.map_or(STEERING_TIMEOUT, |until| left(until).min(STEERING_TIMEOUT));
        match self.delivery.steering(&key, allowed).await {
            Ok(document) => self.steered.take(document.as_deref()),
            Err(error) => debug!(%error, "steering could not be read"),
        }
    }
}

/// What the function's own variables say of it.
fn machine(settings: &Settings) -> Machine {
    let label = |name: &str| settings.labels.get(name).map(String::as_str);
    // Where nobody says, a vCPU's worth.
    let memory_mb = label("memory").and_then(|text| text.parse().ok()).unwrap_or(1769.0);
    Machine { memory_mb, arm: label("arch") == Some("arm64") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What there is to say of an account before its first invocation.
fn begin_account(ledger: &'static Ledger, settings: &Settings, survival: Option<&Survival>) {
    let init_type = settings.labels.get("init_type").map(String::as_str);
    if init_type.is_some_and(|init_type| init_type != "on-demand") {
        ledger.init_is_free();
    }
    if let Some(survival) = survival {
        survival.keep(ledger);
    }
}

/// A running invocation.
pub(crate) struct Invocation {
    session: Arc<Session>,
    billed: Option<InvocationId>,
    is_lambdas: bool,
}

impl Invocation {
    /// Spans opened on this thread are of this invocation, until the guard goes.
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.billed.map(Ledger::scope)
    }

    /// Ends it, and gives the session if a snapshot is due.
    pub(crate) fn finish(self) -> Option<Arc<Session>> {
        let session = Arc::clone(&self.session);
        drop(self);
        session.is_due().then_some(session)
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        self.session.end(self.billed.take(), self.is_lambdas);
    }
}
