//! Large profiles made small enough to send, and the rest said.

use hashbrown::HashMap;

use crate::error::MergeError;
use crate::ids::NONE;
use crate::merged::{LocationId, Merged};
use crate::rebuild::{Rebuild, Source};
use crate::tables::{FunctionEntry, LineEntry, Place};

/// The function that stands for frames that were pruned.
pub const OTHER: &str = "other";

/// A pruned profile.
pub struct Pruned {
    /// The profile; its totals are those of the whole.
    pub profile: Merged,
    /// Nodes of the whole call tree.
    pub nodes: usize,
    /// Nodes kept, those that say [`OTHER`] not counted.
    pub kept: usize,
    /// What the kept nodes do not tell apart any more: the sum over samples
    /// cut, in the column pruned by, without regard to sign.
    pub folded: i128,
}

/// A node of the call tree: a chain of locations from the root.
struct Node {
    parent: u32,
    weight: u128,
    depth: u32,
}

/// The call tree of all stacks.
struct Tree {
    nodes: Vec<Node>,
    children: HashMap<(u32, LocationId), u32>,
}

impl Tree {
    fn of(merged: &Merged, column: usize) -> Tree {
        let mut tree = Tree { nodes: Vec::new(), children: HashMap::new() };
        for sample in merged.samples() {
            let weight = u128::from(sample.values()[column].unsigned_abs());
            let mut parent = NONE;
            for (depth, location) in sample.locations().rev().enumerate() {
                let fresh = tree.nodes.len() as u32;
                let at = *tree.children.entry((parent, location)).or_insert(fresh);
                if at == fresh {
                    let depth = depth as u32;
                    tree.nodes.push(Node { parent, weight: 0, depth });
                }
                tree.nodes[at as usize].weight += weight;
                parent = at;
            }
        }
        tree
    }

    /// The `most` heaviest nodes. A parent weighs no less than its children and
    /// comes before them, so that no kept node loses its parent.
    fn heaviest(&self, most: usize) -> Vec<bool> {
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        order.sort_by_key(|&i| {
            let node = &self.nodes[i as usize];
            (std::cmp::Reverse(node.weight), node.depth, i)
        });
        let mut kept = vec![false; self.nodes.len()];
        for &i in order.iter().take(most) {
            let parent = self.nodes[i as usize].parent;
            debug_assert!(parent == NONE || kept[parent as usize]);
            kept[i as usize] = true;
        }
        kept
    }
}

impl Merged {
    /// Keeps the `most` heaviest nodes of the call tree by the values of one
    /// column. A stack that leaves them ends in a frame called [`OTHER`], so
    /// that every node keeps its total and the whole keeps its own.
    ///
    /// # Errors
    /// [`MergeError::NoColumn`] if there is no such column.
    pub fn pruned(&self, most: usize, column: usize) -> Result<Pruned, MergeError> {
        let types = self.tables.types;
        if column >= types {
            return Err(MergeError::NoColumn { column, types });
        }
        let tree = Tree::of(self, column);
        let kept = tree.heaviest(most);
        let mut to = Rebuild::new(types);
        let mut source = Source::new(self, &mut to);
        let other = other_location(&mut to);
        let mut folded = 0;
        for sample in self.samples() {
            let mut stack = Vec::new();
            let mut parent = NONE;
            let mut cut = false;
            for location in sample.locations().rev() {
                parent = tree.children[&(parent, location)];
                cut = !kept[parent as usize];
                if cut {
                    stack.push(other);
                    break;
                }
                stack.push(source.location(&mut to, location));
            }
            stack.reverse();
            folded += if cut { i128::from(sample.values()[column]).abs() } else { 0 };
            let labels = source.label_set(&mut to, sample.label_set());
            to.add(&stack, labels, sample.values().iter().map(|&v| i128::from(v)));
        }
        Ok(Pruned {
            profile: to.finish(self.header.clone(), self.truncations),
            nodes: tree.nodes.len(),
            kept: kept.iter().filter(|&&kept| kept).count(),
            folded,
        })
    }
}

fn other_location(to: &mut Rebuild) -> u32 {
    let name = to.tables.strings.intern(OTHER);
    let function =
        to.tables.function(FunctionEntry { name, system_name: name, file: 0, start_line: 0 });
    let nowhere = Place { mapping: NONE, address: 0, folded: false };
    to.tables.location(nowhere, &[LineEntry { function, line: 0, column: 0 }])
}
