//! One profile off the wire into flat, validated, reusable lists.
//!
//! This is the only reader of profiles in Flambeau: [`crate::decode`] and
//! [`crate::Merger::add`] both stand on it, so that they accept and refuse the
//! same bytes. Nothing is interned here and nothing points outside; whatever
//! fails, fails before anything was merged.

use crate::error::{Broken, DecodeError};
use crate::ids::{IdMap, NONE};
use crate::limits::Limits;
use crate::messages::{
    self, HeaderError, ScannedFunction, ScannedHeader, ScannedLine, ScannedLocation, ScannedMapping,
};
use crate::wire::{BYTES, Reader, WireError};

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

    /// The lines of the location at `position`.
    #[inline]
    pub(crate) fn lines_of(&self, position: usize) -> &[ScannedLine] {
        let first = match position {
            0 => 0,
            _ => self.locations[position - 1].lines_end as usize,
        };
        &self.lines[first..self.locations[position].lines_end as usize]
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
            let start = raw.len() - reader.rest().len();
            let (key, value) = reader.field().map_err(|e| self.top_level(raw, e, start))?;
            if key & 7 == BYTES && matches!(key >> 3, 1..=6) {
                let message = reader.message(value);
                let message = message.map_err(|e| self.top_level(raw, e, start))?;
                let end = raw.len() - reader.rest().len();
                let len = message.rest().len();
                let span = Span { start: (end - len) as u32, len: len as u32 };
                self.read_entry(key >> 3, message, span, limits, all)?;
            } else {
                let taken = self.header.take(key, value, &mut reader);
                taken.map_err(|e| self.header_error(raw, e, start))?;
                limited("comments", self.header.comments.len(), limits.strings)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn read_entry(
        &mut self,
        field: u64,
        message: Reader<'_>,
        span: Span,
        limits: &Limits,
        all: bool,
    ) -> Result<(), DecodeError> {
        let nested = |e| not_pprof(e, span.start as usize);
        match field {
            2 => {
                self.sample_spans.push(span);
                limited("samples", self.sample_spans.len(), limits.samples)
            }
            4 if all => {
                let location = messages::location(message, &mut self.lines).map_err(nested)?;
                self.locations.push(location);
                limited("lines", self.lines.len(), limits.strings)?;
                limited("locations", self.locations.len(), limits.locations)
            }
            5 if all => {
                self.functions.push(messages::function(message).map_err(nested)?);
                limited("functions", self.functions.len(), limits.locations)
            }
            6 => {
                if self.strings.is_empty() && !message.is_empty() {
                    return Err(Broken::FirstString.into());
                }
                self.strings.push(span);
                limited("strings", self.strings.len(), limits.strings)
            }
            3 if all => {
                self.mappings.push(messages::mapping(message).map_err(nested)?);
                limited("mappings", self.mappings.len(), limits.locations)
            }
            1 => {
                let types = &mut self.header.sample_types;
                types.push(messages::value_type(message).map_err(nested)?);
                limited("sample types", types.len(), limits.sample_types)
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn header_error(&self, raw: &[u8], error: HeaderError, start: usize) -> DecodeError {
        match error {
            HeaderError::Concatenated => Broken::Concatenated.into(),
            HeaderError::Wire(e) => self.top_level(raw, e, start),
        }
    }

    /// Cut short is cut short only if it looked like a profile until there.
    fn top_level(&self, raw: &[u8], error: WireError, start: usize) -> DecodeError {
        let begun = !self.header.sample_types.is_empty() || !self.strings.is_empty();
        if error == WireError::Short && begun {
            return DecodeError::Truncated { layer: "pprof", bytes: raw.len() };
        }
        not_pprof(error, start)
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
        let samples = spans.len();
        if self.header.sample_types.is_empty() && samples > 0 {
            return Err(Broken::NoSampleTypes { samples }.into());
        }
        for (sample, &span) in spans.iter().enumerate() {
            let start = span.start as usize;
            let message = Reader::new(span.of(raw));
            if self.stacks.len() + message.rest().len() > limits.frames {
                let frames = count_frames(message).map_err(|e| not_pprof(e, start))?;
                limited("frames", self.stacks.len() + frames, limits.frames)?;
            }
            self.scan_sample(message, sample).map_err(|e| e.at(start))?;
            limited("values", self.values.len(), limits.frames)?;
            limited("labels", self.labels.len(), limits.strings)?;
            self.samples.push(ScannedSample {
                stack_end: self.stacks.len() as u32,
                labels_end: self.labels.len() as u32,
            });
        }
        Ok(())
    }

    fn scan_sample(&mut self, message: Reader<'_>, sample: usize) -> Result<(), SampleError> {
        let first = self.stacks.len();
        let mut values = 0;
        let mut reader = message;
        while !reader.is_empty() {
            match reader.field()? {
                (PACKED_LOCATIONS, len) => self.scan_locations(reader.message(len)?)?,
                (PACKED_VALUES, len) => {
                    let mut packed = reader.message(len)?;
                    while !packed.is_empty() {
                        self.scan_value(packed.varint()?, &mut values);
                    }
                }
                (LABEL, len) => self.scan_label(reader.message(len)?)?,
                (LOCATION, id) => self.stacks.push(self.location_ids.get(id)),
                (VALUE, value) => self.scan_value(value, &mut values),
                (other, value) => reader.skip(other, value, 3)?,
            }
        }
        if self.stacks[first..].contains(&NONE) {
            return Err(self.dangling(message, sample)?.into());
        }
        let types = self.header.sample_types.len();
        if values != types {
            return Err(Broken::ValueCount { sample, values, types }.into());
        }
        Ok(())
    }

    #[inline]
    fn scan_locations(&mut self, mut packed: Reader<'_>) -> Result<(), WireError> {
        self.stacks.reserve(packed.rest().len());
        while !packed.is_empty() {
            let position = self.location_ids.get(packed.varint()?);
            self.stacks.push(position);
        }
        Ok(())
    }

    #[inline]
    fn scan_value(&mut self, value: u64, values: &mut usize) {
        *values += 1;
        if *values <= self.header.sample_types.len() {
            self.values.push(value as i64);
        }
    }

    #[inline]
    fn scan_label(&mut self, message: Reader<'_>) -> Result<(), SampleError> {
        let written = messages::label(message)?;
        let len = self.strings.len();
        let mut label = ScannedLabel {
            key: string_index("label.key", written.key, len)?,
            ..ScannedLabel::default()
        };
        if written.text != 0 {
            label.text = string_index("label.str", written.text, len)?;
        } else if written.number != 0 || written.unit != 0 {
            label.number = written.number;
            label.unit = string_index("label.num_unit", written.unit, len)?;
        } else {
            return Ok(()); // Neither text nor number: google/pprof drops it.
        }
        self.labels.push(label);
        Ok(())
    }

    /// Names the location that a sample misses.
    #[cold]
    fn dangling(&self, message: Reader<'_>, sample: usize) -> Result<Broken, WireError> {
        let mut missing = 0;
        each_location(message, |id| {
            if missing == 0 && self.location_ids.get(id) == NONE {
                missing = id;
            }
        })?;
        Ok(Broken::DanglingLocation { sample, id: missing })
    }
}

const LOCATION: u64 = 1 << 3;
const PACKED_LOCATIONS: u64 = 1 << 3 | BYTES;
const VALUE: u64 = 2 << 3;
const PACKED_VALUES: u64 = 2 << 3 | BYTES;
const LABEL: u64 = 3 << 3 | BYTES;

/// How many locations a sample names, without keeping them.
fn count_frames(message: Reader<'_>) -> Result<usize, WireError> {
    let mut frames = 0;
    each_location(message, |_| frames += 1)?;
    Ok(frames)
}

fn each_location(mut reader: Reader<'_>, mut f: impl FnMut(u64)) -> Result<(), WireError> {
    while !reader.is_empty() {
        match reader.field()? {
            (LOCATION, id) => f(id),
            (PACKED_LOCATIONS, len) => {
                let mut packed = reader.message(len)?;
                while !packed.is_empty() {
                    f(packed.varint()?);
                }
            }
            (other, value) => reader.skip(other, value, 0)?,
        }
    }
    Ok(())
}

/// What can go wrong inside a sample.
enum SampleError {
    Wire(WireError),
    Broken(Box<Broken>),
}

impl From<WireError> for SampleError {
    fn from(error: WireError) -> Self {
        SampleError::Wire(error)
    }
}

impl From<Broken> for SampleError {
    fn from(error: Broken) -> Self {
        SampleError::Broken(Box::new(error))
    }
}

impl SampleError {
    fn at(self, start: usize) -> DecodeError {
        match self {
            SampleError::Wire(error) => not_pprof(error, start),
            SampleError::Broken(error) => (*error).into(),
        }
    }
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

/// `start` is where the entry in question begins.
fn not_pprof(error: WireError, start: usize) -> DecodeError {
    DecodeError::NotPprof { reason: error.reason(), offset: start }
}
