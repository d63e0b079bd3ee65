//! Profiles to bytes.

use prost::Message;

use crate::ids::NONE;
use crate::merged::Merged;
use crate::proto;
use crate::tables::{LabelEntry, Tables};

/// Fast, and hardly larger: merged profiles are sorted so that neighbours share
/// callers. (1 000 CPU snapshots: 555 KB, at level 6 515 KB for twice the CPU;
/// the same profile as google/pprof orders and packs it: 818 KB.)
pub const DEFAULT_LEVEL: u32 = 1;

/// The profile as raw protobuf.
#[must_use]
pub fn encode(profile: &proto::Profile) -> Vec<u8> {
    profile.encode_to_vec()
}

/// The profile as gzip, the usual form of a pprof file.
#[must_use]
pub fn encode_gzip(profile: &proto::Profile) -> Vec<u8> {
    gzip(&encode(profile), DEFAULT_LEVEL)
}

/// Bytes as gzip, at a level from 1 (fast) to 12 (small); others are brought
/// into that range. The same bytes give the same gzip.
#[must_use]
pub fn gzip(raw: &[u8], level: u32) -> Vec<u8> {
    let level = libdeflater::CompressionLvl::new(level.clamp(1, 12) as i32);
    let mut engine = libdeflater::Compressor::new(level.unwrap_or_default());
    let mut out = vec![0; engine.gzip_compress_bound(raw.len())];
    match engine.gzip_compress(raw, &mut out) {
        Ok(len) => out.truncate(len),
        Err(e) => unreachable!("gzip bound was too small: {e}"),
    }
    out
}

impl Merged {
    /// The profile as raw protobuf. Equal profiles give equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.tables.samples.len() * 64);
        Encoder::new(self).encode(&mut out);
        out
    }

    /// The profile as gzip, at a level from 1 to 12 (see [`DEFAULT_LEVEL`]).
    #[must_use]
    pub fn encode_gzip(&self, level: u32) -> Vec<u8> {
        gzip(&self.encode(), level)
    }

    /// The profile in the readable model.
    #[must_use]
    pub fn to_profile(&self) -> proto::Profile {
        // What this crate encodes is valid UTF-8 and valid protobuf throughout.
        proto::Profile::decode(self.encode().as_slice()).unwrap_or_default()
    }
}

/// Writes one merged profile; ids are positions + 1.
struct Encoder<'a> {
    merged: &'a Merged,
    tables: &'a Tables,
    /// Strings of the header that the tables do not have.
    extra: Vec<&'a str>,
    message: Vec<u8>,
    inner: Vec<u8>,
}

impl<'a> Encoder<'a> {
    fn new(merged: &'a Merged) -> Self {
        Encoder {
            merged,
            tables: &merged.tables,
            extra: Vec::new(),
            message: Vec::new(),
            inner: Vec::new(),
        }
    }

    fn encode(mut self, out: &mut Vec<u8>) {
        let merged = self.merged;
        for typ in &merged.header.sample_types {
            self.value_type(out, 1, typ);
        }
        self.samples(out);
        self.mappings(out);
        self.locations(out);
        self.functions(out);
        let mut header = Vec::new();
        self.header(&mut header);
        for i in 0..self.tables.strings.len() {
            bytes(out, 6, self.tables.strings.get(i as u32).as_bytes());
        }
        for extra in &self.extra {
            bytes(out, 6, extra.as_bytes());
        }
        out.extend_from_slice(&header);
    }

    fn samples(&mut self, out: &mut Vec<u8>) {
        let types = self.tables.types;
        let label_sets = self.label_sets();
        for (i, &(stack, label_set)) in self.tables.samples.iter().enumerate() {
            self.message.clear();
            self.inner.clear();
            let stack = self.tables.stacks.get(stack);
            varints(&mut self.inner, stack.iter().map(|&l| u64::from(l) + 1));
            if !self.inner.is_empty() {
                bytes(&mut self.message, 1, &self.inner);
            }
            self.inner.clear();
            let values = &self.merged.values[i * types..][..types];
            varints(&mut self.inner, values.iter().map(|&v| v as u64));
            bytes(&mut self.message, 2, &self.inner);
            self.message.extend_from_slice(&label_sets[label_set as usize]);
            bytes(out, 2, &self.message);
        }
    }

    /// Each set of labels as it stands in a sample.
    fn label_sets(&mut self) -> Vec<Vec<u8>> {
        let mut encoded = Vec::with_capacity(self.tables.label_sets.ranges.len());
        for i in 0..self.tables.label_sets.ranges.len() {
            self.message.clear();
            for label in self.tables.label_sets.get(i as u32) {
                self.label(label);
            }
            encoded.push(self.message.clone());
        }
        encoded
    }

