//! From one scanned profile into the merged tables.
//!
//! Snapshots of one program repeat nearly all of each other: what matters is
//! how fast a location is found to be there already. A hint, chosen by address
//! and line, names the location seen there last; it is compared with the
//! input's bytes, each function once per input. Strings and functions are
//! hashed and interned only where the hint was wrong.

use std::ops::Range;

use crate::cardinality::Cardinality;
use crate::ids::NONE;
use crate::index::Index;
use crate::limits::Limits;
use crate::merge::AddOptions;
use crate::messages::ScannedLine;
use crate::scan::{Scan, ScannedLabel};
use crate::tables::{FunctionEntry, LabelEntry, LineEntry, MappingEntry, Place, Tables};

/// From positions in one input to positions in the merged tables, each found
/// when first needed, so that what no sample refers to is never merged.
#[derive(Default)]
pub(crate) struct Absorber {
    strings: Vec<u32>,
    mappings: Vec<u32>,
    functions: Vec<u32>,
    locations: Vec<u32>,
    /// The set of labels of samples that have none of their own.
    no_labels: u32,
    /// Where in the input's labels a set was first seen, and its position.
    label_sets: Vec<(Range<usize>, u32)>,
    label_set_index: Index,
    lines: Vec<LineEntry>,
    stack: Vec<u32>,
    labels: Vec<LabelEntry>,
    /// Samples whose stacks were cut.
    pub(crate) stacks_cut: u64,
    /// The values of labels over all inputs.
    pub(crate) cardinality: Cardinality,
    /// Sets of labels that were cut.
    pub(crate) labels_cut: u64,
}

/// What one input added.
pub(crate) struct Absorbed {
    pub(crate) totals: Vec<i128>,
    pub(crate) samples: usize,
    /// Where the input's first mapping went, or [`NONE`].
    pub(crate) first_mapping: u32,
}

/// One input on its way into the tables.
struct Input<'a> {
    scan: &'a Scan,
    raw: &'a [u8],
    limits: &'a Limits,
    /// Labels put on every sample.
    given: Vec<LabelEntry>,
    tables: &'a mut Tables,
}

impl Absorber {
    pub(crate) fn absorb(
        &mut self,
        scan: &Scan,
        raw: &[u8],
        limits: &Limits,
        options: &AddOptions<'_>,
        tables: &mut Tables,
    ) -> Absorbed {
        self.reset(scan);
        if tables.samples.is_empty() {
            tables.make_room(scan);
        }
        let given = given_labels(options, limits, tables);
        let mut input = Input { scan, raw, limits, given, tables };
        let mut first_mapping = NONE;
        if !scan.mappings.is_empty() {
            first_mapping = self.mapping(&mut input, 0);
        }
        let (totals, samples) = self.samples(&mut input, options.drop_columns);
        Absorbed { totals, samples, first_mapping }
    }

    /// Bytes held for reuse.
    pub(crate) fn held(&self) -> usize {
        4 * (self.strings.capacity() + self.functions.capacity())
            + 4 * (self.locations.capacity() + self.stack.capacity())
            + self.label_set_index.held()
    }

    fn reset(&mut self, scan: &Scan) {
        for (list, len) in [
            (&mut self.strings, scan.strings.len()),
            (&mut self.mappings, scan.mappings.len()),
            (&mut self.functions, scan.functions.len()),
            (&mut self.locations, scan.locations.len()),
        ] {
            list.clear();
            list.resize(len, NONE);
        }
        self.no_labels = NONE;
        self.label_sets.clear();
        self.label_set_index.clear();
    }

    /// Adds all samples; returns their totals and number.
    fn samples(&mut self, input: &mut Input<'_>, dropped: &[usize]) -> (Vec<i128>, usize) {
        let types = input.tables.types;
        let mut totals = vec![0; types];
        let mut added = 0;
        let mut kept = vec![0i64; types];
        let (mut stack, mut labels) = (0, 0);
        for (i, sample) in input.scan.samples.iter().enumerate() {
            let frames = stack..sample.stack_end as usize;
            let own = labels..sample.labels_end as usize;
            (stack, labels) = (frames.end, own.end);
            let mut values = &input.scan.values[i * types..][..types];
            if !dropped.is_empty() {
                kept.copy_from_slice(values);
                dropped.iter().for_each(|&column| kept[column] = 0);
                values = &kept;
            }
            if values.iter().all(|&v| v == 0) {
                continue;
            }
            let stack = self.stack(input, frames);
            let label_set = self.label_set(input, own);
            let at = input.tables.sample(stack, label_set) as usize * types;
            let sums = &mut input.tables.sums[at..][..types];
            for ((sum, total), &value) in sums.iter_mut().zip(&mut totals).zip(values) {
                *sum += i128::from(value);
                *total += i128::from(value);
            }
            added += 1;
        }
        (totals, added)
    }

