//! A merged profile made anew from parts of others: under every operation.

use crate::canon;
use crate::header::Header;
use crate::ids::NONE;
use crate::merged::{LabelSetId, LocationId, Merged, StackId, Truncations};
use crate::tables::{FunctionEntry, LabelEntry, LineEntry, MappingEntry, Place, Tables};

/// Collects samples for a new profile.
pub(crate) struct Rebuild {
    pub(crate) tables: Tables,
    main: u32,
}

/// One source of a [`Rebuild`]: what was carried over already, by its ids.
pub(crate) struct Source<'a> {
    pub(crate) from: &'a Merged,
    strings: Vec<u32>,
    mappings: Vec<u32>,
    functions: Vec<u32>,
    locations: Vec<u32>,
    label_sets: Vec<u32>,
}

impl Rebuild {
    pub(crate) fn new(types: usize) -> Self {
        Rebuild { tables: Tables::new(types), main: NONE }
    }

    /// Adds to the sample of a stack and labels, both of the new profile.
    pub(crate) fn add(&mut self, stack: &[u32], labels: u32, values: impl Iterator<Item = i128>) {
        let stack = self.tables.stack(stack);
        let at = self.tables.sample(stack, labels) as usize * self.tables.types;
        for (sum, value) in self.tables.sums[at..].iter_mut().zip(values) {
            *sum += value;
        }
    }

    pub(crate) fn finish(self, header: Header, truncations: Truncations) -> Merged {
        canon::settle(self.tables, self.main, header, truncations)
    }
}

impl<'a> Source<'a> {
    /// The first source gives the main mapping.
    pub(crate) fn new(from: &'a Merged, to: &mut Rebuild) -> Self {
        let tables = &from.tables;
        let mut source = Source {
            from,
            strings: vec![NONE; tables.strings.len()],
            mappings: vec![NONE; tables.mappings.len()],
            functions: vec![NONE; tables.functions.len()],
            locations: vec![NONE; tables.locations.len()],
            label_sets: vec![NONE; tables.label_sets.ranges.len()],
        };
        if to.main == NONE && !tables.mappings.is_empty() {
            to.main = source.mapping(to, 0);
        }
        source
    }

    /// The stack as it was, appended to `stack`.
    pub(crate) fn stack(&mut self, to: &mut Rebuild, id: StackId, stack: &mut Vec<u32>) {
        for location in self.from.stack(id) {
            stack.push(self.location(to, location));
        }
    }

    /// A location as it was.
    pub(crate) fn location(&mut self, to: &mut Rebuild, id: LocationId) -> u32 {
        if self.locations[id.index()] == NONE {
            let lines = self.lines(id);
            self.locations[id.index()] = self.location_with(to, id, &lines);
        }
        self.locations[id.index()]
    }

    /// The lines of a location, in terms of this source.
    pub(crate) fn lines(&self, id: LocationId) -> Vec<LineEntry> {
        let tables = &self.from.tables;
        tables.locations[id.index()].lines.of(&tables.lines).to_vec()
    }

    /// A location with other lines (in terms of this source).
    pub(crate) fn location_with(
        &mut self,
        to: &mut Rebuild,
        id: LocationId,
        lines: &[LineEntry],
    ) -> u32 {
        let place = self.from.tables.locations[id.index()].place;
        let place = Place {
            mapping: match place.mapping {
                NONE => NONE,
                mapping => self.mapping(to, mapping),
            },
            ..place
        };
        let line = |l: &LineEntry| LineEntry { function: self.function(to, l.function), ..*l };
        let lines: Vec<_> = lines.iter().map(line).collect();
        to.tables.location(place, &lines)
    }

    /// A set of labels as it was.
    pub(crate) fn label_set(&mut self, to: &mut Rebuild, id: LabelSetId) -> u32 {
        if self.label_sets[id.index()] == NONE {
            let labels = self.label_entries(to, id, |_| true);
            self.label_sets[id.index()] = to.tables.label_set(&labels);
        }
        self.label_sets[id.index()]
    }

    /// Those labels of a set whose keys `keep`, in terms of the new profile.
    pub(crate) fn label_entries(
        &mut self,
        to: &mut Rebuild,
        id: LabelSetId,
        keep: impl Fn(&str) -> bool,
    ) -> Vec<LabelEntry> {
        let from = self.from;
        let labels = from.tables.label_sets.get(id.0).iter();
        let kept = labels.filter(|l| keep(from.tables.strings.get(l.key)));
        kept.map(|l| LabelEntry {
            key: self.string(to, l.key),
            text: self.string(to, l.text),
            number: l.number,
            unit: self.string(to, l.unit),
        })
        .collect()
    }

    fn function(&mut self, to: &mut Rebuild, at: u32) -> u32 {
        if self.functions[at as usize] == NONE {
            let function = self.from.tables.functions[at as usize];
            let entry = FunctionEntry {
                name: self.string(to, function.name),
                system_name: self.string(to, function.system_name),
                file: self.string(to, function.file),
                start_line: function.start_line,
            };
            self.functions[at as usize] = to.tables.function(entry);
        }
        self.functions[at as usize]
    }

    fn mapping(&mut self, to: &mut Rebuild, at: u32) -> u32 {
        if self.mappings[at as usize] == NONE {
            let mapping = self.from.tables.mappings[at as usize];
            let entry = MappingEntry {
                file: self.string(to, mapping.file),
                build_id: self.string(to, mapping.build_id),
                ..mapping
            };
            self.mappings[at as usize] = to.tables.mapping(entry);
        }
        self.mappings[at as usize]
    }

    fn string(&mut self, to: &mut Rebuild, at: u32) -> u32 {
        if self.strings[at as usize] == NONE {
            let string = self.from.tables.strings.get(at);
            self.strings[at as usize] = to.tables.strings.intern(string);
        }
        self.strings[at as usize]
    }
}

impl Merged {
    /// This profile with only some of its samples.
    pub(crate) fn keeping(&self, keep: impl Fn(&crate::Sample<'_>) -> bool) -> Merged {
        let mut to = Rebuild::new(self.tables.types);
        let mut source = Source::new(self, &mut to);
        let mut stack = Vec::new();
        for sample in self.samples().filter(keep) {
            stack.clear();
            source.stack(&mut to, sample.stack(), &mut stack);
            let labels = source.label_set(&mut to, sample.label_set());
            let values = sample.values().iter().map(|&v| i128::from(v));
            to.add(&stack, labels, values);
        }
        to.finish(self.header.clone(), self.truncations)
    }
}
