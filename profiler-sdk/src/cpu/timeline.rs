//! A log's samples by the time since their invocation began.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use flambeau_layout::timeline::{INVOCATION_MS, INVOCATION_MS_UNIT, bucket_ms};
use flambeau_profile::proto::Profile;

use crate::cpu::profile::{Counter, TYPES, signed, stack};
use crate::invocations::Invocations;
use crate::log::{Sample, SampleKind};
use crate::mappings::Mapping;
use crate::profile_builder::ProfileBuilder;

/// What samples have in common beside their time: their frames and their set of labels.
///
/// Neither the path of spans nor the thread: each would multiply the samples, of which there is
/// one per moment already, and the same snapshot's `cpu` tells both.
type Place<'s> = (&'s [u64], u32);

/// As [`profile`](super::profile::profile), of samples taken inside `invocations`, with a label
/// that tells how far inside. `labels_of` tells the labels of a set.
///
/// Samples of one place follow each other, so that compressing finds their likeness.
pub(crate) fn timeline(
    samples: &[Sample],
    period: u64,
    mapped: &[Mapping],
    invocations: &Invocations,
    labels_of: impl Fn(u32) -> Vec<(String, String)>,
) -> Option<Profile> {
    let mut builder = ProfileBuilder::new(mapped, &TYPES, TYPES[1], signed(period));
    let mut counter = Counter::new(period);
    for ((frames, labels), buckets) in placed(samples, invocations) {
        let locations = stack(&mut builder, frames);
        let labels = builder.labels(&labels_of(labels));
        for (bucket, weight) in buckets {
            let mut labels = labels.clone();
            labels.push(builder.number(INVOCATION_MS, INVOCATION_MS_UNIT, signed(bucket)));
            let values = [counter.count(weight), signed(weight)];
            builder.push(locations.clone(), &values, labels);
        }
    }
    builder.finish()
}

/// Places in the order of their first samples, with their weights by bucket.
fn placed<'s>(
    samples: &'s [Sample],
    invocations: &Invocations,
) -> Vec<(Place<'s>, BTreeMap<u64, u64>)> {
    let mut numbers = HashMap::new();
    let mut placed: Vec<(Place<'_>, BTreeMap<u64, u64>)> = Vec::new();
    let mut moments = Moments { invocations, last: HashMap::new() };
    for sample in samples {
        let Some(since_begin) = moments.of(sample) else { continue };
        let place = (sample.frames.as_slice(), sample.head.context.labels);
        let number = *numbers.entry(place).or_insert(placed.len());
        if number == placed.len() {
            placed.push((place, BTreeMap::new()));
        }
        let bucket = bucket_ms(u64::try_from(since_begin.as_millis()).unwrap_or(u64::MAX));
        let weight = placed[number].1.entry(bucket).or_default();
        *weight = weight.saturating_add(sample.head.weight);
    }
    placed
}

/// How far into its invocation each sample is.
struct Moments<'i> {
    invocations: &'i Invocations,
    /// The last sample's, by thread.
    last: HashMap<u32, Option<Duration>>,
}

