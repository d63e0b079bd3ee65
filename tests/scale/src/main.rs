//! Prints the tables of `docs/scale.md`.
//!
//! `cargo run --release -p flambeau-scale [days] [days of the budget]`: 400 days of traffic,
//! and a week for each setting of the budget, unless told otherwise.

use std::time::Instant;

use flambeau_scale::{
    budget::{each_shape, of_fleet, of_shape},
    fleet::{Fleet, Settings},
    ledger::Ledger,
    life::Life,
    reading::{Reading, read_along},
    report,
    shape::{BEGIN, DAY, Shape},
};

/// The last days of the year, in which is asked.
const ASKED_DAYS: i64 = 35;
const STOPS: usize = 60;
const TIMES: usize = 2;

/// One function's year.
struct Year {
    reading: Reading,
    ledger: Ledger,
    kinds: (usize, usize),
    seconds: f64,
}

fn live(shape: &Shape, fleet: &Fleet, days: i64) -> Year {
    let started = Instant::now();
    let mut life = Life::new(shape, fleet, Settings::default());
    life.live(BEGIN + (days - ASKED_DAYS).max(0) * DAY);
    let reading = read_along(&mut life, BEGIN + days * DAY, STOPS, TIMES);
    let seconds = started.elapsed().as_secs_f64();
    Year { reading, ledger: life.ledger, kinds: life.scales.seen(), seconds }
}

fn print_year(fleet: &Fleet, days: i64) {
    let years = each_shape(|shape| live(shape, fleet, days));
    println!("## {days} days, ten shapes, seed {}\n", Settings::default().seed);
    for (shape, year) in &years {
        let Year { ledger, kinds: (kinds, heaviest), seconds, .. } = year;
        let (snapshots, blocks, rolled) = (ledger.snapshots, ledger.blocks, ledger.rolled);
        println!(
            "- {}: {snapshots:.0} snapshots, {blocks:.0} blocks, {rolled:.0} rollups; {kinds} kinds \
             of rows, the heaviest {heaviest} bytes; {seconds:.1} s",
            shape.name
        );
    }
    let readings: Vec<(&Shape, Reading)> =
        years.iter().map(|(shape, year)| (*shape, year.reading.clone())).collect();
    println!("\n### Objects read, ranges that end now (mean / p99 / most)\n");
    println!("{}", report::of_blocks(&readings, true));
    println!("### Objects read, ranges anywhere in what is held (mean / p99 / most)\n");
    println!("{}", report::of_blocks(&readings, false));
    println!("### Against the logarithm, both kinds of range\n");
    println!("{}", report::of_bounds(&readings));
    println!("### Rows / requests / read units of a question, ranges that end now (means)\n");
    println!("{}", report::of_rows(&readings, true));
    println!("### Rows / requests / read units of a question, ranges anywhere (means)\n");
    println!("{}", report::of_rows(&readings, false));
    let ledgers: Vec<(String, Ledger)> =
        years.iter().map(|(shape, year)| (shape.name.to_owned(), year.ledger)).collect();
    println!("### Write units per snapshot, shape by shape\n");
    println!("{}", report::of_writes(&ledgers));
}

fn print_budget(fleet: &Fleet, days: i64) {
    let usual = Settings::default();
    let filled = |batch| Settings { batch, window: 300_000, pollers: 1, ..usual };
    let settings = [
        ("batches of 10", filled(10)),
        ("of 100", filled(100)),
        ("of 1 000", filled(1000)),
        ("of 5 000", filled(5000)),
        ("up to 1 000 in 30 s, 5 pollers", usual),
        ("same, schedule only", Settings { hint: None, ..usual }),
        ("same, stream every 60 s", Settings { hint: Some(60_000), ..usual }),
    ];
    let mut ledgers = Vec::new();
    for (name, settings) in settings {
        let shapes = each_shape(|shape| of_shape(shape, fleet, settings, days * 24));
        ledgers.push((name.to_owned(), of_fleet(&shapes, fleet, &settings)));
    }
    println!("## A million snapshots of the fleet, {:.0} a minute\n", fleet.mean_per_minute());
    println!("### Write units per snapshot\n\n{}", report::of_writes(&ledgers));
    println!(
        "### Requests per million snapshots, in thousands\n\n{}",
        report::of_requests(&ledgers)
    );
    println!("### Dollars per million snapshots\n\n{}", report::of_dollars(&ledgers));
}

fn main() {
    let number = |n: usize, usual: i64| {
        std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let fleet = Fleet::default();
    let (days, budget_days) = (number(1, 400), number(2, 7));
    if days > 0 {
        print_year(&fleet, days);
    }
    if budget_days > 0 {
        print_budget(&fleet, budget_days);
    }
}
