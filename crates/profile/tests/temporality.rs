//! What sample types mean, and differences of cumulative ones.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Builder, lines};
use flambeau_profile::{Limits, Merged, Temporality, ValueType};

use Temporality::{Cumulative, Gauge};

fn heap(samples: &[(&str, [i64; 2])]) -> Merged {
    let mut b = Builder::new(&[("alloc_space", "bytes"), ("inuse_space", "bytes")]);
    for (name, values) in samples {
        b.sample(&[name, "main"], values);
    }
    Merged::from_bytes(&b.bytes(), &Limits::default()).unwrap()
}

fn columns(profile: &Merged) -> Vec<Temporality> {
    Temporality::of_columns(profile.header())
}

#[test]
fn known_types_are_known() {
    let infer = |typ: &str| Temporality::infer(&ValueType::new(typ, ""));
    assert_eq!(infer("cpu"), Temporality::Delta);
    assert_eq!(infer("alloc_objects"), Cumulative);
    assert_eq!(infer("inuse_objects"), Gauge);
    assert_eq!(infer("goroutine"), Gauge);
    assert_eq!(infer("contentions"), Cumulative);
    assert_eq!(infer("alloc_in_new_tlab_bytes"), Temporality::Delta);
    assert_eq!(infer("never heard of"), Temporality::Delta);
    for t in [Temporality::Delta, Cumulative, Gauge] {
        assert_eq!(t.to_string().parse(), Ok(t));
    }
    assert!("guage".parse::<Temporality>().is_err());
}

#[test]
fn locks_of_java_are_deltas() {
    let mut header = heap(&[]).header().clone();
    header.sample_types = vec![ValueType::new("contentions", "count")];
    header.period_type = Some(ValueType::new("contentions", "count"));
    assert_eq!(Temporality::of_columns(&header), [Cumulative]);
    header.period_type = Some(ValueType::new("mutex", "count"));
    assert_eq!(Temporality::of_columns(&header), [Temporality::Delta]);
}

#[test]
fn counters_become_differences_and_gauges_stay() {
    let previous = heap(&[("a", [100, 50]), ("b", [10, 1]), ("idle", [5, 0])]);
    let next = heap(&[("a", [130, 20]), ("b", [10, 3]), ("new", [7, 7]), ("idle", [5, 0])]);
    let delta = next.delta_since(&previous, &columns(&next)).unwrap();
    assert!(!delta.reset);
    assert_eq!(
        lines(&delta.profile),
        ["main;a {} [30, 20]", "main;b {} [0, 3]", "main;new {} [7, 7]"]
    );
}

#[test]
fn a_counter_that_goes_back_is_a_new_process() {
    let previous = heap(&[("a", [100, 50]), ("b", [10, 0])]);
    for next in [heap(&[("a", [99, 1]), ("b", [500, 0])]), heap(&[("a", [200, 1])])] {
        let delta = next.delta_since(&previous, &columns(&next)).unwrap();
        assert!(delta.reset);
        assert_eq!(lines(&delta.profile), lines(&next));
    }
    let gauges_shrink = heap(&[("a", [100, 1]), ("b", [10, 0])]);
    let delta = gauges_shrink.delta_since(&previous, &columns(&previous)).unwrap();
    assert!(!delta.reset, "gauges may go down");
    assert_eq!(lines(&delta.profile), ["main;a {} [0, 1]"]);
}

#[test]
fn columns_and_kinds_must_agree() {
    let previous = heap(&[("a", [1, 1])]);
    assert!(previous.delta_since(&previous, &[Gauge]).is_err());
    let mut cpu = Builder::cpu();
    let cpu = Merged::from_bytes(&cpu.sample(&["a"], &[1, 1]).bytes(), &Limits::default()).unwrap();
    assert!(cpu.delta_since(&previous, &[Gauge, Gauge]).is_err());
}
