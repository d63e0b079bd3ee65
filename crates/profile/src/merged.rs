//! A merged profile, to look at without encoding it.

use crate::error::MergeError;
use crate::header::{Header, ValueType};
use crate::ids::NONE;
use crate::limits::Limits;
use crate::merge::{AddOptions, Merger};
use crate::tables::{FunctionEntry, LineEntry, LocationEntry, MappingEntry, Tables};

/// A merged profile: samples over shared tables, all in one canonical order.
///
/// Ids ([`FunctionId`], [`StackId`], …) count from 0 without gaps and follow
/// the order of contents, so equal profiles have equal ids.
pub struct Merged {
    pub(crate) tables: Tables,
    pub(crate) header: Header,
    pub(crate) values: Vec<i64>,
    pub(crate) totals: Vec<i128>,
    pub(crate) saturated: u64,
    pub(crate) truncations: Truncations,
}

/// What limits cut away, and how often; all 0 for an ordinary profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncations {
    /// Samples cut to [`crate::limits::MAX_STACK_DEPTH`].
    pub stacks: u64,
    /// Sets of labels cut to [`crate::limits::MAX_LABELS_PER_SAMPLE`].
    pub labels: u64,
    /// How often a value of a label made way for [`crate::limits::OVERFLOW_VALUE`].
    pub label_values: u64,
    /// Names cut to [`crate::limits::MAX_NAME_BYTES`].
    pub names: u64,
    /// Comments left out beyond [`crate::limits::MAX_COMMENTS`].
    pub comments: u64,
}

macro_rules! id {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// The position, to index a list with.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

id! {
    /// A function of one [`Merged`].
    FunctionId
    /// A location of one [`Merged`].
    LocationId
    /// A mapping of one [`Merged`].
    MappingId
    /// A stack of one [`Merged`].
    StackId
    /// A set of labels of one [`Merged`].
    LabelSetId
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its id.
    pub id: FunctionId,
    /// The name, demangled where possible; any text, see [`crate::DisplayName`].
    pub name: &'a str,
    /// The name as the system has it.
    pub system_name: &'a str,
    /// The source file.
    pub file: &'a str,
    /// The function's first line.
    pub start_line: i64,
}

/// A range of addresses backed by a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// Its id; 0 is the main binary.
    pub id: MappingId,
    /// First address.
    pub start: u64,
    /// First address after it.
    pub limit: u64,
    /// Offset in the file of the first address.
    pub offset: u64,
    /// The file, or a name such as `[vdso]`.
    pub file: &'a str,
    /// What identifies this build of the file.
    pub build_id: &'a str,
    /// Whether locations have function names.
    pub has_functions: bool,
    /// Whether functions have file names.
    pub has_filenames: bool,
    /// Whether lines have numbers.
    pub has_line_numbers: bool,
    /// Whether inlined calls have lines of their own.
    pub has_inline_frames: bool,
}

/// One frame of a stack: a line of a location, or a location without lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The location it belongs to.
    pub location: LocationId,
    /// The function; `None` where the address was never symbolized.
    pub function: Option<Function<'a>>,
    /// Line in the function's file; 0 is unknown.
    pub line: i64,
    /// Column in the line; 0 is unknown.
    pub column: i64,
    /// The address in the process.
    pub address: u64,
    /// The mapping, if known.
    pub mapping: Option<MappingId>,
    /// Whether this call was inlined into the frame that follows.
    pub inlined: bool,
}

impl<'a> Frame<'a> {
    /// The function's name; empty where the address was never symbolized.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.function.map_or("", |f| f.name)
    }

    /// The function's file; empty where unknown.
    #[must_use]
    pub fn file(&self) -> &'a str {
        self.function.map_or("", |f| f.file)
    }
}

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelValue<'a> {
    /// A text, never empty.
    Text(&'a str),
    /// A number and its unit, which may be empty.
    Number(i64, &'a str),
}

/// A label of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label<'a> {
    /// The key.
    pub key: &'a str,
    /// What it says.
    pub value: LabelValue<'a>,
}

/// A sample: a stack, labels and values.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    merged: &'a Merged,
    index: usize,
}

impl Merged {
    /// One profile on its own, in canonical form. All of its comments are kept,
    /// Flambeau's own included.
    ///
    /// # Errors
    /// As [`Merger::add`].
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Merged, MergeError> {
        let mut merger = Merger::new(*limits);
        let added = merger.add(bytes, &AddOptions::default())?;
        merger.set_comments(added.header.comments);
        merger.finish()
    }

    /// What the profile says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What each value of a sample counts.
    #[must_use]
    pub fn sample_types(&self) -> &[ValueType] {
        &self.header.sample_types
    }

    /// For each sample type, the exact sum over all samples.
    #[must_use]
    pub fn totals(&self) -> &[i128] {
        &self.totals
    }

    /// How many values did not fit 64 bits and were bent to the nearest that does.
    #[must_use]
    pub fn saturated(&self) -> u64 {
        self.saturated
    }

    /// What limits cut away.
    #[must_use]
    pub fn truncations(&self) -> Truncations {
        self.truncations
    }

