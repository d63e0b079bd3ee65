//! Tables, as Markdown.

use crate::{
    ask::Asked,
    ledger::Ledger,
    reading::{Answers, RANGES, Reading, blocks, log_minutes},
    shape::Shape,
};

/// Objects read per question: mean, the 99th of a hundred, the most.
#[must_use]
pub fn of_blocks(readings: &[(&Shape, Reading)], recent: bool) -> String {
    of_readings(readings, recent, |answers| {
        let (mean, p99, max) = (answers.mean(blocks), answers.p99(blocks), answers.max(blocks));
        format!("{mean:.1} / {p99:.0} / {max:.0}")
    })
}

/// What finding them took: rows read, requests one after the other, read units;
/// means.
#[must_use]
pub fn of_rows(readings: &[(&Shape, Reading)], recent: bool) -> String {
    let rows = |asked: &Asked| asked.rows as f64;
    let requests = |asked: &Asked| asked.requests as f64;
    of_readings(readings, recent, |answers| {
        let units = answers.mean(|asked| asked.read_units);
        format!("{:.0} / {:.1} / {units:.0}", answers.mean(rows), answers.mean(requests))
    })
}

fn of_readings(
    readings: &[(&Shape, Reading)],
    recent: bool,
    cell: impl Fn(&Answers) -> String,
) -> String {
    let names: Vec<&str> = RANGES.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| shape | {} |\n|---|---|---|---|---|---|\n", names.join(" | "));
    for (shape, reading) in readings {
        let answers = if recent { &reading.recent } else { &reading.anywhere };
        let cells: Vec<String> = answers.iter().map(&cell).collect();
        table += &format!("| {} | {} |\n", shape.name, cells.join(" | "));
    }
    table
}

/// The worst of all shapes against log2 of the range's minutes.
#[must_use]
pub fn of_bounds(readings: &[(&Shape, Reading)]) -> String {
    let mut table = "| range | log2 of its minutes | worst mean | ÷ log2 | most | ÷ log2 |\n\
                     |---|---|---|---|---|---|\n"
        .to_owned();
    for (range, (name, _)) in RANGES.iter().enumerate() {
        let log = log_minutes(range);
        let worst = |of: &dyn Fn(&Answers) -> f64| {
            readings.iter().map(|(_, reading)| of(&reading.all(range))).fold(0.0, f64::max)
        };
        let (mean, most) = (worst(&|all| all.mean(blocks)), worst(&|all| all.max(blocks)));
        let (by_mean, by_most) = (mean / log, most / log);
        table += &format!(
            "| {name} | {log:.1} | {mean:.1} | {by_mean:.1} | {most:.0} | {by_most:.1} |\n"
        );
    }
    table
}

/// Write units of a million snapshots, by what they are for.
#[must_use]
pub fn of_writes(ledgers: &[(String, Ledger)]) -> String {
    let mut table =
        "| | claims | rows | rollups | covers | done | deletes | catalogue | **all** |\n\
                     |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (name, ledger) in ledgers {
        let ledger = ledger.per_million();
        let w = &ledger.writes;
        let parts = [w.claims, w.rows, w.rollups, w.covers, w.dones, w.deletes, w.catalogue];
        let parts: Vec<String> = parts.iter().map(|units| format!("{:.2}", units / 1e6)).collect();
        table += &format!("| {name} | {} | **{:.2}** |\n", parts.join(" | "), w.total() / 1e6);
    }
    table
}

/// Requests of a million snapshots, in thousands.
#[must_use]
pub fn of_requests(ledgers: &[(String, Ledger)]) -> String {
    let mut table =
        "| | blocks | rollups | read units | (all open rows) | S3 PUT | S3 GET | SQS | \
                     merge calls | index calls |\n|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (name, ledger) in ledgers {
        let l = ledger.per_million();
        let numbers = [
            l.blocks,
            l.rolled,
            l.reads.total(),
            l.reads.all,
            l.puts + l.put_snapshots,
            l.gets,
            l.messages,
            l.merges,
            l.indexes,
        ];
        let cells: Vec<String> = numbers.iter().map(|n| format!("{:.1}", n / 1e3)).collect();
        table += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    table
}

/// Dollars of a million snapshots.
#[must_use]
pub fn of_dollars(ledgers: &[(String, Ledger)]) -> String {
    let mut table = "| | DynamoDB | the functions' PUTs | other S3 | SQS | Lambda | **all** |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, ledger) in ledgers {
        let paid = ledger.per_million().dollars();
        let parts = [paid.dynamo, paid.puts, paid.s3, paid.sqs, paid.lambda];
        let parts: Vec<String> = parts.iter().map(|dollars| format!("{dollars:.2}")).collect();
        table += &format!("| {name} | {} | **{:.2}** |\n", parts.join(" | "), paid.total());
    }
    table
}
