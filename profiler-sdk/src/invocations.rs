//! When invocations ran, by the clock of samples.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::billed::{Clock, SystemClock};

/// Most invocations that are remembered for one snapshot: a minute of 4 ms each. Beyond, the
/// oldest are forgotten, and what was sampled in them is part of no `timeline`.
pub const MAX_INVOCATIONS: usize = 16_384;

/// When invocations began and ended, on `CLOCK_MONOTONIC`, in nanoseconds: as far back as the
/// snapshot under way needs it, and at most [`MAX_INVOCATIONS`].
///
/// Only differences within an invocation are told, so time in which the environment is frozen
/// between two changes nothing. Where several run at once, a moment is in the one that began
/// last before it, though that may be over.
#[derive(Debug, Default)]
pub struct Invocations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In the order in which they began.
    runs: VecDeque<Run>,
    running: usize,
}

/// One invocation.
#[derive(Debug, Clone, Copy)]
struct Run {
    began: u64,
    /// When none was running any more; [`RUNNING`] before, and where another began before that.
    ended: u64,
}

const RUNNING: u64 = u64::MAX;

impl Invocations {
    /// How far into its invocation the moment `at` is; `None` if none ran then.
    pub fn since_begin(&self, at: u64) -> Option<Duration> {
        let run = self.lock().last_begun(at).filter(|run| at <= run.ended)?;
        Some(Duration::from_nanos(at - run.began))
    }

    /// As [`since_begin`](Self::since_begin); after an invocation it is the end of that.
    pub fn since_begin_or_end(&self, at: u64) -> Option<Duration> {
        let run = self.lock().last_begun(at)?;
        Some(Duration::from_nanos(at.min(run.ended) - run.began))
    }

    /// One begins now. The profiler says so by itself.
    pub fn begin(&self) {
        // The clock is read under the lock: times must come in the order of the changes.
        let mut state = self.lock();
        state.begin(SystemClock.now());
    }

    /// One ends now. The profiler says so by itself.
    pub fn end(&self) {
        let mut state = self.lock();
        state.end(SystemClock.now());
    }

    /// Nobody will ask for moments before `at` any more.
    pub(crate) fn forget_before(&self, at: u64) {
        let runs = &mut self.lock().runs;
        while runs.get(1).is_some_and(|next| next.began <= at) {
            runs.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, at: u64) {
        if self.runs.len() == MAX_INVOCATIONS {
            self.runs.pop_front();
        }
        self.runs.push_back(Run { began: at, ended: RUNNING });
        self.running += 1;
    }

    fn end(&mut self, at: u64) {
        self.running = self.running.saturating_sub(1);
        if self.running == 0
            && let Some(last) = self.runs.back_mut()
        {
            last.ended = at;
        }
    }

    fn last_begun(&self, at: u64) -> Option<Run> {
        let begun = self.runs.partition_point(|run| run.began <= at);
        self.runs.get(begun.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
impl Invocations {
    /// Of these begins and ends, one after another.
    pub(crate) fn of(runs: &[(u64, u64)]) -> Self {
        let invocations = Self::default();
        for (began, ended) in runs {
            invocations.lock().begin(*began);
            invocations.lock().end(*ended);
        }
        invocations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(nanos: u64) -> Option<Duration> {
        Some(Duration::from_nanos(nanos))
    }

    #[test]
    fn a_moment_is_in_the_invocation_that_runs_then() {
        // Frozen for an hour in between.
        let hour = 3_600_000_000_000;
        let invocations = Invocations::of(&[(100, 150), (hour, hour + 10)]);
        let table = [
            (99, None, None),
            (100, nanos(0), nanos(0)),
            (150, nanos(50), nanos(50)),
            (151, None, nanos(50)),
            (hour - 1, None, nanos(50)),
            (hour, nanos(0), nanos(0)),
            (hour + 10, nanos(10), nanos(10)),
            (u64::MAX, None, nanos(10)),
        ];
        for (at, inside, or_end) in table {
            assert_eq!(invocations.since_begin(at), inside, "{at}");
            assert_eq!(invocations.since_begin_or_end(at), or_end, "{at}");
        }
        assert_eq!(Invocations::default().since_begin_or_end(5), None);
    }

    #[test]
    fn of_several_at_once_the_last_one_counts_until_none_runs() {
        let invocations = Invocations::default();
        invocations.lock().begin(10);
        invocations.lock().begin(20);
        invocations.lock().end(25);
        assert_eq!(invocations.since_begin(19), nanos(9));
        assert_eq!(invocations.since_begin(30), nanos(10), "the first one still runs");
        invocations.lock().end(40);
        assert_eq!((invocations.since_begin(40), invocations.since_begin(41)), (nanos(20), None));
    }

    #[test]
    fn only_what_the_next_snapshot_needs_is_kept() {
        let invocations = Invocations::of(&[(10, 20), (30, 40), (50, 60)]);
        invocations.forget_before(45);
        assert_eq!(invocations.since_begin(15), None);
        assert_eq!(invocations.since_begin(35), nanos(5), "what comes late may be of it");
        invocations.forget_before(u64::MAX);
        assert_eq!(invocations.since_begin(55), nanos(5), "the last one may still run");
        assert_eq!(invocations.lock().runs.len(), 1);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let invocations = Invocations::default();
        for nth in 0..MAX_INVOCATIONS as u64 + 2 {
            invocations.lock().begin(10 * nth);
            invocations.lock().end(10 * nth + 5);
        }
        assert_eq!(invocations.lock().runs.len(), MAX_INVOCATIONS);
        assert_eq!(invocations.since_begin(12), None);
        assert_eq!(invocations.since_begin(22), nanos(2));
    }
}
