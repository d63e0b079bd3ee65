//! Which open blocks to roll up into what: a pure function of rows and time.

use std::collections::{BTreeMap, HashSet};

use flambeau_layout::{
    BlockId, BlockRow, Level, ProfileType, SortKey, TypePart, UnixMillis, Window,
};
use flambeau_store::{IndexedRow, MAX_CHILDREN};

/// Blocks of one tier that make a rollup inside a window that is still filling.
pub const OPEN_FAN_IN: usize = 10;
/// Blocks of one tier that make a rollup inside a window that is closed. Fewer
/// stay: rewriting them would cost more than it spares readers.
pub const CLOSED_FAN_IN: usize = 4;
/// Highest tier; more rollups of one window than this hold no more room in a
/// sort key, and 10^99 blocks never come.
const MAX_TIER: u8 = 99;

/// How long after its end a window counts as closed: stragglers that come
/// before need no rollup of their own.
#[must_use]
pub fn settle_millis(level: Level) -> i64 {
    match level {
        Level::Minute => 2 * 60_000,
        Level::Hour => 10 * 60_000,
        Level::Day => 3_600_000,
        Level::Month => 86_400_000,
    }
}

/// One rollup to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The window of the rollup.
    pub into: Window,
    /// Its tier: 0 when it comes from finer windows.
    pub tier: u8,
    /// What it is made of, at most [`MAX_CHILDREN`], in the order of keys.
    pub children: Vec<SortKey>,
}

impl Job {
    /// Whether its children are of finer windows than its own.
    #[must_use]
    pub fn is_upward(&self) -> bool {
        self.children.iter().any(|child| child.window.level != self.into.level)
    }

    /// Fewest children that are worth it. Upward even one is: finer levels are
    /// forgotten.
    #[must_use]
    pub fn fewest(&self) -> usize {
        if self.is_upward() { 1 } else { 2 }
    }
}

/// Plans over `rows`: all `open` rows of some windows, with every open row of
/// the finer windows inside them, read level by level upward.
///
/// A row takes part when nothing covers it and none of its own children is
/// open. Windows whose above-window is closed go up; else rows of one tier are
/// rolled up inside their window. Rows whose profiles measure different things
/// under one type name never meet in one job.
#[must_use]
pub fn plan(rows: &[IndexedRow], now: UnixMillis) -> Vec<Job> {
    let open: HashSet<&BlockId> = rows.iter().map(|indexed| &indexed.row.block).collect();
    let mut jobs = Vec::new();
    let mut upward: BTreeMap<Window, Vec<&IndexedRow>> = BTreeMap::new();
    let mut inside: BTreeMap<(Window, u8), Vec<&BlockRow>> = BTreeMap::new();
    for indexed in rows {
        if let Some(above) = closed_above(&indexed.row, now) {
            upward.entry(above).or_default().push(indexed);
        } else if is_free(indexed, &open) {
            let key = (indexed.row.window, indexed.row.tier);
            inside.entry(key).or_default().push(&indexed.row);
        }
    }
    for (above, group) in upward {
        let settled = group.iter().all(|indexed| is_free(indexed, &open));
        let group: Vec<&BlockRow> = group.into_iter().map(|indexed| &indexed.row).collect();
        if settled && (is_quiet(&group, above.level, now) || group.len() >= OPEN_FAN_IN) {
            jobs.extend(cut(above, 0, &group, 1));
        }
    }
    for ((window, tier), group) in inside {
        let closed = is_closed(window, now);
        let fan_in = if closed { CLOSED_FAN_IN } else { OPEN_FAN_IN };
        if tier < MAX_TIER && group.len() >= fan_in {
            jobs.extend(cut(window, tier + 1, &group, fan_in));
        }
    }
    jobs
}

/// Whether nothing covers it and all it was made of is done.
fn is_free(indexed: &IndexedRow, open: &HashSet<&BlockId>) -> bool {
    indexed.covered_by.is_none() && !indexed.row.children.iter().any(|id| open.contains(id))
}

fn is_closed(window: Window, now: UnixMillis) -> bool {
    window.end().plus_millis(settle_millis(window.level)) <= now
}

fn closed_above(row: &BlockRow, now: UnixMillis) -> Option<Window> {
    let above = row.window.within(row.window.level.above()?);
    is_closed(above, now).then_some(above)
}

/// Whether the last of them was written long enough ago that latecomers wait
/// for each other instead of going up one by one.
fn is_quiet(group: &[&BlockRow], level: Level, now: UnixMillis) -> bool {
    group.iter().all(|row| row.written.plus_millis(settle_millis(level)) <= now)
}

/// Cuts a group into jobs: alike by what they measure, then evenly.
fn cut(into: Window, tier: u8, group: &[&BlockRow], fewest: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    for alike in alike(group).into_iter().filter(|alike| alike.len() >= fewest) {
        let pieces = alike.len().div_ceil(MAX_CHILDREN);
        for piece in alike.chunks(alike.len().div_ceil(pieces)) {
            let key = |row: &&BlockRow| SortKey::of(row, flambeau_layout::RowState::Open);
            jobs.push(Job { into, tier, children: piece.iter().map(key).collect() });
        }
    }
    jobs
}

/// Rows parted so that within each part a type name means one thing measured.
fn alike<'a>(group: &[&'a BlockRow]) -> Vec<Vec<&'a BlockRow>> {
    type Shapes<'a> = BTreeMap<&'a ProfileType, (&'a [String], &'a [usize])>;
    let mut parts: Vec<(Shapes<'a>, Vec<&'a BlockRow>)> = Vec::new();
    for row in group {
        let suits = |shapes: &Shapes<'a>| {
            let fits =
                |part: &TypePart| shapes.get(&part.typ).is_none_or(|held| *held == part.shape());
            row.parts.iter().all(fits)
        };
        let index = parts.iter().position(|(shapes, _)| suits(shapes)).unwrap_or_else(|| {
            parts.push((BTreeMap::new(), Vec::new()));
            parts.len() - 1
        });
        let (shapes, rows) = &mut parts[index];
        shapes.extend(row.parts.iter().map(|part| (&part.typ, part.shape())));
        rows.push(row);
    }
    parts.into_iter().map(|(_, rows)| rows).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