    #[inline]
    fn stack(&mut self, input: &mut Input<'_>, frames: Range<usize>) -> u32 {
        let mut frames = &input.scan.stacks[frames];
        if frames.len() > input.limits.stack_depth {
            frames = &frames[..input.limits.stack_depth];
            self.stacks_cut += 1;
        }
        let mut stack = std::mem::take(&mut self.stack);
        stack.clear();
        stack.extend(frames.iter().map(|&at| match self.locations[at as usize] {
            NONE => self.location(input, at as usize),
            known => known,
        }));
        let position = input.tables.stack(&stack);
        self.stack = stack;
        position
    }

    #[inline(never)]
    fn location(&mut self, input: &mut Input<'_>, at: usize) -> u32 {
        let location = input.scan.locations[at];
        let mut place = Place { mapping: NONE, address: location.address, folded: location.folded };
        if location.mapping != u64::from(NONE) {
            let own = location.mapping as usize;
            place.mapping = self.mapping(input, own);
            place.address = place.address.wrapping_sub(input.scan.mappings[own].start);
        }
        let scan = input.scan;
        let lines = scan.lines_of(at);
        let hint = self.hint(input, place, lines);
        for position in input.tables.hinted(hint) {
            if self.is_location(input, place, lines, position) {
                self.locations[at] = position;
                return position;
            }
        }
        let position = self.new_location(input, at, place);
        input.tables.hint_location(hint, position);
        self.locations[at] = position;
        position
    }

    #[inline]
    fn is_location(
        &mut self,
        input: &Input<'_>,
        place: Place,
        lines: &[ScannedLine],
        position: u32,
    ) -> bool {
        let Some(held) = input.tables.locations.get(position as usize) else {
            return false;
        };
        held.place == place && self.are_lines(input, lines, held.lines.of(&input.tables.lines))
    }

    /// What tells locations apart well and quickly: the address where there is
    /// one, else the line and the name's length and end.
    #[inline]
    fn hint(&self, input: &Input<'_>, place: Place, lines: &[ScannedLine]) -> u64 {
        let Some(line) = lines.first() else {
            return place.address;
        };
        let mut hint = place.address ^ (line.line as u64) << 40;
        if place.address == 0 {
            let function = &input.scan.functions[line.function as usize];
            let name = input.scan.string(input.raw, function.name);
            let tail = name.last_chunk::<8>().map_or(0, |t| u64::from_le_bytes(*t));
            hint ^= tail ^ (name.len() as u64) << 56;
        }
        hint
    }

    #[inline]
    fn are_lines(&mut self, input: &Input<'_>, own: &[ScannedLine], held: &[LineEntry]) -> bool {
        own.len() == held.len()
            && own.iter().zip(held).all(|(own, held)| {
                (held.line, held.column) == (own.line, own.column)
                    && self.is_function(input, own.function as usize, held.function)
            })
    }

