//! The messages of a profile, each read field by field off the wire.
//!
//! A key is `field << 3 | wire type`. Fields may come in any order and more
//! than once: of numbers the last counts, as protobuf has it.

use crate::wire::{BYTES, Reader, VARINT, WireError};

#[derive(Clone, Copy, Default)]
pub(crate) struct ScannedMapping {
    pub(crate) id: u64,
    pub(crate) start: u64,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) file: i64,
    pub(crate) build_id: i64,
    /// has_functions, has_filenames, has_line_numbers, has_inline_frames.
    pub(crate) has: [bool; 4],
}

#[derive(Clone, Copy, Default)]
pub(crate) struct ScannedFunction {
    pub(crate) id: u64,
    pub(crate) name: i64,
    pub(crate) system_name: i64,
    pub(crate) file: i64,
    pub(crate) start_line: i64,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct ScannedLocation {
    pub(crate) id: u64,
    pub(crate) address: u64,
    /// As read, the id; once resolved, the position or [`crate::ids::NONE`].
    pub(crate) mapping: u64,
    /// Where its lines end; they begin where the previous location's end.
    pub(crate) lines_end: u32,
    pub(crate) folded: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct ScannedLine {
    /// As read, the id; once resolved, the position.
    pub(crate) function: u64,
    pub(crate) line: i64,
    pub(crate) column: i64,
}

/// A label as written.
#[derive(Clone, Copy, Default)]
pub(crate) struct WrittenLabel {
    pub(crate) key: i64,
    pub(crate) text: i64,
    pub(crate) number: i64,
    pub(crate) unit: i64,
}

/// The fields of a profile that are neither samples nor tables.
#[derive(Clone, Default)]
pub(crate) struct ScannedHeader {
    pub(crate) sample_types: Vec<(i64, i64)>,
    pub(crate) period_type: (i64, i64),
    pub(crate) period: i64,
    pub(crate) time_nanos: i64,
    pub(crate) duration_nanos: i64,
    pub(crate) comments: Vec<i64>,
    pub(crate) drop_frames: i64,
    pub(crate) keep_frames: i64,
    pub(crate) default_sample_type: i64,
    pub(crate) doc_url: i64,
}

/// A key, for use in patterns.
const fn key(field: u64, wire_type: u64) -> u64 {
    field << 3 | wire_type
}

const N1: u64 = key(1, VARINT);
const N2: u64 = key(2, VARINT);
const N3: u64 = key(3, VARINT);
const N4: u64 = key(4, VARINT);
const N5: u64 = key(5, VARINT);
const N6: u64 = key(6, VARINT);
const N7: u64 = key(7, VARINT);
const N8: u64 = key(8, VARINT);
const N9: u64 = key(9, VARINT);
const N10: u64 = key(10, VARINT);
const LINES: u64 = key(4, BYTES);

pub(crate) fn mapping(bytes: &[u8]) -> Result<ScannedMapping, WireError> {
    let mut mapping = ScannedMapping::default();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.varint()? {
            N1 => mapping.id = reader.varint()?,
            N2 => mapping.start = reader.varint()?,
            N3 => mapping.limit = reader.varint()?,
            N4 => mapping.offset = reader.varint()?,
            N5 => mapping.file = reader.varint()? as i64,
            N6 => mapping.build_id = reader.varint()? as i64,
            N7 => mapping.has[0] = reader.varint()? != 0,
            N8 => mapping.has[1] = reader.varint()? != 0,
            N9 => mapping.has[2] = reader.varint()? != 0,
            N10 => mapping.has[3] = reader.varint()? != 0,
            other => reader.skip(other, 10)?,
        }
    }
    Ok(mapping)
}

/// Reads a location; its lines are put at the end of `lines`.
pub(crate) fn location(
    bytes: &[u8],
    lines: &mut Vec<ScannedLine>,
) -> Result<ScannedLocation, WireError> {
    let mut location = ScannedLocation::default();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.varint()? {
            N1 => location.id = reader.varint()?,
            N2 => location.mapping = reader.varint()?,
            N3 => location.address = reader.varint()?,
            LINES => lines.push(line(reader.bytes()?)?),
            N5 => location.folded = reader.varint()? != 0,
            other => reader.skip(other, 5)?,
        }
    }
    location.lines_end = lines.len() as u32;
    Ok(location)
}

#[inline]
fn line(bytes: &[u8]) -> Result<ScannedLine, WireError> {
    let mut line = ScannedLine::default();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.varint()? {
            N1 => line.function = reader.varint()?,
            N2 => line.line = reader.varint()? as i64,
            N3 => line.column = reader.varint()? as i64,
            other => reader.skip(other, 3)?,
        }
    }
    Ok(line)
}

pub(crate) fn function(bytes: &[u8]) -> Result<ScannedFunction, WireError> {
    let mut function = ScannedFunction::default();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.varint()? {
            N1 => function.id = reader.varint()?,
            N2 => function.name = reader.varint()? as i64,
            N3 => function.system_name = reader.varint()? as i64,
            N4 => function.file = reader.varint()? as i64,
            N5 => function.start_line = reader.varint()? as i64,
            other => reader.skip(other, 5)?,
        }
    }
    Ok(function)
}

#[inline]
pub(crate) fn label(bytes: &[u8]) -> Result<WrittenLabel, WireError> {
    let mut label = WrittenLabel::default();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.varint()? {
            N1 => label.key = reader.varint()? as i64,
            N2 => label.text = reader.varint()? as i64,
            N3 => label.number = reader.varint()? as i64,
            N4 => label.unit = reader.varint()? as i64,
            other => reader.skip(other, 4)?,
        }
    }
    Ok(label)
}

pub(crate) fn value_type(bytes: &[u8]) -> Result<(i64, i64), WireError> {
    let mut pair = (0, 0);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.varint()? {
            N1 => pair.0 = reader.varint()? as i64,
            N2 => pair.1 = reader.varint()? as i64,
            other => reader.skip(other, 2)?,
        }
    }
    Ok(pair)
}

/// Why a header field was not taken.
pub(crate) enum HeaderError {
    Wire(WireError),
    /// A second time stamp: two profiles glued together.
    Concatenated,
}

impl From<WireError> for HeaderError {
    fn from(error: WireError) -> Self {
        HeaderError::Wire(error)
    }
}

impl ScannedHeader {
    /// Takes the field of `key`, whose payload `reader` is at.
    pub(crate) fn take(&mut self, key: u64, reader: &mut Reader<'_>) -> Result<(), HeaderError> {
        const PERIOD_TYPE: u64 = self::key(11, BYTES);
        const COMMENTS: u64 = self::key(13, BYTES);
        let number = match key {
            PERIOD_TYPE => {
                self.period_type = value_type(reader.bytes()?)?;
                return Ok(());
            }
            COMMENTS => {
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    self.comments.push(packed.varint()? as i64);
                }
                return Ok(());
            }
            _ if key & 7 == VARINT && matches!(key >> 3, 7..=10 | 12..=15) => {
                reader.varint()? as i64
            }
            _ => return Ok(reader.skip(key, 15)?),
        };
        match key >> 3 {
            7 => self.drop_frames = number,
            8 => self.keep_frames = number,
            9 if self.time_nanos != 0 => return Err(HeaderError::Concatenated),
            9 => self.time_nanos = number,
            10 => self.duration_nanos = number,
            12 => self.period = number,
            13 => self.comments.push(number),
            14 => self.default_sample_type = number,
            _ => self.doc_url = number,
        }
        Ok(())
    }
}
