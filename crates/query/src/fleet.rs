//! The fleet over time: one row for each environment, or for each value of a
//! label.

use std::collections::BTreeMap;

use flambeau_layout::{Level, TypePart, UnixMillis, lifetime::finest_kept};
use flambeau_profile::Limits;
use flambeau_store::Store;

use crate::{
    fetch::fetch,
    narrow::Narrowing,
    plan::{Grain, Plan, QueryError, Selection, merged_rows, plan_at},
    range::Range,
    select,
    view::Aggregate,
};

/// Most columns of a fleet.
pub const MAX_COLUMNS: i64 = 120;
/// Most rows that have a name; the others are one row together.
pub const MAX_ROWS: usize = 60;
/// Longest range over which environments are told apart: rows straight from a
/// merge are read one by one.
pub const MAX_INSTANCE_MILLIS: i64 = 24 * 3_600_000;
/// Most blocks that are read to tell a label's values apart.
pub const MAX_BLOCKS: usize = 512;
/// What environments are together whose rows forgot them, and labels that are
/// not there.
pub const UNKNOWN: &str = "(unknown)";

/// Lengths of a column, in milliseconds.
const STEPS: [i64; 9] =
    [60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 10_800_000, 86_400_000];

/// Values by time and by something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Where the first column begins.
    pub start: UnixMillis,
    /// Length of a column in milliseconds.
    pub step: i64,
    /// How many columns there are.
    pub columns: usize,
    /// The rows, the heaviest first.
    pub rows: Vec<FleetRow>,
    /// How many there are beyond [`MAX_ROWS`].
    pub more: usize,
    /// The cells of those, added up.
    pub others: Vec<i128>,
}

/// One row of a [`Fleet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRow {
    /// An environment's first digits, or a label's value.
    pub name: String,
    /// A value for each column.
    pub cells: Vec<i128>,
}

/// Sums and how many snapshots are in them, by name and column.
struct Cells {
    start: UnixMillis,
    step: i64,
    columns: usize,
    gauge: bool,
    rows: BTreeMap<String, Vec<(i128, u64)>>,
}

impl Cells {
    fn new(range: Range, step: i64, gauge: bool) -> Self {
        let start = UnixMillis(range.from.0.div_euclid(step) * step);
        let columns = (range.until.0 - start.0).max(1) as u64;
        let columns = columns.div_ceil(step as u64) as usize;
        Self { start, step, columns, gauge, rows: BTreeMap::new() }
    }

    fn add(&mut self, name: &str, time: UnixMillis, value: i128, snapshots: u64) {
        let column = (time.0 - self.start.0).max(0) / self.step;
        let column = (column as usize).min(self.columns - 1);
        if !self.rows.contains_key(name) {
            self.rows.insert(name.to_owned(), vec![(0, 0); self.columns]);
        }
        if let Some((sum, count)) = self.rows.get_mut(name).and_then(|row| row.get_mut(column)) {
            *sum += value;
            *count += snapshots;
        }
    }

    fn finish(self, aggregate: Aggregate) -> Fleet {
        let mean = self.gauge && aggregate == Aggregate::Mean;
        let cell = |(sum, count): (i128, u64)| match i128::from(count) {
            count if mean && count > 0 => (sum + count / 2) / count,
            _ => sum,
        };
        let row = |(name, cells): (String, Vec<_>)| FleetRow {
            name,
            cells: cells.into_iter().map(cell).collect(),
        };
        let mut rows: Vec<FleetRow> = self.rows.into_iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.cells.iter().sum::<i128>()));
        let rest = rows.split_off(rows.len().min(MAX_ROWS));
        let mut others = vec![0; if rest.is_empty() { 0 } else { self.columns }];
        for row in &rest {
            others.iter_mut().zip(&row.cells).for_each(|(sum, cell)| *sum += cell);
        }
        let (start, step, columns) = (self.start, self.step, self.columns);
        Fleet { start, step, columns, rows, more: rest.len(), others }
    }
}

/// The shortest step that makes at most [`MAX_COLUMNS`] of a range, not below
/// `least`.
fn step_of(range: Range, least: i64) -> i64 {
    let fits =
        |step: &&i64| **step >= least && (range.until.0 - range.from.0) / **step <= MAX_COLUMNS;
    STEPS.iter().find(fits).copied().unwrap_or(Level::Month.millis())
}

/// Whether the sample type at `column` is a gauge.
fn is_gauge(part: &TypePart, column: usize) -> bool {
    part.gauges.contains(&column)
}

