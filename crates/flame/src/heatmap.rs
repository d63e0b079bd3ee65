//! Heat maps: values in cells, of time along one side and something else along
//! the other.

use std::io::Write;

use flambeau_profile::{LabelValue, Merged, Timed};
use serde::Serialize;

use crate::{error::ViewError, name::shown_name, symbols::Symbols};

/// Version of the format; a reader refuses what is newer than itself.
pub const HEAT_JSON_VERSION: u32 = 1;
/// Rows of a second where nobody says: 20 ms each, as FlameScope has it.
pub const DEFAULT_SECOND_ROWS: usize = 50;
/// Rows of a second that may be asked for: some do not divide a second evenly,
/// as FlameScope's choices do not either.
pub const SECOND_ROWS: std::ops::RangeInclusive<usize> = 1..=1000;
/// Longest trace drawn second by second.
pub const MAX_SECONDS: i64 = 24 * 3600;
/// Numeric label of samples that say how long their invocation had run, in
/// milliseconds.
pub const SINCE_LABEL: &str = "invocation_ms";
/// Most columns since an invocation began.
pub const MAX_SINCE_COLUMNS: i64 = 240;
/// Most rows by name; the others are one row together.
const MAX_NAMED_ROWS: usize = 60;
const NANOS: i64 = 1_000_000_000;

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Across {
    /// A second of a trace; rows are parts of the second, the first at the top.
    Second,
    /// A time; unit milliseconds since 1970.
    Time,
    /// Time since the invocation began; unit milliseconds.
    Invocation,
}

/// A heat map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeatMap {
    format: &'static str,
    version: u32,
    /// What a column is.
    pub across: Across,
    /// Where the first column begins, in the columns' unit; of a trace, seconds
    /// since its first sample's second.
    pub start: i64,
    /// Length of a column in that unit.
    pub step: i64,
    /// How many columns there are.
    pub columns: usize,
    /// What is counted.
    pub sample_type: String,
    /// Its unit.
    pub unit: String,
    /// The rows' names.
    pub rows: Vec<String>,
    /// Values, row by row.
    pub cells: Vec<Vec<i128>>,
    /// The largest cell.
    pub max: i128,
    /// Rows that are one row together, the last.
    pub folded: usize,
    /// Of a trace, when its first second began and how long a row is, in
    /// nanoseconds of its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceClock>,
}

/// The clock of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TraceClock {
    /// The first second's begin, less the first sample's time: at most 0.
    pub origin: i64,
    /// Nanoseconds from the first sample to the last.
    pub nanos: i64,
    /// Samples that carry time.
    pub samples: u64,
}

impl HeatMap {
    /// A map of these rows.
    #[must_use]
    pub fn new(
        across: Across,
        (start, step): (i64, i64),
        columns: usize,
        (sample_type, unit): (&str, &str),
        rows: Vec<(String, Vec<i128>)>,
    ) -> Self {
        let max = rows.iter().flat_map(|(_, cells)| cells).copied().max().unwrap_or(0).max(0);
        let (rows, cells) =
            rows.into_iter().map(|(name, cells)| (shown_name(&name), cells)).unzip();
        let (sample_type, unit) = (shown_name(sample_type), shown_name(unit));
        let (format, version) = ("flambeau-heatmap", HEAT_JSON_VERSION);
        Self {
            format,
            version,
            across,
            start,
            step,
            columns,
            sample_type,
            unit,
            rows,
            cells,
            max,
            folded: 0,
            trace: None,
        }
    }

    /// Says that the last row stands for so many.
    #[must_use]
    pub fn with_folded(self, folded: usize) -> Self {
        Self { folded, ..self }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ViewError> {
        Ok(serde_json::to_writer(out, self)?)
    }
}

/// Samples of a trace by the second and the part of it: what FlameScope draws.
///
/// Ranges are half open and seconds whole, from that of the first sample to that
/// of the last: a single sample, one at an exact second, or a last line that is
/// not the latest are no exceptions.
///
/// # Errors
/// When no sample carries time, or they span more than [`MAX_SECONDS`].
pub fn by_second(profile: &Merged, column: usize, rows: usize) -> Result<HeatMap, ViewError> {
    let rows = rows.clamp(*SECOND_ROWS.start(), *SECOND_ROWS.end());
    let Timed { first, last, samples } = profile.timed().ok_or(ViewError::Untimed)?;
    let begin = first.div_euclid(NANOS);
    let seconds = last.div_euclid(NANOS) - begin + 1;
    if seconds > MAX_SECONDS {
        return Err(ViewError::TooLong { seconds, most: MAX_SECONDS });
    }
    let mut cells = vec![vec![0_i128; seconds as usize]; rows];
    for sample in profile.samples() {
        let Some(time) = profile.time_of(sample.label_set()) else { continue };
        let second = (time.div_euclid(NANOS) - begin) as usize;
        let part = i128::from(time.rem_euclid(NANOS)) * rows as i128 / i128::from(NANOS);
        let value = sample.values().get(column).copied().unwrap_or(0);
        cells[part as usize][second] += i128::from(value);
    }
    let name = |row: usize| format!("{} ms", row * 1000 / rows);
    let named = cells.into_iter().enumerate().map(|(row, cells)| (name(row), cells)).collect();
    let measure = profile.sample_types().get(column).cloned().unwrap_or_default();
    let measure = (measure.typ.as_str(), measure.unit.as_str());
    let map = HeatMap::new(Across::Second, (0, 1), seconds as usize, measure, named);
    let origin = begin.saturating_mul(NANOS).saturating_sub(first);
    let nanos = last.saturating_sub(first);
    Ok(HeatMap { trace: Some(TraceClock { origin, nanos, samples }), ..map })
}

/// What rows of an invocation-aligned map are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// Packages of the functions that samples end in.
    Package,
    /// Values of a text label.
    Label(String),
}

