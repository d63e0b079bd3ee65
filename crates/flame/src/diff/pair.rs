//! The stacks of two sides under one set of functions, as a tree and as a table.

use std::collections::{BTreeMap, HashMap};

use super::{Basis, Noise, Side};
use crate::{
    gather::Gathering,
    growth::{NONE, Settled, Values, add, grow, heaviest, settle},
    stacks::Stacks,
    symbols::Symbol,
    tree::{Cut, MAX_NODES, NoNode, NodeId, find},
};

/// The stacks of both sides: two columns, the base's and the subject's.
pub struct Pair<'a> {
    /// All stacks of both.
    pub stacks: Stacks,
    /// What a value of each side is multiplied by to be compared.
    pub scale: [f64; 2],
    /// What makes them comparable.
    pub basis: Basis,
    /// How much each side varies.
    pub noise: [Noise; 2],
    sides: [Side<'a>; 2],
    /// For each part of each side, where its functions stand in `stacks`.
    places: [Vec<Vec<u32>>; 2],
}

/// A node of a [`DiffTree`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiffNode {
    /// Its function, a position in [`Stacks::symbols`]; `None` stands for what was
    /// cut of its parent's children.
    pub symbol: Option<u32>,
    /// Frames above it.
    pub depth: u32,
    /// Values of all stacks through it, on each side.
    pub total: [u64; 2],
    /// Values of stacks that end in it.
    pub own: [u64; 2],
    /// Standard deviation of the scaled difference of totals, where known.
    pub sigma: Option<f64>,
}

/// A call tree with the values of both sides.
pub struct DiffTree {
    /// The nodes, as [`crate::Tree`] has them.
    pub nodes: Vec<DiffNode>,
    /// The values of both sides as a whole.
    pub total: [u64; 2],
    /// Frames from the root down to, and with, the node asked for.
    pub path: Vec<u32>,
    /// Nodes that were cut, and what stands for them has of each side.
    pub cut_nodes: usize,
    /// See [`DiffTree::cut_nodes`].
    pub cut_values: [u64; 2],
}

/// A function in the table of both sides.
#[derive(Debug, Clone, Copy)]
pub struct DiffRow<'a> {
    /// The function.
    pub symbol: &'a Symbol,
    /// What ends in it, on each side.
    pub flat: [i128; 2],
    /// What passes through it.
    pub cum: [i128; 2],
    /// Standard deviations of the scaled differences of flat and of cum.
    pub sigma: [Option<f64>; 2],
}

