//! The spans that are open, and whose the time is that passes now.

/// A span of the tree.
pub(super) type NodeId = u32;

/// No invocation, in place of one: a span from before the first, or left over from an earlier.
pub(super) const NOBODY: u64 = 0;

/// All open spans of the process.
///
/// A span that was never entered has not begun: it is there, but owns nothing and hides nothing.
#[derive(Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    /// The innermost span of each thread that is inside one.
    tops: Vec<(u64, NodeId)>,
    /// How many spans of a path wait for nobody but themselves.
    leaves: Vec<Leaves>,
}

#[derive(Clone, Copy)]
struct Node {
    path: u32,
    parent: Option<NodeId>,
    invocation: u64,
    /// On how many threads it is entered.
    entered: u32,
    /// Open spans right below that have begun.
    children: u32,
    begun: bool,
}

#[derive(Clone, Copy)]
struct Leaves {
    invocation: u64,
    path: u32,
    count: u32,
}

impl Tree {
    /// Adds a span; it does nothing before it is entered.
    pub(super) fn open(&mut self, parent: Option<NodeId>, path: u32, invocation: u64) -> NodeId {
        let node = Node { path, parent, invocation, entered: 0, children: 0, begun: false };
        if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = node;
            return id;
        }
        self.nodes.push(node);
        // A registry holds far fewer spans than 2^32.
        (self.nodes.len() - 1) as NodeId
    }

    /// Whose a span is.
    pub(super) fn invocation(&self, id: NodeId) -> u64 {
        self.nodes[id as usize].invocation
    }

    /// The thread goes on in this span. True when the span has just begun.
    pub(super) fn enter(&mut self, thread: u64, id: NodeId) -> bool {
        let begins = !self.nodes[id as usize].begun;
        self.change(id, |node| {
            node.begun = true;
            node.entered += 1;
        });
        if let (true, Some(parent)) = (begins, self.nodes[id as usize].parent) {
            self.change(parent, |node| node.children += 1);
        }
        self.set_top(thread, Some(id));
        begins
    }

    /// A thread leaves this span.
    pub(super) fn exit(&mut self, id: NodeId) {
        self.change(id, |node| node.entered = node.entered.saturating_sub(1));
    }

    /// The innermost span of a thread from now on.
    pub(super) fn set_top(&mut self, thread: u64, top: Option<NodeId>) {
        let known = self.tops.iter().position(|(known, _)| *known == thread);
        match (known, top) {
            (Some(index), Some(top)) => self.tops[index].1 = top,
            (Some(index), None) => {
                self.tops.swap_remove(index);
            }
            (None, Some(top)) => self.tops.push((thread, top)),
            (None, None) => {}
        }
    }

    /// Removes a span.
    pub(super) fn close(&mut self, id: NodeId) {
        let Node { parent, begun, .. } = self.nodes[id as usize];
        self.change(id, |node| node.invocation = NOBODY);
        if let (true, Some(parent)) = (begun, parent) {
            self.change(parent, |node| node.children = node.children.saturating_sub(1));
        }
        self.tops.retain(|(_, top)| *top != id);
        self.free.push(id);
    }

    /// An invocation is over: what it left open owns no time of later ones. O(open spans).
    pub(super) fn forget(&mut self, invocation: u64) {
        self.leaves.retain(|leaves| leaves.invocation != invocation);
        for node in self.nodes.iter_mut().filter(|node| node.invocation == invocation) {
            node.invocation = NOBODY;
        }
    }

    /// Paths of the spans that threads are in, for an invocation; one for each thread.
    pub(super) fn entered(&self, invocation: u64) -> impl Iterator<Item = u32> + Clone + '_ {
        let nodes = self.tops.iter().map(|(_, top)| &self.nodes[*top as usize]);
        nodes.filter(move |node| node.invocation == invocation).map(|node| node.path)
    }

    /// Paths of an invocation's spans that have begun, are in no thread and have no open span
    /// below that has begun, with how many there are of each.
    pub(super) fn waiting(&self, invocation: u64) -> impl Iterator<Item = (u32, u32)> + Clone + '_ {
        let leaves = self.leaves.iter().filter(move |leaves| leaves.invocation == invocation);
        leaves.map(|leaves| (leaves.path, leaves.count))
    }

    /// How many threads are in spans.
    pub(super) fn threads(&self) -> usize {
        self.tops.len()
    }

    /// How many spans are open.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    fn change(&mut self, id: NodeId, act: impl FnOnce(&mut Node)) {
        let before = self.nodes[id as usize];
        act(&mut self.nodes[id as usize]);
        let after = self.nodes[id as usize];
        match (before.waits(), after.waits()) {
            (false, true) => self.add_leaf(&after),
            (true, false) => self.remove_leaf(&before),
            _ => {}
        }
    }

    fn add_leaf(&mut self, node: &Node) {
        match self.leaves.iter_mut().find(|leaves| leaves.is_of(node)) {
            Some(leaves) => leaves.count += 1,
            None => {
                self.leaves.push(Leaves { invocation: node.invocation, path: node.path, count: 1 })
            }
        }
    }

    fn remove_leaf(&mut self, node: &Node) {
        let Some(index) = self.leaves.iter().position(|leaves| leaves.is_of(node)) else { return };
        self.leaves[index].count -= 1;
        if self.leaves[index].count == 0 {
            self.leaves.swap_remove(index);
        }
    }
}