    fn label(&mut self, label: &LabelEntry) {
        self.inner.clear();
        number(&mut self.inner, 1, u64::from(label.key));
        number(&mut self.inner, 2, u64::from(label.text));
        number(&mut self.inner, 3, label.number as u64);
        number(&mut self.inner, 4, u64::from(label.unit));
        bytes(&mut self.message, 3, &self.inner);
    }

    fn mappings(&mut self, out: &mut Vec<u8>) {
        for (i, m) in self.tables.mappings.iter().enumerate() {
            let message = &mut self.message;
            message.clear();
            number(message, 1, i as u64 + 1);
            number(message, 2, m.start);
            number(message, 3, m.limit);
            number(message, 4, m.offset);
            number(message, 5, u64::from(m.file));
            number(message, 6, u64::from(m.build_id));
            for (field, has) in (7..).zip(m.has) {
                number(message, field, u64::from(has));
            }
            bytes(out, 3, message);
        }
    }

    fn locations(&mut self, out: &mut Vec<u8>) {
        for (i, location) in self.tables.locations.iter().enumerate() {
            self.message.clear();
            number(&mut self.message, 1, i as u64 + 1);
            if location.place.mapping != NONE {
                number(&mut self.message, 2, u64::from(location.place.mapping) + 1);
            }
            number(&mut self.message, 3, self.tables.absolute(location));
            for line in location.lines.of(&self.tables.lines) {
                self.inner.clear();
                number(&mut self.inner, 1, u64::from(line.function) + 1);
                number(&mut self.inner, 2, line.line as u64);
                number(&mut self.inner, 3, line.column as u64);
                bytes(&mut self.message, 4, &self.inner);
            }
            number(&mut self.message, 5, u64::from(location.place.folded));
            bytes(out, 4, &self.message);
        }
    }

    fn functions(&mut self, out: &mut Vec<u8>) {
        for (i, f) in self.tables.functions.iter().enumerate() {
            let message = &mut self.message;
            message.clear();
            number(message, 1, i as u64 + 1);
            number(message, 2, u64::from(f.name));
            number(message, 3, u64::from(f.system_name));
            number(message, 4, u64::from(f.file));
            number(message, 5, f.start_line as u64);
            bytes(out, 5, message);
        }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        let header = &self.merged.header;
        let string = self.string(&header.drop_frames);
        number(out, 7, string);
        let string = self.string(&header.keep_frames);
        number(out, 8, string);
        number(out, 9, header.time_nanos as u64);
        number(out, 10, header.duration_nanos as u64);
        if let Some(typ) = &header.period_type {
            self.value_type(out, 11, typ);
        }
        number(out, 12, header.period as u64);
        self.comments(out);
        let string = self.string(&header.default_sample_type);
        number(out, 14, string);
        let string = self.string(&header.doc_url);
        number(out, 15, string);
    }

    fn comments(&mut self, out: &mut Vec<u8>) {
        let mut packed = Vec::new();
        for comment in &self.merged.header.comments {
            varint(&mut packed, self.string(comment));
        }
        if !packed.is_empty() {
            bytes(out, 13, &packed);
        }
    }

    fn value_type(&mut self, out: &mut Vec<u8>, field: u64, typ: &'a crate::ValueType) {
        let mut message = Vec::new();
        number(&mut message, 1, self.string(&typ.typ));
        number(&mut message, 2, self.string(&typ.unit));
        bytes(out, field, &message);
    }

    /// The index of a header's string, added at the end if it is not there.
    fn string(&mut self, string: &'a str) -> u64 {
        let sorted = &self.tables.strings;
        if let Some(position) = sorted.search(string) {
            return position as u64;
        }
        let known = self.extra.iter().position(|&extra| extra == string);
        let position = known.unwrap_or_else(|| {
            self.extra.push(string);
            self.extra.len() - 1
        });
        (sorted.len() + position) as u64
    }
}

#[inline]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Many varints, written into room made beforehand.
#[inline]
fn varints(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = u64>) {
    const LONGEST: usize = 10;
    let start = out.len();
    out.resize(start + values.len() * LONGEST, 0);
    let room = &mut out[start..];
    let mut len = 0;
    for mut value in values {
        while value >= 0x80 {
            room[len] = value as u8 | 0x80;
            value >>= 7;
            len += 1;
        }
        room[len] = value as u8;
        len += 1;
    }
    out.truncate(start + len);
}

/// A number, left out when 0 as proto3 does.
#[inline]
fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        varint(out, field << 3);
        varint(out, value);
    }
}

#[inline]
fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
