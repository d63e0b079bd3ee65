//! A difference as a picture without script, for files and for pages without
//! script; names in it are text, and nothing in it acts.

use std::fmt::Write;

use flambeau_profile::DisplayName;

use super::{DiffNode, Pair};
use crate::{
    colour::{GREY, change},
    error::ViewError,
    folded::OTHER,
    name::shown_name,
    svg::{Graph, MIN_WIDTH_PERCENT},
    tree::Cut,
};

/// What of a difference is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drawn {
    /// The frames of both sides, each as wide as the wider one.
    #[default]
    Union,
    /// The subject's frames, coloured by what ends in them: FlameScope's
    /// "differential".
    Subject,
    /// The base's frames that the subject does not have: FlameScope's "elided".
    Gone,
}

impl std::str::FromStr for Drawn {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "union" => Ok(Self::Union),
            "differential" => Ok(Self::Subject),
            "elided" => Ok(Self::Gone),
            other => Err(format!(
                "view `{other}` of a difference is not known; write union, differential or elided"
            )),
        }
    }
}

/// Width of the picture, height of a row and width of a letter, in pixels.
const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const LETTER: f64 = 6.6;
/// Height of the two headlines.
const HEAD: f64 = 44.0;

/// Draws both sides in one tree; [`Graph::column`] is not looked at.
///
/// # Errors
/// When there is nothing to draw.
pub fn diff_svg(pair: &Pair<'_>, graph: &Graph, drawn: Drawn) -> Result<Vec<u8>, ViewError> {
    let Cut { nodes, root } = graph.cut;
    let tree = pair.tree(Cut { nodes, root })?;
    let widths = widths(pair, &tree.nodes, drawn);
    let roots = || tree.nodes.iter().zip(&widths).filter(|(node, _)| node.depth == 0);
    let total: f64 = roots().map(|(_, width)| width).sum();
    if total <= 0.0 {
        return Err(ViewError::Nothing(pair.stacks.measure(1).to_string()));
    }
    let boxes = place(&tree.nodes, &widths, total);
    let rows = boxes.iter().map(|(_, at)| at.depth + 1).max().unwrap_or(0);
    let mut out = head(graph, rows);
    let strongest = strongest(pair, &tree.nodes, drawn);
    for (node, at) in &boxes {
        draw(
            &mut out,
            pair,
            node,
            *at,
            (rows, graph.icicle),
            change_of(pair, node, drawn) / strongest,
        );
    }
    out.push_str("</svg>\n");
    Ok(out.into_bytes())
}

/// Where a box stands, in pixels but for its depth.
#[derive(Clone, Copy)]
struct Place {
    x: f64,
    width: f64,
    depth: u32,
}

/// The width of each node in what is compared: its own and its children's.
fn widths(pair: &Pair<'_>, nodes: &[DiffNode], drawn: Drawn) -> Vec<f64> {
    let mut widths = vec![0.0; nodes.len()];
    // Children stand behind their parent: from the end, each is known before.
    let mut below: Vec<f64> = Vec::new();
    for (at, node) in nodes.iter().enumerate().rev() {
        let depth = node.depth as usize;
        below.resize(below.len().max(depth + 2), 0.0);
        let children = std::mem::take(&mut below[depth + 1]);
        let [base, subject] = pair.scaled(node.own);
        widths[at] = children
            + match drawn {
                Drawn::Union => base.max(subject),
                Drawn::Subject => subject,
                Drawn::Gone if node.total[1] == 0 => base,
                Drawn::Gone => 0.0,
            };
        below[depth] += widths[at];
    }
    widths
}

fn place<'n>(nodes: &'n [DiffNode], widths: &[f64], total: f64) -> Vec<(&'n DiffNode, Place)> {
    let least = WIDTH * MIN_WIDTH_PERCENT / 100.0;
    let mut next: Vec<f64> = vec![0.0];
    let mut boxes = Vec::new();
    for (node, width) in nodes.iter().zip(widths) {
        let depth = node.depth as usize;
        next.truncate(depth + 1);
        let (x, width) = (next[depth], width / total * WIDTH);
        next[depth] += width;
        next.push(x);
        if width >= least {
            boxes.push((node, Place { x, width, depth: node.depth }));
        }
    }
    boxes
}

/// How much a node changed, in what is compared: itself where parents are drawn
/// beside it, else with all below it.
fn change_of(pair: &Pair<'_>, node: &DiffNode, drawn: Drawn) -> f64 {
    let values = if drawn == Drawn::Subject { node.own } else { node.total };
    let [base, subject] = pair.scaled(values);
    subject - base
}

fn strongest(pair: &Pair<'_>, nodes: &[DiffNode], drawn: Drawn) -> f64 {
    let changes = nodes.iter().map(|node| change_of(pair, node, drawn).abs());
    changes.fold(0.0, f64::max).max(f64::MIN_POSITIVE)
}

fn head(graph: &Graph, rows: u32) -> String {
    let height = HEAD + f64::from(rows) * ROW + 4.0;
    let title = escaped(&shown_name(&graph.title));
    let subtitle = escaped(&shown_name(graph.subtitle.as_deref().unwrap_or(" ")));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"4\" y=\"17\" font-size=\"14\">{title}</text>\n\
         <text x=\"4\" y=\"34\">{subtitle} · blue is less, orange is more</text>\n"
    )
}

fn draw(
    out: &mut String,
    pair: &Pair<'_>,
    node: &DiffNode,
    at: Place,
    (rows, icicle): (u32, bool),
    strength: f64,
) {
    let symbol = node.symbol.map(|at| &pair.stacks.symbols[at as usize]);
    let name = symbol.map_or(OTHER, |symbol| symbol.name.as_str());
    let row = if icicle { at.depth } else { rows - 1 - at.depth };
    let (x, y) = (at.x, HEAD + f64::from(row) * ROW);
    let [r, g, b] = if symbol.is_some() { change(strength) } else { GREY };
    let said = said(pair, node);
    let width = (at.width - 0.5).max(0.1);
    let _ = write!(
        out,
        "<g><title>{} {}</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" \
         fill=\"#{r:02x}{g:02x}{b:02x}\"/>",
        escaped(name),
        escaped(&said)
    );
    let letters = (at.width / LETTER) as usize;
    if letters >= 4 {
        let text = DisplayName::new(&format!("{name} {said}")).at_most(letters - 2).to_string();
        let _ =
            write!(out, "<text x=\"{:.1}\" y=\"{}\">{}</text>", x + 2.0, y + 12.0, escaped(&text));
    }
    out.push_str("</g>\n");
}

/// A node's change in words, with its sign.
fn said(pair: &Pair<'_>, node: &DiffNode) -> String {
    let [base, subject] = pair.scaled(node.total);
    match (node.total, pair.basis) {
        ([0, _], super::Basis::Share) => format!("(new, {:.2} %)", 100.0 * subject),
        ([_, 0], super::Basis::Share) => format!("(gone, was {:.2} %)", 100.0 * base),
        (_, super::Basis::Share) => {
            format!(
                "({:+.2} points, {:.2} % to {:.2} %)",
                100.0 * (subject - base),
                100.0 * base,
                100.0 * subject
            )
        }
        ([0, _], _) => format!("(new, {subject:.6})"),
        ([_, 0], _) => format!("(gone, was {base:.6})"),
        _ => format!("({:+.6}, {base:.6} to {subject:.6})", subject - base),
    }
}

/// Text as XML holds it. Names are shown names: no control characters are left.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
