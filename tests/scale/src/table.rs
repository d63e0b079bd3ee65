//! The rows of one service, in memory: what the blocks table holds.

use std::{collections::BTreeMap, ops::Range as Indices};

use flambeau_layout::{BlockId, Level, RowState, SortKey, UnixMillis, Window};
use flambeau_query::select::Read;
use flambeau_store::IndexedRow;

use crate::weigh::Weight;

/// What is known of an open row beside the row itself, which is kept without
/// its points.
#[derive(Debug, Clone)]
pub struct Meta {
    /// What it weighs as it is stored.
    pub weight: Weight,
    /// Which buckets of its window hold points (levels above the minute).
    pub buckets: u128,
    /// Which label sets it has.
    pub sets: u128,
    /// The segment that holds it, for what merge wrote.
    pub segment: u64,
}

#[derive(Debug)]
struct Done {
    indexed: IndexedRow,
    bytes: usize,
}

type DoneKey = (i64, u8, BlockId);

/// One service's partition.
#[derive(Debug, Default)]
pub struct Table {
    open: Vec<IndexedRow>,
    meta: Vec<Meta>,
    done: [BTreeMap<DoneKey, Done>; 4],
    expiring: BTreeMap<i64, Vec<(usize, DoneKey)>>,
    open_bytes: [usize; 4],
}

/// What one query answers.
#[derive(Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<IndexedRow>,
    /// Bytes of them as stored.
    pub bytes: usize,
}

fn order(window: Window, tier: u8, block: &BlockId) -> (u8, i64, u8, &BlockId) {
    (window.level.number(), window.start.0, tier, block)
}

fn place(indexed: &IndexedRow) -> (u8, i64, u8, &BlockId) {
    order(indexed.row.window, indexed.row.tier, &indexed.row.block)
}

impl Table {
    /// Every open row, in the order of keys.
    #[must_use]
    pub fn open(&self) -> &[IndexedRow] {
        &self.open
    }

    /// Bytes of the open rows of a level.
    #[must_use]
    pub fn open_bytes(&self, level: Level) -> usize {
        self.open_bytes[usize::from(level.number())]
    }

    /// Number of done rows of a level.
    #[must_use]
    pub fn done_rows(&self, level: Level) -> usize {
        self.done[usize::from(level.number())].len()
    }

    /// Where the open rows of a window stand.
    #[must_use]
    pub fn inside(&self, window: Window) -> Indices<usize> {
        let key = (window.level.number(), window.start.0);
        let of =
            |indexed: &IndexedRow| (indexed.row.window.level.number(), indexed.row.window.start.0);
        let begin = self.open.partition_point(|indexed| of(indexed) < key);
        let len = self.open[begin..].partition_point(|indexed| of(indexed) == key);
        begin..begin + len
    }

    /// Bytes of the open rows that stand here.
    #[must_use]
    pub fn bytes_of(&self, indices: Indices<usize>) -> usize {
        self.meta[indices].iter().map(|meta| meta.weight.open).sum()
    }

    /// Puts an open row.
    pub fn put(&mut self, indexed: IndexedRow, meta: Meta) {
        let index = self.open.partition_point(|held| place(held) < place(&indexed));
        self.open_bytes[usize::from(indexed.row.window.level.number())] += meta.weight.open;
        self.open.insert(index, indexed);
        self.meta.insert(index, meta);
    }

    /// An open row.
    ///
    /// # Panics
    /// When it is not there: a plan names only what it was shown.
    #[must_use]
    pub fn at(&self, key: &SortKey) -> (&IndexedRow, &Meta) {
        let index = self.index(key);
        (&self.open[index], &self.meta[index])
    }

    fn index(&self, key: &SortKey) -> usize {
        let wanted = order(key.window, key.tier, &key.block);
        let found = self.open.binary_search_by(|held| place(held).cmp(&wanted));
        found.unwrap_or_else(|_| panic!("no open row `{key}`"))
    }

    /// Moves rows, given in the order of keys, from `open` to `done`, each
    /// until it expires.
    pub fn retire(&mut self, keys: &[SortKey], by: &SortKey, expires: impl Fn(&IndexedRow) -> i64) {
        let gone: Vec<usize> = keys.iter().map(|key| self.index(key)).collect();
        let Some(first) = gone.first().copied() else { return };
        // One pass over what stands behind, instead of one for each row.
        let rows = self.open.split_off(first).into_iter().zip(self.meta.split_off(first));
        let mut next = gone.iter().copied().peekable();
        for (index, (indexed, meta)) in rows.enumerate() {
            if next.next_if_eq(&(first + index)).is_some() {
                let expires = expires(&indexed);
                self.done(indexed, &meta, by, expires);
            } else {
                self.open.push(indexed);
                self.meta.push(meta);
            }
        }
    }

    fn done(&mut self, mut indexed: IndexedRow, meta: &Meta, by: &SortKey, expires_secs: i64) {
        let row = &indexed.row;
        let level = usize::from(row.window.level.number());
        let key = (row.window.start.0, row.tier, row.block.clone());
        self.open_bytes[level] -= meta.weight.open;
        self.expiring.entry(expires_secs).or_default().push((level, key.clone()));
        (indexed.state, indexed.covered_by) = (RowState::Done, Some(by.clone()));
        self.done[level].insert(key, Done { indexed, bytes: meta.weight.done });
    }

    /// Lets go what has expired: at once, which no TTL does, so that a reader
    /// who counts on a row a moment too long is found out.
    pub fn expire(&mut self, now: UnixMillis) {
        let later = self.expiring.split_off(&(now.0.div_euclid(1000) + 1));
        for (level, key) in std::mem::replace(&mut self.expiring, later).into_values().flatten() {
            self.done[level].remove(&key);
        }
    }

    /// What a query of the reader answers.
    #[must_use]
    pub fn read(&self, read: &Read) -> Page {
        let Read { state, level, range } = *read;
        let first = Window::of(level, range.from).start.0;
        let last = Window::of(level, range.until.plus_millis(-1)).start.0;
        let mut page = Page::default();
        if state == RowState::Open {
            let from = (level.number(), first);
            let of = |indexed: &IndexedRow| {
                (indexed.row.window.level.number(), indexed.row.window.start.0)
            };
            let begin = self.open.partition_point(|indexed| of(indexed) < from);
            let rows = self.open[begin..].iter().zip(&self.meta[begin..]);
            for (indexed, meta) in rows.take_while(|row| of(row.0) <= (level.number(), last)) {
                page.bytes += meta.weight.open;
                page.rows.push(indexed.clone());
            }
            return page;
        }
        let smallest = (first, 0, crate::weigh::parsed("0"));
        for (key, done) in self.done[usize::from(level.number())].range(smallest..) {
            if key.0 > last {
                break;
            }
            page.bytes += done.bytes;
            page.rows.push(done.indexed.clone());
        }
        page
    }
}
