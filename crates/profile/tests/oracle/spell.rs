//! Many spellings of one profile: field order, packing, unknown fields, gzip.

use std::io::Write;

use flambeau_profile::encode;
use flambeau_profile::proto::{Profile, Sample};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use flambeau_random::Random;

/// The profile as bytes, spelled in a way that the seed decides; 0 is plain.
pub fn spell(profile: &Profile, seed: u64) -> Vec<u8> {
    if seed == 0 {
        return encode(profile);
    }
    let mut rng = Random::new(seed);
    let raw = if rng.percent(50) { rearranged(profile, &mut rng) } else { encode(profile) };
    match rng.below(4) {
        0 => gzip(&raw),
        1 => {
            let cut = rng.below(raw.len());
            [gzip(&raw[..cut]), gzip(&raw[cut..])].concat()
        }
        _ => raw,
    }
}

fn gzip(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(raw).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// Top-level fields in another order (those of one number stay in theirs),
/// samples packed or not, unknown fields in between.
fn rearranged(profile: &Profile, rng: &mut Random) -> Vec<u8> {
    let mut queues = queues(profile, rng);
    let mut out = Vec::new();
    while !queues.is_empty() {
        let at = rng.below(queues.len());
        out.extend(queues[at].remove(0));
        if queues[at].is_empty() {
            queues.remove(at);
        }
        if rng.percent(3) {
            out.extend(unknown(rng));
        }
    }
    out
}

/// The encoded fields, by number.
fn queues(profile: &Profile, rng: &mut Random) -> Vec<Vec<Vec<u8>>> {
    let rest = Profile {
        sample_type: vec![],
        sample: vec![],
        mapping: vec![],
        location: vec![],
        function: vec![],
        string_table: vec![],
        ..profile.clone()
    };
    let p = profile;
    let one_by_one = vec![
        p.sample_type.iter().map(|x| field(1, &dressed(x, &[1, 2], rng))).collect(),
        p.sample.iter().map(|x| field(2, &sample(x, rng))).collect(),
        p.mapping.iter().map(|x| field(3, &dressed(x, &[1, 2, 3, 4, 5, 6, 7, 10], rng))).collect(),
        p.location.iter().map(|x| field(4, &dressed(x, &[1, 2, 3, 5], rng))).collect(),
        p.function.iter().map(|x| field(5, &dressed(x, &[1, 2, 3, 4, 5], rng))).collect(),
        p.string_table.iter().map(|x| field(6, x.as_bytes())).collect(),
        vec![dressed(&rest, &[7, 8, 10, 12, 14, 15], rng)],
    ];
    one_by_one.into_iter().filter(|queue: &Vec<Vec<u8>>| !queue.is_empty()).collect()
}

/// A message, now and then after other values of its scalars, any of which a
/// later one overrides, and with unknown fields around it.
fn dressed(message: &impl Message, scalars: &[u64], rng: &mut Random) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    if !rng.percent(8) {
        return bytes;
    }
    let mut out = unknown(rng);
    for &number in scalars {
        let overridden = bytes_set(&bytes, number);
        if overridden && rng.percent(50) {
            out.extend(varint(number << 3));
            out.extend(varint(*rng.pick(&[0, 1, 3, 99_999, u64::MAX])));
        }
    }
    [out, bytes, unknown(rng)].concat()
}

/// Whether the message sets the scalar of that number (proto3 omits zeros).
fn bytes_set(mut bytes: &[u8], number: u64) -> bool {
    while !bytes.is_empty() {
        let key = decode_varint(&mut bytes);
        if key == number << 3 {
            return true;
        }
        let value = decode_varint(&mut bytes);
        if key & 7 == 2 {
            bytes = &bytes[value as usize..];
        }
    }
    false
}

fn decode_varint(bytes: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(bytes).expect("what prost wrote")
}

/// A sample in pieces: labels before, between and after stack and values, some
/// numbers packed and some not.
fn sample(sample: &Sample, rng: &mut Random) -> Vec<u8> {
    let labels: Vec<_> =
        sample.label.iter().map(|l| field(3, &dressed(l, &[1, 2, 3, 4], rng))).collect();
    let values: Vec<u64> = sample.value.iter().map(|&v| v as u64).collect();
    let mut parts =
        [numbers(1, &sample.location_id, rng), numbers(2, &values, rng), labels.concat()];
    let first = rng.below(3);
    parts.swap(0, first);
    parts.concat()
}

fn numbers(number: u64, values: &[u64], rng: &mut Random) -> Vec<u8> {
    let cut = if rng.percent(50) { 0 } else { rng.below(values.len() + 1) };
    let (single, packed) = values.split_at(cut);
    let mut out = Vec::new();
    for &value in single {
        out.extend(varint(number << 3));
        out.extend(varint(value));
    }
    if !packed.is_empty() {
        let bytes: Vec<u8> = packed.iter().flat_map(|&v| varint(v)).collect();
        out.extend(field(number, &bytes));
    }
    out
}

fn unknown(rng: &mut Random) -> Vec<u8> {
    let number = *rng.pick(&[0u64, 16, 99, 1 << 28]);
    match rng.below(4) {
        0 => [varint(number << 3), varint(rng.draw())].concat(),
        1 => [varint(number << 3 | 1), rng.draw().to_le_bytes().to_vec()].concat(),
        2 => [varint(number << 3 | 5), vec![1, 2, 3, 4]].concat(),
        _ => field(number, b"from a later version"),
    }
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value, &mut out);
    out
}
