//! One profile off the wire into flat, validated, reusable lists.
//!
//! This is the only reader of profiles in Flambeau: [`crate::decode`] and
//! [`crate::Merger::add`] both stand on it, so that they accept and refuse the
//! same bytes. Nothing is interned here and nothing points outside; whatever
//! fails, fails before anything was merged.

use crate::error::{Broken, DecodeError};
use crate::ids::{IdMap, NONE};
use crate::limits::Limits;
use crate::wire::{Reader, Value, WireError};

/// A stretch of the raw bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    #[inline]
    pub(crate) fn of(self, raw: &[u8]) -> &[u8] {
        &raw[self.start as usize..][..self.len as usize]
    }
}

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
    /// First the id, after [`Scan::resolve`] the position or [`NONE`].
    pub(crate) mapping: u64,
    /// Where its lines end; they begin where the previous location's end.
    pub(crate) lines_end: u32,
    pub(crate) folded: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct ScannedLine {
    /// First the id, after [`Scan::resolve`] the position.
    pub(crate) function: u64,
    pub(crate) line: i64,
    pub(crate) column: i64,
}

/// Where a sample's stack and labels end; they begin where the previous
/// sample's end. Its values are as many as there are sample types.
#[derive(Clone, Copy, Default)]
pub(crate) struct ScannedSample {
    pub(crate) stack_end: u32,
    pub(crate) labels_end: u32,
}

/// A label that says something. With a text, the number is 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct ScannedLabel {
    pub(crate) key: u32,
    pub(crate) text: u32,
    pub(crate) number: i64,
    pub(crate) unit: u32,
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

/// A profile, taken apart. Reused from input to input.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) header: ScannedHeader,
    pub(crate) strings: Vec<Span>,
    pub(crate) mappings: Vec<ScannedMapping>,
    pub(crate) functions: Vec<ScannedFunction>,
    pub(crate) locations: Vec<ScannedLocation>,
    pub(crate) lines: Vec<ScannedLine>,
    pub(crate) samples: Vec<ScannedSample>,
    /// Positions of locations, sample after sample, leaf first.
    pub(crate) stacks: Vec<u32>,
    pub(crate) values: Vec<i64>,
    pub(crate) labels: Vec<ScannedLabel>,
    sample_spans: Vec<Span>,
    mapping_ids: IdMap,
    function_ids: IdMap,
    location_ids: IdMap,
}

impl Scan {
    /// Reads and validates a whole profile. `raw` is inflated and within limits.
    pub(crate) fn read(&mut self, raw: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        self.clear();
        self.read_tables(raw, limits, true)?;
        self.check_header()?;
        self.check_tables()?;
        self.resolve()?;
        self.read_samples(raw, limits)
    }

    /// Reads what a header needs: strings and the header fields.
    pub(crate) fn read_header(&mut self, raw: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        self.clear();
        self.read_tables(raw, limits, false)?;
        self.check_header()
    }

