//! What time it is, and how much of it invocations used.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flambeau_layout::UnixMillis;

use crate::steering::Share;

/// Longest time that a sampled span waits for its snapshot while invocations are few: what an
/// environment has when it is reclaimed without a word is lost.
pub const MAX_DELAY: Duration = Duration::from_secs(600);

/// One moment by two clocks. Both may stand still or leap while the environment is frozen, and
/// the second whenever somebody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since some moment of this process; never goes back.
    pub(crate) steady: Duration,
    pub(crate) wall: UnixMillis,
}

/// Where moments come from; another one simulates a day.
pub(crate) type Now = Box<dyn Fn() -> Moment + Send + Sync>;

/// The machine's clocks.
pub(crate) fn machine() -> Now {
    let begun = Instant::now();
    Box::new(move || Moment { steady: begun.elapsed(), wall: wall_clock() })
}

/// Milliseconds since the epoch, by the machine.
pub(crate) fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What one snapshot covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: UnixMillis,
    pub(crate) end: UnixMillis,
    /// Time in which an invocation ran; several at once count once.
    pub(crate) active: Duration,
    /// Invocations that ended in it.
    pub(crate) invocations: u64,
    /// It holds the first invocation of this process.
    pub(crate) cold: bool,
    pub(crate) weight: u32,
}

/// The span that is under way.
pub(crate) struct Spans(Mutex<State>);

struct State {
    running: u32,
    resumed: Option<Duration>,
    active: Duration,
    invocations: u64,
    since: Option<Moment>,
    /// When, and at what active time, the span was last found without samples.
    looked: Option<(Duration, Duration)>,
    cold: bool,
    /// What the span is to this boot; fixed when it begins.
    share: Share,
    /// The earliest deadline of those running, as far as they have one.
    deadline: Option<SystemTime>,
}

impl Spans {
    pub(crate) fn new() -> Self {
        let share = Share { sampled: true, weight: 1 };
        Self(Mutex::new(State {
            running: 0,
            resumed: None,
            active: Duration::ZERO,
            invocations: 0,
            since: None,
            looked: None,
            cold: true,
            share,
            deadline: None,
        }))
    }

    /// An invocation begins. True if sampling is to begin with it.
    pub(crate) fn begin(
        &self,
        now: Moment,
        deadline: Option<SystemTime>,
        share: impl FnOnce() -> Share,
    ) -> bool {
        let mut state = self.lock();
        state.running += 1;
        state.deadline = match state.running {
            1 => deadline,
            _ => state.deadline.into_iter().chain(deadline).min(),
        };
        if state.running > 1 {
            return false;
        }
        if state.since.is_none() {
            state.share = share();
        }
        if state.share.sampled {
            state.since.get_or_insert(now);
            state.resumed = Some(now.steady);
        }
        state.share.sampled
    }

    /// An invocation ends. True if it was the last one running.
    pub(crate) fn end(&self, now: Moment) -> bool {
        let mut state = self.lock();
        state.running = state.running.saturating_sub(1);
        state.invocations += 1;
        if state.running > 0 {
            return false;
        }
        state.deadline = None;
        let ran = state.resumed.take().map_or(Duration::ZERO, |at| now.steady.saturating_sub(at));
        state.active += ran;
        true
    }

    /// Whether the span has lasted: `interval` of active time, or [`MAX_DELAY`] in all. Frozen
    /// time alone brings nothing about before that.
    pub(crate) fn is_due(&self, now: Moment, interval: Duration) -> bool {
        let state = self.lock();
        let Some(since) = state.since else { return false };
        let from = state.looked.map_or(since.steady, |(steady, _)| steady);
        state.unseen_until(now) >= interval || now.steady.saturating_sub(from) >= MAX_DELAY
    }

    /// Whether an invocation is running.
    pub(crate) fn is_running(&self) -> bool {
        self.lock().running > 0
    }

    /// Until when the running invocations must be through.
    pub(crate) fn deadline(&self) -> Option<SystemTime> {
        self.lock().deadline
    }

    /// How much active time is missing before a snapshot is due; `None` if nothing runs.
    pub(crate) fn missing(&self, now: Moment, interval: Duration) -> Option<Duration> {
        let state = self.lock();
        (state.running > 0 && state.since.is_some())
            .then(|| interval.saturating_sub(state.unseen_until(now)))
    }