    /// Interns a location where the hint did not help.
    #[inline(never)]
    fn new_location(&mut self, input: &mut Input<'_>, at: usize, place: Place) -> u32 {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for line in input.scan.lines_of(at) {
            lines.push(LineEntry {
                function: self.function(input, line.function as usize),
                line: line.line,
                column: line.column,
            });
        }
        let position = input.tables.location(place, &lines);
        self.lines = lines;
        position
    }

    /// Whether the input's function is the merged one. Once it was, it is.
    #[inline]
    fn is_function(&mut self, input: &Input<'_>, own: usize, merged: u32) -> bool {
        match self.functions[own] {
            NONE => self.is_new_function(input, own, merged),
            known => known == merged,
        }
    }

    fn is_new_function(&mut self, input: &Input<'_>, own: usize, merged: u32) -> bool {
        let function = input.scan.functions[own];
        let held = input.tables.functions[merged as usize];
        let same = function.start_line == held.start_line
            && self.is_string(input, function.name as usize, held.name)
            && self.is_string(input, function.system_name as usize, held.system_name)
            && self.is_string(input, function.file as usize, held.file);
        if same {
            self.functions[own] = merged;
        }
        same
    }

    fn is_string(&mut self, input: &Input<'_>, own: usize, merged: u32) -> bool {
        match self.strings[own] {
            NONE => {
                let bytes = input.scan.strings[own].of(input.raw);
                let same = bytes == input.tables.strings.get(merged).as_bytes();
                if same {
                    self.strings[own] = merged;
                }
                same
            }
            known => known == merged,
        }
    }

    fn mapping(&mut self, input: &mut Input<'_>, at: usize) -> u32 {
        if self.mappings[at] == NONE {
            let mapping = input.scan.mappings[at];
            let entry = MappingEntry {
                start: mapping.start,
                limit: mapping.limit,
                offset: mapping.offset,
                file: self.string(input, mapping.file as usize),
                build_id: self.string(input, mapping.build_id as usize),
                has: mapping.has,
            };
            self.mappings[at] = input.tables.mapping(entry);
        }
        self.mappings[at]
    }

    fn function(&mut self, input: &mut Input<'_>, at: usize) -> u32 {
        if self.functions[at] == NONE {
            let function = input.scan.functions[at];
            let entry = FunctionEntry {
                name: self.string(input, function.name as usize),
                system_name: self.string(input, function.system_name as usize),
                file: self.string(input, function.file as usize),
                start_line: function.start_line,
            };
            self.functions[at] = input.tables.function(entry);
        }
        self.functions[at]
    }

    fn string(&mut self, input: &mut Input<'_>, at: usize) -> u32 {
        if self.strings[at] == NONE {
            let bytes = input.scan.strings[at].of(input.raw);
            let limit = input.limits.name_bytes;
            self.strings[at] = input.tables.strings.intern_name(bytes, limit);
        }
        self.strings[at]
    }

    #[inline]
    fn label_set(&mut self, input: &mut Input<'_>, own: Range<usize>) -> u32 {
        if own.is_empty() {
            if self.no_labels == NONE {
                self.no_labels = self.new_label_set(input, own);
            }
            return self.no_labels;
        }
        let labels = &input.scan.labels;
        let hash = input.tables.hash(&labels[own.clone()]);
        let known = &self.label_sets;
        let found = self
            .label_set_index
            .find(hash, |i| labels[known[i as usize].0.clone()] == labels[own.clone()]);
        if let Some(i) = found {
            return self.label_sets[i as usize].1;
        }
        let position = self.new_label_set(input, own.clone());
        self.label_set_index.insert(hash, self.label_sets.len() as u32);
        self.label_sets.push((own, position));
        position
    }

    fn new_label_set(&mut self, input: &mut Input<'_>, own: Range<usize>) -> u32 {
        let mut labels = std::mem::take(&mut self.labels);
        labels.clear();
        for label in &input.scan.labels[own] {
            let entry = self.label(input, label);
            let says_nothing = entry.text == 0 && entry.number == 0 && entry.unit == 0;
            if !says_nothing && !input.given.iter().any(|g| g.key == entry.key) {
                labels.push(entry);
            }
        }
        labels.extend(input.given.iter().filter(|g| g.text != 0));
        input.tables.sort_labels(&mut labels);
        if labels.len() > input.limits.labels_per_sample {
            labels.truncate(input.limits.labels_per_sample);
            self.labels_cut += 1;
        }
        for label in &mut labels {
            *label = self.cardinality.admit(*label, input.limits, input.tables);
        }
        input.tables.sort_labels(&mut labels);
        let position = input.tables.label_set(&labels);
        self.labels = labels;
        position
    }

    fn label(&mut self, input: &mut Input<'_>, label: &ScannedLabel) -> LabelEntry {
        LabelEntry {
            key: self.string(input, label.key as usize),
            text: self.string(input, label.text as usize),
            number: label.number,
            unit: self.string(input, label.unit as usize),
        }
    }
}

fn given_labels(options: &AddOptions<'_>, limits: &Limits, tables: &mut Tables) -> Vec<LabelEntry> {
    let strings = &mut tables.strings;
    let mut name = |s: &str| strings.intern_name(s.as_bytes(), limits.name_bytes);
    let given = options.labels.iter().map(|&(key, text)| LabelEntry {
        key: name(key),
        text: name(text),
        number: 0,
        unit: 0,
    });
    given.collect()
}
