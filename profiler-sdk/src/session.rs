//! One profiled process: when to sample, when to close a snapshot, and how it gets away.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flambeau_layout::{
    BootId, EnvId, Identity, KeyDate, Note, ProfileType, SnapshotKey, SnapshotNote, SnapshotShape,
    SteeringKey, UnixMillis,
};
use flambeau_profile::proto::Profile;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::engine::Engine;
use crate::names;
use crate::outbox::{Closed, Outbox};
use crate::profile_builder::add_comment;
use crate::settings::Settings;
use crate::sink::{Receipt, Sink, SinkError};
use crate::steering::{Share, Steered};

/// How often one flush tries to write the same snapshot.
const ATTEMPTS: u32 = 3;

/// Time one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after the first failed attempt; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Time that reading the steering may take.
const STEERING_TIMEOUT: Duration = Duration::from_millis(500);

/// Speed before size: the merge compresses again.
const GZIP_LEVEL: u32 = 1;

/// The state behind a [`Profiler`](crate::Profiler) that is on.
pub(crate) struct Session {
    settings: Settings,
    engine: Arc<dyn Engine>,
    sink: Box<dyn Sink>,
    clock: Mutex<Clock>,
    ids: OnceLock<(EnvId, BootId)>,
    next_seq: AtomicU64,
    outbox: Outbox,
    offset: Mutex<Option<i64>>,
    steered: Steered,
    /// One flush at a time; later ones find less to do.
    flushing: tokio::sync::Mutex<()>,
    /// Whether the last delivery failed: an outage is one warning.
    failing: AtomicBool,
}

/// What ran since the last snapshot was closed.
struct Clock {
    running: u32,
    resumed: Option<Instant>,
    active: Duration,
    since: Option<UnixMillis>,
    closed: Instant,
    cold: bool,
    /// What the running span is to this boot; fixed when it begins.
    share: Share,
}

/// What one snapshot covers.
struct Span {
    start: UnixMillis,
    end: UnixMillis,
    active: Duration,
    cold: bool,
    weight: u32,
}

impl Session {
    pub(crate) fn new(settings: Settings, engine: Arc<dyn Engine>, sink: Box<dyn Sink>) -> Self {
        let clock = Clock {
            running: 0,
            resumed: None,
            active: Duration::ZERO,
            since: None,
            closed: Instant::now(),
            cold: true,
            share: Share { sampled: true, weight: 1 },
        };
        Self {
            settings,
            engine,
            sink,
            clock: Mutex::new(clock),
            ids: OnceLock::new(),
            next_seq: AtomicU64::new(0),
            outbox: Outbox::default(),
            offset: Mutex::new(None),
            steered: Steered::new(),
            flushing: tokio::sync::Mutex::new(()),
            failing: AtomicBool::new(false),
        }
    }

    /// An invocation begins; it ends when the guard goes, also by a panic or a cancellation.
    pub(crate) fn begin(self: &Arc<Self>) -> Invocation {
        let mut clock = self.clock();
        clock.running += 1;
        if clock.running == 1 {
            if clock.since.is_none() {
                clock.share = self.share();
            }
            if clock.share.sampled {
                clock.since.get_or_insert_with(now);
                clock.resumed = Some(Instant::now());
                self.engine.resume();
            }
        }
        Invocation(Arc::clone(self))
    }

    fn end(&self) {
        let mut clock = self.clock();
        clock.running = clock.running.saturating_sub(1);
        if clock.running == 0 {
            self.engine.pause();
            let ran = clock.resumed.take().map_or(Duration::ZERO, |at| at.elapsed());
            clock.active += ran;
        }
    }

    /// Whether a snapshot should be closed now, between two invocations.
    pub(crate) fn is_due(&self) -> bool {
        let clock = self.clock();
        clock.running == 0 && clock.closed.elapsed() >= self.steered.interval(&self.settings)
    }

