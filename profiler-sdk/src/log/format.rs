//! The shape of a log, word by word. All words are 64 bits, little-endian, aligned.
//!
//! ```text
//! header      4 KiB: what never changes (with a checksum), the state of the halves, notes
//! accounts    5 × ACCOUNT words: running, and per half `since` and `until`
//! dictionary  definitions and mappings, append-only
//! half 0, half 1   samples
//! ```
//!
//! A **record** is `first, body…` where `first` is marker (16 bits), words in all (16 bits), and
//! the CRC-32C of the upper half of `first` and the body (32 bits).
//!
//! | record | body |
//! |---|---|
//! | sample | number · tid 32, flags 8, kind 8, frames 16 · monotonic ns · weight · labels 32, span 32 · frames |
//! | definition | kind 8, 0 8, text bytes 16, id 32 · parent · text, zero-padded |
//! | mapping | file bytes 16, build id bytes 16 · code start · code end · offset · bias · text |
//! | note | version · by its place, see below |

use std::sync::atomic::AtomicU64;

use super::crc::Crc;

/// `FLAMBLOG`, as bytes of the file.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"FLAMBLOG");

/// Raised when a reader of the version before would misread.
pub(crate) const VERSION: u64 = 1;

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// Words of the header: one page.
pub(crate) const HEADER_WORDS: usize = 4096 / WORD;

/// Most frames of one sample; deeper stacks keep those nearest to the leaf, and are marked.
pub(crate) const MAX_FRAMES: usize = 256;

/// Words of a sample before its frames.
pub(crate) const SAMPLE_WORDS: usize = 6;

/// Words of a definition before its text.
pub(crate) const DEFINITION_WORDS: usize = 3;

/// Words of a mapping before its texts.
pub(crate) const MAPPING_WORDS: usize = 6;

/// Longest text of a definition or mapping, in bytes; longer mappings are cut.
pub(crate) const MAX_TEXT: usize = crate::names::MAX_NAME_BYTES;

/// Slots of the account.
pub(crate) const LEDGER_SLOTS: usize = 4096;

/// Words of an account: our own counters, then the ledger's slots.
pub(crate) const ACCOUNT_WORDS: usize = COUNTERS + LEDGER_SLOTS;

/// Words kept for [`Counter`]s.
pub(crate) const COUNTERS: usize = 16;

/// Accounts in a row: the running one, then `since` and `until` of each half.
pub(crate) const ACCOUNTS: usize = 5;

/// Largest file a reader takes; the largest we make is below it.
pub(crate) const MAX_LOG_BYTES: usize = 64 << 20;

const _: () =
    assert!((Layout::DICTIONARY_AT + 3 * super::protocol::MAX_HALF_WORDS) * WORD <= MAX_LOG_BYTES);

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Sample = 0xf1a5,
    Definition = 0xf1d0,
    Mapping = 0xf1e3,
    Note = 0xf1c7,
}

impl Marker {
    /// Fewest and most words of such a record.
    pub(crate) fn words(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Marker::Sample => SAMPLE_WORDS..=SAMPLE_WORDS + MAX_FRAMES,
            Marker::Definition => DEFINITION_WORDS..=DEFINITION_WORDS + MAX_TEXT.div_ceil(WORD),
            Marker::Mapping => MAPPING_WORDS..=MAPPING_WORDS + 2 * MAX_TEXT.div_ceil(WORD),
            Marker::Note => 2..=NOTE_WORDS,
        }
    }

    /// The upper half of a record's first word. `words` fits 16 bits for every record we write.
    #[inline]
    pub(crate) fn tag(self, words: usize) -> u64 {
        (self as u64) << 16 | words as u64 & 0xffff
    }

    /// A record's first word.
    #[inline]
    pub(crate) fn first(self, crc: Crc, body_words: usize, body: impl Iterator<Item = u64>) -> u64 {
        let tag = self.tag(body_words + 1);
        tag << 32 | u64::from(crc.of(tag, body))
    }

    /// How many words a record says it has, if `first` begins one of this kind.
    #[inline]
    pub(crate) fn length(self, first: u64) -> Option<usize> {
        let words = (first >> 32 & 0xffff) as usize;
        (first >> 48 == self as u64 && self.words().contains(&words)).then_some(words)
    }
}

