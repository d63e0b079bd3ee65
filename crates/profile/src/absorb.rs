//! From one scanned profile into the merged tables.

use crate::ids::NONE;
use crate::limits::Limits;
use crate::merge::AddOptions;
use crate::scan::{Scan, ScannedLabel};
use crate::tables::{FunctionEntry, LabelEntry, LineEntry, MappingEntry, Tables};

use hashbrown::HashMap;

/// From positions in one input to positions in the merged tables, each found
/// when first needed, so that what no sample refers to is never merged.
#[derive(Default)]
pub(crate) struct Absorber {
    strings: Vec<u32>,
    mappings: Vec<u32>,
    functions: Vec<u32>,
    locations: Vec<u32>,
    label_sets: HashMap<Box<[ScannedLabel]>, u32>,
    lines: Vec<LineEntry>,
    stack: Vec<u32>,
    labels: Vec<LabelEntry>,
    /// Samples whose stacks were cut.
    pub(crate) stacks_cut: u64,
    /// Samples whose labels were cut.
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
        let mut input = Input { scan, raw, limits, tables };
        let mut absorbed = Absorbed {
            totals: vec![0; scan.header.sample_types.len()],
            samples: 0,
            first_mapping: NONE,
        };
        if !scan.mappings.is_empty() {
            absorbed.first_mapping = self.mapping(&mut input, 0);
        }
        let given = self.given_labels(&mut input, options);
        self.samples(&mut input, options, &given, &mut absorbed);
        absorbed
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
        self.label_sets.clear();
    }

    fn samples(
        &mut self,
        input: &mut Input<'_>,
        options: &AddOptions<'_>,
        given: &[LabelEntry],
        absorbed: &mut Absorbed,
    ) {
        let types = absorbed.totals.len();
        let (mut stack, mut labels) = (0, 0);
        let mut values = vec![0i64; types];
        for (i, sample) in input.scan.samples.iter().enumerate() {
            let frames = stack..sample.stack_end as usize;
            let own = labels..sample.labels_end as usize;
            (stack, labels) = (frames.end, own.end);
            values.copy_from_slice(&input.scan.values[i * types..][..types]);
            for &column in options.drop_columns {
                values[column] = 0;
            }
            if values.iter().all(|&v| v == 0) {
                continue;
            }
            let stack = self.stack(input, frames);
            let label_set = self.label_set(input, own, given);
            let at = input.tables.sample(stack, label_set) as usize * types;
            let sums = &mut input.tables.sums[at..][..types];
            for ((sum, total), &value) in sums.iter_mut().zip(&mut absorbed.totals).zip(&values) {
                *sum += i128::from(value);
                *total += i128::from(value);
            }
            absorbed.samples += 1;
        }
    }

    fn stack(&mut self, input: &mut Input<'_>, frames: std::ops::Range<usize>) -> u32 {
        let mut frames = &input.scan.stacks[frames];
        if frames.len() > input.limits.stack_depth {
            frames = &frames[..input.limits.stack_depth];
            self.stacks_cut += 1;
        }
        let mut stack = std::mem::take(&mut self.stack);
        stack.clear();
        stack.extend(frames.iter().map(|&l| self.location(input, l)));
        let position = input.tables.stack(&stack);
        self.stack = stack;
        position
    }

    #[inline]
    fn location(&mut self, input: &mut Input<'_>, at: u32) -> u32 {
        match self.locations[at as usize] {
            NONE => self.new_location(input, at as usize),
            known => known,
        }
    }

    fn new_location(&mut self, input: &mut Input<'_>, at: usize) -> u32 {
        let location = input.scan.locations[at];
        let mut address = location.address;
        let mut mapping = NONE;
        if location.mapping != u64::from(NONE) {
            let own = location.mapping as usize;
            mapping = self.mapping(input, own);
            address = address.wrapping_sub(input.scan.mappings[own].start);
        }
        let first = match at {
            0 => 0,
            _ => input.scan.locations[at - 1].lines_end as usize,
        };
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for line in &input.scan.lines[first..location.lines_end as usize] {
            lines.push(LineEntry {
                function: self.function(input, line.function as usize),
                line: line.line,
                column: line.column,
            });
        }
        let position = input.tables.location(mapping, address, location.folded, &lines);
        self.lines = lines;
        self.locations[at] = position;
        position
    }

    fn mapping(&mut self, input: &mut Input<'_>, at: usize) -> u32 {
        if self.mappings[at] == NONE {
            let mapping = input.scan.mappings[at];
            let entry = MappingEntry {
                start: mapping.start,
                limit: mapping.limit,
                offset: mapping.offset,
                file: self.string(input, mapping.file as u32),
                build_id: self.string(input, mapping.build_id as u32),
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
                name: self.string(input, function.name as u32),
                system_name: self.string(input, function.system_name as u32),
                file: self.string(input, function.file as u32),
                start_line: function.start_line,
            };
            self.functions[at] = input.tables.function(entry);
        }
        self.functions[at]
    }

    fn string(&mut self, input: &mut Input<'_>, at: u32) -> u32 {
        if self.strings[at as usize] == NONE {
            let bytes = input.scan.string(input.raw, i64::from(at));
            let limit = input.limits.name_bytes;
            self.strings[at as usize] = input.tables.strings.intern_name(bytes, limit);
        }
        self.strings[at as usize]
    }

    fn given_labels(&mut self, input: &mut Input<'_>, options: &AddOptions<'_>) -> Vec<LabelEntry> {
        let limit = input.limits.name_bytes;
        let strings = &mut input.tables.strings;
        let mut name = |s: &str| strings.intern_name(s.as_bytes(), limit);
        options
            .labels
            .iter()
            .map(|&(key, text)| LabelEntry { key: name(key), text: name(text), number: 0, unit: 0 })
            .collect()
    }

    fn label_set(
        &mut self,
        input: &mut Input<'_>,
        own: std::ops::Range<usize>,
        given: &[LabelEntry],
    ) -> u32 {
        let own = &input.scan.labels[own];
        if let Some(&known) = self.label_sets.get(own) {
            return known;
        }
        let mut labels = std::mem::take(&mut self.labels);
        labels.clear();
        for label in own {
            let entry = LabelEntry {
                key: self.string(input, label.key),
                text: self.string(input, label.text),
                number: label.number,
                unit: self.string(input, label.unit),
            };
            let says_nothing = entry.text == 0 && entry.number == 0 && entry.unit == 0;
            if !says_nothing && !given.iter().any(|g| g.key == entry.key) {
                labels.push(entry);
            }
        }
        labels.extend(given.iter().filter(|g| g.text != 0));
        input.tables.sort_labels(&mut labels);
        if labels.len() > input.limits.labels_per_sample {
            labels.truncate(input.limits.labels_per_sample);
            self.labels_cut += 1;
        }
        let position = input.tables.label_set(&labels);
        self.label_sets.insert(own.into(), position);
        self.labels = labels;
        position
    }
}