    /// The bytes of string `index`, which [`Scan::read`] found to be there.
    #[inline]
    pub(crate) fn string<'a>(&self, raw: &'a [u8], index: i64) -> &'a [u8] {
        self.strings[index as usize].of(raw)
    }

    /// Bytes held for reuse.
    pub(crate) fn held(&self) -> usize {
        self.strings.capacity() * size_of::<Span>()
            + self.locations.capacity() * size_of::<ScannedLocation>()
            + self.lines.capacity() * size_of::<ScannedLine>()
            + self.functions.capacity() * size_of::<ScannedFunction>()
            + self.samples.capacity() * size_of::<ScannedSample>()
            + self.labels.capacity() * size_of::<ScannedLabel>()
            + self.stacks.capacity() * 4
            + self.values.capacity() * 8
    }

    fn clear(&mut self) {
        let mut header = std::mem::take(&mut self.header);
        header.sample_types.clear();
        header.comments.clear();
        self.header = ScannedHeader {
            sample_types: header.sample_types,
            comments: header.comments,
            ..ScannedHeader::default()
        };
        self.strings.clear();
        self.mappings.clear();
        self.functions.clear();
        self.locations.clear();
        self.lines.clear();
        self.samples.clear();
        self.stacks.clear();
        self.values.clear();
        self.labels.clear();
        self.sample_spans.clear();
    }

    fn read_tables(&mut self, raw: &[u8], limits: &Limits, all: bool) -> Result<(), DecodeError> {
        let mut reader = Reader::new(raw);
        while !reader.is_empty() {
            let start = reader.at();
            let (field, value) = reader.field().map_err(|e| self.top_level(raw, e))?;
            let end = reader.at();
            let nested = |e: WireError| not_pprof(e, start);
            match field {
                1 => {
                    let pair = value_type(value).map_err(nested)?;
                    self.header.sample_types.push(pair);
                    let types = self.header.sample_types.len();
                    limited("sample types", types, limits.sample_types)?;
                }
                2 => {
                    let len = value.bytes().map_err(nested)?.len();
                    self.sample_spans.push(span(end, len));
                    limited("samples", self.sample_spans.len(), limits.samples)?;
                }
                3 if all => {
                    let mapping = scan_mapping(value).map_err(nested)?;
                    self.mappings.push(mapping);
                    limited("mappings", self.mappings.len(), limits.locations)?;
                }
                4 if all => {
                    let location = self.scan_location(value).map_err(nested)?;
                    self.locations.push(location);
                    limited("locations", self.locations.len(), limits.locations)?;
                    limited("lines", self.lines.len(), limits.strings)?;
                }
                5 if all => {
                    let function = scan_function(value).map_err(nested)?;
                    self.functions.push(function);
                    limited("functions", self.functions.len(), limits.locations)?;
                }
                6 => {
                    let len = value.bytes().map_err(nested)?.len();
                    if self.strings.is_empty() && len > 0 {
                        return Err(Broken::FirstString.into());
                    }
                    self.strings.push(span(end, len));
                    limited("strings", self.strings.len(), limits.strings)?;
                }
                _ => {
                    self.header.set(field, value).map_err(|e| match e {
                        HeaderError::Wire(e) => nested(e),
                        HeaderError::Concatenated => Broken::Concatenated.into(),
                    })?;
                    limited("comments", self.header.comments.len(), limits.strings)?;
                }
            }
        }
        Ok(())
    }

    /// Cut short is cut short only if it looked like a profile until there.
    fn top_level(&self, raw: &[u8], error: WireError) -> DecodeError {
        let begun = !self.header.sample_types.is_empty() || !self.strings.is_empty();
        if error.short && begun {
            return DecodeError::Truncated { layer: "pprof", bytes: raw.len() };
        }
        not_pprof(error, 0)
    }

    fn scan_location(&mut self, value: Value<'_>) -> Result<ScannedLocation, WireError> {
        let mut location = ScannedLocation::default();
        let mut reader = Reader::new(value.bytes()?);
        while !reader.is_empty() {
            let (field, value) = reader.field()?;
            match field {
                1 => location.id = value.uint()?,
                2 => location.mapping = value.uint()?,
                3 => location.address = value.uint()?,
                4 => self.lines.push(scan_line(value)?),
                5 => location.folded = value.uint()? != 0,
                _ => {}
            }
        }
        location.lines_end = self.lines.len() as u32;
        Ok(location)
    }

    fn check_header(&self) -> Result<(), DecodeError> {
        let len = self.strings.len();
        if len == 0 {
            return Err(Broken::NoStringTable.into());
        }
        let h = &self.header;
        for &(typ, unit) in &h.sample_types {
            check_string("sample_type.type", typ, len)?;
            check_string("sample_type.unit", unit, len)?;
        }
        check_string("period_type.type", h.period_type.0, len)?;
        check_string("period_type.unit", h.period_type.1, len)?;
        for &comment in &h.comments {
            check_string("comment", comment, len)?;
        }
        check_string("drop_frames", h.drop_frames, len)?;
        check_string("keep_frames", h.keep_frames, len)?;
        check_string("default_sample_type", h.default_sample_type, len)?;
        check_string("doc_url", h.doc_url, len)
    }

    fn check_tables(&mut self) -> Result<(), DecodeError> {
        let len = self.strings.len();
        self.mapping_ids.reset(self.mappings.len());
        for (i, m) in self.mappings.iter().enumerate() {
            check_string("mapping.filename", m.file, len)?;
            check_string("mapping.build_id", m.build_id, len)?;
            check_id("mapping", m.id, self.mapping_ids.insert(m.id, i as u32))?;
        }
        self.function_ids.reset(self.functions.len());
        for (i, f) in self.functions.iter().enumerate() {
            check_string("function.name", f.name, len)?;
            check_string("function.system_name", f.system_name, len)?;
            check_string("function.filename", f.file, len)?;
            check_id("function", f.id, self.function_ids.insert(f.id, i as u32))?;
        }
        self.location_ids.reset(self.locations.len());
        for (i, l) in self.locations.iter().enumerate() {
            check_id("location", l.id, self.location_ids.insert(l.id, i as u32))?;
        }
        Ok(())
    }

    /// Turns ids of mappings and functions into positions.
    fn resolve(&mut self) -> Result<(), DecodeError> {
        let mut first = 0;
        for location in &mut self.locations {
            location.mapping = u64::from(self.mapping_ids.get(location.mapping));
            let end = location.lines_end as usize;
            for line in &mut self.lines[first..end] {
                let position = self.function_ids.get(line.function);
                if position == NONE {
                    return Err(DecodeError::Invalid(Broken::DanglingFunction {
                        location: location.id,
                        id: line.function,
                    }));
                }
                line.function = u64::from(position);
            }
            first = end;
        }
        Ok(())
    }

    fn read_samples(&mut self, raw: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        let spans = std::mem::take(&mut self.sample_spans);
        let result = self.read_spans(raw, &spans, limits);
        self.sample_spans = spans;
        result
    }

    fn read_spans(
        &mut self,
        raw: &[u8],
        spans: &[Span],
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        let types = self.header.sample_types.len();
        if types == 0 && !spans.is_empty() {
            let samples = spans.len();
            return Err(Broken::NoSampleTypes { samples }.into());
        }
        for (sample, span) in spans.iter().enumerate() {
            let bytes = span.of(raw);
            if self.stacks.len() + bytes.len() > limits.frames {
                let frames = count_frames(bytes).map_err(|e| not_pprof(e, span.start as usize))?;
                limited("frames", self.stacks.len() + frames, limits.frames)?;
            }
            self.scan_sample(bytes, sample).map_err(|e| e.at(span.start as usize))?;
            limited("values", self.values.len(), limits.frames)?;
            limited("labels", self.labels.len(), limits.strings)?;
            self.samples.push(ScannedSample {
                stack_end: self.stacks.len() as u32,
                labels_end: self.labels.len() as u32,
            });
        }
        Ok(())
    }

    fn scan_sample(&mut self, bytes: &[u8], sample: usize) -> Result<(), SampleError> {
        let types = self.header.sample_types.len();
        let mut missing = None;
        let mut values = 0;
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (field, value) = reader.field()?;
            match field {
                1 => value.each(|id| {
                    let position = self.location_ids.get(id);
                    if position == NONE {
                        missing.get_or_insert(id);
                    }
                    self.stacks.push(position);
                })?,
                2 => value.each(|v| {
                    values += 1;
                    if values <= types {
                        self.values.push(v as i64);
                    }
                })?,
                3 => self.scan_label(value.bytes()?)?,
                _ => {}
            }
        }
        if let Some(id) = missing {
            return Err(Broken::DanglingLocation { sample, id }.into());
        }
        if values != types {
            return Err(Broken::ValueCount { sample, values, types }.into());
        }
        Ok(())
    }

    fn scan_label(&mut self, bytes: &[u8]) -> Result<(), SampleError> {
        let (mut key, mut text, mut number, mut unit) = (0, 0, 0, 0);
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (field, value) = reader.field()?;
            match field {
                1 => key = value.int()?,
                2 => text = value.int()?,
                3 => number = value.int()?,
                4 => unit = value.int()?,
                _ => {}
            }
        }
        let len = self.strings.len();
        let mut label =
            ScannedLabel { key: string_index("label.key", key, len)?, ..ScannedLabel::default() };
        if text != 0 {
            label.text = string_index("label.str", text, len)?;
        } else if number != 0 || unit != 0 {
            label.number = number;
            label.unit = string_index("label.num_unit", unit, len)?;
        } else {
            return Ok(()); // Neither text nor number: google/pprof drops it.
        }
        self.labels.push(label);
        Ok(())
    }
}

