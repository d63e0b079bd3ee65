//! What merging means, case by case.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Builder, lines};
use flambeau_profile::proto::{Label, Line, Location, Sample, ValueType};
use flambeau_profile::{AddOptions, Limits, MergeError, Merged, Merger, decode};

fn merge(inputs: &[Vec<u8>]) -> Merged {
    let mut merger = Merger::new(Limits::default());
    for input in inputs {
        merger.add(input, &AddOptions::default()).unwrap();
    }
    merger.finish().unwrap()
}

fn cpu(stack: &[&str], values: &[i64]) -> Builder {
    let mut b = Builder::cpu();
    b.sample(stack, values);
    b
}

#[test]
fn equal_stacks_add_up_and_others_stay_apart() {
    let a = cpu(&["leaf", "root"], &[1, 10]);
    let mut b = cpu(&["root"], &[5, 50]);
    b.sample(&["leaf", "root"], &[2, 20]);
    let merged = merge(&[a.bytes(), b.bytes()]);
    assert_eq!(lines(&merged), ["root {} [5, 50]", "root;leaf {} [3, 30]"]);
    assert_eq!(merged.totals(), [8, 80]);
}

#[test]
fn the_order_of_inputs_leaves_no_trace() {
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for i in 0..5 {
        let mut b = cpu(&["leaf", &format!("f{i}"), "root"], &[i, 10 * i]);
        b.labelled(&["x", "root"], &[1, 1], &[("k", &format!("v{}", i % 2)), ("a", "b")]);
        b.mapping(0x1000 * i as u64, 0x1000 * (i as u64 + 5), "/bin/app", "b1");
        b.profile.location[0].mapping_id = 1;
        b.profile.location[0].address = 0x1000 * i as u64 + 0x10;
        b.profile.time_nanos = 100 - i;
        let comment = b.string(&format!("comment {}", i / 2));
        b.profile.comment.push(comment);
        b.profile.default_sample_type = b.string(if i == 3 { "" } else { "cpu" });
        inputs.push(b.bytes());
    }
    let forwards = merge(&inputs).encode();
    inputs.reverse();
    assert_eq!(merge(&inputs).encode(), forwards);
    inputs.swap(1, 3);
    assert_eq!(merge(&inputs).encode(), forwards);
}

#[test]
fn samples_of_zeros_vanish_before_and_after() {
    let mut a = cpu(&["gone"], &[0, 0]);
    a.sample(&["cancelled"], &[3, -4]);
    let b = cpu(&["cancelled"], &[-3, 4]);
    let merged = merge(&[a.bytes(), b.bytes()]);
    assert_eq!(merged.samples().len(), 0);
    let profile = merged.to_profile();
    assert!(profile.location.is_empty() && profile.function.is_empty());
}

#[test]
fn sums_saturate_and_are_counted() {
    let a = cpu(&["f"], &[i64::MAX, i64::MIN]).bytes();
    let merged = merge(&[a.clone(), a.clone()]);
    assert_eq!(merged.samples().next().unwrap().values(), [i64::MAX, i64::MIN]);
    assert_eq!(merged.saturated(), 2);
    assert_eq!(merged.totals()[0], 2 * i128::from(i64::MAX));
    let back = cpu(&["f"], &[-i64::MAX, 0]).bytes();
    let merged = merge(&[a.clone(), a, back]);
    assert_eq!(merged.saturated(), 1, "128 bits carried the first sum through");
    assert_eq!(merged.samples().next().unwrap().values()[0], i64::MAX);
}

#[test]
fn headers_combine() {
    let mut a = cpu(&["f"], &[1, 1]);
    a.profile.period = 7;
    a.profile.duration_nanos = 100;
    let mut b = a.clone();
    (a.profile.time_nanos, b.profile.time_nanos) = (500, 400);
    (a.profile.period, b.profile.period) = (9, 7);
    for (builder, comments) in [(&mut a, ["x", "y"]), (&mut b, ["z", "x"])] {
        builder.profile.comment = comments.iter().map(|c| builder.string(c)).collect();
    }
    let url = a.string("https://example.org/cpu");
    a.profile.doc_url = url;
    let unknown_time = cpu(&["f"], &[1, 1]);
    let merged = merge(&[a.bytes(), unknown_time.bytes(), b.bytes()]);
    let header = merged.header();
    assert_eq!((header.time_nanos, header.duration_nanos, header.period), (400, 200, 9));
    assert_eq!(header.comments, ["z", "x", "y"], "the earliest input's first");
    assert_eq!(header.doc_url, "https://example.org/cpu");
}

