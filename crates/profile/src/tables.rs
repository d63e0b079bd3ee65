//! The merged tables: every string, mapping, function, location, stack and set
//! of labels once, and the sums for each (stack, labels).
//!
//! Two entries are one under the keys of google/pprof's `Merge`:
//! mapping = (size rounded up to pages, file offset, build id or else file);
//! function = (start line, name, system name, file);
//! location = (mapping, address from its start, lines, folded);
//! sample = (locations, labels).

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use crate::ids::NONE;
use crate::index::Index;
use crate::scan::Scan;
use crate::strings::Strings;

/// Sizes of mappings that differ by less are equal.
const PAGE: u64 = 0x1000;

/// A mapping as merged. Of several copies, at different addresses, the least
/// by [`Tables::mapping`]'s order speaks for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappingEntry {
    pub(crate) start: u64,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) file: u32,
    pub(crate) build_id: u32,
    pub(crate) has: [bool; 4],
}

impl MappingEntry {
    /// (rounded size, file offset, build id or else file).
    fn key(&self) -> (u64, u64, u32) {
        let size = self.limit.wrapping_sub(self.start).wrapping_add(PAGE - 1);
        let name = if self.build_id == 0 { self.file } else { self.build_id };
        (size - size % PAGE, self.offset, name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FunctionEntry {
    pub(crate) name: u32,
    pub(crate) system_name: u32,
    pub(crate) file: u32,
    pub(crate) start_line: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LineEntry {
    pub(crate) function: u32,
    pub(crate) line: i64,
    pub(crate) column: i64,
}

/// A stretch of an arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Range {
    #[inline]
    pub(crate) fn of<T>(self, arena: &[T]) -> &[T] {
        &arena[self.start as usize..][..self.len as usize]
    }
}

/// Hints of the first table; a power of two.
const FEWEST_HINTS: usize = 1024;

/// Where a location is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Position of the mapping, or [`NONE`].
    pub(crate) mapping: u32,
    /// From the mapping's start; absolute without a mapping.
    pub(crate) address: u64,
    pub(crate) folded: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LocationEntry {
    pub(crate) place: Place,
    pub(crate) lines: Range,
}

/// A label with a text (then number and unit are 0) or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LabelEntry {
    pub(crate) key: u32,
    pub(crate) text: u32,
    pub(crate) number: i64,
    pub(crate) unit: u32,
}

/// Items of any length, each held once in one arena.
pub(crate) struct Lists<T> {
    pub(crate) arena: Vec<T>,
    pub(crate) ranges: Vec<Range>,
    index: Index,
}

impl<T: Copy + Eq + std::hash::Hash> Lists<T> {
    fn new() -> Self {
        Lists { arena: Vec::new(), ranges: Vec::new(), index: Index::default() }
    }

    fn make_room(&mut self, lists: usize, items: usize) {
        self.arena.reserve(items);
        self.ranges.reserve(lists);
        self.index.make_room(lists);
    }

    fn intern(&mut self, hasher: &DefaultHashBuilder, list: &[T]) -> u32 {
        let hash = hasher.hash_one(list);
        let (arena, ranges) = (&self.arena, &self.ranges);
        let found = self.index.find(hash, |i| ranges[i as usize].of(arena) == list);
        found.unwrap_or_else(|| {
            let position = self.ranges.len() as u32;
            self.ranges.push(Range { start: self.arena.len() as u32, len: list.len() as u32 });
            self.arena.extend_from_slice(list);
            self.index.insert(hash, position);
            position
        })
    }

    #[inline]
    pub(crate) fn get(&self, position: u32) -> &[T] {
        self.ranges[position as usize].of(&self.arena)
    }

    fn held(&self) -> usize {
        self.arena.capacity() * size_of::<T>()
            + self.ranges.capacity() * size_of::<Range>()
            + self.index.held()
    }
}

/// Everything merged so far.
pub(crate) struct Tables {
    pub(crate) strings: Strings,
    pub(crate) mappings: Vec<MappingEntry>,
    pub(crate) functions: Vec<FunctionEntry>,
    pub(crate) locations: Vec<LocationEntry>,
    pub(crate) lines: Vec<LineEntry>,
    /// Locations, leaf first.
    pub(crate) stacks: Lists<u32>,
    pub(crate) label_sets: Lists<LabelEntry>,
    /// (stack, label set) of each sample.
    pub(crate) samples: Vec<(u32, u32)>,
    /// As many sums for each sample as there are sample types.
    pub(crate) sums: Vec<i128>,
    pub(crate) types: usize,
    mapping_index: Index,
    function_index: Index,
    location_index: Index,
    /// For a hint, the positions of the locations seen there last, or [`NONE`].
    hints: Vec<[u32; 2]>,
    /// Of each stack. A stack is interned only for a sample that follows.
    first_samples: Vec<u32>,
    /// All but the first samples of stacks.
    sample_index: Index,
    hasher: DefaultHashBuilder,
}

impl Tables {
    pub(crate) fn new(types: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        Tables {
            strings: Strings::new(hasher.clone()),
            mappings: Vec::new(),
            functions: Vec::new(),
            locations: Vec::new(),
            lines: Vec::new(),
            stacks: Lists::new(),
            label_sets: Lists::new(),
            samples: Vec::new(),
            sums: Vec::new(),
            types,
            mapping_index: Index::default(),
            function_index: Index::default(),
            location_index: Index::default(),
            hints: Vec::new(),
            first_samples: Vec::new(),
            sample_index: Index::default(),
            hasher,
        }
    }

    /// Makes room for a first input, so that a large one is not moved from table to
    /// larger table.
    pub(crate) fn make_room(&mut self, first: &Scan) {
        let samples = first.samples.len();
        self.stacks.make_room(samples, first.stacks.len());
        self.samples.reserve(samples);
        self.sums.reserve(samples * self.types);
        self.first_samples.reserve(samples);
        self.functions.reserve(first.functions.len());
        self.function_index.make_room(first.functions.len());
        self.locations.reserve(first.locations.len());
        self.location_index.make_room(first.locations.len());
        self.lines.reserve(first.locations.len());
    }

    pub(crate) fn mapping(&mut self, entry: MappingEntry) -> u32 {
        let key = entry.key();
        let hash = self.hasher.hash_one(key);
        let mappings = &self.mappings;
        let found = self.mapping_index.find(hash, |i| mappings[i as usize].key() == key);
        if let Some(position) = found {
            if self.speaks_before(&entry, &self.mappings[position as usize]) {
                self.mappings[position as usize] = entry;
            }
            return position;
        }
        let position = self.mappings.len() as u32;
        self.mappings.push(entry);
        self.mapping_index.insert(hash, position);
        position
    }

    /// An order of equal mappings that no order of inputs can change. What has
    /// been symbolized comes first, so that tools do not ask for it again.
    fn speaks_before(&self, a: &MappingEntry, b: &MappingEntry) -> bool {
        let rank = |m: &MappingEntry| (m.has.map(|has| !has), m.start, m.limit);
        let names = |m: &MappingEntry| (self.strings.get(m.file), self.strings.get(m.build_id));
        (rank(a), names(a)) < (rank(b), names(b))
    }

    pub(crate) fn function(&mut self, entry: FunctionEntry) -> u32 {
        let hash = self.hash(entry);
        let functions = &self.functions;
        let found = self.function_index.find(hash, |i| functions[i as usize] == entry);
        found.unwrap_or_else(|| {
            let position = self.functions.len() as u32;
            self.functions.push(entry);
            self.function_index.insert(hash, position);
            position
        })
    }

    pub(crate) fn location(&mut self, place: Place, lines: &[LineEntry]) -> u32 {
        let hash = self.hash((place, lines));
        let (locations, arena) = (&self.locations, &self.lines);
        let found = self.location_index.find(hash, |i| {
            let location = &locations[i as usize];
            location.place == place && location.lines.of(arena) == lines
        });
        found.unwrap_or_else(|| {
            let position = self.locations.len() as u32;
            self.locations.push(LocationEntry {
                place,
                lines: Range { start: self.lines.len() as u32, len: lines.len() as u32 },
            });
            self.lines.extend_from_slice(lines);
            self.location_index.insert(hash, position);
            position
        })
    }

    /// The locations last given for a hint.
    #[inline]
    pub(crate) fn hinted(&self, hint: u64) -> [u32; 2] {
        let slot = self.hint_slot(hint);
        self.hints.get(slot).copied().unwrap_or([NONE; 2])
    }

    /// Remembers a location by a hint, beside what was there last.
    pub(crate) fn hint_location(&mut self, hint: u64, position: u32) {
        if self.hints.len() < self.locations.len() {
            self.grow_hints();
        }
        let slot = self.hint_slot(hint);
        self.hints[slot] = [position, self.hints[slot][0]];
    }

    /// Doubles the hints. Those held are kept in both places they may belong.
    fn grow_hints(&mut self) {
        let held = self.hints.len();
        self.hints.resize((held * 2).max(FEWEST_HINTS), [NONE; 2]);
        if held > 0 {
            self.hints.copy_within(..held, held);
        }
    }

    #[inline]
    fn hint_slot(&self, hint: u64) -> usize {
        let spread = hint.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread as usize & self.hints.len().wrapping_sub(1)
    }

    pub(crate) fn stack(&mut self, locations: &[u32]) -> u32 {
        self.stacks.intern(&self.hasher, locations)
    }

    /// Puts labels into the order of google/pprof: texts by key, then numbers
    /// by key, those of one key in the order given.
    pub(crate) fn sort_labels(&self, labels: &mut [LabelEntry]) {
        let rank = |l: &LabelEntry| (l.text == 0, self.strings.get(l.key));
        labels.sort_by(|a, b| rank(a).cmp(&rank(b)));
    }

    /// Interns sorted labels.
    pub(crate) fn label_set(&mut self, labels: &[LabelEntry]) -> u32 {
        self.label_sets.intern(&self.hasher, labels)
    }

    /// The hash of any key, under this process' seed.
    #[inline]
    pub(crate) fn hash(&self, key: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The sample of a stack and labels, with sums of 0 if it is new.
    #[inline]
    pub(crate) fn sample(&mut self, stack: u32, labels: u32) -> u32 {
        let key = (stack, labels);
        // Most stacks have labels of one kind: their first sample is known.
        match self.first_samples.get(stack as usize) {
            Some(&first) if self.samples[first as usize].1 == labels => return first,
            Some(_) => {}
            None => {
                debug_assert_eq!(self.first_samples.len(), stack as usize);
                self.first_samples.push(self.samples.len() as u32);
                return self.new_sample(key);
            }
        }
        let hash = self.hasher.hash_one(key);
        let samples = &self.samples;
        let found = self.sample_index.find(hash, |i| samples[i as usize] == key);
        found.unwrap_or_else(|| {
            let position = self.new_sample(key);
            self.sample_index.insert(hash, position);
            position
        })
    }

    fn new_sample(&mut self, key: (u32, u32)) -> u32 {
        let position = self.samples.len() as u32;
        self.samples.push(key);
        self.sums.resize(self.sums.len() + self.types, 0);
        position
    }

    /// The address of a location in the process of the mapping that speaks.
    pub(crate) fn absolute(&self, location: &LocationEntry) -> u64 {
        match location.place.mapping {
            NONE => location.place.address,
            m => {
                let start = self.mappings[m as usize].start;
                location.place.address.wrapping_add(start)
            }
        }
    }

    /// Drops what was only needed to find things.
    pub(crate) fn forget_indices(&mut self) {
        self.mapping_index = Index::default();
        self.function_index = Index::default();
        self.location_index = Index::default();
        self.sample_index = Index::default();
        self.first_samples = Vec::new();
        self.hints = Vec::new();
        self.stacks.index = Index::default();
        self.label_sets.index = Index::default();
    }

    /// Length of the longest table, whose positions must fit 32 bits.
    pub(crate) fn longest(&self) -> usize {
        let lengths = [
            self.strings.text_len(),
            self.stacks.arena.len(),
            self.label_sets.arena.len(),
            self.lines.len(),
            self.samples.len(),
        ];
        lengths.into_iter().max().unwrap_or(0)
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.strings.held()
            + self.functions.capacity() * size_of::<FunctionEntry>()
            + self.locations.capacity() * size_of::<LocationEntry>()
            + self.lines.capacity() * size_of::<LineEntry>()
            + self.stacks.held()
            + self.label_sets.held()
            + self.samples.capacity() * size_of::<(u32, u32)>()
            + self.sums.capacity() * size_of::<i128>()
            + self.function_index.held()
            + self.location_index.held()
            + self.sample_index.held()
            + self.first_samples.capacity() * 4
            + self.hints.capacity() * 8
    }
}
