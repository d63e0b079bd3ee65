//! The profile type `heap`.

use std::collections::BTreeMap;
use std::hint::black_box;

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;

use crate::heap::books::{self, Counts, PARTS, PERIOD, Sums};
use crate::heap::{draw, hook, stack};
use crate::mappings::mappings;
use crate::profile_builder::{Leaf, ProfileBuilder, add_comment};
use crate::recorder::Recorder;

const SAMPLE_TYPES: [(&str, &str); 4] = [
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
];

/// Why the heap cannot be profiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeapError {
    /// The program's allocator is another one.
    #[error(
        "allocations do not pass through SampledAlloc; make it the program's #[global_allocator]"
    )]
    NotInstalled,
    /// There is one recorder in a process.
    #[error("the heap is being recorded already")]
    AlreadyRunning,
}

/// Records allocations as the profile type `heap`, with Go's sample types: `alloc_objects` and
/// `alloc_space` since the last collection, `inuse_objects` and `inuse_space` as they are.
///
/// Blocks are sampled as by a Poisson process over the bytes allocated, one in 512 KiB on
/// average, and each stands for as many as it was unlikely: 1 / (1 - exp(-size / 512 KiB)). So
/// every sum is right in expectation, whatever the sizes. Of a total of `n` bytes in small
/// blocks the standard deviation is the square root of `n` * 512 KiB: 0.7 % of 10 GB.
///
/// Only what was allocated since the start is in use as far as it knows. Up to 24 576 sampled
/// blocks can be alive (12 GiB in small blocks) and 4 096 stacks known; what is beyond is
/// counted in the [`HeapReport`] and in a comment of the profile.
#[derive(Debug)]
pub struct HeapRecorder(());

/// How well the recording went since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapReport {
    /// Blocks sampled.
    pub samples: u64,
    /// Sampled blocks missing in `inuse_*`, as too many were alive.
    pub unkept: u64,
    /// Sampled blocks whose stack is missing, as there were too many stacks.
    pub stackless: u64,
}

impl HeapRecorder {
    /// Begins to record, until it is dropped.
    ///
    /// # Errors
    /// [`HeapError`]: the program's allocator is not a [`SampledAlloc`](crate::SampledAlloc),
    /// or there is a recorder already.
    pub fn start() -> Result<Self, HeapError> {
        draw::reseed();
        if !books::open() {
            return Err(HeapError::AlreadyRunning);
        }
        let recorder = Self(());
        stack::prepare();
        hook::switch_on();
        let before = hook::progress();
        drop(black_box(Box::new(before)));
        if hook::progress() == before {
            return Err(HeapError::NotInstalled);
        }
        Ok(recorder)
    }

    /// How well it went so far.
    pub fn report(&self) -> HeapReport {
        let Counts { samples, unkept, stackless } = books::counts().unwrap_or_default();
        HeapReport { samples, unkept, stackless }
    }
}

impl Drop for HeapRecorder {
    fn drop(&mut self) {
        hook::switch_off();
        books::close();
    }
}

impl Recorder for HeapRecorder {
    fn profile_type(&self) -> &'static str {
        "heap"
    }

    fn temporality(&self) -> BTreeMap<String, Temporality> {
        // Go's are since the start of the process; ours are not.
        let delta = |name: &str| (name.to_owned(), Temporality::Delta);
        ["alloc_objects", "alloc_space"].map(delta).into()
    }

    fn collect(&self) -> Option<Profile> {
        let (stacks, counts) = books::take()?;
        let mappings = mappings();
        let period = i64::try_from(PERIOD).unwrap_or(i64::MAX);
        let mut builder = ProfileBuilder::new(&mappings, &SAMPLE_TYPES, ("space", "bytes"), period);
        for (frames, context, sums) in stacks.iter() {
            let values = values(sums);
            if values == [0; 4] {
                continue;
            }
            let locations = match frames {
                [] => vec![builder.named("[unknown]")],
                _ => builder.stack(frames, Leaf::Return),
            };
            builder.sample(locations, &values, &stack::labels(context));
        }
        let mut profile = builder.finish()?;
        if counts.unkept + counts.stackless > 0 {
            add_comment(&mut profile, warning(counts));
        }
        Some(profile)
    }
}

fn values(sums: &Sums) -> [i64; 4] {
    let objects = |parts: u64| (parts + PARTS / 2) / PARTS;
    let all = [
        objects(sums.alloc_objects),
        sums.alloc_bytes,
        objects(sums.live_objects),
        sums.live_bytes,
    ];
    all.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

fn warning(Counts { samples, unkept, stackless }: Counts) -> String {
    format!(
        "heap: of {samples} samples since the start {unkept} are missing in inuse_* and \
         {stackless} have lost their stack, for want of room"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_wrapper_there_is_nothing_to_record() {
        // The allocator of these tests is the system's own.
        for _ in 0..2 {
            assert_eq!(HeapRecorder::start().err(), Some(HeapError::NotInstalled));
            assert!(!hook::is_on());
        }
    }

    #[test]
    fn values_are_whole_objects() {
        let sums = Sums { alloc_objects: PARTS * 3 / 2, alloc_bytes: 7, ..Sums::default() };
        assert_eq!(values(&sums), [2, 7, 0, 0]);
    }
}
