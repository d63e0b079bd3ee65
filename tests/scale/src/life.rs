//! The life of one function: its snapshots come, are merged, rolled up and
//! forgotten, step by step as merge, the stream and the schedule do it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use flambeau_layout::{BlockId, Level, RowState, UnixMillis, Window};
use flambeau_pipeline::{catalogue::REFRESH_MILLIS, merge::chunk_fits};
use flambeau_random::Random;
use flambeau_store::IndexedRow;

use crate::{
    fleet::{Fleet, Settings},
    ledger::{Ledger, TRANSACTION, read_units, write_units},
    shape::{BEGIN, DAY, MINUTE, Moment, Shape},
    table::{Meta, Table},
    weigh::{Kind, Scales, bare, block_id, claim_weight, parsed, point_values},
};

/// One in so many snapshots is the first of its environment.
const COLD_ONE_IN: usize = 50;
/// One in so many late snapshots is days late.
const VERY_LATE_ONE_IN: usize = 50;
/// Bytes of a catalogue row: two types and a few labels.
const CATALOGUE_BYTES: usize = 900;

// Milliseconds, modelled and not measured on AWS: requests as they are seen
// from a Lambda in the same region, and the processor's time per snapshot of
// one CPU and one heap profile (crates/profile/README.md).
const GET_MILLIS: f64 = 30.0;
const PUT_MILLIS: f64 = 40.0;
const DYNAMO_MILLIS: f64 = 5.0;
const TRANSACT_MILLIS: f64 = 20.0;
const CPU_MILLIS: f64 = 2.3;
const MERGE_FETCHES: f64 = 32.0;
const ROLLUP_FETCHES: f64 = 16.0;

#[derive(Debug, Clone, Copy)]
struct Snapshot {
    window: i64,
    set: u32,
}

/// What the stream has told of since its last call.
#[derive(Debug, Default)]
struct Hint {
    read_units: f64,
    records: f64,
    minutes: BTreeSet<Window>,
}

/// One function.
pub struct Life<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) settings: Settings,
    pub(crate) fleet: &'a Fleet,
    pub(crate) random: Random,
    /// Its rows.
    pub table: Table,
    /// What rows weigh.
    pub scales: Scales,
    /// What it has cost.
    pub ledger: Ledger,
    /// Snapshots merged so far, by minute since [`BEGIN`]: what every answer
    /// must add up to.
    pub truth: Vec<u64>,
    frozen: BTreeMap<i64, Vec<Snapshot>>,
    batches: BTreeMap<(i64, u32), Vec<Snapshot>>,
    hints: BTreeMap<i64, Hint>,
    clock: i64,
    tick: i64,
    ids: u64,
    noted: i64,
    fresh: bool,
    claim: usize,
}

impl<'a> Life<'a> {
    /// A function that was deployed at [`BEGIN`].
    #[must_use]
    pub fn new(shape: &'a Shape, fleet: &'a Fleet, settings: Settings) -> Self {
        Self::born(shape, fleet, settings, BEGIN)
    }

    /// A function that was deployed at this time, a whole minute.
    #[must_use]
    pub fn born(shape: &'a Shape, fleet: &'a Fleet, settings: Settings, begin: i64) -> Self {
        Self {
            shape,
            settings,
            fleet,
            random: Random::new(settings.seed),
            table: Table::default(),
            scales: Scales::default(),
            ledger: Ledger::default(),
            truth: Vec::new(),
            frozen: BTreeMap::new(),
            batches: BTreeMap::new(),
            hints: BTreeMap::new(),
            clock: begin,
            tick: begin + settings.tick / 3,
            ids: 0,
            noted: i64::MIN,
            fresh: false,
            claim: claim_weight(),
        }
    }

