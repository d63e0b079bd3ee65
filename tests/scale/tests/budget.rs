//! The golden budget: write units per million snapshots of the fleet, counted
//! by what DynamoDB bills (transactions twice, by the kilobyte), and requests.
//! A protocol that costs more fails here; one that costs less does too, so that
//! its figures come into docs/scale.md.

use flambeau_query::bill::{EFFORTS, SQS_REQUESTS};
use flambeau_scale::{
    budget::{of_fleet, of_shape},
    fleet::{Fleet, Settings},
    ledger::Ledger,
    shape::SHAPES,
};

/// How far a figure may lie from its golden one, beside the rounding of the
/// last digit: the same seed makes the same traffic.
const TOLERANCE: f64 = 0.002;

fn of_a_few_hours(batch: u32) -> Ledger {
    let fleet = Fleet::default();
    let settings = Settings { batch, window: 300_000, pollers: 1, ..Settings::default() };
    let ledgers: Vec<_> = SHAPES
        .iter()
        .map(|shape| {
            let hours = match shape.name {
                "constant hot" => 2,
                name if name.starts_with("huge") => 1,
                "weekly" => 0,
                _ => 16,
            };
            (shape, of_shape(shape, &fleet, settings, hours))
        })
        .collect();
    of_fleet(&ledgers, &fleet, &settings)
}

/// Write units and read units of DynamoDB, PUTs, GETs and messages, merge and
/// index calls: per million snapshots, in thousands.
fn figures(ledger: &Ledger) -> [f64; 7] {
    let puts = ledger.puts + ledger.put_snapshots;
    let Ledger { writes, reads, gets, messages, merges, indexes, .. } = ledger;
    [writes.total(), reads.total(), puts, *gets, *messages, *merges, *indexes].map(|n| n / 1e3)
}

/// How far `flambeau cost` may lie from these few hours: it reckons with whole
/// days, in which hours and days are rolled up as well.
const REACH: f64 = 0.12;

/// Holds what `flambeau cost` reckons with against what was simulated.
fn is_what_cost_reckons_with(batch: u32, [writes, reads, puts, gets, messages, ..]: [f64; 7]) {
    let effort = EFFORTS.iter().find(|effort| effort.batch == f64::from(batch));
    let effort = effort.expect("a batch that is reckoned with");
    let reckoned = [
        ("write units", effort.write_units, writes),
        ("read units", effort.read_units, reads),
        ("PUTs", 1.0 + effort.puts, puts),
        ("GETs", effort.gets, gets),
        ("requests of the queue", SQS_REQUESTS, messages),
    ];
    for (what, reckoned, simulated) in reckoned {
        let ratio = reckoned * 1000.0 / simulated;
        assert!((ratio - 1.0).abs() <= REACH, "batches of {batch}: {what} are {ratio:.3} of it");
    }
}

fn costs(batch: u32, golden: [f64; 7]) {
    let ledger = of_a_few_hours(batch);
    // A claim of less than a kilobyte, in a transaction.
    assert!((ledger.writes.claims - 2e6).abs() < 1.0, "{:?}", ledger.writes);
    let figures = figures(&ledger);
    is_what_cost_reckons_with(batch, figures);
    for (found, golden) in figures.iter().zip(golden) {
        assert!(
            (found - golden).abs() <= TOLERANCE * golden + 0.05,
            "batches of {batch}: {figures:.1?} is not the budget; see docs/scale.md"
        );
    }
}

#[test]
fn batches_of_ten() {
    costs(10, [9475.6, 4454.3, 1304.8, 2682.5, 1206.7, 99.3, 10.8]);
}

#[test]
fn batches_of_a_hundred() {
    costs(100, [7545.2, 4038.0, 1102.8, 2189.3, 1206.7, 10.0, 10.8]);
}

#[test]
fn batches_of_a_thousand() {
    costs(1000, [5191.7, 3296.5, 1031.7, 1612.5, 1206.7, 1.0, 4.0]);
}

#[test]
fn batches_of_five_thousand() {
    costs(5000, [4574.3, 2852.9, 1015.8, 1399.0, 1206.7, 0.2, 0.8]);
}
