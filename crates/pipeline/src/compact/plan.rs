//! Which open blocks to roll up into what: a pure function of rows and time.

use std::collections::{BTreeMap, HashSet};

use flambeau_layout::{
    BlockId, BlockRow, Level, ProfileType, SortKey, TypePart, UnixMillis, Window,
};
use flambeau_store::{IndexedRow, MAX_CHILDREN};

/// Blocks of one tier that make a rollup inside a window that is still filling.
pub const OPEN_FAN_IN: usize = 10;
/// Blocks, of whatever tiers, that make a rollup inside a window that is
/// closed. Fewer stay: rewriting them would cost more than it spares readers.
/// So a closed window holds at most one block less than this, however often
/// latecomers were added, and that bounds what a reader reads.
pub const CLOSED_FAN_IN: usize = 4;
/// Highest tier: a sort key has two digits for it. A block that was rolled up
/// so often rests, and the latecomers after it begin anew. A closed window comes
/// here after some three hundred groups of latecomers.
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
/// open. Windows whose above-window is closed go up. Inside a window that fills,
/// rows of one tier are rolled up; inside a closed one, rows of all tiers
/// together. Rows whose profiles measure different things
/// under one type name never meet in one job.
#[must_use]
pub fn plan(rows: &[IndexedRow], now: UnixMillis) -> Vec<Job> {
    let open: HashSet<&BlockId> = rows.iter().map(|indexed| &indexed.row.block).collect();
    let mut jobs = Vec::new();
    let mut upward: BTreeMap<Window, Vec<&IndexedRow>> = BTreeMap::new();
    let mut filling: BTreeMap<(Window, u8), Vec<&BlockRow>> = BTreeMap::new();
    let mut closed: BTreeMap<Window, Vec<&BlockRow>> = BTreeMap::new();
    for indexed in rows {
        if let Some(above) = closed_above(&indexed.row, now) {
            upward.entry(above).or_default().push(indexed);
        } else if indexed.row.tier < MAX_TIER && is_free(indexed, &open) {
            let BlockRow { window, tier, .. } = indexed.row;
            if is_closed(window, now) {
                closed.entry(window).or_default().push(&indexed.row);
            } else {
                filling.entry((window, tier)).or_default().push(&indexed.row);
            }
        }
    }
    for (above, group) in upward {
        let settled = group.iter().all(|indexed| is_free(indexed, &open));
        let group: Vec<&BlockRow> = group.into_iter().map(|indexed| &indexed.row).collect();
        if settled && (is_quiet(&group, above.level, now) || group.len() >= OPEN_FAN_IN) {
            jobs.extend(cut(above, 0, &group, 1));
        }
    }
    for ((window, tier), group) in filling {
        if group.len() >= OPEN_FAN_IN {
            jobs.extend(cut(window, tier + 1, &group, OPEN_FAN_IN));
        }
    }
    for (window, group) in closed {
        if group.len() >= CLOSED_FAN_IN {
            let highest = group.iter().map(|row| row.tier).max().unwrap_or_default();
            jobs.extend(cut(window, highest + 1, &group, CLOSED_FAN_IN));
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