impl<'a> Pair<'a> {
    /// Puts the sides together. Takes memory for the distinct stacks of both.
    #[must_use]
    pub fn of(sides: [Side<'a>; 2], basis: Basis) -> Self {
        let (symbols, places) = united_symbols(&sides);
        let mut gathering = Gathering::new(2);
        for (at, (side, places)) in sides.iter().zip(&places).enumerate() {
            for (part, place) in side.parts.iter().zip(places) {
                for stack in part.stacks.iter() {
                    let frames: Vec<u32> =
                        stack.frames.iter().map(|frame| place[*frame as usize]).collect();
                    gathering.push(0, [frames.as_slice()]);
                    let value = stack.values.get(side.column).copied().unwrap_or(0);
                    let sum = &mut gathering.last()[at];
                    *sum = sum.saturating_add(value);
                }
            }
        }
        let measure = |side: &Side<'_>| {
            side.parts.first().map(|part| part.stacks.measure(side.column)).unwrap_or_default()
        };
        let stacks = Stacks {
            symbols,
            measures: sides.iter().map(measure).collect(),
            list: gathering.in_order(),
            start_nanos: 0,
        };
        let scale = |side: &Side<'_>| match side.weight() {
            weight if weight > 0.0 => 1.0 / weight,
            _ => 0.0,
        };
        let (scale, noise) =
            ([scale(&sides[0]), scale(&sides[1])], sides.each_ref().map(Noise::of));
        Self { stacks, scale, basis, noise, sides, places }
    }

    /// Values as they are compared.
    #[must_use]
    pub fn scaled(&self, values: [u64; 2]) -> [f64; 2] {
        [values[0] as f64 * self.scale[0], values[1] as f64 * self.scale[1]]
    }

    fn drawn(&self) -> impl Iterator<Item = (&[u32], Values<2>)> {
        self.stacks.iter().filter_map(|stack| {
            let positive = |at: usize| u64::try_from(stack.values[at]).unwrap_or(0);
            let values = [positive(0), positive(1)];
            (values != [0, 0]).then_some((stack.frames, values))
        })
    }

    /// The tree of both, cut to the nodes that are heaviest on either side.
    ///
    /// # Errors
    /// When [`Cut::root`] is not there.
    pub fn tree(&self, cut: Cut) -> Result<DiffTree, NoNode> {
        let path = match cut.root {
            None => Vec::new(),
            Some(root) => self.find(root).ok_or(NoNode(root.0))?,
        };
        let below = self
            .drawn()
            .filter_map(|(frames, values)| Some((frames.strip_prefix(path.as_slice())?, values)));
        let (all, total) = grow(below);
        let weight = |values: &Values<2>| {
            let [base, subject] = self.scaled(*values);
            base.max(subject)
        };
        let kept = heaviest(&all, cut.nodes.min(MAX_NODES), weight);
        let (settled, lost) = settle(&all, &kept);
        let sigmas = self.sigmas_of_nodes(&path, &settled);
        let node = |(node, sigma): (Settled<2>, Option<f64>)| {
            let Settled { symbol, depth, total, own } = node;
            DiffNode { symbol, depth, total, own, sigma }
        };
        let nodes = settled.into_iter().zip(sigmas).map(node).collect();
        let cut_values = lost.values.unwrap_or([0; 2]);
        Ok(DiffTree { nodes, total, path, cut_nodes: lost.nodes, cut_values })
    }

    fn find(&self, root: NodeId) -> Option<Vec<u32>> {
        find(&self.stacks, self.drawn().map(|(frames, _)| frames), root)
    }

    /// How much the difference at each node varies: each part's stacks walk down
    /// the nodes that were kept.
    fn sigmas_of_nodes(&self, path: &[u32], nodes: &[Settled<2>]) -> Vec<Option<f64>> {
        let children = children_of(nodes);
        let mut variances: Vec<Option<f64>> = vec![Some(0.0); nodes.len()];
        for (at, side) in self.sides.iter().enumerate() {
            let mut values = vec![vec![0.0; side.parts.len()]; nodes.len()];
            for (number, part) in side.parts.iter().enumerate() {
                let place = &self.places[at][number];
                for (frames, value) in part.stacks.drawn(side.column) {
                    let frames = frames.iter().map(|frame| place[*frame as usize]);
                    walk(path, &children, frames, |node| values[node][number] += value as f64);
                }
            }
            for (sum, values) in variances.iter_mut().zip(&values) {
                *sum = sum.zip(self.noise[at].variance(values)).map(|(sum, more)| sum + more);
            }
        }
        let of =
            |(node, variance): (&Settled<2>, Option<f64>)| node.symbol.and(variance).map(f64::sqrt);
        nodes.iter().zip(variances).map(of).collect()
    }

    /// The table: all functions of both sides.
    #[must_use]
    pub fn rows(&self) -> Vec<DiffRow<'_>> {
        let functions = self.stacks.symbols.len();
        let mut rows: Vec<DiffRow<'_>> = self
            .stacks
            .symbols
            .iter()
            .map(|symbol| DiffRow { symbol, flat: [0; 2], cum: [0; 2], sigma: [Some(0.0); 2] })
            .collect();
        for at in 0..2 {
            let mut values = [vec![Vec::new(); functions], vec![Vec::new(); functions]];
            for (number, part) in self.sides[at].parts.iter().enumerate() {
                self.count(at, number, part.stacks, &mut values);
            }
            for (function, row) in rows.iter_mut().enumerate() {
                for (which, sum) in [&mut row.flat[at], &mut row.cum[at]].into_iter().enumerate() {
                    let values = &mut values[which][function];
                    values.resize(self.sides[at].parts.len(), 0.0);
                    *sum = values.iter().sum::<f64>() as i128;
                    let more = self.noise[at].variance(values);
                    row.sigma[which] = row.sigma[which].zip(more).map(|(sum, more)| sum + more);
                }
            }
        }
        let root = |variance: Option<f64>| variance.map(f64::sqrt);
        rows.iter_mut().for_each(|row| row.sigma = row.sigma.map(root));
        rows
    }

    /// Adds the flat and cum values of one part's functions, each at the part's
    /// number.
    fn count(&self, side: usize, number: usize, stacks: &Stacks, values: &mut [Vec<Vec<f64>>; 2]) {
        let place = &self.places[side][number];
        let top = crate::top::Top::by_symbol(stacks, self.sides[side].column);
        for (symbol, (flat, cum)) in top.into_iter().enumerate() {
            let function = place[symbol] as usize;
            for (list, value) in values.iter_mut().zip([flat, cum]) {
                list[function].resize(number + 1, 0.0);
                list[function][number] += value as f64;
            }
        }
    }
}

/// The functions of all parts, by name, and where each part's stand.
fn united_symbols(sides: &[Side<'_>; 2]) -> (Vec<Symbol>, [Vec<Vec<u32>>; 2]) {
    let mut symbols: BTreeMap<&str, &Symbol> = BTreeMap::new();
    for part in sides.iter().flat_map(|side| &side.parts) {
        for symbol in &part.stacks.symbols {
            symbols.entry(&symbol.name).or_insert(symbol);
        }
    }
    let place: HashMap<&str, u32> = symbols.keys().copied().zip(0..).collect();
    let places = sides.each_ref().map(|side| {
        let of = |stacks: &Stacks| {
            stacks.symbols.iter().map(|symbol| place[symbol.name.as_str()]).collect()
        };
        side.parts.iter().map(|part| of(part.stacks)).collect()
    });
    (symbols.into_values().cloned().collect(), places)
}

/// For each node its children by function; those of the root under [`NONE`].
fn children_of(nodes: &[Settled<2>]) -> HashMap<(u32, u32), u32> {
    let mut children = HashMap::new();
    let mut open: Vec<u32> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        open.truncate(node.depth as usize);
        let parent = open.last().copied().unwrap_or(NONE);
        if let Some(symbol) = node.symbol {
            children.insert((parent, symbol), at as u32);
        }
        open.push(at as u32);
    }
    children
}

/// Calls `visit` for each node that a stack passes.
fn walk(
    path: &[u32],
    children: &HashMap<(u32, u32), u32>,
    mut frames: impl Iterator<Item = u32>,
    mut visit: impl FnMut(usize),
) {
    if !path.iter().all(|symbol| frames.next() == Some(*symbol)) {
        return;
    }
    let mut at = NONE;
    for symbol in frames {
        match children.get(&(at, symbol)) {
            Some(child) => at = *child,
            None => return,
        }
        visit(at as usize);
    }
}

impl DiffTree {
    /// The values of all roots together, without what has no frame.
    #[must_use]
    pub fn rooted(&self) -> [u64; 2] {
        let mut sum = [0; 2];
        let roots = self.nodes.iter().filter(|node| node.depth == 0);
        roots.for_each(|node| add(&mut sum, &node.total));
        sum
    }
}
