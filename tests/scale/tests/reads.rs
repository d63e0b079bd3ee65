//! Reading is bounded: objects read per question grow with the range's
//! logarithm, for hot and cold services, whatever the alignment.
#![allow(clippy::unwrap_used)]

use flambeau_scale::{
    fleet::{Fleet, Settings},
    life::Life,
    reading::{FEW, MEAN_PER_LOG, MOST_PER_LOG, RANGES, Reading, blocks, log_minutes, read_along},
    shape::{BEGIN, DAY, HOUR, SHAPES, Shape},
};

const MONTH: usize = 3;
const YEAR: usize = 4;

fn shape(name: &str) -> &'static Shape {
    SHAPES.iter().find(|shape| shape.name.starts_with(name)).unwrap()
}

fn bounded(name: &str, reading: &Reading) {
    for (range, (length, _)) in RANGES.iter().enumerate() {
        let all = reading.all(range);
        let (mean, most) = (all.mean(blocks), all.max(blocks));
        let log = log_minutes(range);
        assert!(mean <= MEAN_PER_LOG * log, "{name}: a {length} reads {mean:.1} objects");
        assert!(most <= MOST_PER_LOG * log, "{name}: a {length} reads up to {most} objects");
    }
    for kind in [&reading.recent, &reading.anywhere] {
        let (month, year) = (kind[MONTH].mean(blocks), kind[YEAR].mean(blocks));
        let is_bounded = year <= 2.0 * month || year <= FEW;
        assert!(is_bounded, "{name}: a year reads {year:.1}, a month {month:.1}");
    }
}

/// Looks at everything once an hour, so that a year passes quickly.
fn unhurried() -> Settings {
    Settings { tick: HOUR, ..Settings::default() }
}

/// A service that was called once an hour for a year, and is hot since.
fn hot_after_a_year(name: &'static str, hours: i64) {
    let fleet = Fleet::default();
    let hot = BEGIN + 380 * DAY + 7 * HOUR;
    let mut life = Life::new(shape("once an hour"), &fleet, unhurried());
    life.live(hot);
    life.become_of(shape(name), Settings::default());
    life.live(hot + hours * HOUR / 2);
    let reading = read_along(&mut life, hot + hours * HOUR, 4, 1);
    assert!(reading.recent[0].mean(blocks) > 40.0, "{name} is not hot");
    bounded(name, &reading);
}

#[test]
fn a_hot_service_reads_little() {
    hot_after_a_year("constant hot", 8);
}

#[test]
fn a_thousand_environments_read_little() {
    hot_after_a_year("huge", 2);
}

#[test]
fn rare_services_read_little() {
    let fleet = Fleet::default();
    for name in ["once an hour", "cold"] {
        let mut life = Life::new(shape(name), &fleet, unhurried());
        life.live(BEGIN + 367 * DAY);
        let reading = read_along(&mut life, BEGIN + 390 * DAY, 6, 2);
        assert!(reading.all(YEAR).mean(blocks) > 5.0, "{name} has no blocks");
        bounded(name, &reading);
    }
}
