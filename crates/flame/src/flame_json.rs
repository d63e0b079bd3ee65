//! `flame.json`: a call tree for a page to draw, bounded, with what was cut.

use std::{cmp::Reverse, collections::BTreeSet, io::Write};

use serde::Serialize;

use crate::{
    error::ViewError,
    stacks::Stacks,
    symbols::Inlined,
    top::Top,
    tree::{Cut, Tree},
};

/// Version of the format; a reader refuses what is newer than itself.
pub const FLAME_JSON_VERSION: u32 = 1;

/// The document. Columns of equal length stand for lists of objects, because
/// they are half the bytes. A node's children follow it with one more `depth`,
/// and begin at its left edge. A node's `own` is what ends in it, mostly nothing;
/// with its children's values that is its own whole value. Numbers are exact; a
/// reader with doubles rounds them beyond 2^53.
#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    sample_type: Measure<'a>,
    /// The value of the whole, or of what is below `path`.
    total: u64,
    /// The value of the whole, or of what it is a part of.
    whole: u64,
    /// What it is a part of, where that is not the profile itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole_of: Option<&'a str>,
    /// Functions from the root down to the node asked for, positions in
    /// `functions`.
    path: Vec<usize>,
    functions: Functions<'a>,
    nodes: Nodes,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Rows>,
    truncated: Truncated,
}

/// The first functions by flat and by cum, where asked for.
#[derive(Serialize)]
struct Rows {
    /// How many functions there are in all.
    of: usize,
    function: Vec<usize>,
    flat: Vec<i128>,
    cum: Vec<i128>,
}

#[derive(Serialize)]
pub(crate) struct Measure<'a> {
    pub(crate) r#type: &'a str,
    pub(crate) unit: &'a str,
}

/// Functions that nodes and rows refer to, those met so far.
#[derive(Serialize)]
pub(crate) struct Functions<'a> {
    name: Vec<&'a str>,
    /// Empty where unknown.
    file: Vec<&'a str>,
    /// Its first line; 0 where unknown.
    line: Vec<i64>,
    package: Vec<&'a str>,
    /// 0 never inlined, 1 in places, 2 everywhere.
    inlined: Vec<u8>,
    #[serde(skip)]
    of: &'a Stacks,
    #[serde(skip)]
    places: Vec<Option<usize>>,
}

#[derive(Serialize, Default)]
struct Nodes {
    depth: Vec<u32>,
    /// A position in `functions`; -1 is what was cut of the parent's children.
    function: Vec<i64>,
    own: Vec<u64>,
}

/// What `-1` stands for, over the whole document.
#[derive(Serialize)]
struct Truncated {
    nodes: usize,
    value: u64,
}

/// What stands beside a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside<'a> {
    /// So many functions by flat, and as many by cum.
    pub rows: usize,
    /// A value that all of the profile is a part of, and what that is: what was
    /// billed, beside what was on the CPU.
    pub whole: Option<(u64, &'a str)>,
}

/// Writes the heaviest nodes of one sample type's call tree, and what stands beside
/// it.
///
/// # Errors
/// When [`Cut::root`] is not there, or `out` does not take it.
pub fn flame_json(
    stacks: &Stacks,
    column: usize,
    cut: Cut,
    beside: Beside<'_>,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let Beside { rows, whole } = beside;
    let tree = Tree::of(stacks, column, cut)?;
    // Several processors at once cost no more than one.
    let whole = whole.filter(|(value, _)| *value >= tree.whole);
    let mut functions = Functions::of(stacks);
    let path = tree.path.iter().map(|at| functions.place(*at)).collect();
    let mut nodes = Nodes::default();
    for node in &tree.nodes {
        nodes.depth.push(node.depth);
        nodes.function.push(node.symbol.map_or(-1, |at| functions.place(at) as i64));
        nodes.own.push(node.own);
    }
    let top = (rows > 0).then(|| top(stacks, column, rows, &mut functions));
    let measure = stacks.measure(column);
    let document = Document {
        format: "flambeau-flame",
        version: FLAME_JSON_VERSION,
        sample_type: Measure { r#type: &measure.typ, unit: &measure.unit },
        total: tree.total,
        whole: whole.map_or(tree.whole, |(value, _)| value),
        whole_of: whole.map(|(_, of)| of),
        path,
        functions,
        nodes,
        top,
        truncated: Truncated { nodes: tree.truncated.nodes, value: tree.truncated.value },
    };
    Ok(serde_json::to_writer(out, &document)?)
}

fn top(stacks: &Stacks, column: usize, most: usize, functions: &mut Functions<'_>) -> Rows {
    let values = Top::by_symbol(stacks, column);
    let mut chosen = BTreeSet::new();
    for by in [|(flat, _): &(i128, i128)| *flat, |(_, cum): &(i128, i128)| *cum] {
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_by_key(|at| Reverse(by(&values[*at as usize]).unsigned_abs()));
        chosen.extend(order.into_iter().take(most));
    }
    let of = |at: &u32| values[*at as usize];
    Rows {
        of: values.len(),
        function: chosen.iter().map(|at| functions.place(*at)).collect(),
        flat: chosen.iter().map(|at| of(at).0).collect(),
        cum: chosen.iter().map(|at| of(at).1).collect(),
    }
}

impl<'a> Functions<'a> {
    pub(crate) fn of(stacks: &'a Stacks) -> Self {
        let places = vec![None; stacks.symbols.len()];
        let (name, file, line) = (Vec::new(), Vec::new(), Vec::new());
        let (package, inlined) = (Vec::new(), Vec::new());
        Self { name, file, line, package, inlined, of: stacks, places }
    }

    /// Where a function stands, or from now on does.
    pub(crate) fn place(&mut self, at: u32) -> usize {
        let fresh = self.name.len();
        let place = *self.places[at as usize].get_or_insert(fresh);
        if place == fresh {
            let symbol = &self.of.symbols[at as usize];
            self.name.push(&symbol.name);
            self.file.push(&symbol.file);
            self.line.push(symbol.line);
            self.package.push(&symbol.package);
            self.inlined.push(match symbol.inlined {
                Inlined::No => 0,
                Inlined::Some => 1,
                Inlined::All => 2,
            });
        }
        place
    }
}
