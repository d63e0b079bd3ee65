#![allow(clippy::unwrap_used)]
use flambeau_layout::{ObjectRange, RowState, Total, TypePart};

use super::*;

/// The start of a month, so that all windows below begin here too.
const T0: i64 = 20_768 * 86_400_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn id(n: usize) -> BlockId {
    format!("b{n:04}").parse().unwrap()
}

fn row(n: usize, level: Level, offset: i64) -> IndexedRow {
    let part = TypePart {
        typ: "cpu".parse().unwrap(),
        at: ObjectRange { key: "segments/t/2026-11-11/s.zip".into(), offset: 0, len: 1 },
        sample_types: vec!["cpu/nanoseconds".into()],
        totals: vec![Total(1)],
        gauges: vec![],
        snapshots: 1,
        undifferenced: 0,
        sets: vec![],
        points: vec![],
    };
    let window = Window::of(level, UnixMillis(T0 + offset));
    let (tenant, service) = ("t".parse().unwrap(), "s".parse().unwrap());
    let row = BlockRow {
        snapshots: 1,
        parts: vec![part],
        written: window.end(),
        ..BlockRow::empty(tenant, service, window, id(n))
    };
    IndexedRow { row, state: RowState::Open, covered_by: None }
}

fn minutes(blocks: std::ops::Range<usize>) -> Vec<IndexedRow> {
    blocks.map(|n| row(n, Level::Minute, 0)).collect()
}

fn at(offset: i64) -> UnixMillis {
    UnixMillis(T0 + offset)
}

/// Window level, tier and number of children of a job.
type Shape = (u8, u8, usize);

fn shape(jobs: &[Job]) -> Vec<Shape> {
    jobs.iter().map(|job| (job.into.level.number(), job.tier, job.children.len())).collect()
}

#[test]
fn tiers_fill_inside_a_window() {
    let cases: &[(usize, i64, &[Shape])] = &[
        (OPEN_FAN_IN - 1, 30_000, &[]),
        (OPEN_FAN_IN, 30_000, &[(0, 1, 10)]),
        (99, 30_000, &[(0, 1, 99)]),
        (100, 30_000, &[(0, 1, 50), (0, 1, 50)]),
        (CLOSED_FAN_IN - 1, 5 * MINUTE, &[]),
        (CLOSED_FAN_IN, 3 * MINUTE - 1, &[]),
        (CLOSED_FAN_IN, 3 * MINUTE, &[(0, 1, 4)]),
    ];
    for (blocks, now, jobs) in cases {
        assert_eq!(shape(&plan(&minutes(0..*blocks), at(*now))), *jobs, "{blocks} at {now}");
    }
}

#[test]
fn a_closed_window_keeps_few_blocks_whatever_their_tiers() {
    let tiers = |tiers: &[u8]| {
        let mut rows = minutes(0..tiers.len());
        rows.iter_mut().zip(tiers).for_each(|(indexed, tier)| indexed.row.tier = *tier);
        rows
    };
    let now = at(3 * MINUTE);
    assert_eq!(shape(&plan(&tiers(&[0, 0, 1, 5]), now)), [(0, 6, 4)]);
    assert_eq!(plan(&tiers(&[0, 1, 5]), now), []);
    // While it fills, tiers stay apart: what is large is not rewritten for what is small.
    assert_eq!(plan(&tiers(&[0, 0, 1, 5]), at(30_000)), []);
    // Rolled up as often as a key can say, a block rests.
    assert_eq!(plan(&tiers(&[0, 0, 0, MAX_TIER]), now), []);
    let last = plan(&tiers(&[0, 0, 0, 0, MAX_TIER - 1, MAX_TIER]), now);
    assert_eq!(shape(&last), [(0, MAX_TIER, 5)]);
}

#[test]
fn latecomers_never_pile_up_in_a_closed_window() {
    let (mut rows, mut ids) = (Vec::new(), 0..);
    for late in 0..400 {
        rows.push(row(ids.next().unwrap(), Level::Minute, 0));
        for job in plan(&rows, at(5 * MINUTE)) {
            rows.retain(|indexed| !job.children.contains(&indexed.key()));
            let mut rollup = row(ids.next().unwrap(), Level::Minute, 0);
            rollup.row.tier = job.tier;
            rollup.row.children = job.children.into_iter().map(|key| key.block).collect();
            rows.push(rollup);
        }
        let at_rest = rows.iter().filter(|indexed| indexed.row.tier == MAX_TIER).count();
        assert!(rows.len() - at_rest < CLOSED_FAN_IN, "{} after {late}", rows.len());
        assert!(at_rest <= late / 250, "{at_rest} after {late}");
    }
}

