//! The profiler's own thread.
//!
//! Closing snapshots is CPU work and writing them takes time, and neither may hold up the
//! function's runtime, nor may a function that blocks its runtime hold up the last flush before
//! its deadline. So both happen here, on a thread with a small runtime of its own, whose CPU
//! time is the profiler's cost.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{debug, warn};

use super::deliver::left;
use super::{DEADLINE_FLUSH, FlushError, Session};
use crate::engine::EngineError;
use crate::shutdown::{self, Termination};

/// Its name, as it stands on samples of it.
const THREAD_NAME: &str = "flambeau";

/// Time that a flush in the midst of an invocation may take, where no deadline is nearer.
const MIDST_LIMIT: Duration = Duration::from_secs(10);

/// Where the thread is reached.
pub(super) struct Worker {
    requests: mpsc::UnboundedSender<Request>,
    alarm: Arc<Alarm>,
}

/// By how much a sleep may end early, measured by another clock.
const EARLY: Duration = Duration::from_millis(5);

struct Request {
    until: Option<Instant>,
    done: oneshot::Sender<Result<usize, FlushError>>,
}

/// When the thread wakes by itself, in milliseconds since `origin`; `u64::MAX` if it does not.
struct Alarm {
    origin: Instant,
    at: AtomicU64,
    earlier: Notify,
}

impl Worker {
    /// Asks for a flush and waits for it until `until`.
    pub(super) async fn flush(&self, until: Option<Instant>) -> Result<usize, FlushError> {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request { until, done }).is_err() {
            return Err(FlushError::NotClosed("the profiler's thread has ended".into()));
        }
        let answer = async { answer.await.unwrap_or(Err(FlushError::Late)) };
        match until {
            Some(until) => {
                tokio::time::timeout(left(until), answer).await.unwrap_or(Err(FlushError::Late))
            }
            None => answer.await,
        }
    }

    /// Sees to it that the thread looks after the invocation in `wake` from now. Nearly always
    /// it will anyway: it is woken only to look earlier than it meant to.
    pub(super) fn wake_in(&self, wake: Duration) {
        let at = self.alarm.millis().saturating_add(millis(wake));
        if at < self.alarm.at.load(Relaxed) {
            self.alarm.at.store(at, Relaxed);
            self.alarm.earlier.notify_one();
        }
    }
}

impl Alarm {
    fn millis(&self) -> u64 {
        millis(self.origin.elapsed())
    }

    /// Sleeps until the invocation under way needs something, or for ever.
    async fn ring(&self, session: &Session) {
        let wake = session.next_wake();
        let at = wake.map_or(u64::MAX, |wake| self.millis().saturating_add(millis(wake)));
        self.at.store(at, Relaxed);
        match wake {
            Some(wake) => tokio::time::sleep(wake).await,
            None => pending().await,
        }
    }
}

/// Starts the thread, and on it the engine; comes back when both are ready to sample.
pub(crate) async fn start(session: &Arc<Session>, handle_sigterm: bool) -> Result<(), EngineError> {
    let (requests, received) = mpsc::unbounded_channel();
    let origin = Instant::now();
    let alarm = Arc::new(Alarm { origin, at: AtomicU64::new(u64::MAX), earlier: Notify::new() });
    let (ready, readiness) = oneshot::channel();
    let life = Life { session: Arc::clone(session), alarm: Arc::clone(&alarm), requests: received };
    let thread = std::thread::Builder::new().name(THREAD_NAME.into());
    thread
        .spawn(move || live(life, handle_sigterm, ready))
        .map_err(|error| EngineError::Failed(format!("no thread: {error}")))?;
    let ended = |_| Err(EngineError::Failed("the profiler's thread ended".into()));
    readiness.await.unwrap_or_else(ended)?;
    let _ = session.worker.set(Worker { requests, alarm });
    Ok(())
}

fn live(life: Life, handle_sigterm: bool, ready: oneshot::Sender<Result<(), EngineError>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let started = match &runtime {
        Ok(_) => start_engine(&life.session),
        Err(error) => Err(EngineError::Failed(format!("no runtime: {error}"))),
    };
    if let (Ok(runtime), Ok(())) = (&runtime, &started) {
        return runtime.block_on(life.run(handle_sigterm, ready));
    }
    let _ = ready.send(started);
}

/// A panicking engine is one that did not start.
fn start_engine(session: &Session) -> Result<(), EngineError> {
    let starting = std::panic::AssertUnwindSafe(|| session.engine.start());
    std::panic::catch_unwind(starting)
        .unwrap_or_else(|_| Err(EngineError::Failed("the engine panicked".into())))
}

/// What the thread does.
struct Life {
    session: Arc<Session>,
    alarm: Arc<Alarm>,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl Life {
    async fn run(mut self, handle_sigterm: bool, ready: oneshot::Sender<Result<(), EngineError>>) {
        self.session.read_steering(None).await;
        let mut termination = match handle_sigterm {
            true => shutdown::expect_termination().await,
            false => Termination::never(),
        };
        let _ = ready.send(Ok(()));
        self.send_what_was_left().await;
        loop {
            tokio::select! {
                biased;
                () = termination.come() => self.end(&termination).await,
                request = self.requests.recv() => match request {
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                () = self.alarm.earlier.notified() => {}
                () = self.alarm.ring(&self.session) => self.flush_in_the_midst().await,
            }
        }
    }

    /// A process killed here before this one could not send everything.
    async fn send_what_was_left(&self) {
        self.session.recover();
        // A failure was warned of, and leaves the rest to the next flush.
        let _ = self.session.delivery.deliver(None).await;
    }

    async fn answer(&self, request: Request) {
        let flushed = self.session.close_and_deliver(request.until).await;
        // Who asked may have given up.
        let _ = request.done.send(flushed);
    }

    /// The last flush, and the end of the process where that is ours to bring about.
    async fn end(&self, termination: &Termination) {
        let until = Instant::now() + shutdown::SHUTDOWN_LIMIT;
        match self.session.close_and_deliver(Some(until)).await {
            Ok(_) => self.session.finish(),
            Err(error) => debug!(%error, "the last flush"),
        }
        termination.finish();
    }

    /// An invocation has run for an interval, or comes close to its deadline.
    async fn flush_in_the_midst(&self) {
        let spans = &self.session.spans;
        let left = spans.deadline().map(until_then);
        if left.is_some_and(|left| left <= DEADLINE_FLUSH + EARLY) {
            // Once is enough: what is sampled later, the sample log keeps.
            spans.forget_deadline();
        }
        let limit = left.unwrap_or(MIDST_LIMIT).min(MIDST_LIMIT);
        if let Err(error) = self.session.close_and_deliver(Some(Instant::now() + limit)).await {
            warn!(%error, "the flush during a long invocation");
        }
    }
}

fn until_then(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// CPU time of this thread, in nanoseconds.
pub(super) fn thread_cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes into a structure of ours; this clock always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
