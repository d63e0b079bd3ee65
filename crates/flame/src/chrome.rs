//! Chrome's trace events: the call tree laid end to end as complete events.
//!
//! Source: "Trace Event Format",
//! <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>.
//! A merged profile has no time axis: where an event stands says nothing, how
//! long it is says its value. `ph:"P"` samples are V8's own and not used.

use std::io::Write;

use flambeau_profile::nanos_in;

use crate::{
    error::ViewError,
    folded::OTHER,
    name::shown_name,
    stacks::Stacks,
    tree::{Cut, Tree},
};

/// Thousandths of a microsecond, the unit of trace events, in one of what is no
/// time.
const UNTIMED: u64 = 1_000;

/// Writes the heaviest nodes of one sample type's call tree.
///
/// # Errors
/// When [`Cut::root`] is not there, or `out` does not take it.
pub fn chrome(
    stacks: &Stacks,
    column: usize,
    cut: Cut,
    title: &str,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let tree = Tree::of(stacks, column, cut)?;
    let measure = stacks.measure(column);
    let scale = nanos_in(&measure.unit).unwrap_or(UNTIMED);
    let thread = shown_name(&measure.to_string());
    let text = |text: &str| serde_json::to_string(text);
    write!(out, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"exporter\":\"flambeau\",")?;
    write!(out, "\"sample_type\":{},\"total\":\"{}\",", text(&thread)?, tree.total)?;
    write!(out, "\"truncated_value\":\"{}\"}},\"traceEvents\":[", tree.truncated.value)?;
    write!(out, "{}", named("process_name", &text(&shown_name(title))?))?;
    write!(out, ",{}", named("thread_name", &text(&thread)?))?;
    for (x, node) in tree.placed() {
        let (name, package) =
            tree.symbol(node).map_or((OTHER, ""), |symbol| (&symbol.name, &symbol.package));
        let (ts, dur) = (micros(x, scale), micros(node.total, scale));
        // No `args`: speedscope takes them for a part of the name.
        write!(out, ",{{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"cat\":{},", text(package)?)?;
        write!(out, "\"name\":{},\"ts\":{ts},\"dur\":{dur}}}", text(name)?)?;
    }
    Ok(write!(out, "]}}")?)
}

/// A metadata event; `name` is JSON already.
fn named(what: &str, name: &str) -> String {
    format!(
        "{{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"ts\":0,\"cat\":\"__metadata\",\"name\":\"{what}\",\"args\":{{\"name\":{name}}}}}"
    )
}

/// Microseconds with three digits behind the point, exactly.
fn micros(value: u64, scale: u64) -> String {
    let nanos = u128::from(value) * u128::from(scale);
    format!("{}.{:03}", nanos / 1_000, nanos % 1_000)
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn times_are_exact() {
        assert_eq!(micros(1_234_567, 1), "1234.567");
        assert_eq!(micros(7, 1_000), "7.000");
        assert_eq!(micros(u64::MAX, 1_000_000_000), "18446744073709551615000000.000");
    }
}