#[test]
fn windows_go_up_when_the_one_above_is_closed() {
    let hour = HOUR + settle_millis(Level::Hour);
    let day = DAY + settle_millis(Level::Day);
    let month = 32 * DAY + settle_millis(Level::Month);
    let cases: &[(Level, i64, &[Shape])] = &[
        (Level::Minute, hour - 1, &[]),
        (Level::Minute, hour, &[(1, 0, 1)]),
        (Level::Hour, day - 1, &[]),
        (Level::Hour, day, &[(2, 0, 1)]),
        (Level::Day, month - 1, &[]),
        (Level::Day, month, &[(3, 0, 1)]),
        (Level::Month, 400 * DAY, &[]),
    ];
    for (level, now, jobs) in cases {
        assert_eq!(shape(&plan(&[row(0, *level, 0)], at(*now))), *jobs, "{level:?} at {now}");
    }
}

#[test]
fn an_hour_of_many_blocks_is_cut_evenly() {
    let rows: Vec<_> = (0..250).map(|n| row(n, Level::Minute, n as i64 % 60 * MINUTE)).collect();
    let jobs = plan(&rows, at(3 * HOUR));
    assert_eq!(shape(&jobs), [(1, 0, 84), (1, 0, 84), (1, 0, 82)]);
    let children: HashSet<_> = jobs.iter().flat_map(|job| &job.children).collect();
    assert_eq!(children.len(), 250);
}

#[test]
fn latecomers_wait_for_each_other_and_get_a_rollup_of_their_own() {
    let now = at(5 * HOUR);
    let mut late = row(0, Level::Minute, 0);
    late.row.written = now.plus_millis(1 - settle_millis(Level::Hour));
    assert_eq!(plan(std::slice::from_ref(&late), now), []);
    late.row.written = now.plus_millis(-settle_millis(Level::Hour));
    assert_eq!(shape(&plan(std::slice::from_ref(&late), now)), [(1, 0, 1)]);
    // Ten do not wait.
    let mut ten = minutes(0..10);
    ten.iter_mut().for_each(|indexed| indexed.row.written = now);
    assert_eq!(shape(&plan(&ten, now)), [(1, 0, 10)]);
}

#[test]
fn covered_rows_and_rollups_with_open_children_stay() {
    let mut rows = minutes(0..10);
    rows[3].covered_by = Some("open/0/001795000020/01/r1".parse().unwrap());
    assert_eq!(plan(&rows, at(30_000)), []);
    // A whole hour waits while one of its blocks is being rolled up.
    assert_eq!(plan(&rows, at(3 * HOUR)), []);
    let mut rows = minutes(0..10);
    let mut rollup = row(99, Level::Minute, 0);
    (rollup.row.tier, rollup.row.children) = (1, vec![id(5)]);
    rows.push(rollup);
    assert_eq!(plan(&rows, at(3 * HOUR)), []);
    rows.remove(5);
    assert_eq!(shape(&plan(&rows, at(3 * HOUR))), [(1, 0, 10)]);
}

#[test]
fn what_measures_something_else_is_not_mixed_in() {
    let mut rows = minutes(0..20);
    for indexed in &mut rows[..12] {
        indexed.row.parts[0].sample_types = vec!["samples/count".into()];
    }
    assert_eq!(shape(&plan(&rows, at(30_000))), [(0, 1, 12)]);
    assert_eq!(shape(&plan(&rows, at(3 * HOUR))), [(1, 0, 12), (1, 0, 8)]);
    // Another type beside is no difference.
    let mut rows = minutes(0..10);
    rows[0].row.parts[0].typ = "heap".parse().unwrap();
    rows[0].row.parts[0].sample_types = vec!["space/bytes".into()];
    assert_eq!(shape(&plan(&rows, at(30_000))), [(0, 1, 10)]);
}
