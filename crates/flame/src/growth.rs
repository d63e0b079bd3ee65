//! How call trees grow and are cut: the same for one profile and for several
//! side by side, whose values stand in one tree.

use std::cmp::Ordering;

/// Frames of a stack that a tree shows; deeper ones are cut as light ones are.
/// 1 024 rows are a picture 16 000 pixels high.
pub const MAX_DEPTH: usize = 1_024;

/// Values of `N` profiles at one node.
pub(crate) type Values<const N: usize> = [u64; N];

/// A node while the tree grows.
pub(crate) struct Growing<const N: usize> {
    pub(crate) parent: u32,
    pub(crate) symbol: u32,
    pub(crate) depth: u32,
    pub(crate) total: Values<N>,
    own: Values<N>,
    /// What lies beyond [`MAX_DEPTH`] below it.
    deeper: Values<N>,
}

/// A node of a tree that was cut.
pub(crate) struct Settled<const N: usize> {
    /// `None` stands for children of its parent that were cut.
    pub(crate) symbol: Option<u32>,
    pub(crate) depth: u32,
    pub(crate) total: Values<N>,
    pub(crate) own: Values<N>,
}

/// What was cut.
#[derive(Default)]
pub(crate) struct Lost<const N: usize> {
    pub(crate) nodes: usize,
    pub(crate) values: Option<Values<N>>,
}

impl<const N: usize> Lost<N> {
    fn note(&mut self, values: &Values<N>) {
        add(self.values.get_or_insert([0; N]), values);
    }
}

/// The parent of what has none.
pub(crate) const NONE: u32 = u32::MAX;

/// Adds values up, as far as 64 bits go.
pub(crate) fn add<const N: usize>(sum: &mut Values<N>, values: &Values<N>) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
}

fn is_nothing<const N: usize>(values: &Values<N>) -> bool {
    values.iter().all(|value| *value == 0)
}

/// All nodes, and the sum of all stacks. Stacks come sorted, so that each
/// continues the one before.
pub(crate) fn grow<'a, const N: usize>(
    stacks: impl Iterator<Item = (&'a [u32], Values<N>)>,
) -> (Vec<Growing<N>>, Values<N>) {
    let mut nodes: Vec<Growing<N>> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut total = [0; N];
    for (frames, values) in stacks {
        add(&mut total, &values);
        let deep = frames.len() > MAX_DEPTH;
        let frames = &frames[..frames.len().min(MAX_DEPTH)];
        let continues = |(at, symbol): (&u32, &u32)| nodes[*at as usize].symbol == *symbol;
        let shared = open.iter().zip(frames).take_while(|pair| continues(*pair)).count();
        open.truncate(shared);
        for symbol in &frames[shared..] {
            let parent = open.last().copied().unwrap_or(NONE);
            let (depth, none) = (open.len() as u32, [0; N]);
            open.push(nodes.len() as u32);
            let (symbol, total, own, deeper) = (*symbol, none, none, none);
            nodes.push(Growing { parent, symbol, depth, total, own, deeper });
        }
        for at in &open {
            add(&mut nodes[*at as usize].total, &values);
        }
        if let Some(last) = open.last() {
            let node = &mut nodes[*last as usize];
            add(if deep { &mut node.deeper } else { &mut node.own }, &values);
        }
    }
    (nodes, total)
}

/// Which nodes stay: the heaviest `most`. A parent must weigh no less than its
/// children; it stands before them, so that no kept node loses its parent.
pub(crate) fn heaviest<const N: usize, W: PartialOrd>(
    nodes: &[Growing<N>],
    most: usize,
    weight: impl Fn(&Values<N>) -> W,
) -> Vec<bool> {
    let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
    let heavier = |a: &u32, b: &u32| {
        let of = |at: &u32| weight(&nodes[*at as usize].total);
        of(b).partial_cmp(&of(a)).unwrap_or(Ordering::Equal).then(a.cmp(b))
    };
    if most < order.len() {
        order.select_nth_unstable_by(most, heavier);
        order.truncate(most);
    }
    let mut kept = vec![false; nodes.len()];
    order.iter().for_each(|at| kept[*at as usize] = true);
    kept
}

/// What is kept, and one node beside it for what was cut of a node's children.
pub(crate) fn settle<const N: usize>(
    all: &[Growing<N>],
    kept: &[bool],
) -> (Vec<Settled<N>>, Lost<N>) {
    let mut lost = Lost { nodes: 0, values: None };
    // What was cut of each node's children, the root's last.
    let mut cut: Vec<Values<N>> = all.iter().map(|node| node.deeper).chain([[0; N]]).collect();
    for (node, _) in all.iter().zip(kept).filter(|(node, kept)| **kept && !is_nothing(&node.deeper))
    {
        lost.nodes += 1;
        lost.note(&node.deeper);
    }
    for (node, _) in all.iter().zip(kept).filter(|(_, kept)| !**kept) {
        lost.nodes += 1;
        let parent = node.parent as usize;
        if node.parent == NONE || kept[parent] {
            add(&mut cut[parent.min(all.len())], &node.total);
            lost.note(&node.total);
        }
    }
    let mut nodes = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let close = |nodes: &mut Vec<Settled<N>>, at: usize, depth: u32| {
        if !is_nothing(&cut[at]) {
            nodes.push(Settled { symbol: None, depth, total: cut[at], own: cut[at] });
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
        nodes.push(Settled { symbol: Some(symbol), depth, total, own });
    }
    while let Some(closed) = open.pop() {
        close(&mut nodes, closed, open.len() as u32 + 1);
    }
    close(&mut nodes, all.len(), 0);
    (nodes, lost)
}

/// Nodes with where they begin: the value of all that stands left of them, in
/// the order of [`settle`].
pub(crate) fn placed<N>(
    nodes: &[N],
    depth_and_width: impl Fn(&N) -> (u32, u64),
) -> impl Iterator<Item = (u64, &N)> {
    // Where the next child at each depth begins.
    let mut next: Vec<u64> = vec![0];
    nodes.iter().map(move |node| {
        let (depth, width) = depth_and_width(node);
        let depth = depth as usize;
        next.truncate(depth + 1);
        let x = next[depth];
        next[depth] = x.saturating_add(width);
        // Children follow what ends here, as everywhere in flame graphs.
        next.push(x);
        (x, node)
    })
}
