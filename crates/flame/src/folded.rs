//! Folded stacks: one line per stack, root first, `a;b;c value`.

use std::io::{self, Write};

use crate::{name::folded_name, stacks::Stacks, tree::Tree};

/// Writes the stacks of one sample type that have a positive value, one by
/// one. What would be read as something else (`;`, a number before the value)
/// is replaced in names.
///
/// # Errors
/// When `out` does not take it.
pub fn folded(stacks: &Stacks, column: usize, out: &mut impl Write) -> io::Result<()> {
    let names = folded_names(stacks);
    for (frames, value) in stacks.drawn(column) {
        for (depth, at) in frames.iter().enumerate() {
            let parted = if depth == 0 { "" } else { ";" };
            write!(out, "{parted}{}", names[*at as usize])?;
        }
        writeln!(out, " {value}")?;
    }
    Ok(())
}

/// The names of all symbols as folded lines have them.
pub(crate) fn folded_names(stacks: &Stacks) -> Vec<String> {
    stacks.symbols.iter().map(|symbol| folded_name(&symbol.name)).collect()
}

/// The lines of a tree: what ends in each node, what was cut as [`OTHER`].
pub(crate) fn folded_tree(tree: &Tree<'_>, names: &[String], shift: u32) -> Vec<String> {
    let name = |at: u32| names[at as usize].as_str();
    let mut path: Vec<&str> = tree.path.iter().map(|at| name(*at)).collect();
    let above = path.len();
    let mut lines = Vec::new();
    for node in &tree.nodes {
        path.truncate(above + node.depth as usize);
        path.push(node.symbol.map_or(OTHER, name));
        let own = node.own >> shift;
        if own > 0 {
            lines.push(format!("{} {own}", path.join(";")));
        }
    }
    lines
}

/// What stands for nodes that were cut.
pub(crate) const OTHER: &str = "other";
