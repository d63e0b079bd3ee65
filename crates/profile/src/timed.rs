//! Profiles whose samples carry time.

use crate::error::DecodeError;
use crate::header::Header;
use crate::inflate::inflate;
use crate::limits::Limits;
use crate::merged::{LabelSetId, LabelValue, Merged};
use crate::scan::Scan;

/// Numeric labels that say when a sample was taken, in nanoseconds since some
/// moment that all samples of a profile share.
///
/// `timestamp_ns`: `perf_to_profile` (`perf_data_handler`'s converter of
/// <https://github.com/google/perf_data_converter>), since the system's start.
/// `end_timestamp_ns`: Datadog's profilers, since 1970.
pub const TIME_LABELS: [&str; 2] = ["timestamp_ns", "end_timestamp_ns"];

fn is_time_label(key: &[u8]) -> bool {
    TIME_LABELS.iter().any(|label| label.as_bytes() == key)
}

/// The time that a profile's samples tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When the first sample was taken, in nanoseconds.
    pub first: i64,
    /// When the last one was.
    pub last: i64,
    /// How many samples carry time.
    pub samples: u64,
}

impl Timed {
    /// Nanoseconds from the first sample to the last.
    #[must_use]
    pub fn nanos(&self) -> i64 {
        self.last.saturating_sub(self.first)
    }

    fn note(found: Option<Self>, time: i64) -> Self {
        let Self { first, last, samples } =
            found.unwrap_or(Self { first: time, last: time, samples: 0 });
        Self { first: first.min(time), last: last.max(time), samples: samples + 1 }
    }
}

/// As [`crate::peek`], and the time that samples carry; `None` where none does.
/// Reads the whole profile only where one of [`TIME_LABELS`] is among its
/// strings.
///
/// # Errors
/// As [`crate::decode`], as far as it looks.
pub fn peek_timed(bytes: &[u8], limits: &Limits) -> Result<(Header, Option<Timed>), DecodeError> {
    let raw = inflate(bytes, limits)?;
    let mut scan = Scan::default();
    scan.read_header(&raw, limits)?;
    let header = Header::of(&scan, &raw, limits);
    if !scan.strings.iter().any(|name| is_time_label(name.of(&raw))) {
        return Ok((header, None));
    }
    scan.read(&raw, limits)?;
    Ok((header, times(&scan, &raw)))
}

fn times(scan: &Scan, raw: &[u8]) -> Option<Timed> {
    let is_time = |key: u32| is_time_label(scan.strings[key as usize].of(raw));
    let mut found = None;
    let mut begin = 0;
    for sample in &scan.samples {
        let labels = &scan.labels[begin..sample.labels_end as usize];
        begin = sample.labels_end as usize;
        if let Some(label) = labels.iter().find(|label| label.text == 0 && is_time(label.key)) {
            found = Some(Timed::note(found, label.number));
        }
    }
    found
}

impl Merged {
    /// When the samples with these labels were taken, in nanoseconds; `None`
    /// where they do not say.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    #[must_use]
    pub fn time_of(&self, labels: LabelSetId) -> Option<i64> {
        self.labels(labels).find_map(|label| match label.value {
            LabelValue::Number(nanos, _) if TIME_LABELS.contains(&label.key) => Some(nanos),
            _ => None,
        })
    }

    /// The time that this profile's samples carry.
    #[must_use]
    pub fn timed(&self) -> Option<Timed> {
        let times = self.samples().filter_map(|sample| self.time_of(sample.label_set()));
        times.fold(None, |found, time| Some(Timed::note(found, time)))
    }
}
