//! How closed snapshots get away.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::outbox::{Closed, Outbox};
use crate::sink::{Receipt, Sink, SinkError};

/// How often one flush tries to write the same snapshot.
const ATTEMPTS: u32 = 3;

/// Time one attempt may take while the environment runs.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after the first failed attempt; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A step in which waiting is counted: one that took much longer was frozen time.
const STEP: Duration = Duration::from_millis(100);

/// The way out: a sink, and what waits in front of it.
pub(crate) struct Delivery {
    sink: Box<dyn Sink>,
    outbox: Outbox,
    offset: Mutex<Option<i64>>,
    /// Whether the last delivery failed: an outage is one warning.
    failing: AtomicBool,
}

impl Delivery {
    pub(crate) fn new(sink: Box<dyn Sink>, outbox: Outbox) -> Self {
        Self { sink, outbox, offset: Mutex::new(None), failing: AtomicBool::new(false) }
    }

    /// What waits to be written.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The keeper's clock minus ours in milliseconds, as last seen.
    pub(crate) fn offset_millis(&self) -> Option<i64> {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits, oldest first, until one cannot be written; how many were.
    ///
    /// # Errors
    /// That of the one which could not.
    pub(crate) async fn deliver(&self, until: Option<Instant>) -> Result<usize, SinkError> {
        let mut written = 0;
        while let Some(closed) = self.outbox.oldest() {
            match self.put(&closed, until).await {
                Ok(receipt) => self.acknowledged(&closed, receipt),
                Err(error) => {
                    self.complain(&error);
                    return Err(error);
                }
            }
            written += 1;
        }
        Ok(written)
    }

    /// Reads the object that steers the service, in time or not at all.
    pub(crate) async fn steering(
        &self,
        key: &str,
        allowed: Duration,
    ) -> Result<Option<Bytes>, SinkError> {
        match awake_for(allowed, self.sink.steering(key)).await {
            Some(read) => read,
            None => Err(SinkError::Unreachable(format!("no answer in {allowed:?}"))),
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
            // After a thaw the connection is dead, and the next attempt makes another.
            match awake_for(allowed, self.sink.put(&closed.key, closed.bytes.clone())).await {
                Some(Ok(receipt)) => return Ok(receipt),
                Some(Err(SinkError::Refused(why))) => return Err(SinkError::Refused(why)),
                Some(Err(error)) => last = error,
                None => last = SinkError::Unreachable(format!("no answer in {allowed:?}")),
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
}

/// What is left of the time until a moment.
pub(crate) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// `future`'s output if it comes within `limit` of time in which this process ran: a freeze of
/// hours counts as one step.
async fn awake_for<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut waited = Duration::ZERO;
    while waited < limit {
        let step = (limit - waited).min(STEP);
        if let Ok(output) = tokio::time::timeout(step, &mut future).await {
            return Some(output);
        }
        waited += step;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frozen_time_is_one_step() {
        let mut polls = 0;
        let late = std::future::poll_fn(|_| {
            polls += 1;
            // The environment stands still, much longer than the limit, between two polls.
            std::thread::sleep(STEP * 4);
            if polls == 2 { std::task::Poll::Ready(7) } else { std::task::Poll::Pending }
        });
        assert_eq!(awake_for(STEP * 3, late).await, Some(7));
    }

    #[tokio::test]
    async fn a_silent_future_is_given_up() {
        let silent = std::future::pending::<()>();
        assert_eq!(awake_for(STEP / 10, silent).await, None);
        assert_eq!(awake_for(Duration::ZERO, std::future::ready(1)).await, None);
    }
}
