//! What is accepted and what is refused: the verdicts of google/pprof.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Builder;
use flambeau_profile::proto::{Label, Location, Mapping, Sample};
use flambeau_profile::{
    AddOptions, Broken, DecodeError, DecodeErrorKind, Limits, Merger, decode, encode, encode_gzip,
    gzip, inflate, peek, validate,
};

fn sound() -> Builder {
    let mut b = Builder::cpu();
    b.sample(&["leaf", "root"], &[1, 10]);
    b
}

fn verdict(bytes: &[u8]) -> Result<(), DecodeError> {
    let decoded = decode(bytes, &Limits::default()).map(drop);
    let mut merger = Merger::new(Limits::default());
    let added = merger.add(bytes, &AddOptions::default());
    assert_eq!(decoded.is_ok(), added.is_ok(), "decode and merge disagree");
    assert_eq!(added.is_err(), merger.is_empty(), "a refused input left something behind");
    decoded
}

fn broken(b: &Builder) -> Broken {
    match verdict(&b.bytes()) {
        Err(DecodeError::Invalid(broken)) => {
            assert_eq!(validate(&b.profile), Err(broken.clone().into()));
            broken
        }
        other => panic!("expected an invalid profile, got {other:?}"),
    }
}

#[test]
fn round_trips_raw_and_gzip() {
    let profile = sound().profile;
    assert_eq!(decode(&encode(&profile), &Limits::default()), Ok(profile.clone()));
    assert_eq!(decode(&encode_gzip(&profile), &Limits::default()), Ok(profile));
}

#[test]
fn accepts_the_odd_but_sound() {
    let mut b = sound();
    b.sample(&[], &[-5, i64::MIN]);
    b.profile.location.push(Location { id: 77, mapping_id: 99, ..Location::default() });
    b.profile.sample.push(Sample { location_id: vec![77], value: vec![1, 1], ..Sample::default() });
    assert_eq!(verdict(&b.bytes()), Ok(()));
    let mut unknown = b.bytes();
    unknown.extend_from_slice(&[0xa0, 0x06, 0x05, 0x02, 0x01, 0x00]);
    assert_eq!(verdict(&unknown), Ok(()), "unknown fields, number 0 among them");
    let mut empty = Builder::default();
    empty.string("");
    assert_eq!(verdict(&empty.bytes()), Ok(()), "no samples, no types");
}

#[test]
fn refuses_broken_references() {
    let mut b = sound();
    b.profile.sample[0].location_id[0] = 9;
    assert_eq!(broken(&b), Broken::DanglingLocation { sample: 0, id: 9 });
    let mut b = sound();
    b.profile.sample[0].location_id[0] = 0;
    assert_eq!(broken(&b), Broken::DanglingLocation { sample: 0, id: 0 });
    let mut b = sound();
    b.profile.location[0].line[0].function_id = 0;
    assert_eq!(broken(&b), Broken::DanglingFunction { location: 1, id: 0 });
    let mut b = sound();
    b.profile.function[0].name = 1000;
    assert!(matches!(broken(&b), Broken::StringIndex { index: 1000, .. }));
    let mut b = sound();
    b.profile.comment.push(-1);
    assert!(matches!(broken(&b), Broken::StringIndex { index: -1, .. }));
}

#[test]
fn refuses_bad_ids() {
    let mut b = sound();
    b.profile.location[1].id = 1;
    assert_eq!(broken(&b), Broken::DuplicateId { table: "location", id: 1 });
    let mut b = sound();
    b.profile.function[1].id = 1;
    assert_eq!(broken(&b), Broken::DuplicateId { table: "function", id: 1 });
    let mut b = sound();
    b.profile.function[0].id = 0;
    assert_eq!(broken(&b), Broken::ReservedId { table: "function" });
    let mut b = sound();
    b.profile.mapping.push(Mapping::default());
    assert_eq!(broken(&b), Broken::ReservedId { table: "mapping" });
    let sparse = Mapping { id: u64::MAX, ..Mapping::default() };
    b.profile.mapping = vec![sparse, sparse];
    assert_eq!(broken(&b), Broken::DuplicateId { table: "mapping", id: u64::MAX });
}

#[test]
fn refuses_bad_values_and_strings() {
    let mut b = sound();
    b.profile.sample[0].value.pop();
    assert_eq!(broken(&b), Broken::ValueCount { sample: 0, values: 1, types: 2 });
    let mut b = sound();
    b.profile.sample_type.clear();
    assert_eq!(broken(&b), Broken::NoSampleTypes { samples: 1 });
    let mut b = sound();
    b.profile.string_table[0] = "x".into();
    assert_eq!(broken(&b), Broken::FirstString);
    let mut b = sound();
    b.profile.string_table.clear();
    assert_eq!(broken(&b), Broken::NoStringTable);
}

#[test]
fn an_index_nobody_reads_is_not_checked() {
    let mut b = sound();
    let text = b.string("v");
    b.profile.sample[0].label.push(Label { key: text, str: text, num: 5, num_unit: 1 << 40 });
    assert_eq!(verdict(&b.bytes()), Ok(()));
}

#[test]
fn two_profiles_in_one_input_are_refused() {
    let mut b = sound();
    b.profile.time_nanos = 5;
    let twice = b.bytes().repeat(2);
    assert_eq!(verdict(&twice), Err(Broken::Concatenated.into()));
    let members = gzip(&b.bytes(), 6).repeat(2);
    assert_eq!(verdict(&members), Err(Broken::Concatenated.into()));
}

