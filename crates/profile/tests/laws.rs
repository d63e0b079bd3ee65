//! The laws of merging, over profiles nobody thought of.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::{Builder, lines};
use flambeau_profile::proto::Label;
use flambeau_profile::{
    AddOptions, Filter, Limits, Merged, Merger, Selector, Temporality, decode, encode, gzip,
};
use proptest::prelude::*;

/// Frames, two values, a text label, a number label.
type SampleSpec = (Vec<u8>, i64, i64, Option<u8>, Option<i8>);

/// A profile of few names, so that stacks and labels meet again.
#[derive(Clone, Debug)]
struct Spec {
    time: i64,
    samples: Vec<SampleSpec>,
    mapped: bool,
    start: u8,
}

fn spec() -> impl Strategy<Value = Spec> {
    let value = prop_oneof![8 => -5i64..100, 1 => any::<i64>(), 2 => Just(0)];
    let sample = (
        prop::collection::vec(0u8..6, 0..5),
        value.clone(),
        value,
        prop::option::of(0u8..3),
        prop::option::of(-1i8..3),
    );
    (0i64..8, prop::collection::vec(sample, 0..12), any::<bool>(), 0u8..4)
        .prop_map(|(time, samples, mapped, start)| Spec { time, samples, mapped, start })
}

fn specs(most: usize) -> impl Strategy<Value = Vec<Spec>> {
    prop::collection::vec(spec(), 1..most)
}

