//! The profile type `timeline`: samples by the time since their invocation began.
//!
//! A writer puts [`INVOCATION_MS`] on each sample, a reader groups by it. Times are rounded down
//! to buckets that grow, so that an invocation of 15 minutes has 2 701 of them at most and one of
//! a second is told apart to the hundredth: that many numbers per stack is all that such a
//! profile can grow to, whatever is merged.

/// Name of the profile type.
pub const TIMELINE: &str = "timeline";
/// Key of the numeric label: time from the invocation's begin to the sample, as
/// [`bucket_ms`] rounds it.
pub const INVOCATION_MS: &str = "invocation_ms";
/// Unit of [`INVOCATION_MS`]'s numbers.
pub const INVOCATION_MS_UNIT: &str = "milliseconds";

/// How wide buckets are in a stretch of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Milliseconds since the begin at which it ends; a multiple of the next one's width.
    pub until_ms: u64,
    /// Milliseconds that one bucket holds.
    pub bucket_ms: u64,
}

/// The stretches of an invocation, up to the longest that Lambda has.
pub const STRETCHES: [Stretch; 3] = [
    Stretch { until_ms: 10_000, bucket_ms: 10 },
    Stretch { until_ms: 100_000, bucket_ms: 100 },
    Stretch { until_ms: LAST_BUCKET_MS, bucket_ms: 1_000 },
];

/// The bucket of all that is later.
pub const LAST_BUCKET_MS: u64 = 900_000;

/// The bucket of a moment `since_begin_ms` milliseconds into an invocation: where it begins, in
/// milliseconds.
#[must_use]
pub fn bucket_ms(since_begin_ms: u64) -> u64 {
    let stretch = STRETCHES.iter().find(|stretch| since_begin_ms < stretch.until_ms);
    stretch.map_or(LAST_BUCKET_MS, |Stretch { bucket_ms, .. }| {
        since_begin_ms - since_begin_ms % bucket_ms
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_at_their_edges() {
        let table = [
            (0, 0),
            (9, 0),
            (10, 10),
            (9_999, 9_990),
            (10_000, 10_000),
            (10_099, 10_000),
            (10_100, 10_100),
            (99_999, 99_900),
            (100_000, 100_000),
            (100_999, 100_000),
            (101_000, 101_000),
            (899_999, 899_000),
            (900_000, LAST_BUCKET_MS),
            (u64::MAX, LAST_BUCKET_MS),
        ];
        for (millis, bucket) in table {
            assert_eq!(bucket_ms(millis), bucket, "{millis} ms");
        }
    }

    #[test]
    fn every_bucket_is_where_it_begins_and_they_are_few() {
        let mut found: Vec<u64> = (0..2 * LAST_BUCKET_MS).map(bucket_ms).collect();
        assert!(found.is_sorted(), "time goes on");
        assert!((0..).zip(&found).all(|(millis, bucket)| *bucket <= millis), "rounded down");
        found.dedup();
        assert!(found.iter().all(|bucket| bucket_ms(*bucket) == *bucket));
        assert_eq!(found.len(), 2_701);
    }
}
