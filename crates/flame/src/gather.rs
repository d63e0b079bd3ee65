//! Stacks in any order put into theirs, equal ones added up.

use std::ops::Range;

/// A stack and its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack<'a> {
    /// Positions in [`crate::Stacks::symbols`], root first, never none.
    pub frames: &'a [u32],
    /// One value for each sample type.
    pub values: &'a [i64],
}

/// Stacks in order of their frames, each once, in one list of frames and one of
/// values: a profile has tens of thousands, too many to allocate one by one.
#[derive(Debug)]
pub(crate) struct StackList {
    pub(crate) frames: Vec<u32>,
    /// Where each stack's frames end.
    ends: Vec<usize>,
    values: Vec<i64>,
    columns: usize,
}

impl StackList {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Stack<'_>> + Clone {
        (0..self.ends.len()).map(|at| {
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            Stack {
                frames: &self.frames[start..self.ends[at]],
                values: &self.values[at * self.columns..][..self.columns],
            }
        })
    }

    /// Adds a stack behind those there.
    fn push(&mut self, stack: Stack<'_>) {
        self.frames.extend_from_slice(stack.frames);
        self.ends.push(self.frames.len());
        self.values.extend_from_slice(stack.values);
    }

    /// Adds values to the last stack.
    fn add(&mut self, values: &[i64]) {
        let last = self.values.len() - self.columns;
        add(&mut self.values[last..], values);
    }
}

/// Stacks as they come.
pub(crate) struct Gathering {
    frames: Vec<u32>,
    stacks: Vec<Range<usize>>,
    values: Vec<i64>,
    columns: usize,
}

impl Gathering {
    pub(crate) fn new(columns: usize) -> Self {
        Self { frames: Vec::new(), stacks: Vec::new(), values: Vec::new(), columns }
    }

    /// Adds a stack, all of its values 0, unless it is the last one again: so many
    /// frames of that, then these.
    pub(crate) fn push<'a>(&mut self, kept: usize, parts: impl IntoIterator<Item = &'a [u32]>) {
        let (start, last) = (self.frames.len(), self.stacks.last().cloned().unwrap_or_default());
        self.frames.extend_from_within(last.start..last.start + kept);
        parts.into_iter().for_each(|part| self.frames.extend_from_slice(part));
        if !last.is_empty() && self.frames[last] == self.frames[start..] {
            return self.frames.truncate(start);
        }
        self.stacks.push(start..self.frames.len());
        self.values.resize(self.values.len() + self.columns, 0);
    }

    /// The values of the last stack.
    pub(crate) fn last(&mut self) -> &mut [i64] {
        let start = self.values.len().saturating_sub(self.columns);
        &mut self.values[start..]
    }

    /// The stacks in order.
    pub(crate) fn in_order(self) -> StackList {
        let frames = |at: u32| &self.frames[self.stacks[at as usize].clone()];
        let mut order: Vec<(u128, u32)> =
            (0..self.stacks.len() as u32).map(|at| (root_key(frames(at)), at)).collect();
        order.sort_unstable_by(|(a_key, a), (b_key, b)| {
            a_key.cmp(b_key).then_with(|| frames(*a).cmp(frames(*b)))
        });
        let mut list = StackList {
            frames: Vec::with_capacity(self.frames.len()),
            ends: Vec::with_capacity(self.stacks.len()),
            values: Vec::with_capacity(self.values.len()),
            columns: self.columns,
        };
        let mut last: &[u32] = &[];
        for (_, at) in order {
            let values = &self.values[at as usize * self.columns..][..self.columns];
            let stack = Stack { frames: frames(at), values };
            if stack.frames == last {
                list.add(values);
            } else {
                list.push(stack);
                last = stack.frames;
            }
        }
        list
    }
}

/// Adds values up, as far as 64 bits go.
pub(crate) fn add(sums: &mut [i64], values: &[i64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
}

/// The part of a stack nearest the root as a number, which sorts much faster than a
/// list. Where two differ, their order is that of the frames.
fn root_key(frames: &[u32]) -> u128 {
    /// Eight frames fit.
    const BITS: u32 = 16;
    const MOST: u32 = (1 << BITS) - 1;
    let mut roots = frames.iter();
    let mut fits = true;
    (0..u128::BITS / BITS).fold(0, |key, _| {
        let frame = roots.next().filter(|_| fits).map_or(0, |at| at.saturating_add(1).min(MOST));
        fits &= frame < MOST;
        key << BITS | u128::from(frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(stacks: &[(&[u32], i64)]) -> Vec<(Vec<u32>, i64)> {
        let mut gathering = Gathering::new(1);
        for (frames, value) in stacks {
            gathering.push(0, [*frames]);
            add(gathering.last(), &[*value]);
        }
        let list = gathering.in_order();
        list.iter().map(|stack| (stack.frames.to_vec(), stack.values[0])).collect()
    }

    #[test]
    fn equal_stacks_are_one_and_all_are_in_order() {
        let list = gathered(&[(&[2], 1), (&[1, 2], 5), (&[2], 3), (&[1], i64::MAX), (&[1], 1)]);
        assert_eq!(list, [(vec![1], i64::MAX), (vec![1, 2], 5), (vec![2], 4)]);
    }

    #[test]
    fn order_is_that_of_frames_beyond_the_key() {
        let deep = |last: u32| [7, 7, 7, 7, 7, 7, 7, 7, last];
        let (a, b) = (deep(1), deep(2));
        let list = gathered(&[(&b, 1), (&[80_000], 2), (&[70_000, 1], 3), (&a, 4)]);
        let order: Vec<i64> = list.iter().map(|(_, value)| *value).collect();
        assert_eq!(order, [4, 1, 3, 2]);
    }

    #[test]
    fn a_stack_begins_as_the_last_one() {
        let mut gathering = Gathering::new(1);
        gathering.push(0, [[1, 2].as_slice(), &[3]]);
        gathering.push(2, [[4].as_slice()]);
        gathering.push(2, [[4].as_slice()]);
        gathering.push(1, []);
        let list = gathering.in_order();
        let frames: Vec<&[u32]> = list.iter().map(|stack| stack.frames).collect();
        assert_eq!(frames, [[1].as_slice(), &[1, 2, 3], &[1, 2, 4]]);
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(gathered(&[]).is_empty());
    }
}
