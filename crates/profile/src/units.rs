//! Units of measure that pprof knows, and conversion between them.

/// A unit: the name shown, other spellings, and its size in the base unit.
type Unit = (&'static str, &'static [&'static str], f64);

/// One sort of measure: its units, and the one used where none is asked for.
struct Sort {
    units: &'static [Unit],
    default: (&'static str, f64),
}

/// As `internal/measurement` of <https://github.com/google/pprof> has them.
const SORTS: [Sort; 3] = [
    Sort {
        units: &[
            ("B", &["b", "byte"], 1.0),
            ("kB", &["kb", "kbyte", "kilobyte"], (1u64 << 10) as f64),
            ("MB", &["mb", "mbyte", "megabyte"], (1u64 << 20) as f64),
            ("GB", &["gb", "gbyte", "gigabyte"], (1u64 << 30) as f64),
            ("TB", &["tb", "tbyte", "terabyte"], (1u64 << 40) as f64),
            ("PB", &["pb", "pbyte", "petabyte"], (1u64 << 50) as f64),
        ],
        default: ("B", 1.0),
    },
    Sort {
        units: &[
            ("ns", &["ns", "nanosecond"], 1.0),
            ("us", &["μs", "us", "microsecond"], 1e3),
            ("ms", &["ms", "millisecond"], 1e6),
            ("s", &["s", "sec", "second"], 1e9),
            ("hrs", &["hour", "hr"], 3600e9),
        ],
        default: ("s", 1e9),
    },
    Sort {
        units: &[
            ("n*GCU", &["nanogcu"], 1e-9),
            ("u*GCU", &["microgcu"], 1e-6),
            ("m*GCU", &["milligcu"], 1e-3),
            ("GCU", &["gcu"], 1.0),
            ("k*GCU", &["kilogcu"], 1e3),
            ("M*GCU", &["megagcu"], 1e6),
            ("G*GCU", &["gigagcu"], 1e9),
            ("T*GCU", &["teragcu"], 1e12),
            ("P*GCU", &["petagcu"], 1e15),
        ],
        default: ("GCU", 1.0),
    },
];

impl Sort {
    fn find(&self, unit: &str) -> Option<(&'static str, f64)> {
        let mut unit = unit.to_lowercase();
        if unit.chars().count() > 2 && unit.ends_with('s') {
            unit.pop();
        }
        let found = self.units.iter().find(|(_, names, _)| names.contains(&unit.as_str()));
        found.map(|&(name, _, size)| (name, size))
    }
}

/// A value in another unit, and that unit's name as shown. Where the units are
/// of different sorts, the default of the first's; unknown units stay.
pub(crate) fn scale(value: i64, from: &str, to: &str) -> (f64, String) {
    for sort in &SORTS {
        if let Some((_, size)) = sort.find(from) {
            let (name, to_size) = sort.find(to).unwrap_or(sort.default);
            return (value as f64 * size / to_size, name.to_owned());
        }
    }
    let uninteresting = matches!(to, "count" | "sample" | "unit" | "minimum" | "auto");
    let unit = if uninteresting { "" } else { to };
    (value as f64, unit.to_owned())
}

/// Nanoseconds in one of a unit; `None` for what is no time.
#[must_use]
pub fn nanos_in(unit: &str) -> Option<u64> {
    let (_, size) = SORTS[1].find(unit)?;
    Some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::{nanos_in, scale};

    #[test]
    fn only_times_have_nanoseconds() {
        let units = ["nanoseconds", "ns", "microseconds", "milliseconds", "seconds", "hours"];
        let known = [1, 1, 1_000, 1_000_000, 1_000_000_000, 3_600_000_000_000].map(Some);
        assert_eq!(units.map(nanos_in), known);
        assert_eq!(["bytes", "count", ""].map(nanos_in), [None; 3]);
    }

    #[test]
    fn converts_within_a_sort() {
        assert_eq!(scale(32, "kb", "bytes"), (32768.0, "B".into()));
        assert_eq!(scale(-1, "hours", "seconds"), (-3600.0, "s".into()));
        assert_eq!(scale(2, "MB", "nothing"), (2097152.0, "B".into()));
        assert_eq!(scale(5, "widgets", "widgets"), (5.0, "widgets".into()));
        assert_eq!(scale(5, "widgets", "count"), (5.0, String::new()));
    }
}