impl Moments<'_> {
    /// CPU time that no sample saw is written when a thread or a snapshot ends, on the stack
    /// seen last: it stands where that was seen. Where it was not, it is of the invocation that
    /// ran last, since nothing is sampled outside.
    fn of(&mut self, sample: &Sample) -> Option<Duration> {
        let head = &sample.head;
        match head.kind {
            SampleKind::Residual => match self.last.remove(&head.tid) {
                Some(seen) => seen,
                None => self.invocations.since_begin_or_end(head.at),
            },
            _ => {
                let moment = self.invocations.since_begin(head.at);
                self.last.insert(head.tid, moment);
                moment
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::context::Context;
    use crate::cpu::profile::profile;
    use crate::log::SampleHead;

    const PERIOD: u64 = 10;
    const SECOND: u64 = 1_000_000_000;

    /// Of thread 7 under the labels 1 and a span, in the function at this address.
    fn sample(millis: u64, function: u64, weight: u64) -> Sample {
        let context = Context { labels: 1, span: 9 };
        let at = millis * 1_000_000;
        let head = SampleHead { tid: 7, kind: SampleKind::Cpu, at, weight, context };
        Sample { number: 0, head, truncated: false, frames: vec![function, 0x900] }
    }

    fn residual(millis: u64, function: u64, weight: u64) -> Sample {
        let mut sample = sample(millis, function, weight);
        sample.head.kind = SampleKind::Residual;
        sample
    }

    fn of_thread(tid: u32, mut sample: Sample) -> Sample {
        sample.head.tid = tid;
        sample
    }

    fn labels_of(id: u32) -> Vec<(String, String)> {
        vec![("color".to_owned(), id.to_string())]
    }

    fn millis(runs: &[(u64, u64)]) -> Invocations {
        let nanos: Vec<_> = runs.iter().map(|(a, b)| (a * 1_000_000, b * 1_000_000)).collect();
        Invocations::of(&nanos)
    }

    fn made(samples: &[Sample], invocations: &Invocations) -> Option<Profile> {
        timeline(samples, PERIOD, &[], invocations, labels_of)
    }

    /// Functions, milliseconds into their invocations, and nanoseconds, in the profile's order.
    fn told(profile: &Profile) -> Vec<(u64, i64, i64)> {
        let text = |id: i64| profile.string_table[id as usize].as_str();
        let samples = profile.sample.iter().map(|sample| {
            let [color, since] = &sample.label[..] else { panic!("{:?}", sample.label) };
            assert_eq!((text(color.key), text(color.str)), ("color", "1"));
            assert_eq!((text(since.key), text(since.num_unit)), (INVOCATION_MS, "milliseconds"));
            let leaf = profile.location[sample.location_id[0] as usize - 1].address;
            (leaf, since.num, sample.value[1])
        });
        samples.collect()
    }

    fn totals(profile: &Profile) -> [i64; 2] {
        [0, 1].map(|column| profile.sample.iter().map(|sample| sample.value[column]).sum())
    }

    #[test]
    fn samples_of_all_invocations_stand_side_by_side() {
        // The second one 20 minutes later, the third a long one.
        let invocations = millis(&[(1_000, 1_100), (1_201_000, 1_201_200), (1_300_000, 1_500_000)]);
        let samples = [
            sample(999, 0xa, 100),
            sample(1_000, 0xa, 10),
            sample(1_019, 0xa, 10),
            sample(1_060, 0xb, 10),
            sample(1_101, 0xb, 100),
            sample(1_200_999, 0xa, 100),
            sample(1_201_015, 0xa, 12),
            sample(1_201_199, 0xb, 14),
            sample(1_310_055, 0xb, 10),
            sample(1_455_999, 0xb, 10),
            sample(1_500_001, 0xb, 100),
        ];
        let timeline = made(&samples, &invocations).unwrap();
        let wanted = [
            (0xa, 0, 10),
            (0xa, 10, 22),
            (0xb, 60, 10),
            (0xb, 190, 14),
            (0xb, 10_000, 10),
            (0xb, 155_000, 10),
        ];
        assert_eq!(told(&timeline), wanted);
        let all = profile(&samples, PERIOD, &[], |_, _| Vec::new()).unwrap();
        let [count, nanos] = totals(&all);
        assert_eq!(totals(&timeline), [count - 40, nanos - 400], "but for those outside");
    }

    #[test]
    fn time_that_no_sample_saw_stands_with_the_sample_before_it() {
        let invocations = millis(&[(1_000, 1_100), (2_000, 2_100)]);
        let samples = [
            of_thread(1, sample(1_040, 0xa, 10)),
            of_thread(2, sample(1_050, 0xb, 10)),
            // The snapshot is closed a minute later.
            of_thread(1, residual(62_000, 0xa, 3)),
            of_thread(2, residual(62_000, 0xb, 4)),
        ];
        let profile = made(&samples, &invocations).unwrap();
        assert_eq!(told(&profile), [(0xa, 40, 13), (0xb, 50, 14)]);
    }

    #[test]
    fn without_one_it_is_of_the_invocation_that_ran_last() {
        let invocations = millis(&[(1_000, 1_100), (2_000, 2_100)]);
        let of = |sample: Sample| told(&made(&[sample], &invocations).unwrap());
        assert_eq!(of(residual(1_030, 0xa, 5)), [(0xa, 30, 5)], "a thread that ended there");
        assert_eq!(of(residual(62_000, 0xa, 5)), [(0xa, 100, 5)]);
        // A thread's number given again, after the first thread told its end.
        let twice = [sample(1_040, 0xa, 9), residual(1_050, 0xa, 1), residual(2_070, 0xb, 5)];
        assert_eq!(told(&made(&twice, &invocations).unwrap()), [(0xa, 40, 10), (0xb, 70, 5)]);
    }

    #[test]
    fn nothing_inside_is_no_timeline() {
        let samples = [sample(1, 0xa, 10), residual(2, 0xa, 1)];
        assert!(made(&samples, &Invocations::default()).is_none());
        assert!(made(&samples, &millis(&[(5, 6)])).is_none());
    }

    #[test]
    fn a_minute_long_invocation_has_no_more_samples_than_buckets() {
        let samples: Vec<_> = (0..60_000).map(|nth| sample(nth, 0xa, PERIOD)).collect();
        let invocations = Invocations::of(&[(0, 60 * SECOND)]);
        let profile = made(&samples, &invocations).unwrap();
        assert_eq!(profile.sample.len(), 1_000 + 500);
        assert_eq!(totals(&profile), [60_000, 600_000]);
    }
}
