//! The call tree of one sample type, cut to its heaviest nodes.

use std::cmp::Reverse;

use crate::stacks::{Stacks, Symbol};

/// Nodes of a tree where nobody says how many.
pub const DEFAULT_NODES: usize = 8_192;
/// Most nodes of a tree that may be asked for: some 4 MB of flame.json.
pub const MAX_NODES: usize = 65_536;
/// Frames of a stack that a tree shows; deeper ones are cut as light ones are.
/// 1 024 rows are a picture 16 000 pixels high.
pub const MAX_DEPTH: usize = 1_024;

/// How much of a tree to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Nodes to keep, the heaviest; see [`MAX_NODES`].
    pub nodes: usize,
    /// Show what is below this node only; see [`NodeId`].
    pub root: Option<NodeId>,
}

impl Default for Cut {
    fn default() -> Self {
        Self { nodes: DEFAULT_NODES, root: None }
    }
}

/// What names a node over requests: FNV-1a, 64 bits, over the path from the
/// root to it, for each frame its name and a zero byte.
///
/// Source of the hash: <http://www.isthe.com/chongo/tech/comp/fnv/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The empty path.
    pub const ROOT: Self = Self(0xcbf2_9ce4_8422_2325);

    /// The node of a frame below this one.
    #[must_use]
    pub fn child(self, symbol: &Symbol) -> Self {
        let bytes = symbol.name.bytes().chain([0]);
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.fold(self.0, step))
    }
}

/// A node of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its function, a position in [`Stacks::symbols`]; `None` stands for
    /// children of its parent that were cut.
    pub symbol: Option<u32>,
    /// Frames above it.
    pub depth: u32,
    /// The value of all stacks through it: its own and its children's.
    pub total: u64,
    /// The value of stacks that end in it.
    pub own: u64,
}

/// What was cut from a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Truncated {
    /// Nodes left out.
    pub nodes: usize,
    /// The value that the nodes standing for them have together.
    pub value: u64,
}

/// A call tree in depth-first order, a parent before its children, children in
/// order of names, what was cut of them last.
///
/// There are at most twice as many nodes as [`Cut::nodes`], since each kept one
/// can have one that stands for what was cut.
#[derive(Debug)]
pub struct Tree<'a> {
    /// Where the symbols are.
    pub stacks: &'a Stacks,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The value of the tree as a whole.
    pub total: u64,
    /// Frames from the root down to, and with, [`Cut::root`].
    pub path: Vec<u32>,
    /// What is not there.
    pub truncated: Truncated,
}

/// A node nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no node {0:016x} in this profile; ask without `root` for the whole")]
pub struct NoNode(pub u64);

/// A node while the tree grows.
struct Growing {
    parent: u32,
    symbol: u32,
    depth: u32,
    total: u64,
    own: u64,
    /// What lies beyond [`MAX_DEPTH`] below it.
    deeper: u64,
}

const NONE: u32 = u32::MAX;

impl<'a> Tree<'a> {
    /// The tree of one column; only positive values can be drawn. Takes memory
    /// for all nodes, and time for all frames, of the whole tree.
    ///
    /// # Errors
    /// When [`Cut::root`] is not there.
    pub fn of(stacks: &'a Stacks, column: usize, cut: Cut) -> Result<Self, NoNode> {
        let path = match cut.root {
            None => Vec::new(),
            Some(root) => find(stacks, column, root).ok_or(NoNode(root.0))?,
        };
        let below = stacks.drawn(column).filter_map(|(frames, value)| {
            let rest = frames.strip_prefix(path.as_slice())?;
            Some((rest, value))
        });
        let (all, total) = grow(below);
        let kept = heaviest(&all, cut.nodes.min(MAX_NODES));
        let (nodes, truncated) = settle(&all, &kept);
        Ok(Self { stacks, nodes, total, path, truncated })
    }

    /// The function of a node, and `None` for what was cut.
    #[must_use]
    pub fn symbol(&self, node: &Node) -> Option<&'a Symbol> {
        node.symbol.map(|at| &self.stacks.symbols[at as usize])
    }

    /// The nodes with where they begin: the value of all that stands left of
    /// them.
    pub fn placed(&self) -> impl Iterator<Item = (u64, &Node)> {
        // Where the next child at each depth begins.
        let mut next: Vec<u64> = vec![0];
        self.nodes.iter().map(move |node| {
            let depth = node.depth as usize;
            next.truncate(depth + 1);
            let x = next[depth];
            next[depth] = x.saturating_add(node.total);
            // Children follow what ends here, as everywhere in flame graphs.
            next.push(x);
            (x, node)
        })
    }
}

