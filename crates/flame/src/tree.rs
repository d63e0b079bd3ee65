//! The call tree of one sample type, cut to its heaviest nodes.

use crate::{
    growth::{Settled, grow, heaviest, placed, settle},
    stacks::Stacks,
    symbols::Symbol,
};

/// Nodes of a tree where nobody says how many.
pub const DEFAULT_NODES: usize = 8_192;
/// Most nodes of a tree that may be asked for: some 4 MB of flame.json.
pub const MAX_NODES: usize = 65_536;

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

    /// The node of a frame of this name below this one.
    #[must_use]
    pub fn child(self, name: &str) -> Self {
        let bytes = name.bytes().chain([0]);
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
    /// The value of all stacks, below [`Cut::root`] or not.
    pub whole: u64,
    /// Frames from the root down to, and with, [`Cut::root`].
    pub path: Vec<u32>,
    /// What is not there.
    pub truncated: Truncated,
}

/// A node nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no node {0:016x} in this profile; ask without `root` for the whole")]
pub struct NoNode(pub u64);

impl<'a> Tree<'a> {
    /// The tree of one column; only positive values can be drawn. Takes memory
    /// for all nodes, and time for all frames, of the whole tree.
    ///
    /// # Errors
    /// When [`Cut::root`] is not there.
    pub fn of(stacks: &'a Stacks, column: usize, cut: Cut) -> Result<Self, NoNode> {
        let path = match cut.root {
            None => Vec::new(),
            Some(root) => {
                let drawn = stacks.drawn(column).map(|(frames, _)| frames);
                find(stacks, drawn, root).ok_or(NoNode(root.0))?
            }
        };
        let below = stacks.drawn(column).filter_map(|(frames, value)| {
            let rest = frames.strip_prefix(path.as_slice())?;
            Some((rest, [value]))
        });
        let (all, [total]) = grow(below);
        let kept = heaviest(&all, cut.nodes.min(MAX_NODES), |[total]| *total);
        let (settled, lost) = settle(&all, &kept);
        let node = |Settled { symbol, depth, total: [total], own: [own] }: Settled<1>| Node {
            symbol,
            depth,
            total,
            own,
        };
        let whole = stacks.drawn(column).fold(0_u64, |sum, (_, value)| sum.saturating_add(value));
        let truncated = Truncated { nodes: lost.nodes, value: lost.values.map_or(0, |[sum]| sum) };
        Ok(Self {
            stacks,
            nodes: settled.into_iter().map(node).collect(),
            total,
            whole,
            path,
            truncated,
        })
    }

    /// The function of a node, and `None` for what was cut.
    #[must_use]
    pub fn symbol(&self, node: &Node) -> Option<&'a Symbol> {
        node.symbol.map(|at| &self.stacks.symbols[at as usize])
    }

    /// The nodes with where they begin: the value of all that stands left of
    /// them.
    pub fn placed(&self) -> impl Iterator<Item = (u64, &Node)> {
        placed(&self.nodes, |node| (node.depth, node.total))
    }
}

/// The path of a node among some stacks, by its id.
pub(crate) fn find<'s>(
    stacks: &Stacks,
    mut drawn: impl Iterator<Item = &'s [u32]>,
    root: NodeId,
) -> Option<Vec<u32>> {
    if root == NodeId::ROOT {
        return Some(Vec::new());
    }
    drawn.find_map(|frames| {
        let mut id = NodeId::ROOT;
        let depth = frames.iter().position(|at| {
            id = id.child(&stacks.symbols[*at as usize].name);
            id == root
        })?;
        Some(frames[..=depth].to_vec())
    })
}
