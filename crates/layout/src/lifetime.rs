//! How long things are kept. What a later thing needs must outlive it; the
//! order is asserted here, and the stack asserts its own rules against it.

use crate::time::{Level, UnixMillis};

/// Milliseconds of a day.
pub const DAY_MILLIS: i64 = 86_400_000;

/// Days a message can wait in the queue or the dead-letter queue.
pub const QUEUE_DAYS: i64 = 4;
/// Days a raw snapshot is kept.
pub const SNAPSHOT_DAYS: i64 = 7;
/// Days a segment is kept after it was written.
pub const SEGMENT_DAYS: i64 = 14;
/// Days a parked note is kept.
pub const PARKED_DAYS: i64 = 60;
/// Days an answer is kept.
pub const RESULT_DAYS: i64 = 1;
/// Days that a tombstone bars a block from being committed: far longer than
/// any writer can pause.
pub const TOMBSTONE_DAYS: i64 = 30;
/// Days that objects outlive the last row that names them.
pub const OBJECT_GRACE_DAYS: i64 = 2;
/// Days before its end from which a reader no longer counts on a level's
/// `done` rows: room for clocks that differ.
pub const CUT_MARGIN_DAYS: i64 = 1;
/// A level-0 row counts as done this many days after it was written even if it
/// was rolled up later, because its segment's life counts from the writing.
pub const MAX_LAG_DAYS: i64 = 1;

/// Days that `done` rows of a level are kept, counted from when they became
/// done; `None` where nothing becomes done for ever.
#[must_use]
pub fn done_days(level: Level) -> Option<i64> {
    match level {
        Level::Minute => Some(SEGMENT_DAYS - OBJECT_GRACE_DAYS - MAX_LAG_DAYS),
        Level::Hour => Some(90),
        Level::Day => Some(400),
        Level::Month => None,
    }
}

/// When a row that became done at `done` may be forgotten, in Unix seconds as
/// TTL wants them. Rows of the coarsest level become done only inside their
/// own window and are kept as long as days are.
#[must_use]
pub fn done_expires_secs(level: Level, written: UnixMillis, done: UnixMillis) -> i64 {
    let days = done_days(level).or(done_days(Level::Day)).unwrap_or(SEGMENT_DAYS);
    let latest = match level {
        Level::Minute => written.plus_millis(MAX_LAG_DAYS * DAY_MILLIS),
        _ => done,
    };
    done.min(latest).plus_millis(days * DAY_MILLIS).0.div_euclid(1000)
}

/// The finest level whose `done` rows are all still there for windows that
/// begin at `start`, seen at `now`.
#[must_use]
pub fn finest_kept(start: UnixMillis, now: UnixMillis) -> Level {
    let age = now.0.saturating_sub(start.0);
    let kept = |level: &Level| {
        done_days(*level).is_none_or(|days| age < (days - CUT_MARGIN_DAYS) * DAY_MILLIS)
    };
    Level::ALL.into_iter().find(kept).unwrap_or(Level::Month)
}

const _: () = {
    assert!(QUEUE_DAYS < SNAPSHOT_DAYS && SNAPSHOT_DAYS < SEGMENT_DAYS);
    assert!(SEGMENT_DAYS < crate::claim::CLAIM_LIFE_DAYS);
    assert!(TOMBSTONE_DAYS > SEGMENT_DAYS);
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn ago(days: i64) -> UnixMillis {
        NOW.plus_millis(-days * DAY_MILLIS)
    }

    #[test]
    fn a_reader_gives_up_a_level_before_its_rows_go() {
        assert_eq!(finest_kept(ago(0), NOW), Level::Minute);
        for (level, coarser) in
            [(Level::Minute, Level::Hour), (Level::Hour, Level::Day), (Level::Day, Level::Month)]
        {
            let days = done_days(level).unwrap() - CUT_MARGIN_DAYS;
            assert_eq!(finest_kept(ago(days).plus_millis(1), NOW), level);
            assert_eq!(finest_kept(ago(days), NOW), coarser);
        }
        assert_eq!(finest_kept(NOW.plus_millis(DAY_MILLIS), NOW), Level::Minute);
    }

    #[test]
    fn segments_outlive_the_rows_that_name_them() {
        for lag in [0, 1, 5, 13] {
            let done = NOW.plus_millis(lag * DAY_MILLIS);
            let row = done_expires_secs(Level::Minute, NOW, done) * 1000;
            let segment = NOW.0 + SEGMENT_DAYS * DAY_MILLIS;
            assert!(row + OBJECT_GRACE_DAYS * DAY_MILLIS <= segment, "{lag}");
        }
    }
}
