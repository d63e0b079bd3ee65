#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use flambeau_layout::BlockRow;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The start of a month.
const T0: i64 = 20_768 * DAY;

fn range(from: i64, until: i64) -> Range {
    Range { from: UnixMillis(T0 + from), until: UnixMillis(T0 + until) }
}

fn done_reads(of: Range) -> Vec<(Level, i64, i64)> {
    let done = reads(of, Level::Month).into_iter().filter(|read| read.state == RowState::Done);
    done.map(|read| (read.level, read.range.from.0 - T0, read.range.until.0 - T0)).collect()
}

#[test]
fn done_rows_are_read_at_edges_only() {
    assert_eq!(done_reads(range(0, 32 * DAY)), []);
    assert_eq!(done_reads(range(0, DAY)), [(Level::Day, 0, DAY)]);
    assert_eq!(done_reads(range(MINUTE, 5 * MINUTE)), [(Level::Minute, MINUTE, 5 * MINUTE)]);
    assert_eq!(
        done_reads(range(59 * MINUTE, 3 * HOUR + MINUTE)),
        [
            (Level::Minute, 59 * MINUTE, HOUR),
            (Level::Minute, 3 * HOUR, 3 * HOUR + MINUTE),
            (Level::Hour, HOUR, 3 * HOUR),
        ]
    );
}

#[test]
fn of_the_coarsest_level_done_rows_are_read_everywhere() {
    let of = range(59 * MINUTE, 3 * HOUR + MINUTE);
    let done = |coarsest| {
        let done = reads(of, coarsest).into_iter().filter(|read| read.state == RowState::Done);
        done.map(|read| (read.level, read.range)).collect::<Vec<_>>()
    };
    assert_eq!(done(Level::Minute), [(Level::Minute, of)]);
    assert_eq!(done(Level::Hour).last(), Some(&(Level::Hour, range(HOUR, 3 * HOUR))));
    assert_eq!(reads(of, Level::Minute).len(), 2);
}

#[test]
fn open_comes_before_done_and_levels_go_upward() {
    let order: Vec<_> = reads(range(MINUTE, 40 * DAY + MINUTE), Level::Month)
        .into_iter()
        .map(|read| (read.level, read.state))
        .collect();
    assert!(order.is_sorted());
    assert_eq!(order.iter().filter(|(_, state)| *state == RowState::Open).count(), 4);
}

#[test]
fn edges_round_to_what_is_kept() {
    let now = UnixMillis(T0 + 200 * DAY);
    let asked = range(100 * DAY + 5 * HOUR + 1, 199 * DAY + 90_001);
    let rounded = round(asked, now, Level::Minute);
    assert_eq!((rounded.from, rounded.until), (Level::Day, Level::Minute));
    assert_eq!(rounded.range, range(100 * DAY, 199 * DAY + 2 * MINUTE));
    assert_eq!(round(asked, now, Level::Hour).range, range(100 * DAY, 199 * DAY + HOUR));
    let all = round(Range::all(), now, Level::Minute);
    assert_eq!((all.from, all.until), (Level::Month, Level::Month));
    assert!(reads(all.range, Level::Month).iter().all(|read| read.state == RowState::Open));
    assert!(all.range.until >= Range::all().until);
    let nothing = round(range(61_000, 61_000), now, Level::Minute);
    assert!(reads(nothing.range, Level::Month).is_empty());
}

/// A seeded random source: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

enum Write {
    Put(Box<IndexedRow>),
    Cover(SortKey, SortKey),
}

/// Rows as DynamoDB shows them to queries: a transaction's items become
/// visible one by one, in any order.
#[derive(Default)]
struct World {
    rows: BTreeMap<String, IndexedRow>,
    /// Leaves under each block.
    leaves: BTreeMap<BlockId, Vec<usize>>,
    /// Window of each leaf.
    windows: Vec<Window>,
    /// The transaction being shown, and its rollup.
    showing: Vec<Write>,
    /// Children of the last rollup still to be retired, and whether their
    /// `done` row is there.
    retiring: Vec<(SortKey, bool)>,
    blocks: usize,
    /// Steps left in this reading: a world that moves for ever faster than its
    /// reader has no answer.
    fuel: usize,
}

