//! From a log's samples to a profile.

use std::collections::HashMap;

use flambeau_profile::proto::Profile;

use crate::context::Context;
use crate::cpu::tasks;
use crate::log::Sample;
use crate::mappings::Mapping;
use crate::names;
use crate::profile_builder::{Leaf, ProfileBuilder};

/// Of every profile of CPU samples.
pub(super) const TYPES: [(&str, &str); 2] = [("samples", "count"), ("cpu", "nanoseconds")];

/// The frame of CPU time of which not even the thread's start is known.
const NOWHERE: &str = "[unknown]";

/// What samples have in common that count together.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Group<'s> {
    frames: &'s [u64],
    context: Context,
    tid: u32,
}

/// `samples/count` and `cpu/nanoseconds` of samples taken every `period` nanoseconds of CPU
/// time; `None` if there are none. Addresses lie in `mapped`, and `labels_of` tells the labels of
/// a context on a thread.
pub(crate) fn profile(
    samples: &[Sample],
    period: u64,
    mapped: &[Mapping],
    labels_of: impl Fn(Context, u32) -> Vec<(String, String)>,
) -> Option<Profile> {
    let mut builder = ProfileBuilder::new(mapped, &TYPES, TYPES[1], signed(period));
    let mut labels = HashMap::new();
    let mut counter = Counter::new(period);
    for (group, weight) in grouped(samples) {
        let locations = stack(&mut builder, group.frames);
        let labels = labels
            .entry((group.context, group.tid))
            .or_insert_with(|| labels_of(group.context, group.tid));
        builder.sample(locations, &[counter.count(weight), signed(weight)], labels);
    }
    builder.finish()
}

/// The locations of a sample's frames, of which it has at least one.
pub(super) fn stack(builder: &mut ProfileBuilder<'_>, frames: &[u64]) -> Vec<u64> {
    match frames {
        [] => vec![builder.named(NOWHERE)],
        frames => builder.stack(frames, Leaf::Interrupted),
    }
}

/// Groups and their weights, in the order of their first samples.
fn grouped(samples: &[Sample]) -> Vec<(Group<'_>, u64)> {
    let mut places = HashMap::new();
    let mut groups: Vec<(Group<'_>, u64)> = Vec::new();
    for Sample { head, frames, .. } in samples {
        let group = Group { frames, context: head.context, tid: head.tid };
        let place = *places.entry(group).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, weight)) => *weight = weight.saturating_add(head.weight),
            None => groups.push((group, head.weight)),
        }
    }
    groups
}

/// Turns weights into whole samples, so that over a profile both say the same however the weights
/// are grouped.
pub(super) struct Counter {
    period: i128,
    /// What the counts so far fall short of the weights, or exceed them.
    rest: i128,
}

impl Counter {
    pub(super) fn new(period: u64) -> Self {
        Self { period: period.max(1).into(), rest: 0 }
    }

    pub(super) fn count(&mut self, weight: u64) -> i64 {
        let all = self.rest + i128::from(weight);
        // To the nearest: the rest is at most half a period, of either sign.
        let count = (all + self.period / 2).div_euclid(self.period);
        self.rest = all - count * self.period;
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

/// The labels of a context on a thread of this process.
pub(crate) fn live_labels(context: Context, tid: u32) -> Vec<(String, String)> {
    let mut labels = names::labels_of(context.labels);
    let span = names::path_of(context.span).join(";");
    if !span.is_empty() {
        labels.push(("span".to_owned(), span));
    }
    labels.push(("thread".to_owned(), tasks::name_of(tid)));
    labels
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_say_what_weights_do_however_they_are_grouped() {
        let weights = [6, 6, 6, 0, 14, 1, 27, 6, 6, 3];
        let total: u64 = weights.iter().sum();
        let counted = |group: usize| -> i64 {
            let mut counter = Counter::new(10);
            weights.chunks(group).map(|some| counter.count(some.iter().sum())).sum()
        };
        for group in 1..=weights.len() {
            assert_eq!(counted(group), (total as f64 / 10.0).round() as i64, "by {group}");
        }
        assert_eq!(Counter::new(0).count(u64::MAX), i64::MAX, "nonsense does no harm");
    }
}