/// Samples by how long their invocation had run ([`SINCE_LABEL`]): for functions
/// too short to fill seconds.
///
/// # Errors
/// When no sample says so.
pub fn since_invocation(
    profile: &Merged,
    column: usize,
    down: &Down,
) -> Result<HeatMap, ViewError> {
    let since = |labels| {
        profile.labels(labels).find_map(|label| match label.value {
            LabelValue::Number(millis, _) if label.key == SINCE_LABEL => Some(millis.max(0)),
            _ => None,
        })
    };
    let times = profile.samples().filter_map(|sample| since(sample.label_set()));
    let last = times.max().ok_or(ViewError::Untimed)?;
    let step = step_of(last);
    let columns = (last / step + 1) as usize;
    let names = Names::of(profile, down);
    let mut rows = std::collections::BTreeMap::<String, Vec<i128>>::new();
    for sample in profile.samples() {
        let Some(millis) = since(sample.label_set()) else { continue };
        let row = rows.entry(names.of_sample(profile, &sample)).or_insert_with(|| vec![0; columns]);
        let value = sample.values().get(column).copied().unwrap_or(0);
        row[(millis / step) as usize] += i128::from(value);
    }
    let (rows, folded) = heaviest(rows.into_iter().collect(), columns);
    let measure = profile.sample_types().get(column).cloned().unwrap_or_default();
    let measure = (measure.typ.as_str(), measure.unit.as_str());
    let map = HeatMap::new(Across::Invocation, (0, step), columns, measure, rows);
    Ok(map.with_folded(folded))
}

/// The shortest column, in milliseconds, of which [`MAX_SINCE_COLUMNS`] are
/// enough.
fn step_of(last: i64) -> i64 {
    let steps = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];
    steps.into_iter().find(|step| last / step < MAX_SINCE_COLUMNS).unwrap_or(10_000)
}

/// Rows by weight; beyond [`MAX_NAMED_ROWS`] they are one.
fn heaviest(
    mut rows: Vec<(String, Vec<i128>)>,
    columns: usize,
) -> (Vec<(String, Vec<i128>)>, usize) {
    rows.sort_by_key(|(_, cells)| std::cmp::Reverse(cells.iter().sum::<i128>()));
    let rest = rows.split_off(rows.len().min(MAX_NAMED_ROWS));
    if rest.is_empty() {
        return (rows, 0);
    }
    let mut sum = vec![0; columns];
    for (_, cells) in &rest {
        sum.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += cell);
    }
    rows.push((format!("{} others", rest.len()), sum));
    (rows, rest.len())
}

/// What a sample's row is called.
enum Names<'a> {
    /// By the location that a sample ends in.
    Package(Vec<String>),
    Label(&'a str),
}

impl<'a> Names<'a> {
    fn of(profile: &Merged, down: &'a Down) -> Self {
        match down {
            Down::Label(label) => Self::Label(label),
            Down::Package => Self::Package(packages(profile)),
        }
    }

    fn of_sample(&self, profile: &Merged, sample: &flambeau_profile::Sample<'_>) -> String {
        let name = match self {
            Self::Package(packages) => {
                sample.locations().next().map(|leaf| packages[leaf.index()].as_str())
            }
            Self::Label(label) => profile.label_text(sample.label_set(), label),
        };
        name.filter(|name| !name.is_empty()).unwrap_or("(none)").to_owned()
    }
}

/// For each location of a profile the package of the innermost function there.
fn packages(profile: &Merged) -> Vec<String> {
    let symbols = Symbols::of(profile);
    let innermost = profile.locations().map(|at| symbols.at(at).last());
    let package = |at: &u32| symbols.list[*at as usize].package.clone();
    innermost.map(|at| at.map(package).unwrap_or_default()).collect()
}
