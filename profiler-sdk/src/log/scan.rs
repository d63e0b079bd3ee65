//! Finding records among words that may hold anything.

use std::ops::Range;

use super::crc::Crc;
use super::format::{Marker, Words};
use super::sample::{self, Sample};

/// Calls `found` with the body of each record of that kind, in the order they lie; gives the
/// number of places that began like one and were none.
///
/// Linear in the words, but for places that begin like a record: each costs at most one longest
/// record more, so even a file made to be slow is read in less than a second.
pub(crate) fn records<W: Words + ?Sized>(
    words: &W,
    range: Range<usize>,
    marker: Marker,
    crc: Crc,
    mut found: impl FnMut(&[u64]) -> bool,
) -> u64 {
    let mut torn = 0;
    let mut body = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let Some(first) = words.word(at) else { break };
        let Some(len) = marker.length(first) else {
            at += 1;
            continue;
        };
        body.clear();
        if at + len <= range.end {
            body.extend((at + 1..at + len).map_while(|at| words.word(at)));
        }
        let whole = body.len() + 1 == len && is_intact(first, crc, &body);
        if whole && found(&body) {
            at += len;
        } else {
            torn += 1;
            at += 1;
        }
    }
    torn
}

/// Whether the checksum in a record's first word is that of the record.
pub(crate) fn is_intact(first: u64, crc: Crc, body: &[u64]) -> bool {
    crc.of(first >> 32, body.iter().copied()) == first as u32
}

/// The samples among these words, and the places that began like one and were none.
pub(crate) fn samples<W: Words + ?Sized>(
    words: &W,
    range: Range<usize>,
    crc: Crc,
) -> (Vec<Sample>, u64) {
    let mut samples = Vec::new();
    let torn = records(words, range, Marker::Sample, crc, |body| {
        let sample = sample::parse(body);
        let is_sample = sample.is_some();
        samples.extend(sample);
        is_sample
    });
    (samples, torn)
}
