//! Any bytes: decoding and merging agree on them, and what is decoded encodes
//! to bytes that decode to the same.
#![no_main]

use flambeau_profile::{AddOptions, Limits, Merger, decode, encode, peek, validate};
use libfuzzer_sys::fuzz_target;

/// Small enough that a run beyond it in memory is a fault of ours.
const INFLATED: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut limits = Limits::default();
    limits.inflated_bytes = INFLATED;
    let decoded = decode(bytes, &limits);
    let mut merger = Merger::new(limits);
    let added = merger.add(bytes, &AddOptions::default());
    assert_eq!(decoded.is_ok(), added.is_ok());
    assert_eq!(added.is_err(), merger.is_empty());
    let Ok(profile) = decoded else { return };
    peek(bytes, &limits).expect("what decodes has a header");
    validate(&profile).expect("what decodes is valid");
    assert_eq!(decode(&encode(&profile), &Limits::default()), Ok(profile));
});
