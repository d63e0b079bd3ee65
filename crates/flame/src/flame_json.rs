//! `flame.json`: a call tree for a page to draw, bounded, with what was cut.

use std::io::Write;

use serde::Serialize;

use crate::{
    error::ViewError,
    stacks::{Inlined, Stacks},
    tree::{Cut, Tree},
};

/// Version of the format; a reader refuses what is newer than itself.
pub const FLAME_JSON_VERSION: u32 = 1;

/// The document. Columns of equal length stand for lists of objects, because
/// they are half the bytes. A node's children follow it with one more `depth`;
/// what ends in a node is its `total` less its children's, and its children
/// begin at its left edge. Numbers are exact; a reader with doubles rounds them
/// beyond 2^53.
#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    sample_type: Measure<'a>,
    /// The value of the whole, or of what is below `path`.
    total: u64,
    /// Functions from the root down to the node asked for, positions in
    /// `functions`.
    path: Vec<usize>,
    functions: Functions<'a>,
    nodes: Nodes,
    truncated: Truncated,
}

#[derive(Serialize)]
struct Measure<'a> {
    r#type: &'a str,
    unit: &'a str,
}

/// Functions that nodes refer to.
#[derive(Serialize, Default)]
struct Functions<'a> {
    name: Vec<&'a str>,
    /// Empty where unknown.
    file: Vec<&'a str>,
    /// Its first line; 0 where unknown.
    line: Vec<i64>,
    package: Vec<&'a str>,
    /// 0 never inlined, 1 in places, 2 everywhere.
    inlined: Vec<u8>,
}

#[derive(Serialize, Default)]
struct Nodes {
    depth: Vec<u32>,
    /// A position in `functions`; -1 is what was cut of the parent's children.
    function: Vec<i64>,
    total: Vec<u64>,
}

/// What `-1` stands for, over the whole document.
#[derive(Serialize)]
struct Truncated {
    nodes: usize,
    value: u64,
}

/// Writes the heaviest nodes of one sample type's call tree.
///
/// # Errors
/// When [`Cut::root`] is not there, or `out` does not take it.
pub fn flame_json(
    stacks: &Stacks,
    column: usize,
    cut: Cut,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let tree = Tree::of(stacks, column, cut)?;
    let mut used = Used {
        tree: &tree,
        place: vec![None; stacks.symbols.len()],
        functions: Functions::default(),
    };
    let path = tree.path.iter().map(|at| used.place(*at)).collect();
    let mut nodes = Nodes::default();
    for node in &tree.nodes {
        nodes.depth.push(node.depth);
        nodes.function.push(node.symbol.map_or(-1, |at| used.place(at) as i64));
        nodes.total.push(node.total);
    }
    let measure = stacks.measure(column);
    let document = Document {
        format: "flambeau-flame",
        version: FLAME_JSON_VERSION,
        sample_type: Measure { r#type: &measure.typ, unit: &measure.unit },
        total: tree.total,
        path,
        functions: used.functions,
        nodes,
        truncated: Truncated { nodes: tree.truncated.nodes, value: tree.truncated.value },
    };
    Ok(serde_json::to_writer(out, &document)?)
}

/// The functions met so far.
struct Used<'a> {
    tree: &'a Tree<'a>,
    place: Vec<Option<usize>>,
    functions: Functions<'a>,
}

impl Used<'_> {
    fn place(&mut self, at: u32) -> usize {
        let fresh = self.functions.name.len();
        let place = *self.place[at as usize].get_or_insert(fresh);
        if place == fresh {
            let symbol = &self.tree.stacks.symbols[at as usize];
            self.functions.name.push(&symbol.name);
            self.functions.file.push(&symbol.file);
            self.functions.line.push(symbol.line);
            self.functions.package.push(&symbol.package);
            self.functions.inlined.push(match symbol.inlined {
                Inlined::No => 0,
                Inlined::Some => 1,
                Inlined::All => 2,
            });
        }
        place
    }
}
