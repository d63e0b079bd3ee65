//! The functions of a profile, by name.

use std::{collections::HashMap, ops::Range};

use flambeau_profile::{Frame, LocationId, Merged};

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

/// The functions of a profile in order of names, and which of them its locations
/// are. They are told apart by name alone, as in pprof: builds and inlining give one
/// function several spellings of its file.
pub(crate) struct Symbols {
    pub(crate) list: Vec<Symbol>,
    /// For each location its part of `functions`.
    of_location: Vec<Range<u32>>,
    /// Positions in `list`, each location's outermost first.
    functions: Vec<u32>,
    /// What samples without frames are called, where there are some.
    pub(crate) no_stack: Option<u32>,
}

impl Symbols {
    pub(crate) fn of(profile: &Merged) -> Self {
        let mut found = Discovery::new(profile);
        let of_location = profile.locations().map(|at| found.location(at)).collect();
        let bare = profile.samples().any(|sample| sample.locations().next().is_none());
        let no_stack = bare.then(|| found.named(NO_STACK.to_owned()));
        let mut functions = std::mem::take(&mut found.functions);
        let (list, places) = found.in_order();
        functions.iter_mut().for_each(|at| *at = places[*at as usize]);
        let no_stack = no_stack.map(|at| places[at as usize]);
        Self { list, of_location, functions, no_stack }
    }

    /// The functions at a location, the outermost first, as positions in `list`.
    pub(crate) fn at(&self, location: LocationId) -> &[u32] {
        let Range { start, end } = self.of_location[location.index()];
        &self.functions[start as usize..end as usize]
    }
}

/// Functions as they are found.
struct Discovery<'p> {
    profile: &'p Merged,
    /// In the order of discovery.
    seen: Vec<Seen>,
    by_name: HashMap<String, u32>,
    /// Where a function of the profile, whose name says all, stands in `seen`.
    of_function: Vec<Option<u32>>,
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
            functions: Vec::new(),
        }
    }

    /// The part of `functions` that is a location's.
    fn location(&mut self, at: LocationId) -> Range<u32> {
        let start = self.functions.len() as u32;
        for frame in self.profile.frames(at).rev() {
            let place = self.frame(&frame);
            self.functions.push(place);
        }
        start..self.functions.len() as u32
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