#[test]
fn flambeau_comments_are_not_united() {
    let mut a = cpu(&["f"], &[1, 1]);
    a.profile.comment = vec![a.string("flambeau:window=1"), a.string("free text")];
    let merged = merge(&[a.bytes(), a.bytes()]);
    assert_eq!(merged.header().comments, ["free text"]);
    let alone = Merged::from_bytes(&a.bytes(), &Limits::default()).unwrap();
    assert_eq!(alone.header().comments, ["flambeau:window=1", "free text"]);
    let mut merger = Merger::new(Limits::default());
    let added = merger.add(&a.bytes(), &AddOptions::default()).unwrap();
    assert_eq!(added.header.comments, ["flambeau:window=1", "free text"]);
    merger.set_comments(vec!["flambeau:window=2".into()]);
    let merged = merger.finish().unwrap();
    assert_eq!(merged.header().comments, ["flambeau:window=2"]);
    let decoded = decode(&merged.encode_gzip(6), &Limits::default()).unwrap();
    assert_eq!(decoded.string_table[decoded.comment[0] as usize], "flambeau:window=2");
}

#[test]
fn incompatible_inputs_are_named_and_leave_nothing() {
    let mut merger = Merger::new(Limits::default());
    merger.add(&cpu(&["f"], &[1, 1]).bytes(), &AddOptions::default()).unwrap();
    let mut heap = Builder::new(&[("inuse_space", "bytes")]);
    heap.sample(&["f"], &[1]);
    let error = merger.add(&heap.bytes(), &AddOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "incompatible sample types: merged so far [samples/count cpu/nanoseconds], \
         this input [inuse_space/bytes]"
    );
    let mut period = cpu(&["g"], &[1, 1]);
    period.profile.period_type = Some(ValueType { r#type: period.string("cpu"), unit: 0 });
    let error = merger.add(&period.bytes(), &AddOptions::default()).unwrap_err();
    assert!(matches!(error, MergeError::Incompatible { what: "period types", .. }), "{error}");
    assert_eq!(lines(&merger.finish().unwrap()), ["f {} [1, 1]"]);
}

#[test]
fn nothing_cannot_be_finished() {
    let merger = Merger::new(Limits::default());
    assert!(merger.is_empty());
    assert_eq!(merger.finish().map(drop).unwrap_err(), MergeError::Nothing);
}

#[test]
fn copies_of_a_mapping_at_other_addresses_are_one() {
    let located = |start: u64, build_id: &str| {
        let mut b = Builder::cpu();
        let mapping_id = b.mapping(start, start + 0x3f00, "/bin/app", build_id);
        b.profile.location.push(Location {
            id: 1,
            mapping_id,
            address: start + 0x123,
            ..Location::default()
        });
        b.profile.sample.push(Sample {
            location_id: vec![1],
            value: vec![1, 1],
            ..Sample::default()
        });
        b.bytes()
    };
    let merged = merge(&[located(0x7000, "b1"), located(0x5000, "b1"), located(0x5000, "b2")]);
    assert_eq!(merged.mappings().len(), 2, "another build stays apart");
    assert_eq!(merged.location_count(), 2);
    let shared = merged.samples().find(|s| s.values() == [2, 2]).unwrap();
    assert_eq!(shared.frames().next().unwrap().address, 0x5123);
}

#[test]
fn lines_columns_and_folding_tell_locations_apart() {
    let mut b = Builder::cpu();
    let function_id = b.function("f");
    let line = |line, column| Line { function_id, line, column };
    let variants = [
        (vec![line(1, 1)], false),
        (vec![line(1, 2)], false),
        (vec![line(1, 1), line(2, 0)], false),
        (vec![line(2, 0), line(1, 1)], false),
        (vec![line(1, 1)], true),
    ];
    for (i, (line, is_folded)) in variants.into_iter().enumerate() {
        let id = i as u64 + 1;
        b.profile.location.push(Location { id, line, is_folded, ..Location::default() });
        b.profile.sample.push(Sample {
            location_id: vec![id],
            value: vec![1, 0],
            ..Sample::default()
        });
    }
    let merged = merge(&[b.bytes(), b.bytes()]);
    assert_eq!(merged.samples().len(), 5);
    assert_eq!(merged.totals(), [10, 0]);
}

#[test]
fn labels_are_part_of_the_sample() {
    let mut b = Builder::cpu();
    b.labelled(&["f"], &[1, 0], &[("a", "1"), ("b", "2")]);
    b.labelled(&["f"], &[1, 0], &[("b", "2"), ("a", "1")]);
    b.labelled(&["f"], &[1, 0], &[("a", "1"), ("a", "2")]);
    b.labelled(&["f"], &[1, 0], &[("a", "2"), ("a", "1")]);
    let (key, unit) = (b.string("bytes"), b.string("kb"));
    for label in [
        Label { key, num: 5, ..Label::default() },
        Label { key, num: 5, num_unit: unit, ..Label::default() },
        Label { key, num: 0, ..Label::default() },
    ] {
        b.sample(&["f"], &[1, 0]);
        b.profile.sample.last_mut().unwrap().label.push(label);
    }
    assert_eq!(
        lines(&merge(&[b.bytes()])),
        [
            r#"f {a=Text("1"),a=Text("2")} [1, 0]"#,
            r#"f {a=Text("1"),b=Text("2")} [2, 0]"#,
            r#"f {a=Text("2"),a=Text("1")} [1, 0]"#,
            r#"f {bytes=Number(5, "")} [1, 0]"#,
            r#"f {bytes=Number(5, "kb")} [1, 0]"#,
            "f {} [1, 0]",
        ]
    );
}

#[test]
fn options_put_labels_and_drop_columns() {
    let mut b = Builder::cpu();
    b.labelled(&["f"], &[1, 10], &[("version", "old"), ("k", "v")]);
    b.sample(&["g"], &[2, 0]);
    let options = AddOptions { labels: &[("version", "42"), ("k", "")], drop_columns: &[0] };
    let mut merger = Merger::new(Limits::default());
    let added = merger.add(&b.bytes(), &options).unwrap();
    assert_eq!((added.totals, added.samples), (vec![0, 10], 1));
    let merged = merger.finish().unwrap();
    assert_eq!(lines(&merged), [r#"f {version=Text("42")} [0, 10]"#]);
    assert_eq!(merged.samples().next().unwrap().label("version"), Some("42"));
    let options = AddOptions { drop_columns: &[2], ..AddOptions::default() };
    let error = Merger::new(Limits::default()).add(&b.bytes(), &options).unwrap_err();
    assert_eq!(error, MergeError::NoColumn { column: 2, types: 2 });
}

#[test]
fn names_that_are_no_text_stay_apart_and_readable() {
    let mut bytes = cpu(&["one\u{1}", "two\u{1}"], &[1, 1]).bytes();
    for (i, at) in (0..bytes.len())
        .filter(|&i| bytes[i] == 1 && i > 3 && bytes[i - 1].is_ascii_lowercase())
        .enumerate()
        .collect::<Vec<_>>()
    {
        bytes[at] = 0xf0 + i as u8;
    }
    let merged = merge(&[bytes.clone(), bytes.clone()]);
    assert_eq!(lines(&merged), [r"two\xf1;one\xf0 {} [2, 2]"]);
    let decoded = decode(&bytes, &Limits::default()).unwrap();
    assert!(decoded.string_table.contains(&r"one\xf0".to_owned()));
}

#[test]
fn what_is_merged_decodes_to_the_same() {
    let mut b = cpu(&["leaf", "mid", "root"], &[1, 10]);
    b.labelled(&["leaf"], &[4, 1], &[("k", "v")]);
    b.profile.period_type =
        Some(ValueType { r#type: b.string("cpu"), unit: b.string("nanoseconds") });
    let merged = merge(&[b.bytes()]);
    let again = Merged::from_bytes(&merged.encode_gzip(1), &Limits::default()).unwrap();
    assert_eq!(lines(&again), lines(&merged));
    assert_eq!(again.header(), merged.header());
    assert_eq!(again.encode(), merged.encode());
    assert_eq!(decode(&merged.encode(), &Limits::default()), Ok(merged.to_profile()));
}
