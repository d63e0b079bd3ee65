//! Bytes to profiles.

use crate::error::DecodeError;
use crate::header::Header;
use crate::ids::NONE;
use crate::inflate::inflate;
use crate::limits::Limits;
use crate::messages::{ScannedFunction, ScannedLocation, ScannedMapping};
use crate::proto;
use crate::scan::{Scan, ScannedLabel, ScannedSample, Span};
use crate::strings::presentable;

/// Reads a profile, gzipped or raw, into the readable model.
///
/// Accepts and refuses what google/pprof accepts and refuses (but for its
/// text formats from before protobuf). Unknown fields and labels that say
/// nothing are left out, a mapping that is not there becomes none, and strings
/// that are no UTF-8 are spelled out (`\xff`).
///
/// # Errors
/// [`DecodeError`], whose [`DecodeError::kind`] tells the sort.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<proto::Profile, DecodeError> {
    let raw = inflate(bytes, limits)?;
    let mut scan = Scan::default();
    scan.read(&raw, limits)?;
    Ok(model(&scan, &raw))
}

/// Checks a profile in the readable model by the rules of [`decode`].
///
/// # Errors
/// The rule that is broken, as [`DecodeError::Invalid`].
pub fn validate(profile: &proto::Profile) -> Result<(), DecodeError> {
    let raw = crate::encode(profile);
    if raw.is_empty() {
        return Err(DecodeError::Empty);
    }
    Scan::default().read(&raw, &Limits::default())
}

/// Reads only what a profile says about itself. The input is inflated within
/// limits; samples, locations and functions are skipped unread, so a profile
/// that passes here may still be refused by [`crate::Merger::add`].
///
/// # Errors
/// As [`decode`], as far as it looks.
pub fn peek(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    let raw = inflate(bytes, limits)?;
    let mut scan = Scan::default();
    scan.read_header(&raw, limits)?;
    Ok(Header::of(&scan, &raw, limits))
}

fn model(scan: &Scan, raw: &[u8]) -> proto::Profile {
    let h = &scan.header;
    let value_type = |(typ, unit)| proto::ValueType { r#type: typ, unit };
    let string = |s: &Span| presentable(s.of(raw), usize::MAX).0.into_owned();
    proto::Profile {
        sample_type: h.sample_types.iter().map(|&p| value_type(p)).collect(),
        sample: samples(scan),
        mapping: scan.mappings.iter().map(mapping).collect(),
        location: locations(scan),
        function: functions(scan),
        string_table: scan.strings.iter().map(string).collect(),
        drop_frames: h.drop_frames,
        keep_frames: h.keep_frames,
        time_nanos: h.time_nanos,
        duration_nanos: h.duration_nanos,
        period_type: (h.period_type != (0, 0)).then(|| value_type(h.period_type)),
        period: h.period,
        comment: h.comments.clone(),
        default_sample_type: h.default_sample_type,
        doc_url: h.doc_url,
    }
}

fn samples(scan: &Scan) -> Vec<proto::Sample> {
    let types = scan.header.sample_types.len();
    let (mut stack, mut labels) = (0, 0);
    let sample = |(i, s): (usize, &ScannedSample)| {
        let frames = &scan.stacks[stack..s.stack_end as usize];
        let own = &scan.labels[labels..s.labels_end as usize];
        (stack, labels) = (s.stack_end as usize, s.labels_end as usize);
        proto::Sample {
            location_id: frames.iter().map(|&l| scan.locations[l as usize].id).collect(),
            value: scan.values[i * types..][..types].to_vec(),
            label: own.iter().map(label).collect(),
        }
    };
    scan.samples.iter().enumerate().map(sample).collect()
}

fn label(label: &ScannedLabel) -> proto::Label {
    proto::Label {
        key: i64::from(label.key),
        str: i64::from(label.text),
        num: label.number,
        num_unit: i64::from(label.unit),
    }
}

fn mapping(m: &ScannedMapping) -> proto::Mapping {
    let [has_functions, has_filenames, has_line_numbers, has_inline_frames] = m.has;
    proto::Mapping {
        id: m.id,
        memory_start: m.start,
        memory_limit: m.limit,
        file_offset: m.offset,
        filename: m.file,
        build_id: m.build_id,
        has_functions,
        has_filenames,
        has_line_numbers,
        has_inline_frames,
    }
}

fn locations(scan: &Scan) -> Vec<proto::Location> {
    let mut first = 0;
    let location = |l: &ScannedLocation| {
        let lines = &scan.lines[first..l.lines_end as usize];
        first = l.lines_end as usize;
        proto::Location {
            id: l.id,
            mapping_id: match l.mapping {
                none if none == u64::from(NONE) => 0,
                at => scan.mappings[at as usize].id,
            },
            address: l.address,
            line: lines
                .iter()
                .map(|line| proto::Line {
                    function_id: scan.functions[line.function as usize].id,
                    line: line.line,
                    column: line.column,
                })
                .collect(),
            is_folded: l.folded,
        }
    };
    scan.locations.iter().map(location).collect()
}

fn functions(scan: &Scan) -> Vec<proto::Function> {
    let function = |f: &ScannedFunction| proto::Function {
        id: f.id,
        name: f.name,
        system_name: f.system_name,
        filename: f.file,
        start_line: f.start_line,
    };
    scan.functions.iter().map(function).collect()
}