fn bytes(spec: &Spec) -> Vec<u8> {
    let mut b = Builder::cpu();
    b.profile.time_nanos = spec.time;
    b.profile.duration_nanos = 10;
    b.profile.default_sample_type = b.string(["", "cpu", "samples"][spec.time as usize % 3]);
    b.profile.drop_frames = b.string(["", "f1"][spec.time as usize % 2]);
    b.profile.comment = vec![b.string(&format!("comment {}", spec.time % 3))];
    for (stack, first, second, text, number) in &spec.samples {
        let names: Vec<String> = stack.iter().map(|f| format!("f{f}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = text.map(|t| format!("v{t}"));
        let labels: Vec<(&str, &str)> = text.iter().map(|t| ("k", t.as_str())).collect();
        b.labelled(&names, &[*first, *second], &labels);
        if let Some(number) = number {
            let label = Label { key: b.string("n"), num: i64::from(*number), ..Label::default() };
            b.profile.sample.last_mut().unwrap().label.push(label);
        }
    }
    if spec.mapped {
        let start = 0x1000 * u64::from(spec.start);
        let file = format!("/bin/app{}", spec.start % 2);
        let id = b.mapping(start, start + 0x8000, &file, "b1");
        for (i, l) in b.profile.location.iter_mut().enumerate() {
            (l.mapping_id, l.address) = (id, start + i as u64);
        }
    }
    gzip(&b.bytes(), 1)
}

fn merge<B: AsRef<[u8]>>(inputs: &[B]) -> Merged {
    let mut merger = Merger::new(Limits::default());
    for input in inputs {
        merger.add(input.as_ref(), &AddOptions::default()).unwrap();
    }
    merger.finish().unwrap()
}

/// Everything but what the earliest input decides (see [`Merger`]).
fn meaning(merged: &Merged) -> (Vec<String>, Vec<i128>, Vec<String>, [i64; 3]) {
    let header = merged.header();
    let mut comments = header.comments.clone();
    comments.sort();
    let numbers = [header.time_nanos, header.duration_nanos, header.period];
    (lines(merged), merged.totals().to_vec(), comments, numbers)
}

/// Totals by the text of `k`, read off the readable model, not the merge.
fn totals_by_label(inputs: &[Vec<u8>]) -> BTreeMap<Option<String>, [i128; 2]> {
    let mut totals = BTreeMap::new();
    for input in inputs {
        let profile = decode(input, &Limits::default()).unwrap();
        for sample in &profile.sample {
            let text = sample.label.iter().find(|l| l.str != 0);
            let text = text.map(|l| profile.string_table[l.str as usize].clone());
            let sums = totals.entry(text).or_insert([0; 2]);
            for (sum, value) in sums.iter_mut().zip(&sample.value) {
                *sum += i128::from(*value);
            }
        }
    }
    totals.retain(|_, sums| *sums != [0; 2]);
    totals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn commutative(specs in specs(6), seed in any::<u64>()) {
        let mut inputs: Vec<_> = specs.iter().map(bytes).collect();
        let forwards = merge(&inputs).encode();
        let len = inputs.len();
        for i in 0..len {
            inputs.swap(i, (seed as usize).wrapping_mul(i + 7) % len);
        }
        prop_assert_eq!(merge(&inputs).encode(), forwards);
    }

    #[test]
    fn associative(specs in specs(8), split in any::<prop::sample::Index>()) {
        let inputs: Vec<_> = specs.iter().map(bytes).collect();
        let whole = merge(&inputs);
        prop_assume!(whole.saturated() == 0);
        let (left, right) = inputs.split_at(split.index(inputs.len()));
        let halves: Vec<_> = [left, right].into_iter().filter(|h| !h.is_empty()).map(merge).collect();
        prop_assume!(halves.iter().all(|h| h.saturated() == 0));
        let halves: Vec<_> = halves.iter().map(|h| h.encode_gzip(1)).collect();
        prop_assert_eq!(meaning(&merge(&halves)), meaning(&whole));
    }

    #[test]
    fn merging_with_itself_doubles(spec in spec()) {
        let input = bytes(&spec);
        let once = merge(&[&input]);
        let twice = merge(&[&input, &input]);
        let doubled: Vec<_> = once.totals().iter().map(|t| t * 2).collect();
        prop_assert_eq!(twice.totals(), doubled);
        prop_assert_eq!(twice.samples().len(), once.samples().len());
        if twice.saturated() == 0 {
            let halved = twice.scaled(&[0.5, 0.5]).unwrap();
            if once.samples().all(|s| s.values().iter().all(|v| v.unsigned_abs() < 1 << 50)) {
                prop_assert_eq!(lines(&halved), lines(&once));
            }
        }
    }

    #[test]
    fn totals_are_kept_by_type_and_label(specs in specs(6)) {
        let inputs: Vec<_> = specs.iter().map(bytes).collect();
        let merged = merge(&inputs);
        prop_assume!(merged.saturated() == 0);
        let mut totals: BTreeMap<Option<String>, [i128; 2]> = merged
            .totals_by("k")
            .into_iter()
            .map(|(k, v)| (k.map(str::to_owned), [v[0], v[1]]))
            .collect();
        totals.retain(|_, sums| *sums != [0; 2]);
        prop_assert_eq!(totals, totals_by_label(&inputs));
        let parts: i128 = merged.grouped("k").iter().map(|(_, p)| p.totals()[1]).sum();
        prop_assert_eq!(parts, merged.totals()[1]);
    }

    #[test]
    fn encoding_round_trips(specs in specs(4)) {
        let merged = merge(&specs.iter().map(bytes).collect::<Vec<_>>());
        let raw = merged.encode();
        let profile = decode(&raw, &Limits::default()).unwrap();
        prop_assert_eq!(&profile, &merged.to_profile());
        prop_assert_eq!(encode(&decode(&encode(&profile), &Limits::default()).unwrap()), encode(&profile));
        prop_assert_eq!(merge(&[&raw]).encode(), raw);
    }

    #[test]
    fn base_and_difference_make_the_next(a in spec(), b in spec()) {
        let small = |mut spec: Spec| {
            spec.samples.iter_mut().for_each(|s| (s.1, s.2) = (s.1.rem_euclid(100), s.2.rem_euclid(100)));
            bytes(&spec)
        };
        let (a, b) = (small(a), small(b));
        let (base, next) = (merge(&[&a]), merge(&[&a, &b]));
        let columns = [Temporality::Cumulative; 2];
        let delta = next.delta_since(&base, &columns).unwrap();
        prop_assert!(!delta.reset);
        prop_assert_eq!(lines(&delta.profile), lines(&merge(&[&b])));
        let sum = merge(&[base.encode(), delta.profile.encode()]);
        prop_assert_eq!(lines(&sum), lines(&next));
        prop_assert_eq!(next.subtract(&next).unwrap().samples().len(), 0);
    }

    #[test]
    fn operations_conserve(specs in specs(4), most in 0usize..12) {
        let merged = merge(&specs.iter().map(bytes).collect::<Vec<_>>());
        prop_assume!(merged.saturated() == 0);
        let pruned = merged.pruned(most, 1).unwrap();
        if pruned.profile.saturated() == 0 {
            prop_assert_eq!(pruned.profile.totals(), merged.totals());
        }
        prop_assert!(pruned.kept <= most.min(pruned.nodes));
        let (all, _) = merged.filtered(&Filter::default());
        prop_assert_eq!(all.encode(), merged.encode());
        let with = merged.selected(&Selector::parse(r#"{k=~"v."}"#).unwrap());
        let without = merged.selected(&Selector::parse(r#"{k!~"v."}"#).unwrap());
        prop_assert_eq!(with.totals()[0] + without.totals()[0], merged.totals()[0]);
    }
}