impl World {
    fn row(&mut self, window: Window, tier: u8, children: Vec<BlockId>) -> IndexedRow {
        self.blocks += 1;
        let block = format!("b{:05}", self.blocks).parse().unwrap();
        let (tenant, service) = ("t".parse().unwrap(), "s".parse().unwrap());
        let empty = BlockRow::empty(tenant, service, window, block);
        let row = BlockRow { tier, snapshots: 1, children, ..empty };
        IndexedRow { row, state: RowState::Open, covered_by: None }
    }

    fn commit(&mut self, minute: i64) {
        let window = Window::of(Level::Minute, UnixMillis(T0 + minute * MINUTE));
        let row = self.row(window, 0, vec![]);
        self.leaves.insert(row.row.block.clone(), vec![self.windows.len()]);
        self.windows.push(window);
        self.rows.insert(row.key().to_string(), row);
    }

    fn free(&self) -> Vec<&IndexedRow> {
        let open = |indexed: &&IndexedRow| indexed.state == RowState::Open;
        let ids: HashSet<&BlockId> =
            self.rows.values().filter(open).map(|indexed| &indexed.row.block).collect();
        let is_free = |indexed: &&IndexedRow| {
            indexed.covered_by.is_none() && !indexed.row.children.iter().any(|id| ids.contains(id))
        };
        self.rows.values().filter(open).filter(is_free).collect()
    }

    /// Begins T1 over some free rows: inside a window or into the one above.
    fn roll_up(&mut self, dice: &mut Dice) {
        let free = self.free();
        if free.is_empty() {
            return;
        }
        let first = free[dice.roll(free.len())].row.window;
        let above = first.level.above().filter(|_| dice.roll(3) > 0);
        let into = above.map_or(first, |level| first.within(level));
        let fits = |indexed: &&&IndexedRow| match above {
            Some(_) => {
                indexed.row.window.level == first.level
                    && indexed.row.window.within(into.level) == into
            }
            None => indexed.row.window == first,
        };
        let mut chosen: Vec<IndexedRow> =
            free.iter().filter(fits).map(|row| (**row).clone()).collect();
        chosen.truncate(1 + dice.roll(5));
        let highest = chosen.iter().map(|c| c.row.tier).max().unwrap();
        let tier = if above.is_some() { 0 } else { highest + 1 };
        if tier > 99 {
            return;
        }
        let children: Vec<BlockId> = chosen.iter().map(|c| c.row.block.clone()).collect();
        let rollup = self.row(into, tier, children.clone());
        let leaves = children.iter().flat_map(|id| self.leaves[id].clone()).collect();
        self.leaves.insert(rollup.row.block.clone(), leaves);
        let by = rollup.key();
        self.showing = chosen.iter().map(|c| Write::Cover(c.key(), by.clone())).collect();
        let place = dice.roll(self.showing.len() + 1);
        self.showing.insert(place, Write::Put(Box::new(rollup)));
        for last in (1..self.showing.len()).rev() {
            self.showing.swap(last, dice.roll(last + 1));
        }
        self.retiring = chosen.iter().map(|c| (c.key(), false)).collect();
    }

    fn step(&mut self, dice: &mut Dice) {
        if let Some(write) = self.showing.pop() {
            match write {
                Write::Put(row) => drop(self.rows.insert(row.key().to_string(), *row)),
                Write::Cover(key, by) => {
                    self.rows.get_mut(&key.to_string()).unwrap().covered_by = Some(by);
                }
            }
        } else if let Some((key, has_done)) = self.retiring.last_mut() {
            if *has_done {
                self.rows.remove(&key.to_string());
                self.retiring.pop();
            } else {
                *has_done = true;
                let mut done = self.rows[&key.to_string()].clone();
                done.state = RowState::Done;
                self.rows.insert(done.key().to_string(), done);
            }
        } else if dice.roll(3) == 0 {
            let minutes = [0, 1, 2, 58, 59, 60, 61, 119, 120, 1439, 1440, 1441, 2880];
            self.commit(minutes[dice.roll(minutes.len())]);
        } else {
            self.roll_up(dice);
        }
    }