/// Environments over time, by rows alone: two queries over those that merges
/// wrote in the range, whatever became of them since.
///
/// # Errors
/// [`QueryError::TooWide`] beyond [`MAX_INSTANCE_MILLIS`] or before what is still
/// told apart; [`QueryError::Nothing`] where there is none.
pub async fn instances(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
    column: usize,
    aggregate: Aggregate,
) -> Result<Fleet, QueryError> {
    let range = select::round(selection.range, now, Level::Minute).range;
    let wide = range.until.0 - range.from.0 > MAX_INSTANCE_MILLIS;
    if wide || finest_kept(range.from, now) > Level::Minute {
        let hint = "environments are told apart for the last days and over at most 24 h";
        return Err(QueryError::TooWide { range, hint });
    }
    let rows = merged_rows(store, selection, range).await?;
    let parts = || rows.iter().filter_map(|row| Some((row, row.part(&selection.typ)?)));
    let Some((_, newest)) = parts().next_back() else { return Err(selection.nothing(range)) };
    let mut cells = Cells::new(range, step_of(range, STEPS[0]), is_gauge(newest, column));
    for (row, part) in parts().filter(|(_, part)| part.shape() == newest.shape()) {
        for point in &part.points {
            let name = point.instance.and_then(|at| row.instances.get(at as usize));
            let value = point.totals.get(column).map_or(0, |total| total.0);
            let time = row.window.start.plus_millis(point.offset);
            cells.add(name.map_or(UNKNOWN, String::as_str), time, value, point.snapshots);
        }
    }
    Ok(cells.finish(aggregate))
}

/// Values of a label over time, by the blocks themselves: labels of single
/// samples are told apart too. Columns are windows: minutes, hours, days or
/// months, whichever are fine enough and not more than [`MAX_BLOCKS`].
///
/// # Errors
/// As [`crate::plan()`] and [`crate::fetch()`].
pub async fn by_label(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
    label: &str,
    column: usize,
    narrowing: &Narrowing,
    aggregate: Aggregate,
) -> Result<Fleet, QueryError> {
    let (level, plan) = plan_in_columns(store, selection, now).await?;
    let gauge = plan.parts().next().is_some_and(|(_, part)| is_gauge(part, column));
    let mut cells = Cells::new(plan.span(), step_of(plan.span(), level.millis()), gauge);
    for block in plan.parted(plan.blocks.len()) {
        let Some(start) = block.blocks.first().map(|row| row.window.start) else { continue };
        let (profile, _) = narrowing.apply(fetch(store, &block, &Limits::default()).await?);
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for sample in profile.samples() {
            let name = sample.label(label).unwrap_or(UNKNOWN);
            *sums.entry(name).or_default() += i128::from(sample.values()[column]);
        }
        for (name, value) in sums {
            cells.add(name, start, value, block.snapshots_with(label, name));
        }
    }
    Ok(cells.finish(aggregate))
}

/// The finest plan whose windows make few enough columns, with few enough blocks.
async fn plan_in_columns(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
) -> Result<(Level, Plan), QueryError> {
    let whole = plan_at(store, selection, now, Grain::default()).await?;
    let span = whole.span();
    for level in Level::ALL {
        let columns = (span.until.0 - span.from.0) / level.millis();
        if columns > MAX_COLUMNS || finest_kept(span.from, now) > level {
            continue;
        }
        let within = Selection { range: span, ..selection.clone() };
        let plan = plan_at(store, &within, now, Grain::at_most(level)).await?;
        if plan.blocks.len() <= MAX_BLOCKS || level == Level::Month {
            return Ok((level, plan));
        }
    }
    Ok((Level::Month, whole))
}

impl Plan {
    /// From its first block's begin to its last one's end.
    #[must_use]
    pub fn span(&self) -> Range {
        let from = self.blocks.iter().map(|row| row.window.start).min().unwrap_or(self.range.from);
        let until = self.blocks.iter().map(|row| row.window.end()).max();
        Range { from, until: until.unwrap_or(self.range.until) }
    }

    /// Snapshots that have this label; all of them where no snapshot has it as a
    /// whole.
    fn snapshots_with(&self, label: &str, value: &str) -> u64 {
        let mut counted = (0, 0);
        for (row, part) in self.parts() {
            for (set, snapshots) in &part.sets {
                let found = row.label_sets.get(*set).and_then(|labels| labels.get(label));
                counted.0 += snapshots * u64::from(found.is_some());
                counted.1 += snapshots * u64::from(found.is_some_and(|found| found == value));
            }
        }
        if counted.0 == 0 { self.snapshots() } else { counted.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(millis: i64) -> Range {
        Range { from: UnixMillis(90_000), until: UnixMillis(90_000 + millis) }
    }

    #[test]
    fn columns_are_bounded() {
        assert_eq!(step_of(range(7_200_000), STEPS[0]), 60_000);
        assert_eq!(step_of(range(7_200_001), STEPS[0]), 60_000);
        assert_eq!(step_of(range(7_260_000), STEPS[0]), 120_000);
        assert_eq!(step_of(range(60_000), 3_600_000), 3_600_000);
        assert_eq!(step_of(range(400 * 86_400_000), STEPS[0]), Level::Month.millis());
    }

    #[test]
    fn gauges_are_means_and_what_is_too_much_is_one_row() {
        let mut cells = Cells::new(range(120_000), 60_000, true);
        cells.add("a", UnixMillis(90_000), 10, 1);
        cells.add("a", UnixMillis(100_000), 20, 1);
        for n in 0..=MAX_ROWS {
            cells.add(&n.to_string(), UnixMillis(150_000), 1, 1);
        }
        let fleet = cells.finish(Aggregate::Mean);
        assert_eq!(fleet.rows[0], FleetRow { name: "a".into(), cells: vec![15, 0, 0] });
        assert_eq!((fleet.rows.len(), fleet.more, fleet.others), (MAX_ROWS, 2, vec![0, 2, 0]));
        assert_eq!((fleet.start, fleet.columns), (UnixMillis(60_000), 3));
    }
}