    /// Closes a snapshot and writes what waits, all of it before `until` if that is given.
    ///
    /// Errors go to the log; what could not be written stays for the next flush.
    pub(crate) async fn flush(self: Arc<Self>, until: Option<Instant>) {
        let _one_at_a_time = self.flushing.lock().await;
        let session = Arc::clone(&self);
        // Reading stacks and names is CPU work of tens of milliseconds.
        let closing = tokio::task::spawn_blocking(move || session.close());
        let closed = match until {
            Some(until) => timeout(left(until), closing).await,
            None => Ok(closing.await),
        };
        match closed {
            Ok(Ok(Ok(()))) => {
                self.deliver(until).await;
                self.read_steering(until).await;
            }
            Ok(Ok(Err(error))) => warn!(%error, "no profile snapshot could be closed"),
            Ok(Err(error)) => warn!(%error, "no profile snapshot could be closed"),
            // It goes on in the background and is written by a later flush.
            Err(_) => debug!("closing a profile snapshot takes longer than there is time"),
        }
    }

    /// Reads what the service's owners want, where that is switched on; what
    /// cannot be read in time changes nothing.
    pub(crate) async fn read_steering(&self, until: Option<Instant>) {
        if !self.settings.steering {
            return;
        }
        let Settings { tenant, service, .. } = self.settings.clone();
        let key = SteeringKey { tenant, service }.to_string();
        let allowed = until.map_or(STEERING_TIMEOUT, |until| left(until).min(STEERING_TIMEOUT));
        match timeout(allowed, self.sink.steering(&key)).await {
            Ok(Ok(document)) => self.steered.take(document.as_deref()),
            Ok(Err(error)) => debug!(%error, "steering could not be read"),
            Err(_) => debug!("steering could not be read in time"),
        }
    }

    /// What a span that begins now is to this boot; all of it, if no boot can
    /// be drawn.
    fn share(&self) -> Share {
        match self.ids() {
            Ok((_, boot)) => self.steered.share(boot),
            Err(_) => Share { sampled: true, weight: 1 },
        }
    }

    /// Ends sampling for good; what waits can still be flushed.
    pub(crate) fn stop(&self) {
        self.engine.stop();
    }

    fn close(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let profile = self.engine.collect()?;
        let span = self.take_span(profile.is_some());
        let (Some(profile), Some(span)) = (profile, span) else { return Ok(()) };
        let seq = self.next_seq.load(Relaxed);
        let key = self.key(seq, span.end)?;
        let told_dropped = self.outbox.take_untold();
        let bytes = self.encode(profile, &span, told_dropped)?;
        self.next_seq.store(seq + 1, Relaxed);
        debug!(%key, bytes = bytes.len(), "closed a profile snapshot");
        let closed = Closed { key: key.to_string(), bytes: bytes.into(), told_dropped };
        if self.outbox.push(closed) {
            warn!("a profile snapshot was dropped: too many could not be written");
        }
        Ok(())
    }

    /// Begins a new span and gives the old one; without samples it only waits another interval.
    fn take_span(&self, sampled: bool) -> Option<Span> {
        let mut clock = self.clock();
        clock.closed = Instant::now();
        if !sampled {
            return None;
        }
        let end = now();
        let running = clock.running > 0;
        let weight = clock.share.weight;
        let since_resumed = clock.resumed.map_or(Duration::ZERO, |at| at.elapsed());
        clock.resumed = running.then(Instant::now);
        Some(Span {
            start: std::mem::replace(&mut clock.since, running.then_some(end)).unwrap_or(end),
            end,
            active: std::mem::take(&mut clock.active) + since_resumed,
            cold: std::mem::take(&mut clock.cold),
            weight,
        })
    }

