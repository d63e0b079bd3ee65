//! What a reader reads, in which order, and which of it counts: pure functions
//! of rows, so that the protocol can be tried against every interleaving.
//!
//! Compaction moves blocks upward while readers read, and rows of one
//! transaction become visible one by one. A reader is exact nevertheless:
//!
//! - It reads levels upward and, within a level, `open` before `done`; a rollup
//!   sorts behind its children. So a block that is gone when its place is read
//!   has a rollup that stands further on.
//! - It drops what a rollup that lies in its range lists. So a block and its
//!   rollup are never both counted.
//! - It ends by looking at the `open` rows it counted once more. One that has
//!   gone without any seen rollup listing it was rolled up twice over while the
//!   reader read, and may stand in what it counted: the reader begins again.

use std::collections::{BTreeMap, HashSet};

use flambeau_layout::{BlockId, Level, RowState, SortKey, UnixMillis, Window, lifetime};
use flambeau_store::IndexedRow;

use crate::range::Range;

/// One query over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Of which state.
    pub state: RowState,
    /// Of which level.
    pub level: Level,
    /// Windows that meet this range.
    pub range: Range,
}

/// The range an answer covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounded {
    /// The range.
    pub range: Range,
    /// The finest level still kept at its begin.
    pub from: Level,
    /// The finest level still kept at its end.
    pub until: Level,
}

/// Rounds a range outward to whole windows of the finest level that is still
/// kept at each edge, and not finer than `finest`.
#[must_use]
pub fn round(asked: Range, now: UnixMillis, finest: Level) -> Rounded {
    let kept = |time: UnixMillis| lifetime::finest_kept(time, now).max(finest);
    let last = asked.until.plus_millis(-1);
    let (from, mut until) = (kept(asked.from), kept(last));
    // Nothing is ever placed in the future, so there is no edge there.
    if last > now.plus_millis(Level::Month.millis()) {
        until = Level::Month;
    }
    let start = Window::of(from, asked.from).start;
    let end = if asked.until <= asked.from { start } else { Window::of(until, last).end() };
    Rounded { range: Range { from: start, until: end }, from, until }
}

/// What to read for a range of whole windows, in this order: upward through the
/// levels up to `coarsest`; `open` rows wherever they meet the range, then `done`
/// rows at the edges, where no window of the level above lies in the range, or of
/// `coarsest` everywhere. Below [`Level::Month`] the number of blocks grows with
/// the range.
#[must_use]
pub fn reads(range: Range, coarsest: Level) -> Vec<Read> {
    let mut reads = Vec::new();
    if range.from >= range.until {
        return reads;
    }
    for level in Level::ALL.into_iter().filter(|level| *level <= coarsest) {
        reads.push(Read { state: RowState::Open, level, range });
        let edges = match level.above() {
            None => Vec::new(),
            Some(_) if level == coarsest => vec![inward(range, level)],
            Some(above) => edges(range, level, above),
        };
        let edge = |range| Read { state: RowState::Done, level, range };
        let edges = edges.into_iter().filter(|edge| edge.from < edge.until);
        reads.extend(edges.map(edge));
    }
    reads
}

/// The parts of a range that whole windows of `level` fill and whole windows of
/// `above` do not.
fn edges(range: Range, level: Level, above: Level) -> Vec<Range> {
    let (outer, inner) = (inward(range, level), inward(range, above));
    if inner.from >= inner.until {
        return vec![outer];
    }
    let left = Range { from: outer.from, until: inner.from };
    let right = Range { from: inner.until, until: outer.until };
    vec![left, right]
}

/// Rounded inward to whole windows of a level.
fn inward(range: Range, level: Level) -> Range {
    let from = Window::of(level, range.from);
    let from = if from.start < range.from { from.end() } else { from.start };
    Range { from, until: Window::of(level, range.until).start }
}

/// Which of the rows read count.
#[derive(Debug, Default)]
pub struct Counted {
    /// Rows that count, in order of time.
    pub rows: Vec<IndexedRow>,
    /// Keys of those among them that were seen `open`: to be looked at again.
    pub again: Vec<SortKey>,
    listed: HashSet<BlockId>,
}

/// Counts rows read as [`reads`] says.
#[must_use]
pub fn count(rows: Vec<IndexedRow>, range: Range) -> Counted {
    let lies_in = |indexed: &IndexedRow| indexed.row.window.lies_in(range.from, range.until);
    let listed = rows.iter().flat_map(|indexed| indexed.row.children.iter().cloned()).collect();
    let inside: Vec<IndexedRow> = rows.into_iter().filter(lies_in).collect();
    let held: HashSet<BlockId> =
        inside.iter().flat_map(|indexed| indexed.row.children.iter().cloned()).collect();
    let mut counted = Counted { listed, ..Counted::default() };
    let mut once = BTreeMap::new();
    for indexed in inside.into_iter().filter(|indexed| !held.contains(&indexed.row.block)) {
        if indexed.state == RowState::Open {
            counted.again.push(indexed.key());
        }
        let window = indexed.row.window;
        let order = (window.start, window.level, indexed.row.tier, indexed.row.block.clone());
        once.entry(order).or_insert(indexed);
    }
    counted.rows = once.into_values().collect();
    counted
}

impl Counted {
    /// Whether the count stands, given which of [`Counted::again`] are there
    /// still: one that has gone must be listed by a rollup that was seen.
    #[must_use]
    pub fn stands(&self, present: &HashSet<SortKey>) -> bool {
        self.again.iter().all(|key| present.contains(key) || self.listed.contains(&key.block))
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