enum HeaderError {
    Wire(WireError),
    Concatenated,
}

impl From<WireError> for HeaderError {
    fn from(error: WireError) -> Self {
        HeaderError::Wire(error)
    }
}

impl ScannedHeader {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<(), HeaderError> {
        match field {
            7 => self.drop_frames = value.int()?,
            8 => self.keep_frames = value.int()?,
            9 if self.time_nanos != 0 => return Err(HeaderError::Concatenated),
            9 => self.time_nanos = value.int()?,
            10 => self.duration_nanos = value.int()?,
            11 => self.period_type = value_type(value)?,
            12 => self.period = value.int()?,
            13 => value.each(|v| self.comments.push(v as i64))?,
            14 => self.default_sample_type = value.int()?,
            15 => self.doc_url = value.int()?,
            _ => {}
        }
        Ok(())
    }
}

/// What can go wrong inside a sample; offsets are relative to it.
enum SampleError {
    Wire(WireError),
    Broken(Broken),
}

impl From<WireError> for SampleError {
    fn from(error: WireError) -> Self {
        SampleError::Wire(error)
    }
}

impl From<Broken> for SampleError {
    fn from(error: Broken) -> Self {
        SampleError::Broken(error)
    }
}

impl SampleError {
    fn at(self, start: usize) -> DecodeError {
        match self {
            SampleError::Wire(error) => not_pprof(error, start),
            SampleError::Broken(error) => error.into(),
        }
    }
}

