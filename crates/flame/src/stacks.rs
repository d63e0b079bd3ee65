//! What every view is made of: stacks of functions, equal ones added up.

use flambeau_profile::{LocationId, Merged, Sample, ValueType};

use crate::{
    gather::{Gathering, Stack, StackList, add},
    symbols::{Symbol, Symbols},
};

/// All stacks of a profile by function: labels, lines and addresses no longer
/// tell samples apart. In order of names, so that stacks with a common
/// beginning stand together. Memory is that of the distinct stacks.
#[derive(Debug)]
pub struct Stacks {
    /// Functions, by name.
    pub symbols: Vec<Symbol>,
    /// What each value counts.
    pub measures: Vec<ValueType>,
    /// See [`Stacks::iter`].
    pub(crate) list: StackList,
    /// When collection began, nanoseconds since 1970 UTC; 0 is unknown.
    pub start_nanos: i64,
}

impl Stacks {
    /// The stacks of a profile, inlined calls as frames of their own. Values
    /// that do not fit 64 bits are bent to the nearest that does.
    #[must_use]
    pub fn of(profile: &Merged) -> Self {
        let symbols = Symbols::of(profile);
        let mut gathering = Gathering::new(profile.sample_types().len());
        let (mut open, mut last) = (Vec::new(), None);
        for sample in profile.samples() {
            if last != Some(sample.stack()) {
                last = Some(sample.stack());
                gather(sample, &symbols, &mut open, &mut gathering);
            }
            add(gathering.last(), sample.values());
        }
        Self {
            symbols: symbols.list,
            measures: profile.sample_types().to_vec(),
            list: gathering.in_order(),
            start_nanos: profile.header().time_nanos,
        }
    }

    /// The stacks, in order of their frames.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Stack<'_>> + Clone {
        self.list.iter()
    }

    /// The stacks that can be drawn by one column: those with a positive value.
    pub fn drawn(&self, column: usize) -> impl Iterator<Item = (&[u32], u64)> + Clone {
        self.iter().filter_map(move |stack| {
            let value = u64::try_from(*stack.values.get(column)?).ok()?;
            (value > 0).then_some((stack.frames, value))
        })
    }

    /// Frames in all stacks: what memory and time grow with.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.list.frames.len()
    }

    /// What a column counts.
    #[must_use]
    pub fn measure(&self, column: usize) -> ValueType {
        self.measures.get(column).cloned().unwrap_or_default()
    }
}

/// Adds a sample's stack. Samples come in order of their stacks, so that most of one
/// is the one before: `open` has that one's locations from the root, and the frames
/// up to and with each.
fn gather(
    sample: Sample<'_>,
    symbols: &Symbols,
    open: &mut Vec<(LocationId, usize)>,
    gathering: &mut Gathering,
) {
    let own = sample.locations().rev();
    let shared = open.iter().zip(own.clone()).take_while(|((at, _), own)| at == own).count();
    open.truncate(shared);
    let kept = open.last().map_or(0, |(_, depth)| *depth);
    let mut depth = kept;
    for at in own.skip(shared) {
        depth += symbols.at(at).len();
        open.push((at, depth));
    }
    match symbols.no_stack.filter(|_| depth == 0) {
        Some(no_stack) => gathering.push(0, [[no_stack].as_slice()]),
        None => gathering.push(kept, open[shared..].iter().map(|(at, _)| symbols.at(*at))),
    }
}
