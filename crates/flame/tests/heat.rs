//! Heat maps: every sample in its cell, at every edge.
#![allow(clippy::unwrap_used, missing_docs)]

use flambeau_flame::{
    HeatMap, ViewError,
    heatmap::{DEFAULT_SECOND_ROWS, Down, MAX_SECONDS, by_second, since_invocation},
};
use flambeau_profile::{
    Limits, Merged, encode,
    proto::{Function, Label, Line, Location, Profile, Sample, ValueType},
};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

/// A profile of samples with a number under `key`, each worth 1.
fn numbered(key: &str, numbers: &[i64]) -> Merged {
    let texts = ["", "samples", "count", key, "nanoseconds", "ns::f", "lib.rs", "init", "cold"];
    let profile = Profile {
        string_table: texts.map(str::to_owned).to_vec(),
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        function: vec![Function { id: 1, name: 5, filename: 6, ..Default::default() }],
        location: vec![Location {
            id: 1,
            line: vec![Line { function_id: 1, line: 1, column: 0 }],
            ..Default::default()
        }],
        sample: numbers
            .iter()
            .map(|number| Sample {
                location_id: vec![1],
                value: vec![1],
                label: vec![
                    Label { key: 3, num: *number, num_unit: 4, ..Default::default() },
                    Label { key: 7, str: 8, ..Default::default() },
                ],
            })
            .collect(),
        ..Default::default()
    };
    Merged::from_bytes(&encode(&profile), &Limits::default()).unwrap()
}

fn trace(times: &[i64]) -> Result<HeatMap, ViewError> {
    by_second(&numbered("timestamp_ns", times), 0, DEFAULT_SECOND_ROWS)
}

fn sum(map: &HeatMap) -> i128 {
    map.cells.iter().flatten().sum()
}

/// FlameScope's heat map fails on each of these.
#[test]
fn the_four_edges_are_no_exceptions() {
    let base = 5_000 * SECOND;
    // A single sample.
    let single = trace(&[base + 123]).unwrap();
    assert_eq!((single.columns, sum(&single), single.max), (1, 1, 1));
    // A last sample at an exact second.
    let exact = trace(&[base + 1, base + 2 * SECOND]).unwrap();
    assert_eq!((exact.columns, sum(&exact)), (3, 2));
    assert_eq!(exact.cells[0][2], 1, "the top row of the third second");
    // The last line is not the latest.
    let mixed = trace(&[base, base + 3 * SECOND, base + SECOND]).unwrap();
    assert_eq!((mixed.columns, sum(&mixed)), (4, 3));
    // The last moment of a second lies in its last row.
    let last = trace(&[base, base + SECOND - 1]).unwrap();
    assert_eq!((last.columns, last.cells[DEFAULT_SECOND_ROWS - 1][0]), (1, 1));
}

#[test]
fn rows_are_twenty_milliseconds() {
    let at = |millis: i64| 7 * SECOND + millis * 1_000_000;
    let map = trace(&[at(0), at(19), at(20), at(980)]).unwrap();
    assert_eq!((map.rows.len(), map.rows[1].as_str()), (50, "20 ms"));
    let column: Vec<i128> = map.cells.iter().map(|row| row[0]).collect();
    assert_eq!((column[0], column[1], column[49]), (2, 1, 1));
}

#[test]
fn a_trace_has_its_limits_and_other_profiles_have_none() {
    assert!(trace(&[0, MAX_SECONDS * SECOND - 1]).is_ok());
    assert!(matches!(trace(&[0, MAX_SECONDS * SECOND]), Err(ViewError::TooLong { .. })));
    assert!(trace(&[i64::MIN, i64::MAX]).is_err());
    let untimed = numbered("bytes", &[1]);
    assert!(matches!(by_second(&untimed, 0, 50), Err(ViewError::Untimed)));
    assert!(matches!(since_invocation(&untimed, 0, &Down::Package), Err(ViewError::Untimed)));
}

#[test]
fn time_since_the_invocation_has_rows_by_package_and_by_label() {
    let profile = numbered("invocation_ms", &[0, 10, 10, 250]);
    let packages = since_invocation(&profile, 0, &Down::Package).unwrap();
    assert_eq!((packages.rows.as_slice(), packages.step), (&["ns".to_owned()][..], 10));
    assert_eq!(&packages.cells[0][..2], [1, 2]);
    assert_eq!(packages.cells[0][25], 1);
    let starts = since_invocation(&profile, 0, &Down::Label("init".into())).unwrap();
    assert_eq!(starts.rows, ["cold"]);
    let none = since_invocation(&profile, 0, &Down::Label("version".into())).unwrap();
    assert_eq!(none.rows, ["(none)"]);
    let long = numbered("invocation_ms", &[0, 900_000]);
    assert!(since_invocation(&long, 0, &Down::Package).unwrap().columns <= 240);
}

proptest! {
    #[test]
    fn no_sample_is_lost(
        begin in -10..10_i64,
        offsets in proptest::collection::vec(0..100 * SECOND, 1..50),
        rows in 1..200_usize,
    ) {
        let times: Vec<i64> = offsets.iter().map(|offset| begin * SECOND + offset).collect();
        let map = by_second(&numbered("end_timestamp_ns", &times), 0, rows).unwrap();
        prop_assert_eq!(sum(&map), times.len() as i128);
        prop_assert!(map.cells.iter().all(|row| row.len() == map.columns));
        let mut json = Vec::new();
        map.write(&mut json).unwrap();
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
    }
}
