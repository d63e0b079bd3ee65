//! What no merge can cost less than: inflating the input and looking at every
//! field of it once, building nothing, checking nothing.

use std::path::PathBuf;

use libdeflater::Decompressor;

/// Inflates every file into one reused buffer; returns the bytes.
pub(crate) fn inflate<'a>(files: impl Iterator<Item = &'a PathBuf>) -> usize {
    each(files, <[u8]>::len)
}

/// Inflates every file and adds up every field of every message.
pub(crate) fn walk<'a>(files: impl Iterator<Item = &'a PathBuf>) -> usize {
    each(files, |raw| fields(raw, PROFILE) as usize)
}

/// Bytes of the files, as stored and inflated.
pub(crate) fn sizes<'a>(files: impl Iterator<Item = &'a PathBuf>) -> (usize, usize) {
    let mut gz = 0;
    let files = files.inspect(|f| gz += f.metadata().expect("a file").len() as usize);
    let raw = inflate(files);
    (gz, raw)
}

fn each<'a>(files: impl Iterator<Item = &'a PathBuf>, look: impl Fn(&[u8]) -> usize) -> usize {
    let mut engine = Decompressor::new();
    let mut buffer = Vec::new();
    let mut sum = 0usize;
    for file in files {
        let gz = std::fs::read(file).expect("a snapshot");
        let size = gz.last_chunk::<4>().expect("a gzip");
        let size = u32::from_le_bytes(*size) as usize;
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let len = engine.gzip_decompress(&gz, &mut buffer).expect("a gzip");
        sum = sum.wrapping_add(look(&buffer[..len]));
    }
    sum
}

/// What the length-delimited fields of a message are.
type Kinds = &'static [Kind];

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Packed,
    Message(Kinds),
}

use Kind::{Message, Packed, Plain};

const LABEL: Kinds = &[];
const LINE: Kinds = &[];
const SAMPLE: Kinds = &[Plain, Packed, Packed, Message(LABEL)];
const LOCATION: Kinds = &[Plain, Plain, Plain, Plain, Message(LINE)];
const PROFILE: Kinds = &[
    Plain,
    Message(&[]),
    Message(SAMPLE),
    Message(&[]),
    Message(LOCATION),
    Message(&[]),
    Plain,
    Plain,
    Plain,
    Plain,
    Plain,
    Message(&[]),
    Plain,
    Packed,
];

fn fields(mut rest: &[u8], kinds: Kinds) -> u64 {
    let mut sum = 0u64;
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let value = varint(&mut rest);
        if key & 7 == 0 {
            sum = sum.wrapping_add(value);
            continue;
        }
        let (bytes, after) = rest.split_at(value as usize);
        rest = after;
        sum = sum.wrapping_add(match kinds.get((key >> 3) as usize) {
            Some(Packed) => packed(bytes),
            Some(Message(kinds)) => fields(bytes, kinds),
            _ => value,
        });
    }
    sum
}

fn packed(mut rest: &[u8]) -> u64 {
    let mut sum = 0u64;
    while !rest.is_empty() {
        sum = sum.wrapping_add(varint(&mut rest));
    }
    sum
}

#[inline]
fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}
