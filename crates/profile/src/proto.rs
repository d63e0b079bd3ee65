//! The types of `proto/profile.proto`, written by hand for prost's derive.
//!
//! This is the readable model: for building profiles, for tests, for small
//! work. The merge never builds it; it walks the wire (see [`crate::Merger`]).
//!
//! Fields named "string" hold an index into [`Profile::string_table`].

/// One profile: samples over a graph of locations, functions and mappings.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Profile {
    /// What each value of a sample counts, in order.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The samples.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// Pieces of binaries mapped into the process, the main binary first.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// What samples refer to.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// What lines of locations refer to.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All strings; entry 0 is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// Regular expression of frames to drop with their callees (string).
    #[prost(int64, tag = "7")]
    pub drop_frames: i64,
    /// Regular expression of frames exempt from `drop_frames` (string).
    #[prost(int64, tag = "8")]
    pub keep_frames: i64,
    /// Start of collection, nanoseconds since 1970 UTC; 0 is unknown.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// Length of collection in nanoseconds.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What passes between two samples.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How much of it passes.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// Free text (strings).
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// Name of the sample type shown first (string).
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
    /// Where this kind of profile is documented (string).
    #[prost(int64, tag = "15")]
    pub doc_url: i64,
}

/// A measure and its unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ValueType {
    /// The measure, such as `cpu` (string).
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// The unit, such as `nanoseconds` (string).
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack, what was measured on it, and what else is known of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sample {
    /// Ids of locations, the leaf first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One value for each sample type.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// Keys with a text or a number.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A key with either a text or a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Label {
    /// The key (string).
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// The text (string); if set, the number is ignored.
    #[prost(int64, tag = "2")]
    pub str: i64,
    /// The number.
    #[prost(int64, tag = "3")]
    pub num: i64,
    /// The number's unit (string).
    #[prost(int64, tag = "4")]
    pub num_unit: i64,
}

/// A range of addresses backed by (part of) a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Mapping {
    /// Unique, never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// First address.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// First address after it.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Offset in the file of the first address.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// The file, or a name such as `[vdso]` (string).
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// What identifies this build of the file (string).
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Locations have function names.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// Functions have file names.
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// Lines have numbers.
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// Inlined calls have lines of their own.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// An instruction address with the source lines it stands for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Location {
    /// Unique, never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The mapping's id; 0 is none.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// The address in the process.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Lines, the innermost inlined callee first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
    /// Several symbols share this address.
    #[prost(bool, tag = "5")]
    pub is_folded: bool,
}

/// A line of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Line {
    /// The function's id.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// Line number in the file.
    #[prost(int64, tag = "2")]
    pub line: i64,
    /// Column number in the line.
    #[prost(int64, tag = "3")]
    pub column: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Function {
    /// Unique, never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The name, demangled where possible (string).
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// The name as the system has it (string).
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// The source file (string).
    #[prost(int64, tag = "4")]
    pub filename: i64,
    /// The function's first line.
    #[prost(int64, tag = "5")]
    pub start_line: i64,
}
