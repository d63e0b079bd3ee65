//! What every view is made of: stacks of functions, equal ones added up.

use std::collections::BTreeMap;

use flambeau_profile::{LocationId, Merged, ValueType};

use crate::{
    name::{NO_STACK, frame_name, shown_name},
    package::package,
};

/// A function as views show it, or a file whose addresses were never symbolized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name, safe to show on one line.
    pub name: String,
    /// Its file, safe to show on one line; empty where unknown.
    pub file: String,
    /// The function's first line; 0 where unknown.
    pub line: i64,
    /// See [`package()`].
    pub package: String,
    /// Whether some, or all, of its frames were inlined into their callers.
    pub inlined: Inlined,
}

/// How often the frames of a function were inlined into their callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inlined {
    /// Never.
    No,
    /// In some places.
    Some,
    /// Everywhere it was seen.
    All,
}

/// A stack and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Positions in [`Stacks::symbols`], root first, never none.
    pub frames: Vec<u32>,
    /// One value for each sample type.
    pub values: Vec<i64>,
}

/// All stacks of a profile by function: labels, lines and addresses no longer
/// tell samples apart. In order of names, so that stacks with a common
/// beginning stand together. Memory is that of the distinct stacks.
#[derive(Debug)]
pub struct Stacks {
    /// Functions, by name.
    pub symbols: Vec<Symbol>,
    /// What each value counts.
    pub measures: Vec<ValueType>,
    /// The stacks, in order of their frames.
    pub stacks: Vec<Stack>,
    /// When collection began, nanoseconds since 1970 UTC; 0 is unknown.
    pub start_nanos: i64,
}

impl Stacks {
    /// The stacks of a profile, inlined calls as frames of their own. Values
    /// that do not fit 64 bits are bent to the nearest that does.
    #[must_use]
    pub fn of(profile: &Merged) -> Self {
        let table = SymbolTable::of(profile);
        let columns = profile.sample_types().len();
        let mut sums: BTreeMap<Vec<u32>, Vec<i64>> = BTreeMap::new();
        for sample in profile.samples() {
            let located = sample.locations().rev();
            let mut frames: Vec<u32> =
                located.flat_map(|id| table.of_location[id.index()].iter().copied()).collect();
            if frames.is_empty() {
                frames.push(table.no_stack);
            }
            let sum = sums.entry(frames).or_insert_with(|| vec![0; columns]);
            for (sum, value) in sum.iter_mut().zip(sample.values()) {
                *sum = sum.saturating_add(*value);
            }
        }
        let stacks = sums.into_iter().map(|(frames, values)| Stack { frames, values });
        Self {
            symbols: table.symbols,
            measures: profile.sample_types().to_vec(),
            stacks: stacks.collect(),
            start_nanos: profile.header().time_nanos,
        }
    }

    /// For each location of a profile the package of the innermost function there;
    /// empty where no sample has it.
    pub(crate) fn packages(profile: &Merged) -> Vec<String> {
        let table = SymbolTable::of(profile);
        let of = |functions: &Vec<u32>| {
            functions
                .last()
                .map_or("", |at| table.symbols[*at as usize].package.as_str())
                .to_owned()
        };
        table.of_location.iter().map(of).collect()
    }

    /// The stacks that can be drawn by one column: those with a positive value.
    pub fn drawn(&self, column: usize) -> impl Iterator<Item = (&[u32], u64)> + Clone {
        self.stacks.iter().filter_map(move |stack| {
            let value = u64::try_from(*stack.values.get(column)?).ok()?;
            (value > 0).then_some((stack.frames.as_slice(), value))
        })
    }

    /// Frames in all stacks: what memory and time grow with.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.stacks.iter().map(|stack| stack.frames.len()).sum()
    }

    /// What a column counts.
    #[must_use]
    pub fn measure(&self, column: usize) -> ValueType {
        self.measures.get(column).cloned().unwrap_or_default()
    }
}

/// Functions by the locations they stand at.
struct SymbolTable {
    symbols: Vec<Symbol>,
    /// For each location its functions, outermost first; none where no sample
    /// has it.
    of_location: Vec<Vec<u32>>,
    no_stack: u32,
}

/// What is gathered about a function. Functions are told apart by name alone,
/// as in pprof: builds and inlining give one function several spellings of its
/// file.
#[derive(Default)]
struct Seen {
    /// Its place in the order of discovery.
    place: u32,
    /// The least that is not empty.
    file: String,
    line: i64,
    inlined: bool,
    real: bool,
}

impl SymbolTable {
    fn of(profile: &Merged) -> Self {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut of_location: Vec<Vec<u32>> = vec![Vec::new(); profile.location_count()];
        let mut no_stack = None;
        for sample in profile.samples() {
            let mut depth = 0;
            for location in sample.locations() {
                depth += 1;
                if of_location[location.index()].is_empty() {
                    of_location[location.index()] = discover(profile, location, &mut seen);
                }
            }
            if depth == 0 && no_stack.is_none() {
                no_stack = Some(note(&mut seen, NO_STACK.to_owned()).place);
            }
        }
        let mut sorted = vec![0; seen.len()];
        for (place, found) in (0..).zip(seen.values()) {
            sorted[found.place as usize] = place;
        }
        for place in of_location.iter_mut().flatten() {
            *place = sorted[*place as usize];
        }
        let no_stack = no_stack.map_or(0, |place| sorted[place as usize]);
        Self { symbols: seen.into_iter().map(symbol).collect(), of_location, no_stack }
    }
}

/// The functions of a location, outermost first, by order of discovery.
fn discover(profile: &Merged, at: LocationId, seen: &mut BTreeMap<String, Seen>) -> Vec<u32> {
    let frames = profile.frames(at).rev().map(|frame| {
        let found = note(seen, frame_name(profile, &frame));
        if !frame.file().is_empty() {
            let file = shown_name(frame.file());
            if found.file.is_empty() || file < found.file {
                found.file = file;
            }
        }
        found.line = match frame.function.map_or(0, |function| function.start_line) {
            0 => found.line,
            line if found.line == 0 => line,
            line => line.min(found.line),
        };
        found.inlined |= frame.inlined;
        found.real |= !frame.inlined;
        found.place
    });
    frames.collect()
}

fn note(seen: &mut BTreeMap<String, Seen>, name: String) -> &mut Seen {
    let place = u32::try_from(seen.len()).unwrap_or(u32::MAX);
    seen.entry(name).or_insert_with(|| Seen { place, ..Seen::default() })
}

fn symbol((name, seen): (String, Seen)) -> Symbol {
    let file = seen.file;
    let inlined = match (seen.inlined, seen.real) {
        (false, _) => Inlined::No,
        (true, true) => Inlined::Some,
        (true, false) => Inlined::All,
    };
    Symbol { package: package(&name, &file), line: seen.line.max(0), name, file, inlined }
}