    /// The time it has lived to.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.clock)
    }

    /// Lives on with another traffic and other settings.
    pub fn become_of(&mut self, shape: &'a Shape, settings: Settings) {
        (self.shape, self.settings) = (shape, settings);
    }

    /// Lives until this time, with traffic.
    pub fn live(&mut self, until: i64) {
        while self.clock < until {
            self.arrive();
            self.work(self.clock + MINUTE);
        }
    }

    /// Lives until this time without traffic: what is due gets done.
    pub fn settle(&mut self, until: i64) {
        while self.clock < until {
            self.deliver();
            self.work(self.clock + MINUTE);
        }
    }

    /// The snapshots of the minute that begins.
    fn arrive(&mut self) {
        let moment = Moment::of(self.clock);
        let rate = (self.shape.rate)(moment);
        if rate > 0.0 {
            let version = (self.shape.version)(moment).rem_euclid(60) as u32;
            let count = rate as u64 + u64::from(self.random.share() < rate.fract());
            for _ in 0..count {
                let end = self.clock + self.random.millis_below(MINUTE);
                let set = version * 2 + u32::from(self.random.below(COLD_ONE_IN) == 0);
                let snapshot = Snapshot { window: self.clock, set };
                match self.lateness() {
                    0 => self.enqueue(end, snapshot),
                    late => self.frozen.entry(end + late).or_default().push(snapshot),
                }
            }
        }
        self.deliver();
    }

    fn lateness(&mut self) -> i64 {
        if self.random.share() >= self.settings.late {
            return 0;
        }
        if self.random.below(VERY_LATE_ONE_IN) == 0 {
            return self.random.millis_below(20 * DAY);
        }
        // A minute to a day, each order of magnitude alike.
        (MINUTE as f64 * 1440_f64.powf(self.random.share())) as i64
    }

    /// Late snapshots whose environments thaw in this minute.
    fn deliver(&mut self) {
        if self.frozen.is_empty() {
            return;
        }
        let later = self.frozen.split_off(&(self.clock + MINUTE));
        for (time, snapshots) in std::mem::replace(&mut self.frozen, later) {
            snapshots.into_iter().for_each(|snapshot| self.enqueue(time, snapshot));
        }
    }

    /// Into the batch that one of the pollers is filling.
    fn enqueue(&mut self, time: i64, snapshot: Snapshot) {
        let interval = self.fleet.interval(self.clock, &self.settings);
        let poller = self.random.below(self.settings.pollers as usize) as u32;
        let shift = interval * i64::from(poller) / i64::from(self.settings.pollers);
        let full = (time + shift).div_euclid(interval) * interval + interval - shift;
        self.batches.entry((full, poller)).or_default().push(snapshot);
    }

    /// Does what is due before `until`, in order of time.
    fn work(&mut self, until: i64) {
        loop {
            let batch = self.batches.first_key_value().map_or(i64::MAX, |(key, _)| key.0);
            let hint = self.hints.first_key_value().map_or(i64::MAX, |(time, _)| *time);
            let next = batch.min(hint).min(self.tick);
            if next >= until {
                break;
            }
            if next == batch {
                if let Some((_, snapshots)) = self.batches.pop_first() {
                    self.merge(next, snapshots);
                }
            } else if next == hint {
                if let Some((_, hint)) = self.hints.pop_first() {
                    self.follow(next, &hint);
                }
            } else {
                self.look_at_all(next);
                self.tick += self.settings.tick;
            }
        }
        self.clock = until;
    }

    /// One batch of merge; what the whole batch costs is shared by its
    /// snapshots.
    fn merge(&mut self, now: i64, mut snapshots: Vec<Snapshot>) {
        let ours = snapshots.len() as f64;
        self.fresh = true;
        let batch = self.fleet.batch(self.clock, &self.settings).max(ours);
        let share = ours / batch;
        let ledger = &mut self.ledger;
        ledger.snapshots += ours;
        ledger.put_snapshots += ours;
        // One message each; ten in a receive, ten in a delete.
        ledger.messages += ours * 1.2;
        ledger.gets += ours;
        ledger.reads.claims += ours;
        ledger.merges += share;
        // The segment and its mark.
        ledger.puts += 2.0 * share;
        let reading = (GET_MILLIS / MERGE_FETCHES).max(CPU_MILLIS);
        let lookups = (batch / 100.0).ceil() * 2.0 * DYNAMO_MILLIS;
        ledger.merge_millis += ours * reading + share * (2.0 * PUT_MILLIS + lookups);
        self.ids += 1;
        let segment = self.ids;
        // Keys come in the order of environments, which are random.
        self.random.shuffle(&mut snapshots);
        let mut chunk: BTreeMap<i64, (u64, u128)> = BTreeMap::new();
        let mut members = 0;
        for Snapshot { window, set } in snapshots {
            let rows = chunk.len() + usize::from(!chunk.contains_key(&window));
            if !chunk_fits(members + 1, rows, (members + 1) * point_values()) {
                self.commit(now, segment, std::mem::take(&mut chunk));
                members = 0;
            }
            let block = chunk.entry(window).or_default();
            *block = (block.0 + 1, block.1 | 1 << set);
            members += 1;
        }
        self.commit(now, segment, chunk);
    }

    /// One chunk: its claims and its rows in one transaction.
    fn commit(&mut self, now: i64, segment: u64, chunk: BTreeMap<i64, (u64, u128)>) {
        self.ledger.merge_millis += TRANSACT_MILLIS;
        for (start, (snapshots, sets)) in chunk {
            let window = Window { level: Level::Minute, start: UnixMillis(start) };
            let weight = self.scales.weigh(Kind {
                level: Level::Minute,
                children: 0,
                points: snapshots as usize,
                sets: sets.count_ones() as usize,
                digits: 1,
            });
            let writes = &mut self.ledger.writes;
            writes.claims += TRANSACTION * write_units(self.claim) * snapshots as f64;
            writes.rows += TRANSACTION * write_units(weight.open);
            self.ledger.blocks += 1.0;
            let minute = ((start - BEGIN) / MINUTE) as usize;
            self.truth.resize(self.truth.len().max(minute + 1), 0);
            self.truth[minute] += snapshots;
            let block = self.draw_id();
            let indexed = stripped(window, 0, snapshots, block, now);
            self.tell(now, read_units(weight.open), Some(window));
            self.table.put(indexed, Meta { weight, buckets: 0, sets, segment });
        }
    }

    pub(crate) fn draw_id(&mut self) -> BlockId {
        self.ids += 1;
        block_id(self.ids)
    }

    /// A record of the stream: index will read its row again.
    pub(crate) fn tell(&mut self, now: i64, units: f64, minute: Option<Window>) {
        let Some(collect) = self.settings.hint else { return };
        let collect = collect.max(1);
        let hint = self.hints.entry(now.div_euclid(collect) * collect + collect).or_default();
        hint.read_units += units;
        hint.records += 1.0;
        hint.minutes.extend(minute);
    }

    /// The stream calls index.
    fn follow(&mut self, now: i64, hint: &Hint) {
        self.ledger.reads.hints += hint.read_units;
        self.ledger.index_millis += hint.records * DYNAMO_MILLIS;
        if hint.minutes.is_empty() {
            return;
        }
        self.note(now);
        let minutes: Vec<Window> = hint.minutes.iter().copied().collect();
        self.compact(UnixMillis(now), Some(&minutes));
    }

    /// The catalogue's row is read, and written at most every ten minutes.
    fn note(&mut self, now: i64) {
        self.ledger.reads.hints += read_units(CATALOGUE_BYTES);
        self.ledger.index_millis += DYNAMO_MILLIS;
        if now.saturating_sub(self.noted) >= REFRESH_MILLIS {
            self.noted = now;
            self.ledger.writes.catalogue += write_units(CATALOGUE_BYTES);
            self.ledger.index_millis += DYNAMO_MILLIS;
        }
    }

    /// The schedule comes by.
    fn look_at_all(&mut self, now: i64) {
        // Without hints, the schedule learns from the marks of new segments.
        if self.settings.hint.is_none() && std::mem::take(&mut self.fresh) {
            self.note(now);
        }
        self.compact(UnixMillis(now), None);
        self.table.expire(UnixMillis(now));
    }

    /// Time and requests of one rollup of so many children.
    pub(crate) fn charge_rollup(&mut self, types: f64, children: f64, segments: &HashSet<u64>) {
        let ledger = &mut self.ledger;
        ledger.rolled += 1.0;
        // One object per type and the mark; each child's part of each type;
        // and a look at each segment's mark.
        ledger.puts += types + 1.0;
        ledger.gets += types * children + segments.len() as f64;
        let reading = GET_MILLIS * types * (children / ROLLUP_FETCHES).ceil();
        let merging = children * types * CPU_MILLIS / 2.0;
        let moving = (children / 8.0).ceil() * 2.0 * DYNAMO_MILLIS;
        ledger.index_millis +=
            reading + merging + moving + (types + 1.0) * PUT_MILLIS + TRANSACT_MILLIS;
    }
}

/// Milliseconds of one query of the index, modelled.
pub(crate) fn query_millis(queries: f64) -> f64 {
    queries * DYNAMO_MILLIS
}

/// A row with no more than plan and reader look at.
pub(crate) fn stripped(
    window: Window,
    tier: u8,
    snapshots: u64,
    block: BlockId,
    now: i64,
) -> IndexedRow {
    let mut row = bare(window, tier, snapshots, block);
    row.written = UnixMillis(now);
    row.parts = vec![flambeau_layout::TypePart {
        typ: parsed("cpu"),
        at: flambeau_layout::ObjectRange { key: String::new(), offset: 0, len: 0 },
        sample_types: vec!["cpu/nanoseconds".to_owned()],
        totals: Vec::new(),
        gauges: Vec::new(),
        snapshots,
        undifferenced: 0,
        sets: Vec::new(),
        points: Vec::new(),
    }];
    IndexedRow { row, state: RowState::Open, covered_by: None }
}