/// The path of a node, by its id.
fn find(stacks: &Stacks, column: usize, root: NodeId) -> Option<Vec<u32>> {
    if root == NodeId::ROOT {
        return Some(Vec::new());
    }
    stacks.drawn(column).find_map(|(frames, _)| {
        let mut id = NodeId::ROOT;
        let depth = frames.iter().position(|at| {
            id = id.child(&stacks.symbols[*at as usize]);
            id == root
        })?;
        Some(frames[..=depth].to_vec())
    })
}

/// All nodes. Stacks come sorted, so that each continues the one before.
fn grow<'a>(stacks: impl Iterator<Item = (&'a [u32], u64)>) -> (Vec<Growing>, u64) {
    let mut nodes: Vec<Growing> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut total: u64 = 0;
    for (frames, value) in stacks {
        total = total.saturating_add(value);
        let deep = frames.len() > MAX_DEPTH;
        let frames = &frames[..frames.len().min(MAX_DEPTH)];
        let continues = |(at, symbol): (&u32, &u32)| nodes[*at as usize].symbol == *symbol;
        let shared = open.iter().zip(frames).take_while(|pair| continues(*pair)).count();
        open.truncate(shared);
        for symbol in &frames[shared..] {
            let parent = open.last().copied().unwrap_or(NONE);
            let depth = open.len() as u32;
            open.push(nodes.len() as u32);
            nodes.push(Growing { parent, symbol: *symbol, depth, total: 0, own: 0, deeper: 0 });
        }
        for at in &open {
            let node = &mut nodes[*at as usize];
            node.total = node.total.saturating_add(value);
        }
        if let Some(last) = open.last() {
            let node = &mut nodes[*last as usize];
            let sum = if deep { &mut node.deeper } else { &mut node.own };
            *sum = sum.saturating_add(value);
        }
    }
    (nodes, total)
}

/// Which nodes stay. A parent weighs no less than its children and stands
/// before them, so that no kept node loses its parent.
fn heaviest(nodes: &[Growing], most: usize) -> Vec<bool> {
    let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
    let weight = |at: &u32| (Reverse(nodes[*at as usize].total), *at);
    if most < order.len() {
        order.select_nth_unstable_by_key(most, weight);
        order.truncate(most);
    }
    let mut kept = vec![false; nodes.len()];
    order.iter().for_each(|at| kept[*at as usize] = true);
    kept
}

/// What is kept, and one node beside it for what was cut of a node's children.
fn settle(all: &[Growing], kept: &[bool]) -> (Vec<Node>, Truncated) {
    let mut truncated = Truncated::default();
    // What was cut of each node's children, the root's last.
    let mut cut: Vec<u64> = all.iter().map(|node| node.deeper).chain([0]).collect();
    for (node, _) in all.iter().zip(kept).filter(|(node, kept)| **kept && node.deeper > 0) {
        truncated.nodes += 1;
        truncated.value = truncated.value.saturating_add(node.deeper);
    }
    for (node, _) in all.iter().zip(kept).filter(|(_, kept)| !**kept) {
        truncated.nodes += 1;
        let parent = node.parent as usize;
        if node.parent == NONE || kept[parent] {
            let at = parent.min(all.len());
            cut[at] = cut[at].saturating_add(node.total);
            truncated.value = truncated.value.saturating_add(node.total);
        }
    }
    let mut nodes = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let close = |nodes: &mut Vec<Node>, at: usize, depth: u32| {
        if cut[at] > 0 {
            nodes.push(Node { symbol: None, depth, total: cut[at], own: cut[at] });
        }
    };
    for (at, node) in all.iter().enumerate().filter(|(at, _)| kept[*at]) {
        while open.len() > node.depth as usize {
            let depth = open.len() as u32;
            let Some(closed) = open.pop() else { break };
            close(&mut nodes, closed, depth);
        }
        open.push(at);
        let Growing { symbol, depth, total, own, .. } = *node;
        nodes.push(Node { symbol: Some(symbol), depth, total, own });
    }
    while let Some(closed) = open.pop() {
        close(&mut nodes, closed, open.len() as u32 + 1);
    }
    close(&mut nodes, all.len(), 0);
    (nodes, truncated)
}