    /// The running invocation's deadline has been seen to.
    pub(crate) fn forget_deadline(&self) {
        self.lock().deadline = None;
    }

    /// Ends the span and begins the next; without samples the span goes on, and is due again
    /// only when it has lasted as long once more.
    pub(crate) fn take(&self, now: Moment, sampled: bool) -> Option<Span> {
        let mut state = self.lock();
        let active = state.active_until(now);
        state.looked = (!sampled).then_some((now.steady, active));
        let since = state.since.filter(|_| sampled)?;
        let running = state.resumed.is_some();
        state.resumed = state.resumed.map(|_| now.steady);
        state.since = running.then_some(now);
        state.active = Duration::ZERO;
        Some(Span {
            // A clock set back in between must not turn time around.
            start: since.wall.min(now.wall),
            end: now.wall,
            active,
            invocations: std::mem::take(&mut state.invocations),
            cold: std::mem::take(&mut state.cold),
            weight: state.share.weight,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn active_until(&self, now: Moment) -> Duration {
        self.active + self.resumed.map_or(Duration::ZERO, |at| now.steady.saturating_sub(at))
    }

    fn unseen_until(&self, now: Moment) -> Duration {
        let seen = self.looked.map_or(Duration::ZERO, |(_, active)| active);
        self.active_until(now).saturating_sub(seen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment { steady: Duration::from_millis(millis), wall: UnixMillis(1_000 + millis as i64) }
    }

    fn whole() -> Share {
        Share { sampled: true, weight: 1 }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn only_running_time_makes_a_snapshot_due() {
        let spans = Spans::new();
        assert!(!spans.is_due(at(0), Duration::ZERO), "there is nothing to write");
        assert!(spans.begin(at(0), None, whole));
        assert!(!spans.begin(at(10), None, whole), "one at a time begins sampling");
        assert!(!spans.end(at(20)));
        assert!(spans.end(at(30_000)));
        // Frozen for five minutes.
        assert!(!spans.is_due(at(330_000), MINUTE));
        spans.begin(at(330_000), None, whole);
        assert_eq!(spans.missing(at(340_000), MINUTE), Some(Duration::from_secs(20)));
        assert!(!spans.is_due(at(359_999), MINUTE));
        assert!(spans.is_due(at(360_000), MINUTE));
        let span = spans.take(at(360_000), true).unwrap();
        assert_eq!((span.active, span.invocations, span.cold), (MINUTE, 2, true));
        assert_eq!((span.start, span.end), (UnixMillis(1_000), UnixMillis(361_000)));
        assert!(spans.end(at(361_000)));
        let next = spans.take(at(361_000), true).unwrap();
        assert_eq!((next.active, next.cold), (Duration::from_secs(1), false));
    }

    #[test]
    fn what_waits_too_long_is_due_at_last() {
        let spans = Spans::new();
        spans.begin(at(0), None, whole);
        spans.end(at(1));
        let late = MAX_DELAY.as_millis() as u64;
        assert!(!spans.is_due(at(late - 1), MINUTE));
        assert!(spans.is_due(at(late), MINUTE));
        assert_eq!(spans.take(at(late), false), None, "without samples it goes on");
        assert!(!spans.is_due(at(2 * late - 1), MINUTE));
        assert!(spans.is_due(at(2 * late), MINUTE));
    }

    #[test]
    fn a_clock_set_back_turns_no_time_around() {
        let spans = Spans::new();
        spans.begin(at(0), None, whole);
        let back = Moment { wall: UnixMillis(-3_600_000), ..at(50) };
        let span = spans.take(back, true).unwrap();
        assert!(span.start <= span.end);
        assert_eq!(span.active, Duration::from_millis(50));
    }

    #[test]
    fn the_earliest_deadline_counts_and_ends_with_the_last() {
        let spans = Spans::new();
        let deadline = |secs| Some(UNIX_EPOCH + Duration::from_secs(secs));
        spans.begin(at(0), deadline(9), whole);
        spans.begin(at(0), deadline(5), whole);
        spans.begin(at(0), None, whole);
        assert_eq!(spans.deadline(), deadline(5));
        (0..3).for_each(|_| assert!(spans.end(at(1)) || spans.is_running()));
        assert_eq!(spans.deadline(), None);
    }
}
