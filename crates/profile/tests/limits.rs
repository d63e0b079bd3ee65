//! Every limit of merging, on both sides.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Builder, lines};
use flambeau_profile::limits::OVERFLOW_VALUE;
use flambeau_profile::proto::Label;
use flambeau_profile::{AddOptions, LabelValue, Limits, MergeError, Merged, Merger, Truncations};

fn with(set: impl Fn(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

fn merge(inputs: &[Vec<u8>], limits: Limits) -> Merged {
    let mut merger = Merger::new(limits);
    for input in inputs {
        merger.add(input, &AddOptions::default()).unwrap();
    }
    merger.finish().unwrap()
}

fn one(b: &Builder, limits: Limits) -> Merged {
    merge(&[b.bytes()], limits)
}

#[test]
fn deep_stacks_lose_their_roots() {
    let mut b = Builder::new(&[("cpu", "ns")]);
    b.sample(&["leaf", "mid", "root"], &[1]);
    let whole = one(&b, with(|l| l.stack_depth = 3));
    assert_eq!(
        (lines(&whole)[0].as_str(), whole.truncations().stacks),
        ("root;mid;leaf {} [1]", 0)
    );
    let cut = one(&b, with(|l| l.stack_depth = 2));
    assert_eq!((lines(&cut)[0].as_str(), cut.truncations().stacks), ("mid;leaf {} [1]", 1));
}

#[test]
fn too_many_labels_are_cut_in_order() {
    let mut b = Builder::new(&[("cpu", "ns")]);
    b.labelled(&["f"], &[1], &[("c", "3"), ("a", "1"), ("b", "2")]);
    let whole = one(&b, with(|l| l.labels_per_sample = 3));
    assert_eq!(
        (whole.samples().next().unwrap().labels().len(), whole.truncations().labels),
        (3, 0)
    );
    let cut = one(&b, with(|l| l.labels_per_sample = 2));
    assert_eq!(lines(&cut), [r#"f {a=Text("1"),b=Text("2")} [1]"#]);
    assert_eq!(cut.truncations().labels, 1);
}

#[test]
fn long_names_are_cut_at_a_character() {
    let mut b = Builder::new(&[("cpu", "ns")]);
    b.sample(&["äääää"], &[1]);
    assert_eq!(lines(&one(&b, with(|l| l.name_bytes = 10))), ["äääää {} [1]"]);
    let cut = one(&b, with(|l| l.name_bytes = 9));
    assert_eq!(lines(&cut), ["äää… {} [1]"]);
    assert!(cut.truncations().names > 0);
}

#[test]
fn comments_beyond_the_limit_are_left_out_whatever_the_order() {
    let input = |time: i64| {
        let mut b = Builder::new(&[("cpu", "ns")]);
        b.profile.time_nanos = time;
        b.profile.comment = vec![b.string(&format!("at {time}"))];
        b.bytes()
    };
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let limits = with(|l| l.comments = 2);
        let merged = merge(&order.map(input), limits);
        assert_eq!(merged.header().comments, ["at 1", "at 2"]);
        assert_eq!(merged.truncations().comments, 1);
    }
    let all = merge(&[1, 2, 3].map(input), with(|l| l.comments = 3));
    assert_eq!((all.header().comments.len(), all.truncations()), (3, Truncations::default()));
}

fn requests(ids: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut b = Builder::new(&[("cpu", "ns")]);
    for id in ids {
        b.labelled(&["f"], &[1], &[("request", &format!("r{id}")), ("tier", "gold")]);
    }
    b.bytes()
}

fn texts(merged: &Merged, key: &str) -> Vec<(String, i64)> {
    let mut texts: Vec<_> =
        merged.samples().map(|s| (s.label(key).unwrap_or("").to_owned(), s.values()[0])).collect();
    texts.sort();
    texts
}

#[test]
fn too_many_values_of_a_label_become_one_whatever_the_order() {
    let all = merge(&[requests(0..100)], with(|l| l.label_values = 100));
    assert_eq!((texts(&all, "request").len(), all.truncations().label_values), (100, 0));
    let limits = with(|l| l.label_values = 10);
    let at_once = merge(&[requests(0..100)], limits);
    let kept = texts(&at_once, "request");
    assert_eq!(kept.len(), 11);
    assert_eq!(kept[0], (OVERFLOW_VALUE.to_owned(), 90));
    assert!(at_once.truncations().label_values >= 90);
    assert!(at_once.samples().all(|s| s.label("tier") == Some("gold")), "another key is untouched");
    let parts = [requests((50..100).rev()), requests(0..30), requests(30..50)];
    assert_eq!(texts(&merge(&parts, limits), "request"), kept);
    let stepwise: Vec<Vec<u8>> =
        parts.iter().map(|p| merge(std::slice::from_ref(p), limits).encode()).collect();
    assert_eq!(texts(&merge(&stepwise, limits), "request"), kept, "associative");
}

#[test]
fn too_many_numbers_of_a_label_become_a_text() {
    let mut b = Builder::new(&[("cpu", "ns")]);
    let key = b.string("bytes");
    for num in 1..=5 {
        b.sample(&["f"], &[1]);
        b.profile.sample.last_mut().unwrap().label.push(Label { key, num, ..Label::default() });
    }
    assert_eq!(one(&b, with(|l| l.label_numbers = 5)).samples().len(), 5);
    let cut = one(&b, with(|l| l.label_numbers = 4));
    assert_eq!(texts(&cut, "bytes").last(), Some(&(OVERFLOW_VALUE.to_owned(), 1)));
    let numbers = |s: &flambeau_profile::Sample<'_>| {
        s.labels().any(|l| matches!(l.value, LabelValue::Number(..)))
    };
    assert_eq!(cut.samples().filter(numbers).count(), 4);
}

#[test]
fn a_full_merge_refuses_more_and_keeps_what_it_has() {
    let input = |i: u32| {
        let mut b = Builder::new(&[("cpu", "ns")]);
        b.sample(&[&format!("function number {i} {}", "x".repeat(1000))], &[1]);
        b.bytes()
    };
    let mut merger = Merger::new(with(|l| l.merged_bytes = 40_000));
    let refused =
        (0..1000).find_map(|i| merger.add(&input(i), &AddOptions::default()).err().map(|e| (i, e)));
    let (added, error) = refused.expect("the limit is reached");
    assert!(matches!(error, MergeError::Full { limit: 40_000, .. }), "{error}");
    assert!(added > 5, "after {added}");
    assert_eq!(merger.finish().unwrap().totals(), [i128::from(added)]);
}

#[test]
fn memory_grows_with_what_is_distinct_not_with_what_is_read() {
    let inputs: Vec<Vec<u8>> = (0..10).map(|i| requests(10 * i..10 * i + 20)).collect();
    let mut merger = Merger::new(Limits::default());
    let mut held = Vec::new();
    for round in 0..300 {
        for input in &inputs {
            merger.add(input, &AddOptions::default()).unwrap();
        }
        if round == 0 || round == 299 {
            held.push(merger.bytes_held());
        }
    }
    assert_eq!(held[0], held[1], "bytes held after 10 and after 3 000 inputs");
    assert_eq!(merger.finish().unwrap().totals(), [300 * 10 * 20]);
}