    /// Ids are drawn with the first invocation, not at init: copies restored from one image of
    /// an initialised process must differ.
    fn ids(&self) -> Result<&(EnvId, BootId), io::Error> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let drawn = (EnvId::random().map_err(random)?, BootId::random().map_err(random)?);
        Ok(self.ids.get_or_init(|| drawn))
    }

    fn key(&self, seq: u64, end: UnixMillis) -> Result<SnapshotKey, io::Error> {
        let (env, boot) = self.ids()?;
        let identity = Identity {
            tenant: self.settings.tenant.clone(),
            service: self.settings.service.clone(),
            env: env.clone(),
            boot: boot.clone(),
            seq,
        };
        let cpu = ProfileType::new("cpu").map_err(io::Error::other)?;
        Ok(SnapshotKey::new(identity, KeyDate::of(end), SnapshotShape::Single(cpu)))
    }

    fn encode(
        &self,
        mut profile: Profile,
        span: &Span,
        dropped: u64,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let mut labels = self.settings.labels.clone();
        labels.insert("init".into(), if span.cold { "cold" } else { "warm" }.into());
        let note = SnapshotNote {
            labels,
            start: Some(span.start),
            end: Some(span.end),
            offset_millis: *self.offset.lock().unwrap_or_else(PoisonError::into_inner),
            active_nanos: i64::try_from(span.active.as_nanos()).ok(),
            dropped,
            weight: if span.weight > 1 { span.weight.into() } else { 0 },
            ..SnapshotNote::default()
        };
        weigh(&mut profile, span.weight);
        profile.time_nanos = span.start.as_nanos();
        profile.duration_nanos = span.end.as_nanos().saturating_sub(span.start.as_nanos()).max(0);
        add_comment(&mut profile, Note::Snapshot(note).to_comment()?);
        if names::refused() > 0 {
            debug!(count = names::refused(), "scopes ran without their labels");
        }
        Ok(flambeau_profile::gzip(&flambeau_profile::encode(&profile), GZIP_LEVEL))
    }

    /// Writes what waits, oldest first, until one cannot be written.
    async fn deliver(&self, until: Option<Instant>) {
        while let Some(closed) = self.outbox.oldest() {
            match self.put(&closed, until).await {
                Ok(receipt) => self.acknowledged(&closed, receipt),
                Err(error) => return self.complain(&error),
            }
        }
    }

    async fn put(&self, closed: &Closed, until: Option<Instant>) -> Result<Receipt, SinkError> {
        let mut pause = FIRST_PAUSE;
        let mut last = SinkError::Unreachable("there is no time left to write it".into());
        for _ in 0..ATTEMPTS {
            let allowed = until.map_or(ATTEMPT_TIMEOUT, |until| left(until).min(ATTEMPT_TIMEOUT));
            if allowed.is_zero() {
                break;
            }
            match timeout(allowed, self.sink.put(&closed.key, closed.bytes.clone())).await {
                Ok(Ok(receipt)) => return Ok(receipt),
                Ok(Err(SinkError::Refused(why))) => return Err(SinkError::Refused(why)),
                Ok(Err(error)) => last = error,
                Err(_) => last = SinkError::Unreachable(format!("no answer in {allowed:?}")),
            }
            tokio::time::sleep(until.map_or(pause, |until| left(until).min(pause))).await;
            pause *= 2;
        }
        Err(last)
    }

    fn acknowledged(&self, closed: &Closed, receipt: Receipt) {
        self.outbox.acknowledge(&closed.key);
        if receipt.offset_millis.is_some() {
            *self.offset.lock().unwrap_or_else(PoisonError::into_inner) = receipt.offset_millis;
        }
        debug!(key = %closed.key, already_there = receipt.already_there, "wrote a profile snapshot");
        if self.failing.swap(false, Relaxed) {
            info!("profile snapshots are written again");
        }
    }

    fn complain(&self, error: &SinkError) {
        let waiting = self.outbox.len();
        if self.failing.swap(true, Relaxed) {
            debug!(%error, waiting, "profile snapshots still cannot be written");
        } else {
            warn!(%error, waiting, "a profile snapshot could not be written; it is kept for later");
        }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running invocation.
pub(crate) struct Invocation(Arc<Session>);

impl Invocation {
    /// Ends it, and gives the session if a snapshot is due.
    pub(crate) fn finish(self) -> Option<Arc<Session>> {
        let session = Arc::clone(&self.0);
        drop(self);
        session.is_due().then_some(session)
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Lets one sampled environment stand for those that are not.
fn weigh(profile: &mut Profile, weight: u32) {
    let values = profile.sample.iter_mut().flat_map(|sample| &mut sample.value);
    values.for_each(|value| *value = value.saturating_mul(weight.into()));
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn random(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
