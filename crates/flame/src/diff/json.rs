//! `diff.json`: both sides for a page to draw.

use std::io::Write;

use serde::Serialize;

use super::{DiffRow, DiffTree, Pair};
use crate::{
    error::ViewError,
    flame_json::{Functions, Measure},
    tree::Cut,
};

/// Version of the format; a reader refuses what is newer than itself.
pub const DIFF_JSON_VERSION: u32 = 1;

/// The document, in columns as `flame.json` has them: `base` and `subject` are what
/// ends in a node on either side. Values are as recorded; a value times its side's
/// `scale` is what is compared, and `sigma` is in that measure. `-1` stands for what
/// is not known.
#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    sample_type: Measure<'a>,
    basis: &'static str,
    scale: [f64; 2],
    total: [u64; 2],
    /// Whether each side's parts are enough to tell how it varies.
    spread: [bool; 2],
    path: Vec<usize>,
    functions: Functions<'a>,
    nodes: Nodes,
    top: Rows,
    truncated: Truncated,
}

#[derive(Serialize, Default)]
struct Nodes {
    depth: Vec<u32>,
    function: Vec<i64>,
    base: Vec<u64>,
    subject: Vec<u64>,
    sigma: Vec<f64>,
}

/// The functions that differ most, by flat or by cum.
#[derive(Serialize, Default)]
struct Rows {
    /// How many there are in all.
    of: usize,
    function: Vec<usize>,
    flat: [Vec<i128>; 2],
    cum: [Vec<i128>; 2],
    flat_sigma: Vec<f64>,
    cum_sigma: Vec<f64>,
}

#[derive(Serialize)]
struct Truncated {
    nodes: usize,
    base: u64,
    subject: u64,
}

/// Writes the heaviest nodes of both sides, and the `rows` functions that differ
/// most.
///
/// # Errors
/// When [`Cut::root`] is not there, or `out` does not take it.
pub fn diff_json(
    pair: &Pair<'_>,
    cut: Cut,
    rows: usize,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let tree = pair.tree(cut)?;
    let mut functions = Functions::of(&pair.stacks);
    let path = tree.path.iter().map(|at| functions.place(*at)).collect();
    let nodes = nodes(&tree, &mut functions);
    let top = top(pair, rows, &mut functions);
    let measure = pair.stacks.measure(1);
    let document = Document {
        format: "flambeau-diff",
        version: DIFF_JSON_VERSION,
        sample_type: Measure { r#type: &measure.typ, unit: &measure.unit },
        basis: pair.basis.name(),
        scale: pair.scale,
        total: tree.total,
        spread: pair.noise.each_ref().map(super::Noise::is_spread),
        path,
        nodes,
        top,
        functions,
        truncated: Truncated {
            nodes: tree.cut_nodes,
            base: tree.cut_values[0],
            subject: tree.cut_values[1],
        },
    };
    Ok(serde_json::to_writer(out, &document)?)
}

fn nodes(tree: &DiffTree, functions: &mut Functions<'_>) -> Nodes {
    let mut nodes = Nodes::default();
    for node in &tree.nodes {
        nodes.depth.push(node.depth);
        nodes.function.push(node.symbol.map_or(-1, |at| functions.place(at) as i64));
        nodes.base.push(node.own[0]);
        nodes.subject.push(node.own[1]);
        nodes.sigma.push(known(node.sigma));
    }
    nodes
}

fn top<'a>(pair: &'a Pair<'_>, most: usize, functions: &mut Functions<'a>) -> Rows {
    let rows = pair.rows();
    let change = |values: [i128; 2]| {
        (values[1] as f64 * pair.scale[1] - values[0] as f64 * pair.scale[0]).abs()
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let weight = |row: &DiffRow<'_>| change(row.flat).max(change(row.cum));
    order.sort_by(|a, b| weight(&rows[*b]).total_cmp(&weight(&rows[*a])));
    let mut table = Rows { of: rows.len(), ..Rows::default() };
    for at in order.into_iter().take(most) {
        let row = &rows[at];
        table.function.push(functions.place(at as u32));
        for side in 0..2 {
            table.flat[side].push(row.flat[side]);
            table.cum[side].push(row.cum[side]);
        }
        table.flat_sigma.push(known(row.sigma[0]));
        table.cum_sigma.push(known(row.sigma[1]));
    }
    table
}

fn known(sigma: Option<f64>) -> f64 {
    sigma.unwrap_or(-1.0)
}