    fn steps(&mut self, dice: &mut Dice, speed: usize) {
        for _ in 0..dice.roll(speed + 1).min(self.fuel) {
            self.fuel -= 1;
            self.step(dice);
        }
    }

    /// A query with pages of one row, the world moving between pages.
    fn query(&mut self, read: &Read, dice: &mut Dice, speed: usize) -> Vec<IndexedRow> {
        let last = Window::of(read.level, read.range.until.plus_millis(-1));
        let first = Window::of(read.level, read.range.from);
        let mut after = BlockRow::sort_prefix(read.state, first);
        let high = format!("{}~", BlockRow::sort_prefix(read.state, last));
        let mut rows = Vec::new();
        loop {
            self.steps(dice, speed);
            let next =
                self.rows.range(after.clone()..=high.clone()).find(|(key, _)| **key != after);
            let Some((key, row)) = next else { return rows };
            after = key.clone();
            rows.push(row.clone());
        }
    }

    /// Reads as the protocol says; answers how often it had to begin again.
    fn read(
        &mut self,
        range: Range,
        coarsest: Level,
        dice: &mut Dice,
        speed: usize,
    ) -> (Counted, usize) {
        self.fuel = 300;
        for again in 0..1_000 {
            let mut rows = Vec::new();
            for read in reads(range, coarsest) {
                rows.extend(self.query(&read, dice, speed));
            }
            let counted = count(rows, range);
            let mut present = HashSet::new();
            for key in &counted.again {
                self.steps(dice, speed);
                present.extend(self.rows.contains_key(&key.to_string()).then(|| key.clone()));
            }
            if counted.stands(&present) {
                return (counted, again);
            }
        }
        panic!("no answer in 1000 attempts");
    }
}

fn times_counted(world: &World, counted: &Counted) -> BTreeMap<usize, usize> {
    let mut times = BTreeMap::new();
    for leaf in counted.rows.iter().flat_map(|indexed| &world.leaves[&indexed.row.block]) {
        *times.entry(*leaf).or_default() += 1;
    }
    times
}

#[test]
fn every_reader_is_exact_while_compaction_runs() {
    let edges = [0, 1, 2, 59, 60, 61, 119, 120, 1440, 1441, 2880, 32 * 1440];
    let mut replans = 0;
    for seed in 1..=1_500_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::default();
        let warm = 20 + dice.roll(120);
        for _ in 0..warm {
            world.step(&mut dice);
        }
        for _ in 0..3 {
            let (a, b) = (dice.roll(edges.len()), dice.roll(edges.len()));
            let range = range(edges[a.min(b)] * MINUTE, edges[a.max(b)] * MINUTE);
            let before = world.windows.len();
            let speed = [1, 2, 6, 30][dice.roll(4)];
            let coarsest = Level::ALL[dice.roll(Level::ALL.len())];
            let (counted, again) = world.read(range, coarsest, &mut dice, speed);
            replans += again;
            assert!(counted.rows.iter().all(|row| row.row.window.level <= coarsest));
            let times = times_counted(&world, &counted);
            for (leaf, window) in world.windows.iter().enumerate() {
                let inside = window.lies_in(range.from, range.until);
                let found = times.get(&leaf).copied().unwrap_or(0);
                let wanted = match (inside, leaf < before) {
                    (false, _) => 0..=0,
                    (true, true) => 1..=1,
                    // Came while the reader read: may be in it, once.
                    (true, false) => 0..=1,
                };
                assert!(
                    wanted.contains(&found),
                    "seed {seed}: leaf {leaf} {found} times in {range:?} up to {coarsest:?}"
                );
            }
        }
    }
    assert!(replans > 100, "the test never met what it is for: {replans}");
}
