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

pub(crate) fn mapping(mut reader: Reader<'_>) -> Result<ScannedMapping, WireError> {
    let mut mapping = ScannedMapping::default();
    while !reader.is_empty() {
        match reader.field()? {
            (N1, number) => mapping.id = number,
            (N2, number) => mapping.start = number,
            (N3, number) => mapping.limit = number,
            (N4, number) => mapping.offset = number,
            (N5, number) => mapping.file = number as i64,
            (N6, number) => mapping.build_id = number as i64,
            (N7, number) => mapping.has[0] = number != 0,
            (N8, number) => mapping.has[1] = number != 0,
            (N9, number) => mapping.has[2] = number != 0,
            (N10, number) => mapping.has[3] = number != 0,
            (other, value) => reader.skip(other, value, 10)?,
        }
    }
    Ok(mapping)
}

/// Reads a location; its lines are put at the end of `lines`.
pub(crate) fn location(
    mut reader: Reader<'_>,
    lines: &mut Vec<ScannedLine>,
) -> Result<ScannedLocation, WireError> {
    let mut location = ScannedLocation::default();
    while !reader.is_empty() {
        match reader.field()? {
            (N1, number) => location.id = number,
            (N2, number) => location.mapping = number,
            (N3, number) => location.address = number,
            (LINES, len) => lines.push(line(reader.message(len)?)?),
            (N5, number) => location.folded = number != 0,
            (other, value) => reader.skip(other, value, 5)?,
        }
    }
    location.lines_end = lines.len() as u32;
    Ok(location)
}

#[inline]
fn line(mut reader: Reader<'_>) -> Result<ScannedLine, WireError> {
    let mut line = ScannedLine::default();
    while !reader.is_empty() {
        match reader.field()? {
            (N1, number) => line.function = number,
            (N2, number) => line.line = number as i64,
            (N3, number) => line.column = number as i64,
            (other, value) => reader.skip(other, value, 3)?,
        }
    }
    Ok(line)
}

pub(crate) fn function(mut reader: Reader<'_>) -> Result<ScannedFunction, WireError> {
    let mut function = ScannedFunction::default();
    while !reader.is_empty() {
        match reader.field()? {
            (N1, number) => function.id = number,
            (N2, number) => function.name = number as i64,
            (N3, number) => function.system_name = number as i64,
            (N4, number) => function.file = number as i64,
            (N5, number) => function.start_line = number as i64,
            (other, value) => reader.skip(other, value, 5)?,
        }
    }
    Ok(function)
}

#[inline]
pub(crate) fn label(mut reader: Reader<'_>) -> Result<WrittenLabel, WireError> {
    let mut label = WrittenLabel::default();
    while !reader.is_empty() {
        match reader.field()? {
            (N1, number) => label.key = number as i64,
            (N2, number) => label.text = number as i64,
            (N3, number) => label.number = number as i64,
            (N4, number) => label.unit = number as i64,
            (other, value) => reader.skip(other, value, 4)?,
        }
    }
    Ok(label)
}

pub(crate) fn value_type(mut reader: Reader<'_>) -> Result<(i64, i64), WireError> {
    let mut pair = (0, 0);
    while !reader.is_empty() {
        match reader.field()? {
            (N1, number) => pair.0 = number as i64,
            (N2, number) => pair.1 = number as i64,
            (other, value) => reader.skip(other, value, 2)?,
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
    /// Takes a field whose key and varint were read off `reader`.
    pub(crate) fn take(
        &mut self,
        key: u64,
        value: u64,
        reader: &mut Reader<'_>,
    ) -> Result<(), HeaderError> {
        const PERIOD_TYPE: u64 = self::key(11, BYTES);
        const COMMENTS: u64 = self::key(13, BYTES);
        match key {
            PERIOD_TYPE => self.period_type = value_type(reader.message(value)?)?,
            COMMENTS => {
                let mut packed = reader.message(value)?;
                while !packed.is_empty() {
                    self.comments.push(packed.varint()? as i64);
                }
            }
            _ if key & 7 == VARINT && matches!(key >> 3, 7..=10 | 12..=15) => {
                self.take_number(key, value as i64)?;
            }
            _ => reader.skip(key, value, 15)?,
        }
        Ok(())
    }

    fn take_number(&mut self, key: u64, number: i64) -> Result<(), HeaderError> {
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
