//! Values as people read them. The script of the pages does the same
//! (`web/src/quantity.ts`), and one table of examples holds both to it
//! (`web/quantities.json`).

use flambeau_profile::nanos_in;
use flambeau_query::cost;

/// A value of a unit, with three digits that matter: `184 s`, `2.07 MB`, `$0.0131`.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    if let Some(nanos) = nanos_in(unit) {
        return time(value * nanos as f64);
    }
    match unit {
        "bytes" => scaled(value, &["B", "KB", "MB", "GB", "TB", "PB"], 1024.0),
        unit if unit == cost::COST.1 => dollars(value / cost::PER_DOLLAR),
        _ => scaled(value, &["", "k", "M", "G", "T", "P"], 1000.0),
    }
}

fn time(nanos: f64) -> String {
    let size = nanos.abs();
    let (unit, per) = match () {
        () if size < 1e3 => ("ns", 1.0),
        () if size < 1e6 => ("µs", 1e3),
        () if size < 1e9 => ("ms", 1e6),
        () if size < 120e9 => ("s", 1e9),
        () if size < 7200e9 => ("min", 60e9),
        () => ("h", 3600e9),
    };
    format!("{} {unit}", three_digits(nanos / per))
}

fn dollars(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 { "-" } else { "" };
    match () {
        () if size == 0.0 => "$0".to_owned(),
        // Sums are compared down a column: one way of writing for all but the very
        // small.
        () if (1e-6..0.01).contains(&size) => format!("{sign}${}", decimals(size)),
        () => format!("{sign}${}", three_digits(size)),
    }
}

fn scaled(value: f64, units: &[&str], step: f64) -> String {
    let mut value = value;
    let mut at = 0;
    // What would be written as a whole step belongs to the next unit.
    while value.abs() >= step * 0.9995 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    match units[at] {
        "" => three_digits(value),
        unit => format!("{} {unit}", three_digits(value)),
    }
}

/// Three digits that matter; whole numbers stay whole.
fn three_digits(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 || value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    if size < 0.01 {
        return format!("{value:.2e}");
    }
    decimals(value)
}

fn decimals(value: f64) -> String {
    let decimals = (2.0 - value.abs().log10().floor()) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::quantity;

    #[test]
    fn the_examples_hold() {
        let examples: Vec<(f64, String, String)> =
            serde_json::from_str(include_str!("../../../web/quantities.json")).unwrap();
        assert!(examples.len() > 20);
        for (value, unit, expected) in examples {
            assert_eq!(quantity(value, &unit), expected, "{value} {unit}");
        }
    }
}
