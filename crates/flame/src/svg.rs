//! The SVG flame graph, drawn by inferno.

use std::collections::HashMap;

use inferno::flamegraph::{self, Options, color::PaletteMap};

use crate::{
    colour::{GREY, colour},
    error::ViewError,
    folded::{OTHER, folded_names, folded_tree},
    name::shown_name,
    stacks::Stacks,
    tree::{Cut, Tree},
};

/// Frames narrower than this share of the whole, in percent, are not drawn:
/// below it a frame is thinner than a pixel of a wide screen.
pub const MIN_WIDTH_PERCENT: f64 = 0.05;

/// inferno adds values up in 64 bits; larger trees are drawn in units of a
/// power of two.
const MAX_TOTAL: u64 = 1 << 62;

/// What inferno calls the box under all others.
const ALL: &str = "";

/// What to draw.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The sample type, by position.
    pub column: usize,
    /// Headline; any text.
    pub title: String,
    /// Second line; any text.
    pub subtitle: Option<String>,
    /// Leaves on top (`false`) or root on top (`true`).
    pub icicle: bool,
    /// How much of the tree.
    pub cut: Cut,
}

/// Draws one sample type of a profile: at most [`Cut::nodes`] nodes, the
/// heaviest, what is cut as `other`. Colours follow packages, the same in every
/// picture.
///
/// # Errors
/// When there is nothing to draw.
pub fn svg(stacks: &Stacks, graph: &Graph) -> Result<Vec<u8>, ViewError> {
    let tree = Tree::of(stacks, graph.column, graph.cut)?;
    let names = folded_names(stacks);
    let shift = (tree.total / MAX_TOTAL + 1).ilog2() + u32::from(tree.total > MAX_TOTAL);
    let mut lines = folded_tree(&tree, &names, shift);
    let measure = stacks.measure(graph.column);
    if lines.is_empty() {
        return Err(ViewError::Nothing(measure.to_string()));
    }
    // Sorted as text, `f`, `f(int)` and `f;g` would part `f` into two boxes. The
    // tree's order parts none, and only a "flame chart" is drawn unsorted: from
    // its last line to the first.
    lines.reverse();
    let mut palette = palette(&tree, &names);
    let mut options = Options::default();
    options.title = shown_name(&graph.title);
    options.subtitle = graph.subtitle.as_deref().map(shown_name);
    options.min_width = MIN_WIDTH_PERCENT;
    options.palette_map = Some(&mut palette);
    options.image_width = None;
    options.direction = match graph.icicle {
        true => flamegraph::Direction::Inverted,
        false => flamegraph::Direction::Straight,
    };
    options.count_name = unit_name(&measure.unit);
    options.factor = (1_u64 << shift) as f64;
    options.flame_chart = true;
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)?;
    Ok(picture)
}

/// Colours by the names that inferno asks for.
fn palette(tree: &Tree<'_>, names: &[String]) -> PaletteMap {
    let mut by_name: HashMap<&str, [u8; 3]> = HashMap::from([(OTHER, GREY), (ALL, GREY)]);
    for at in tree.nodes.iter().filter_map(|node| node.symbol).chain(tree.path.iter().copied()) {
        let package = &tree.stacks.symbols[at as usize].package;
        by_name.entry(&names[at as usize]).or_insert_with(|| colour(package));
    }
    let mut palette = PaletteMap::default();
    for (name, [r, g, b]) in by_name {
        palette.insert(name, flamegraph::color::Color { r, g, b });
    }
    palette
}

/// A unit that can stand behind a number; units are any text.
fn unit_name(unit: &str) -> String {
    let plain =
        !unit.is_empty() && unit.len() <= 32 && unit.bytes().all(|b| b.is_ascii_alphabetic());
    if plain { unit.to_owned() } else { "units".to_owned() }
}