/// Places in the header.
pub(crate) mod at {
    use super::{ANCHORS, NOTE_WORDS};

    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const PID: usize = 2;
    pub(crate) const PERIOD: usize = 3;
    pub(crate) const START_WALL: usize = 4;
    pub(crate) const START_MONO: usize = 5;
    pub(crate) const DICTIONARY_WORDS: usize = 6;
    pub(crate) const HALF_WORDS: usize = 7;
    /// Checksum of all before it.
    pub(crate) const FIXED_CRC: usize = 8;

    /// The number of the next sample.
    pub(crate) const NEXT_SAMPLE: usize = 16;
    /// The seq of the next snapshot.
    pub(crate) const NEXT_SEQ: usize = 17;
    /// Per half: state; then which account to believe, see `account.rs`.
    pub(crate) const HALVES: [usize; 2] = [24, 32];
    pub(crate) const STATE: usize = 0;
    pub(crate) const ORDINAL: usize = 1;

    /// Notes are written in turns to two places, so that one is always whole.
    pub(crate) const IDENTITY: usize = 64;
    pub(crate) const INVOCATION: usize = IDENTITY + 2 * NOTE_WORDS;
    pub(crate) const OPEN_SPANS: usize = INVOCATION + 2 * NOTE_WORDS;
    /// And anchors to many, in a ring.
    pub(crate) const CLOCKS: usize = OPEN_SPANS + 2 * NOTE_WORDS;
    pub(crate) const END: usize = CLOCKS + ANCHORS * super::ANCHOR_WORDS;
}

/// Words of a note, first and version included.
pub(crate) const NOTE_WORDS: usize = 24;

/// Longest environment or boot id in a note, in bytes.
pub(crate) const MAX_NOTE_ID: usize = 80;

/// Pairs of wall and monotonic time kept.
pub(crate) const ANCHORS: usize = 32;

/// Words of one such pair.
pub(crate) const ANCHOR_WORDS: usize = 4;

const _: () = assert!(at::END <= HEADER_WORDS);

/// What the log itself counts, beside the ledger; told per seal like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Samples for which there was no room.
    Dropped = 0,
    /// Their weight, in the samples' unit.
    DroppedWeight = 1,
    /// Definitions and mappings for which there was no room.
    Undefined = 2,
    /// Samples whose stack was cut.
    Truncated = 3,
    /// Samples taken without a stack.
    Unwalked = 4,
    /// Expirations of timers beyond the first of each signal.
    Overruns = 5,
}

/// Where everything is, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) dictionary_words: usize,
    pub(crate) half_words: usize,
}

impl Layout {
    pub(crate) const ACCOUNTS_AT: usize = HEADER_WORDS;
    pub(crate) const DICTIONARY_AT: usize = HEADER_WORDS + ACCOUNTS * ACCOUNT_WORDS;

    pub(crate) fn half_at(&self, half: usize) -> usize {
        Self::DICTIONARY_AT
            .saturating_add(self.dictionary_words)
            .saturating_add(self.half_words.saturating_mul(half))
    }

    /// Words in all.
    pub(crate) fn words(&self) -> usize {
        self.half_at(2)
    }
}

/// Words that can be read one by one, in memory or in a file's bytes.
pub(crate) trait Words {
    fn word(&self, at: usize) -> Option<u64>;
}

impl Words for [AtomicU64] {
    fn word(&self, at: usize) -> Option<u64> {
        self.get(at).map(|word| word.load(std::sync::atomic::Ordering::Acquire))
    }
}

impl Words for [u8] {
    fn word(&self, at: usize) -> Option<u64> {
        let from = at.checked_mul(WORD)?;
        let bytes = self.get(from..from.checked_add(WORD)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// Text as words, the last padded with zeros.
pub(crate) fn pack(text: &[u8]) -> impl Iterator<Item = u64> {
    text.chunks(WORD).map(|chunk| {
        let mut bytes = [0; WORD];
        bytes.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(bytes)
    })
}

/// `len` bytes of text out of words; what is not UTF-8 becomes replacement characters.
pub(crate) fn unpack(words: &[u64], len: usize) -> Option<String> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.get(..len).map(|text| String::from_utf8_lossy(text).into_owned())
}
