//! How much of anything is taken from a profile, and what happens beyond.

/// Bytes of one profile after gunzip. Beyond: [`crate::DecodeError::TooLarge`].
///
/// A CPU snapshot of a Go service is some 20 KB, a heap snapshot some 250 KB;
/// the largest real profiles we met are under 3 MB.
pub const MAX_INFLATED_BYTES: usize = 64 << 20;
/// Samples of one profile. Beyond: [`crate::DecodeError::TooLarge`].
pub const MAX_SAMPLES: usize = 1 << 20;
/// Locations (and, separately, functions and mappings) of one profile.
/// Beyond: [`crate::DecodeError::TooLarge`].
pub const MAX_LOCATIONS: usize = 1 << 20;
/// Strings of one profile; and likewise its lines, its labels and its comments.
/// Beyond: [`crate::DecodeError::TooLarge`].
pub const MAX_STRINGS: usize = 4 << 20;
/// Sample types of one profile. Beyond: [`crate::DecodeError::TooLarge`].
pub const MAX_SAMPLE_TYPES: usize = 64;
/// Location ids in all stacks of one profile together; and likewise all values.
/// Beyond: [`crate::DecodeError::TooLarge`].
pub const MAX_FRAMES: usize = 16 << 20;
/// Locations in one stack. Beyond: the frames nearest the root are cut, as the
/// profilers themselves do, and the sample is counted in
/// [`crate::Truncations::stacks`].
pub const MAX_STACK_DEPTH: usize = 8192;
/// Labels on one sample. Beyond: the last by (text before number, key) are cut
/// and the set of labels is counted in [`crate::Truncations::labels`].
pub const MAX_LABELS_PER_SAMPLE: usize = 64;
/// Distinct texts of one label key in one merged profile. Beyond: all but as
/// many (chosen by a fixed hash, so that no order of inputs matters) become
/// [`OVERFLOW_VALUE`] and are counted in [`crate::Truncations::label_values`].
pub const MAX_LABEL_VALUES: usize = 1024;
/// Distinct numbers of one label key in one merged profile. Beyond: as for
/// texts; the overflow is the *text* label [`OVERFLOW_VALUE`] of the same key.
/// Higher, since Go's heap profiles label every stack with its object size.
pub const MAX_LABEL_NUMBERS: usize = 65_536;
/// Bytes of a name: function, file, label, unit. Beyond: cut at a character,
/// closed by `…`, counted in [`crate::Truncations::names`].
pub const MAX_NAME_BYTES: usize = 16 << 10;
/// Comments a merged profile keeps: those of the earliest inputs. Beyond: left
/// out and counted in [`crate::Truncations::comments`].
pub const MAX_COMMENTS: usize = 64;
/// Bytes of what a merge holds in memory. Once beyond, the next input is
/// refused with [`crate::MergeError::Full`]; finish, and start another.
pub const MAX_MERGED_BYTES: usize = 1 << 30;

/// What stands for the values of a label beyond [`MAX_LABEL_VALUES`].
pub const OVERFLOW_VALUE: &str = "__other__";

/// The limits in force; [`Default`] takes the constants of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`MAX_INFLATED_BYTES`]. At most 4 GiB − 1 is honoured.
    pub inflated_bytes: usize,
    /// See [`MAX_SAMPLES`].
    pub samples: usize,
    /// See [`MAX_LOCATIONS`].
    pub locations: usize,
    /// See [`MAX_STRINGS`].
    pub strings: usize,
    /// See [`MAX_SAMPLE_TYPES`].
    pub sample_types: usize,
    /// See [`MAX_FRAMES`].
    pub frames: usize,
    /// See [`MAX_STACK_DEPTH`].
    pub stack_depth: usize,
    /// See [`MAX_LABELS_PER_SAMPLE`].
    pub labels_per_sample: usize,
    /// See [`MAX_LABEL_VALUES`].
    pub label_values: usize,
    /// See [`MAX_LABEL_NUMBERS`].
    pub label_numbers: usize,
    /// See [`MAX_NAME_BYTES`].
    pub name_bytes: usize,
    /// See [`MAX_COMMENTS`].
    pub comments: usize,
    /// See [`MAX_MERGED_BYTES`].
    pub merged_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            inflated_bytes: MAX_INFLATED_BYTES,
            samples: MAX_SAMPLES,
            locations: MAX_LOCATIONS,
            strings: MAX_STRINGS,
            sample_types: MAX_SAMPLE_TYPES,
            frames: MAX_FRAMES,
            stack_depth: MAX_STACK_DEPTH,
            labels_per_sample: MAX_LABELS_PER_SAMPLE,
            label_values: MAX_LABEL_VALUES,
            label_numbers: MAX_LABEL_NUMBERS,
            name_bytes: MAX_NAME_BYTES,
            comments: MAX_COMMENTS,
            merged_bytes: MAX_MERGED_BYTES,
        }
    }
}