    /// All samples, by stack (from the root), then labels. None is all zero.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = Sample<'_>> + Clone {
        (0..self.tables.samples.len()).map(|index| Sample { merged: self, index })
    }

    /// All functions, by id.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Function<'_>> {
        (0..self.tables.functions.len()).map(|i| self.function(FunctionId(i as u32)))
    }

    /// All mappings, by id; the first is the main binary.
    pub fn mappings(&self) -> impl ExactSizeIterator<Item = Mapping<'_>> {
        (0..self.tables.mappings.len()).map(|i| self.mapping(MappingId(i as u32)))
    }

    /// All locations; each is in some sample's stack.
    pub fn locations(&self) -> impl ExactSizeIterator<Item = LocationId> {
        (0..self.tables.locations.len() as u32).map(LocationId)
    }

    /// How many locations there are: the bound of [`LocationId::index`].
    #[must_use]
    pub fn location_count(&self) -> usize {
        self.tables.locations.len()
    }

    /// How many stacks there are: the bound of [`StackId::index`].
    #[must_use]
    pub fn stack_count(&self) -> usize {
        self.tables.stacks.ranges.len()
    }

    /// How many sets of labels there are: the bound of [`LabelSetId::index`].
    #[must_use]
    pub fn label_set_count(&self) -> usize {
        self.tables.label_sets.ranges.len()
    }

    /// A function.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    #[must_use]
    pub fn function(&self, id: FunctionId) -> Function<'_> {
        let FunctionEntry { name, system_name, file, start_line } =
            self.tables.functions[id.index()];
        Function {
            id,
            name: self.tables.strings.get(name),
            system_name: self.tables.strings.get(system_name),
            file: self.tables.strings.get(file),
            start_line,
        }
    }

    /// A mapping.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    #[must_use]
    pub fn mapping(&self, id: MappingId) -> Mapping<'_> {
        let MappingEntry { start, limit, offset, file, build_id, has } =
            self.tables.mappings[id.index()];
        let [has_functions, has_filenames, has_line_numbers, has_inline_frames] = has;
        Mapping {
            id,
            start,
            limit,
            offset,
            file: self.tables.strings.get(file),
            build_id: self.tables.strings.get(build_id),
            has_functions,
            has_filenames,
            has_line_numbers,
            has_inline_frames,
        }
    }

    /// The locations of a stack, leaf first.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    pub fn stack(&self, id: StackId) -> impl DoubleEndedIterator<Item = LocationId> + Clone {
        self.tables.stacks.get(id.0).iter().map(|&l| LocationId(l))
    }

    /// The frames of a location: the innermost inlined call first, the function
    /// that really stands there last. Never none.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    pub fn frames(&self, id: LocationId) -> impl DoubleEndedIterator<Item = Frame<'_>> + Clone {
        let location = &self.tables.locations[id.index()];
        let lines = location.lines.of(&self.tables.lines);
        (0..lines.len().max(1)).map(move |i| self.frame(id, location, lines, i))
    }

    fn frame(
        &self,
        id: LocationId,
        location: &LocationEntry,
        lines: &[LineEntry],
        i: usize,
    ) -> Frame<'_> {
        let line = lines.get(i);
        Frame {
            location: id,
            function: line.map(|l| self.function(FunctionId(l.function))),
            line: line.map_or(0, |l| l.line),
            column: line.map_or(0, |l| l.column),
            address: self.tables.absolute(location),
            mapping: (location.place.mapping != NONE).then_some(MappingId(location.place.mapping)),
            inlined: i + 1 < lines.len(),
        }
    }

    /// The labels of a set: texts by key, then numbers by key.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    pub fn labels(&self, id: LabelSetId) -> impl ExactSizeIterator<Item = Label<'_>> + Clone {
        let strings = &self.tables.strings;
        self.tables.label_sets.get(id.0).iter().map(|l| Label {
            key: strings.get(l.key),
            value: match l.text {
                0 => LabelValue::Number(l.number, strings.get(l.unit)),
                text => LabelValue::Text(strings.get(text)),
            },
        })
    }
}

impl<'a> Sample<'a> {
    /// Its values, one for each sample type.
    #[must_use]
    pub fn values(&self) -> &'a [i64] {
        let types = self.merged.tables.types;
        &self.merged.values[self.index * types..][..types]
    }

    /// Its stack.
    #[must_use]
    pub fn stack(&self) -> StackId {
        StackId(self.merged.tables.samples[self.index].0)
    }

    /// Its set of labels.
    #[must_use]
    pub fn label_set(&self) -> LabelSetId {
        LabelSetId(self.merged.tables.samples[self.index].1)
    }

    /// Its locations, leaf first.
    pub fn locations(&self) -> impl DoubleEndedIterator<Item = LocationId> + Clone + 'a {
        self.merged.stack(self.stack())
    }

    /// Its frames, leaf first, inlined calls as frames of their own.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = Frame<'a>> + Clone + 'a {
        let merged = self.merged;
        self.locations().flat_map(move |l| merged.frames(l))
    }

    /// Its labels: texts by key, then numbers by key.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = Label<'a>> + Clone + 'a {
        self.merged.labels(self.label_set())
    }

    /// The first text given for `key`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels().find_map(|l| match l.value {
            LabelValue::Text(text) if l.key == key => Some(text),
            _ => None,
        })
    }
}
