//! Two inputs, split at a mark: totals are kept, order does not matter, and
//! what is merged merges again to the same.
#![no_main]

use flambeau_profile::{AddOptions, Limits, Merged, Merger};
use libfuzzer_sys::fuzz_target;

const MARK: &[u8] = b"\xff\xffSPLIT\xff\xff";

fuzz_target!(|bytes: &[u8]| {
    let mut limits = Limits::default();
    limits.inflated_bytes = 1 << 20;
    limits.label_values = 8;
    limits.comments = 2;
    let at = bytes.windows(MARK.len()).position(|w| w == MARK);
    let inputs: Vec<&[u8]> = match at {
        Some(at) => vec![&bytes[..at], &bytes[at + MARK.len()..]],
        None => vec![bytes, bytes],
    };
    let Some(merged) = merge(inputs.iter().copied(), &limits) else { return };
    if let Some(other) = merge(inputs.iter().rev().copied(), &limits) {
        assert_eq!(other.encode(), merged.encode());
    }
    let raw = merged.encode();
    let again = Merged::from_bytes(&raw, &Limits::default()).expect("our own bytes");
    assert_eq!(again.encode(), raw);
    assert_eq!(again.samples().len(), merged.samples().len());
    if merged.saturated() == 0 {
        assert_eq!(again.totals(), merged.totals());
    }
    for sample in merged.samples() {
        let _ = (sample.frames().count(), sample.labels().count());
    }
});

/// The merge of those inputs that merge, if any, with its totals checked.
fn merge<'a>(inputs: impl Iterator<Item = &'a [u8]>, limits: &Limits) -> Option<Merged> {
    let mut merger = Merger::new(*limits);
    let mut totals: Vec<i128> = Vec::new();
    for input in inputs {
        // Refusing the second for being of another kind depends on the order.
        let added = match merger.add(input, &AddOptions::default()) {
            Ok(added) => added,
            Err(flambeau_profile::MergeError::Decode(_)) => continue,
            Err(_) => return None,
        };
        totals.resize(added.totals.len(), 0);
        totals.iter_mut().zip(&added.totals).for_each(|(t, a)| *t += a);
    }
    let merged = merger.finish().ok()?;
    assert_eq!(merged.totals(), totals);
    Some(merged)
}