/// How many locations a sample names, without keeping them.
fn count_frames(bytes: &[u8]) -> Result<usize, WireError> {
    let mut frames = 0;
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        if let (1, value) = reader.field()? {
            value.each(|_| frames += 1)?;
        }
    }
    Ok(frames)
}

fn scan_mapping(value: Value<'_>) -> Result<ScannedMapping, WireError> {
    let mut mapping = ScannedMapping::default();
    let mut reader = Reader::new(value.bytes()?);
    while !reader.is_empty() {
        let (field, value) = reader.field()?;
        match field {
            1 => mapping.id = value.uint()?,
            2 => mapping.start = value.uint()?,
            3 => mapping.limit = value.uint()?,
            4 => mapping.offset = value.uint()?,
            5 => mapping.file = value.int()?,
            6 => mapping.build_id = value.int()?,
            7..=10 => mapping.has[field as usize - 7] = value.uint()? != 0,
            _ => {}
        }
    }
    Ok(mapping)
}

fn scan_function(value: Value<'_>) -> Result<ScannedFunction, WireError> {
    let mut function = ScannedFunction::default();
    let mut reader = Reader::new(value.bytes()?);
    while !reader.is_empty() {
        let (field, value) = reader.field()?;
        match field {
            1 => function.id = value.uint()?,
            2 => function.name = value.int()?,
            3 => function.system_name = value.int()?,
            4 => function.file = value.int()?,
            5 => function.start_line = value.int()?,
            _ => {}
        }
    }
    Ok(function)
}

fn scan_line(value: Value<'_>) -> Result<ScannedLine, WireError> {
    let mut line = ScannedLine::default();
    let mut reader = Reader::new(value.bytes()?);
    while !reader.is_empty() {
        let (field, value) = reader.field()?;
        match field {
            1 => line.function = value.uint()?,
            2 => line.line = value.int()?,
            3 => line.column = value.int()?,
            _ => {}
        }
    }
    Ok(line)
}

fn value_type(value: Value<'_>) -> Result<(i64, i64), WireError> {
    let mut pair = (0, 0);
    let mut reader = Reader::new(value.bytes()?);
    while !reader.is_empty() {
        let (field, value) = reader.field()?;
        match field {
            1 => pair.0 = value.int()?,
            2 => pair.1 = value.int()?,
            _ => {}
        }
    }
    Ok(pair)
}

fn span(end: usize, len: usize) -> Span {
    Span { start: (end - len) as u32, len: len as u32 }
}

fn check_string(field: &'static str, index: i64, len: usize) -> Result<(), DecodeError> {
    Ok(string_index(field, index, len).map(drop)?)
}

#[inline]
fn string_index(field: &'static str, index: i64, len: usize) -> Result<u32, Broken> {
    match usize::try_from(index) {
        Ok(i) if i < len => Ok(i as u32),
        _ => Err(Broken::StringIndex { field, index, len }),
    }
}

fn check_id(table: &'static str, id: u64, fresh: bool) -> Result<(), DecodeError> {
    if id == 0 {
        return Err(Broken::ReservedId { table }.into());
    }
    if !fresh {
        return Err(Broken::DuplicateId { table, id }.into());
    }
    Ok(())
}

#[inline]
fn limited(what: &'static str, found: usize, limit: usize) -> Result<(), DecodeError> {
    if found <= limit {
        return Ok(());
    }
    Err(DecodeError::TooLarge { what, limit: limit as u64, found: found as u64 })
}

fn not_pprof(error: WireError, base: usize) -> DecodeError {
    DecodeError::NotPprof { reason: error.reason, offset: base + error.offset }
}