#[test]
fn gzip_members_are_joined() {
    let raw = sound().bytes();
    let (head, tail) = raw.split_at(raw.len() / 2);
    let members = [gzip(head, 6), gzip(tail, 1), gzip(b"", 1)].concat();
    assert_eq!(verdict(&members), Ok(()));
    assert_eq!(inflate(&members, &Limits::default()).unwrap(), raw);
    let junk = [gzip(&raw, 6), b"junk".to_vec()].concat();
    assert_eq!(verdict(&junk).unwrap_err().kind(), DecodeErrorKind::Corrupt);
}

#[test]
fn kinds_tell_sorts_of_failure_apart() {
    let kind = |bytes: &[u8]| verdict(bytes).unwrap_err().kind();
    assert_eq!(kind(b""), DecodeErrorKind::Empty);
    assert_eq!(kind(&gzip(b"", 6)), DecodeErrorKind::Empty);
    assert_eq!(kind(b"<html>not found</html>"), DecodeErrorKind::NotPprof);
    assert_eq!(kind(&gzip(b"heap profile: 1: 2 [3: 4] @", 6)), DecodeErrorKind::NotPprof);
    let sound = encode_gzip(&sound().profile);
    for cut in [1, 5, 12, sound.len() - 9, sound.len() - 1] {
        let kind = kind(&sound[..cut]);
        let expected =
            if cut == 1 { DecodeErrorKind::NotPprof } else { DecodeErrorKind::Truncated };
        assert_eq!(kind, expected, "cut at {cut}");
    }
    let mut flipped = sound.clone();
    flipped[20] ^= 0xff;
    assert_eq!(kind(&flipped), DecodeErrorKind::Corrupt);
    let raw = self::sound().bytes();
    assert_eq!(kind(&raw[..raw.len() - 2]), DecodeErrorKind::Truncated);
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let limits = Limits::default();
    let too_large = |found| DecodeError::TooLarge {
        what: "bytes inflated",
        limit: limits.inflated_bytes as u64,
        found,
    };
    let bomb = gzip(&vec![0; 1 << 20], 12).repeat(300);
    assert!(bomb.len() < 400_000, "{} bytes for 300 MiB", bomb.len());
    assert_eq!(verdict(&bomb), Err(too_large(limits.inflated_bytes as u64 + 1)));
}

#[test]
fn what_a_gzip_says_of_its_size_is_not_believed() {
    let limits = with(|l| l.inflated_bytes = 1 << 20);
    let honest = gzip(&vec![0; 8 << 20], 6);
    let kind = |bytes: &[u8]| decode(bytes, &limits).unwrap_err().kind();
    assert_eq!(kind(&honest), DecodeErrorKind::TooLarge);
    let end = honest.len() - 4;
    let mut modest = honest.clone();
    modest[end..].copy_from_slice(&100u32.to_le_bytes());
    assert_eq!(kind(&modest), DecodeErrorKind::TooLarge);
    let mut boaster = encode_gzip(&sound().profile);
    let end = boaster.len() - 4;
    boaster[end..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(kind(&boaster), DecodeErrorKind::Corrupt);
}

#[test]
fn the_inflated_limit_is_exact() {
    let raw = sound().bytes();
    let mut limits = Limits::default();
    limits.inflated_bytes = raw.len();
    assert!(decode(&raw, &limits).is_ok());
    assert!(decode(&gzip(&raw, 6), &limits).is_ok());
    limits.inflated_bytes -= 1;
    for bytes in [raw.clone(), gzip(&raw, 6)] {
        let kind = decode(&bytes, &limits).unwrap_err().kind();
        assert_eq!(kind, DecodeErrorKind::TooLarge);
    }
}

#[test]
fn counted_limits_hold_on_both_sides() {
    let mut b = sound();
    b.sample(&["a", "b", "c"], &[1, 1]);
    let base = Limits::default();
    let cases: [(&str, Limits, Limits); 5] = [
        ("samples", with(|l| l.samples = 2), with(|l| l.samples = 1)),
        ("locations", with(|l| l.locations = 5), with(|l| l.locations = 4)),
        ("frames", with(|l| l.frames = 5), with(|l| l.frames = 4)),
        ("strings", with(|l| l.strings = 10), with(|l| l.strings = 9)),
        ("sample types", with(|l| l.sample_types = 2), with(|l| l.sample_types = 1)),
    ];
    assert!(decode(&b.bytes(), &base).is_ok());
    for (name, enough, too_few) in cases {
        assert_eq!(decode(&b.bytes(), &enough).map(drop), Ok(()), "{name}");
        match decode(&b.bytes(), &too_few) {
            Err(DecodeError::TooLarge { what, .. }) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn with(set: impl Fn(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

#[test]
fn peek_reads_the_header_alone() {
    let mut b = sound();
    b.profile.time_nanos = 42;
    let comment = b.string("flambeau:v=1");
    b.profile.comment.push(comment);
    b.profile.sample[0].location_id[0] = 1234;
    let header = peek(&b.bytes(), &Limits::default()).unwrap();
    assert_eq!(header.time_nanos, 42);
    assert_eq!(header.comments, ["flambeau:v=1"]);
    assert_eq!(header.sample_types[1].to_string(), "cpu/nanoseconds");
    assert!(verdict(&b.bytes()).is_err(), "the dangling location is found at add");
}
