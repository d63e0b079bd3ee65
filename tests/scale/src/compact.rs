//! Compaction as `flambeau_pipeline::compact()` does it: the real plan, and
//! what T1 and T2 do with rows.

use std::collections::HashSet;

use flambeau_layout::{
    Level, RowState, SortKey, UnixMillis, Window, block::buckets_of, lifetime::done_expires_secs,
};
use flambeau_pipeline::compact::{
    MAX_ROLLUPS, MAX_ROUNDS,
    plan::{Job, plan},
};
use flambeau_store::IndexedRow;

use crate::{
    ledger::{TRANSACTION, read_units, write_units},
    life::{Life, query_millis, stripped},
    table::Meta,
    weigh::{Kind, TYPE_COUNT},
};

impl Life<'_> {
    /// Rolls up what is due inside these minutes, or everywhere.
    pub(crate) fn compact(&mut self, now: UnixMillis, minutes: Option<&[Window]>) {
        let mut rollups = 0;
        let mut marked = HashSet::new();
        for _ in 0..MAX_ROUNDS {
            let jobs = match minutes {
                Some(minutes) => self.plan_minutes(minutes, now),
                None => self.plan_all(now),
            };
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                if rollups >= MAX_ROLLUPS {
                    return;
                }
                rollups += 1;
                self.roll_up(&job, now, &mut marked);
            }
        }
    }

    fn plan_all(&mut self, now: UnixMillis) -> Vec<Job> {
        for level in Level::ALL {
            self.ledger.reads.all += read_units(self.table.open_bytes(level));
        }
        self.ledger.index_millis += query_millis(Level::ALL.len() as f64);
        plan(self.table.open(), now)
    }

    fn plan_minutes(&mut self, minutes: &[Window], now: UnixMillis) -> Vec<Job> {
        let inside: Vec<_> = minutes.iter().map(|window| self.table.inside(*window)).collect();
        for indices in &inside {
            self.ledger.reads.minutes += read_units(self.table.bytes_of(indices.clone()));
        }
        self.ledger.index_millis += query_millis(minutes.len() as f64);
        let rows = self.table.open();
        let is_one_piece = inside.windows(2).all(|pair| pair[0].end == pair[1].start);
        match (inside.first(), inside.last()) {
            (Some(first), Some(last)) if is_one_piece => plan(&rows[first.start..last.end], now),
            _ => {
                let rows: Vec<IndexedRow> =
                    inside.into_iter().flat_map(|indices| rows[indices].iter().cloned()).collect();
                plan(&rows, now)
            }
        }
    }

    /// Objects, T1, the look back, the mark, T2.
    fn roll_up(&mut self, job: &Job, now: UnixMillis, marked: &mut HashSet<u64>) {
        let Job { into, tier, children } = job;
        let mut united = United::default();
        let mut segments = HashSet::new();
        for key in children {
            let (indexed, meta) = self.table.at(key);
            united.add(*into, indexed, meta);
            if indexed.row.children.is_empty() && marked.insert(meta.segment) {
                segments.insert(meta.segment);
            }
        }
        self.charge_rollup(f64::from(TYPE_COUNT), children.len() as f64, &segments);
        let kind = united.kind(*into, children.len());
        let weight = self.scales.weigh(kind);
        let writes = &mut self.ledger.writes;
        writes.rollups += TRANSACTION * write_units(weight.open);
        self.ledger.reads.backs += read_units(weight.open);

        let block = self.draw_id();
        let mut indexed = stripped(*into, *tier, united.snapshots, block, now.0);
        indexed.row.children = children.iter().map(|key| key.block.clone()).collect();
        let by = SortKey::of(&indexed.row, RowState::Open);
        let minute = (into.level == Level::Minute).then_some(*into);
        self.tell(now.0, read_units(weight.open), minute);
        let United { buckets, sets, .. } = united;
        self.table.put(indexed, Meta { weight, buckets, sets, segment: 0 });
        for key in children {
            self.charge_retiring(key, now);
        }
        self.table.retire(children, &by, |child| {
            done_expires_secs(child.row.window.level, child.row.written, now)
        });
    }

    fn charge_retiring(&mut self, key: &SortKey, now: UnixMillis) {
        let weight = self.table.at(key).1.weight;
        let writes = &mut self.ledger.writes;
        writes.covers += TRANSACTION * write_units(weight.covered);
        writes.dones += write_units(weight.done);
        writes.deletes += write_units(weight.covered);
        self.ledger.done_bytes += weight.done as f64;
        // `covered_by` is news to the stream, of a row that is gone by then.
        self.tell(now.0, read_units(0), None);
    }
}

/// What a rollup's row is made of.
#[derive(Debug, Default)]
struct United {
    snapshots: u64,
    points: usize,
    buckets: u128,
    sets: u128,
}

impl United {
    fn add(&mut self, into: Window, child: &IndexedRow, meta: &Meta) {
        self.snapshots += child.row.snapshots;
        self.points += meta.weight.points;
        self.sets |= meta.sets;
        self.buckets |= moved(meta.buckets, child.row.window, into);
    }

    fn kind(&self, into: Window, children: usize) -> Kind {
        let points = match into.level {
            Level::Minute => self.points,
            _ => self.buckets.count_ones() as usize,
        };
        let per_point = self.snapshots / points.max(1) as u64;
        let sets = self.sets.count_ones() as usize;
        Kind { level: into.level, children, points, sets, digits: per_point.max(1).ilog10() + 1 }
    }
}

/// The buckets of a child as buckets of the window it goes into.
fn moved(buckets: u128, from: Window, into: Window) -> u128 {
    if from.level == into.level {
        return buckets;
    }
    let width = |level: Level| level.millis() / buckets_of(level)[0];
    let bucket = |offset: i64| {
        1_u128 << (from.start.0 + offset - into.start.0).div_euclid(width(into.level))
    };
    if from.level == Level::Minute {
        return bucket(0);
    }
    let set = (0..128).filter(|bit| buckets >> bit & 1 == 1);
    set.fold(0, |sum, bit| sum | bucket(bit * width(from.level)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{BEGIN, HOUR, MINUTE};

    #[test]
    fn buckets_move_with_their_time() {
        let minute = Window::of(Level::Minute, UnixMillis(BEGIN + 2 * HOUR + 40 * MINUTE));
        let hour = minute.within(Level::Hour);
        let day = minute.within(Level::Day);
        let in_hour = moved(0, minute, hour);
        assert_eq!(in_hour, 1 << 40);
        assert_eq!(moved(in_hour, hour, day), 1 << (2 * 4 + 2));
    }
}