impl Node {
    fn waits(&self) -> bool {
        self.begun && self.entered == 0 && self.children == 0 && self.invocation != NOBODY
    }
}

impl Leaves {
    fn is_of(&self, node: &Node) -> bool {
        (self.invocation, self.path) == (node.invocation, node.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(tree: &Tree) -> Vec<(u32, u32)> {
        let mut all: Vec<_> = tree.waiting(1).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn leaves_wait_and_their_parents_do_not() {
        let mut tree = Tree::default();
        let outer = tree.open(None, 10, 1);
        let inner = [tree.open(Some(outer), 11, 1), tree.open(Some(outer), 11, 1)];
        assert_eq!(waiting(&tree), [], "nothing has begun");
        assert!(tree.enter(1, outer));
        for id in inner {
            tree.enter(1, id);
            tree.exit(id);
            tree.set_top(1, Some(outer));
        }
        assert_eq!(tree.entered(1).collect::<Vec<_>>(), [10]);
        tree.exit(outer);
        tree.set_top(1, None);
        assert_eq!((waiting(&tree), tree.entered(1).count()), (vec![(11, 2)], 0));
        tree.close(inner[0]);
        assert_eq!(waiting(&tree), [(11, 1)]);
        tree.close(inner[1]);
        assert_eq!(waiting(&tree), [(10, 1)]);
        tree.close(outer);
        assert_eq!((waiting(&tree), tree.len()), (vec![], 0));
        assert_eq!(tree.open(None, 1, 1), outer, "places are used again");
    }

    #[test]
    fn a_span_that_was_never_entered_hides_nobody() {
        let mut tree = Tree::default();
        let outer = tree.open(None, 10, 1);
        let never = tree.open(Some(outer), 11, 1);
        tree.enter(1, outer);
        tree.exit(outer);
        tree.set_top(1, None);
        assert_eq!(waiting(&tree), [(10, 1)]);
        tree.close(never);
        assert_eq!(waiting(&tree), [(10, 1)]);
    }

    #[test]
    fn what_an_invocation_leaves_open_is_nobodys() {
        let mut tree = Tree::default();
        let left = tree.open(None, 10, 1);
        tree.enter(1, left);
        tree.exit(left);
        tree.set_top(1, None);
        tree.forget(1);
        assert_eq!(waiting(&tree), []);
        tree.enter(1, left);
        assert_eq!(tree.entered(1).count() + tree.entered(2).count(), 0);
        tree.exit(left);
        tree.close(left);
        assert_eq!(tree.leaves.len() + tree.tops.len(), 0);
    }
}
