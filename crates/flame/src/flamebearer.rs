//! Pyroscope's flamebearer: a call tree row by row.
//!
//! Source: `packages/pyroscope-models/src` of
//! <https://github.com/grafana/pyroscope>. A row is a list of groups of four:
//! the gap to the group before it, total, own value, position of the name.

use std::{collections::HashMap, io::Write};

use serde::Serialize;

use crate::{
    error::ViewError,
    folded::OTHER,
    name::shown_name,
    stacks::Stacks,
    tree::{Cut, Node, Tree},
};

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    flamebearer: Flamebearer<'a>,
    metadata: Metadata,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Flamebearer<'a> {
    names: Vec<&'a str>,
    levels: Vec<Vec<u64>>,
    num_ticks: u64,
    max_self: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    format: &'static str,
    spy_name: &'static str,
    sample_rate: u64,
    units: &'static str,
    name: String,
}

/// Writes the heaviest nodes of one sample type's call tree.
///
/// # Errors
/// When [`Cut::root`] is not there, or `out` does not take it.
pub fn flamebearer(
    stacks: &Stacks,
    column: usize,
    cut: Cut,
    title: &str,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let tree = Tree::of(stacks, column, cut)?;
    let measure = stacks.measure(column);
    let (units, sample_rate) = units(&measure.typ, &measure.unit);
    let document = Document {
        version: 1,
        flamebearer: rows(&tree),
        metadata: Metadata {
            format: "single",
            spy_name: "unknown",
            sample_rate,
            units,
            name: shown_name(title),
        },
    };
    Ok(serde_json::to_writer(out, &document)?)
}

fn rows<'a>(tree: &Tree<'a>) -> Flamebearer<'a> {
    let mut names = vec!["total"];
    let mut places: HashMap<Option<u32>, u64> = HashMap::new();
    let own = tree.total.saturating_sub(sum_of_roots(tree));
    let mut levels = vec![vec![0, tree.total, own, 0]];
    // Where the last group of each row ends.
    let mut ends: Vec<u64> = vec![tree.total];
    let mut max_self = own;
    for (x, node) in tree.placed() {
        let row = node.depth as usize + 1;
        if row == levels.len() {
            levels.push(Vec::new());
            ends.push(0);
        }
        let place = *places.entry(node.symbol).or_insert_with(|| {
            names.push(tree.symbol(node).map_or(OTHER, |symbol| &symbol.name));
            names.len() as u64 - 1
        });
        levels[row].extend([x.saturating_sub(ends[row]), node.total, node.own, place]);
        ends[row] = x.saturating_add(node.total);
        max_self = max_self.max(node.own);
    }
    Flamebearer { names, levels, num_ticks: tree.total, max_self }
}

fn sum_of_roots(tree: &Tree<'_>) -> u64 {
    let roots = tree.nodes.iter().filter(|node| node.depth == 0);
    roots.fold(0, |sum, node: &Node| sum.saturating_add(node.total))
}

/// The unit by Pyroscope's names, and how many of it make a second.
fn units(typ: &str, unit: &str) -> (&'static str, u64) {
    match (typ, unit) {
        ("delay" | "contentions", "nanoseconds") => ("lock_nanoseconds", 1_000_000_000),
        (_, "nanoseconds") => ("samples", 1_000_000_000),
        (_, "microseconds") => ("samples", 1_000_000),
        (_, "milliseconds") => ("samples", 1_000),
        (_, "seconds") => ("samples", 1),
        (_, "bytes") => ("bytes", 1),
        ("contentions", _) => ("lock_samples", 1),
        ("goroutine" | "goroutines", _) => ("goroutines", 1),
        ("inuse_objects" | "alloc_objects" | "objects", _) => ("objects", 1),
        _ => ("samples", 1),
    }
}
