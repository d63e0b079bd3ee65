//! What every view is made of: stacks of functions, equal ones added up.

use std::{collections::HashMap, ops::Range};

use flambeau_profile::{Frame, LocationId, Merged, Sample, ValueType};

use crate::{
    gather::{Gathering, Stack, StackList, add},
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
        let mut found = Discovery::new(profile);
        let mut gathering = Gathering::new(profile.sample_types().len());
        let mut last = None;
        for sample in profile.samples() {
            if last != Some(sample.stack()) {
                last = Some(sample.stack());
                found.gather(sample, &mut gathering);
            }
            add(gathering.last(), sample.values());
        }
        let (symbols, places) = found.in_order();
        Self {
            symbols,
            measures: profile.sample_types().to_vec(),
            list: gathering.in_order(Some(&places)),
            start_nanos: profile.header().time_nanos,
        }
    }

    /// The stacks, in order of their frames.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Stack<'_>> + Clone {
        self.list.iter()
    }

    /// For each location of a profile the package of the innermost function there;
    /// empty where no sample has it.
    pub(crate) fn packages(profile: &Merged) -> Vec<String> {
        let mut found = Discovery::new(profile);
        for sample in profile.samples() {
            for at in sample.locations() {
                found.location(at);
            }
        }
        let innermost: Vec<Option<u32>> =
            found.of_location.iter().map(|functions| functions.clone().last()).collect();
        let innermost: Vec<Option<u32>> =
            innermost.into_iter().map(|at| Some(found.functions[at? as usize])).collect();
        let (symbols, places) = found.in_order();
        let package = |at: u32| symbols[places[at as usize] as usize].package.clone();
        innermost.into_iter().map(|at| at.map(package).unwrap_or_default()).collect()
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

/// The functions of a profile, found from its stacks down. They are told apart by
/// name alone, as in pprof: builds and inlining give one function several spellings
/// of its file.
struct Discovery<'p> {
    profile: &'p Merged,
    /// In the order of discovery.
    seen: Vec<Seen>,
    by_name: HashMap<String, u32>,
    /// Where a function of the profile, whose name says all, stands in `seen`.
    of_function: Vec<Option<u32>>,
    /// For each location its part of `functions`; empty where it was not met.
    of_location: Vec<Range<u32>>,
    /// Positions in `seen`, each location's outermost first.
    functions: Vec<u32>,
}

/// What is gathered about a function.
#[derive(Default)]
struct Seen {
    /// The least that is not empty.
    file: String,
    line: i64,
    inlined: bool,
    real: bool,
}

impl<'p> Discovery<'p> {
    fn new(profile: &'p Merged) -> Self {
        Self {
            profile,
            seen: Vec::new(),
            by_name: HashMap::new(),
            of_function: vec![None; profile.functions().len()],
            of_location: vec![0..0; profile.location_count()],
            functions: Vec::new(),
        }
    }

    /// Adds a sample's stack.
    fn gather(&mut self, sample: Sample<'_>, gathering: &mut Gathering) {
        let (mut depth, mut locations) = (0, sample.locations());
        locations.by_ref().for_each(|at| depth += self.location(at).len());
        if depth == 0 {
            let place = self.named(NO_STACK.to_owned());
            return gathering.push([place]);
        }
        let functions = |at: LocationId| {
            let Range { start, end } = self.of_location[at.index()];
            self.functions[start as usize..end as usize].iter().copied()
        };
        gathering.push(sample.locations().rev().flat_map(functions));
    }

    /// The part of `functions` that is a location's.
    fn location(&mut self, at: LocationId) -> Range<u32> {
        let known = self.of_location[at.index()].clone();
        if !known.is_empty() {
            return known;
        }
        let start = self.functions.len() as u32;
        for frame in self.profile.frames(at).rev() {
            let place = self.frame(&frame);
            self.functions.push(place);
        }
        self.of_location[at.index()] = start..self.functions.len() as u32;
        self.of_location[at.index()].clone()
    }

    fn frame(&mut self, frame: &Frame<'_>) -> u32 {
        let function = frame.function.filter(|function| !function.name.is_empty());
        let known = function.and_then(|function| self.of_function[function.id.index()]);
        let place = known.unwrap_or_else(|| {
            let place = self.named(frame_name(self.profile, frame));
            self.seen[place as usize].describe(frame);
            place
        });
        if let Some(function) = function {
            self.of_function[function.id.index()] = Some(place);
        }
        let seen = &mut self.seen[place as usize];
        seen.inlined |= frame.inlined;
        seen.real |= !frame.inlined;
        place
    }

    fn named(&mut self, name: String) -> u32 {
        let place = self.seen.len() as u32;
        let known = *self.by_name.entry(name).or_insert(place);
        if known == place {
            self.seen.push(Seen::default());
        }
        known
    }

    /// All functions by name, and where those of `seen` stand among them.
    fn in_order(self) -> (Vec<Symbol>, Vec<u32>) {
        let mut named: Vec<(String, u32)> = self.by_name.into_iter().collect();
        named.sort_unstable();
        let (mut seen, mut places) = (self.seen, vec![0; named.len()]);
        let symbols = (0..).zip(named).map(|(place, (name, found))| {
            places[found as usize] = place;
            symbol(name, std::mem::take(&mut seen[found as usize]))
        });
        (symbols.collect(), places)
    }
}

impl Seen {
    fn describe(&mut self, frame: &Frame<'_>) {
        if !frame.file().is_empty() {
            let file = shown_name(frame.file());
            if self.file.is_empty() || file < self.file {
                self.file = file;
            }
        }
        self.line = match frame.function.map_or(0, |function| function.start_line) {
            0 => self.line,
            line if self.line == 0 => line,
            line => line.min(self.line),
        };
    }
}

fn symbol(name: String, seen: Seen) -> Symbol {
    let file = seen.file;
    let inlined = match (seen.inlined, seen.real) {
        (false, _) => Inlined::No,
        (true, true) => Inlined::Some,
        (true, false) => Inlined::All,
    };
    Symbol { package: package(&name, &file), line: seen.line.max(0), name, file, inlined }
}
