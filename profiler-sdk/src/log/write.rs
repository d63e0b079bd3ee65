//! Making a log, and writing samples and definitions into it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::crc::Crc;
use super::format::{
    COUNTERS, Counter, HEADER_WORDS, LEDGER_SLOTS, Layout, MAGIC, MAX_FRAMES, MAX_TEXT, Marker,
    SAMPLE_WORDS, VERSION, WORD, at, pack,
};
use super::memory::Memory;
use super::notes::{Clock, Versions};
use super::protocol::{self, Gate, Half, MAX_HALF_WORDS};
use super::sample::{self, SampleHead};
use super::seal::Phase;
use crate::mappings::Mapping;
use crate::names::{Definition, DefinitionKind};

/// The share of the dictionary that names of threads may take, as a divisor: a process that
/// starts threads all day must not use up the room of its labels.
const THREADS_SHARE: usize = 4;

/// Why a log cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The system refused.
    #[error("failed to make a sample log in `{}`", folder.display())]
    Create {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The system refused memory.
    #[error("failed to get memory for a sample log")]
    Memory(#[source] io::Error),
    /// The system refused to read one.
    #[error("failed to read the sample log `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Not even a header.
    #[error("not a sample log: shorter than its header")]
    TooShort,
    /// More than a reader takes.
    #[error("a sample log of {0} bytes is larger than any of ours")]
    TooLarge(usize),
    /// Something else's file.
    #[error("not a sample log: it does not begin like one")]
    Foreign,
    /// A newer writer's.
    #[error("a sample log of version {0}, which this reader does not know")]
    Version(u64),
    /// What never changes has changed.
    #[error("the header of a sample log is damaged")]
    Damaged,
}

/// How large a log is, and what it says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// Nanoseconds of the sampling period.
    pub(crate) period: u64,
    /// Bytes of each half. A busy core at 99 Hz and 40 frames writes 36 kB a second.
    pub(crate) half_bytes: usize,
    /// Bytes for definitions and mappings.
    pub(crate) dictionary_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { period: 10_101_010, half_bytes: 2 << 20, dictionary_bytes: 1 << 20 }
    }
}

impl LogOptions {
    fn layout(&self) -> Layout {
        let words = |bytes: usize| (bytes / WORD).clamp(1, MAX_HALF_WORDS);
        Layout {
            dictionary_words: words(self.dictionary_bytes),
            half_words: words(self.half_bytes),
        }
    }
}

/// The log of this process: what it samples, outlives it.
///
/// Handlers write it at any instruction, see [`protocol`]; all else is for ordinary code.
#[derive(Debug)]
pub(crate) struct SampleLog {
    pub(super) memory: Memory,
    pub(super) layout: Layout,
    pub(super) crc: Crc,
    pub(super) gates: [Gate; 2],
    /// Words of the running account that were ever used.
    pub(super) account_used: AtomicUsize,
    /// What became of each half; held while sealing.
    pub(super) phases: Mutex<[Phase; 2]>,
    /// Held while ordinary code writes.
    pub(super) pen: Mutex<Pen>,
}

/// Where ordinary code writes next.
#[derive(Debug, Default)]
pub(super) struct Pen {
    dictionary_words: usize,
    thread_words: usize,
    pub(super) versions: Versions,
}

impl SampleLog {
    /// A log in a new file in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If there is no such file to be had; an [`anonymous`](Self::anonymous) log still samples.
    pub(crate) fn create(folder: &Path, options: LogOptions) -> Result<SampleLog, LogError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let failed = |source| LogError::Create { folder: folder.to_owned(), source };
        let layout = options.layout();
        let clock = Clock::now();
        let (pid, nth) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        // Sorts by age; two processes never share a pid at the same nanosecond.
        let name = format!("{:020}-{pid}-{nth}", clock.wall);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let memory = Memory::in_file(folder, &name, layout.words(), |words| {
            write_fixed(words, layout, options.period, clock);
        });
        Ok(SampleLog::over(memory.map_err(failed)?, layout))
    }

    /// A log that dies with the process.
    ///
    /// # Errors
    /// If there is no memory.
    pub(crate) fn anonymous(options: LogOptions) -> Result<SampleLog, LogError> {
        let layout = options.layout();
        let memory = Memory::anonymous(layout.words()).map_err(LogError::Memory)?;
        write_fixed(memory.words(), layout, options.period, Clock::now());
        Ok(SampleLog::over(memory, layout))
    }

    fn over(memory: Memory, layout: Layout) -> SampleLog {
        let log = SampleLog {
            memory,
            layout,
            crc: Crc::detect(),
            gates: [Gate::closed(), Gate::closed()],
            account_used: AtomicUsize::new(COUNTERS),
            phases: Mutex::default(),
            pen: Mutex::default(),
        };
        log.begin();
        log
    }

    /// Where the file is; none for an anonymous log.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.memory.path()
    }

    /// Writes a sample, frames leaf first; false if there was no room, which is counted with
    /// its weight. Beyond [`MAX_FRAMES`] the root's end is cut.
    ///
    /// Async-signal-safe: no lock, no allocation, no call into libc.
    #[inline]
    pub(crate) fn append(&self, head: SampleHead, frames: &[u64]) -> bool {
        let kept = frames.get(..MAX_FRAMES).unwrap_or(frames);
        let truncated = kept.len() < frames.len();
        let number = || self.memory.words()[at::NEXT_SAMPLE].fetch_add(1, Relaxed);
        let written = self.write(&head, kept, truncated, number);
        if written && truncated {
            self.count(Counter::Truncated, 1);
        }
        written
    }

    /// Writes a sample of at most [`MAX_FRAMES`]; takes its number once it has a place.
    #[inline]
    pub(super) fn write(
        &self,
        head: &SampleHead,
        frames: &[u64],
        truncated: bool,
        number: impl FnOnce() -> u64,
    ) -> bool {
        let written = protocol::append(&self.halves(), SAMPLE_WORDS + frames.len(), |words| {
            let body = sample::body(number(), head, frames.len(), truncated);
            let body = body.iter().chain(frames);
            words.iter().zip(body.clone()).for_each(|(to, word)| to.store(*word, Relaxed));
            Marker::Sample.first(self.crc, words.len(), body.copied())
        });
        if !written {
            self.count(Counter::Dropped, 1);
            self.count(Counter::DroppedWeight, head.weight);
        }
        written
    }

    /// Adds to a counter. Async-signal-safe.
    #[inline]
    pub(crate) fn count(&self, counter: Counter, by: u64) {
        self.memory.words()[Layout::ACCOUNTS_AT + counter as usize].fetch_add(by, Relaxed);
    }

    /// Adds to a slot of the ledger; false if there is no such slot. Async-signal-safe.
    #[inline]
    pub(crate) fn ledger_add(&self, slot: u32, nanos: u64) -> bool {
        let slot = slot as usize;
        if slot >= LEDGER_SLOTS {
            return false;
        }
        // First, so that whoever sees the sum knows of the slot.
        if self.account_used.load(Relaxed) <= COUNTERS + slot {
            self.account_used.fetch_max(COUNTERS + slot + 1, Release);
        }
        let word = &self.memory.words()[Layout::ACCOUNTS_AT + COUNTERS + slot];
        word.fetch_add(nanos, Release);
        true
    }

    /// All that a slot of the ledger was ever given.
    pub(crate) fn ledger_sum(&self, slot: u32) -> u64 {
        let slot = (slot as usize).min(LEDGER_SLOTS - 1);
        self.memory.words()[Layout::ACCOUNTS_AT + COUNTERS + slot].load(Relaxed)
    }

    /// Writes a definition; false if there was no room, which is counted.
    pub(crate) fn define(&self, definition: &Definition<'_>) -> bool {
        let text = definition.text.as_bytes();
        let kind = kind_code(definition.kind);
        let what = kind << 56 | (text.len() as u64 & 0xffff) << 32 | u64::from(definition.id);
        let head = [what, u64::from(definition.parent)];
        let is_thread = definition.kind == DefinitionKind::Thread;
        text.len() <= MAX_TEXT
            && self.enter_dictionary(Marker::Definition, is_thread, &head, &[text])
            || self.refuse()
    }

    /// Writes where code lies; false if there was no room, which is counted.
    pub(crate) fn map(&self, mapping: &Mapping) -> bool {
        let cut = |text: &'_ str| text.floor_char_boundary(MAX_TEXT);
        let file = &mapping.file.as_bytes()[..cut(&mapping.file)];
        let build_id = &mapping.build_id.as_bytes()[..cut(&mapping.build_id)];
        let head = [
            (file.len() as u64) << 16 | build_id.len() as u64,
            mapping.code.start,
            mapping.code.end,
            mapping.offset,
            mapping.bias,
        ];
        self.enter_dictionary(Marker::Mapping, false, &head, &[file, build_id]) || self.refuse()
    }

    fn enter_dictionary(
        &self,
        marker: Marker,
        is_thread: bool,
        head: &[u64],
        texts: &[&[u8]],
    ) -> bool {
        let texts = texts.iter().flat_map(|text| pack(text));
        let body: Vec<u64> = head.iter().copied().chain(texts).collect();
        let mut pen = self.pen();
        let len = body.len() + 1;
        let (from, to) = (pen.dictionary_words, pen.dictionary_words + len);
        let threads = pen.thread_words + if is_thread { len } else { 0 };
        if threads > self.layout.dictionary_words / THREADS_SHARE && is_thread {
            return false;
        }
        let area = self.area(Layout::DICTIONARY_AT, self.layout.dictionary_words);
        let Some(place) = area.get(from..to) else { return false };
        commit(place, self.crc, marker, &body);
        pen.dictionary_words = to;
        pen.thread_words = threads;
        true
    }

    fn refuse(&self) -> bool {
        self.count(Counter::Undefined, 1);
        false
    }

    #[inline]
    pub(super) fn area(&self, at: usize, len: usize) -> &[AtomicU64] {
        self.memory.words().get(at..at + len).unwrap_or_default()
    }

    #[inline]
    pub(super) fn halves(&self) -> [Half<'_>; 2] {
        std::array::from_fn(|half| Half {
            gate: &self.gates[half],
            state: &self.memory.words()[at::HALVES[half] + at::STATE],
            words: self.area(self.layout.half_at(half), self.layout.half_words),
        })
    }

    pub(super) fn pen(&self) -> MutexGuard<'_, Pen> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a record over words that hold none: all but the first, then that.
pub(super) fn commit(place: &[AtomicU64], crc: Crc, marker: Marker, body: &[u64]) {
    let Some((first, rest)) = place.split_first() else { return };
    rest.iter().zip(body).for_each(|(to, word)| to.store(*word, Relaxed));
    first.store(marker.first(crc, body.len(), body.iter().copied()), Release);
}

/// What a definition's kind is in the file.
fn kind_code(kind: DefinitionKind) -> u64 {
    match kind {
        DefinitionKind::Labels => 1,
        DefinitionKind::Span => 2,
        DefinitionKind::Thread => 3,
    }
}

/// The kind that a code in the file stands for.
pub(super) fn kind_of(code: u64) -> Option<DefinitionKind> {
    let all = [DefinitionKind::Labels, DefinitionKind::Span, DefinitionKind::Thread];
    all.into_iter().find(|kind| kind_code(*kind) == code)
}

/// What never changes.
fn write_fixed(words: &[AtomicU64], layout: Layout, period: u64, clock: Clock) {
    let mut fixed = [0; at::FIXED_CRC];
    fixed[at::MAGIC] = MAGIC;
    fixed[at::VERSION] = VERSION;
    fixed[at::PID] = u64::from(std::process::id());
    fixed[at::PERIOD] = period;
    fixed[at::START_WALL] = clock.wall;
    fixed[at::START_MONO] = clock.mono;
    fixed[at::DICTIONARY_WORDS] = layout.dictionary_words as u64;
    fixed[at::HALF_WORDS] = layout.half_words as u64;
    debug_assert!(words.len() >= HEADER_WORDS);
    words.iter().zip(fixed).for_each(|(to, word)| to.store(word, Relaxed));
    words[at::FIXED_CRC].store(Crc::detect().of(MAGIC, fixed.into_iter()).into(), Release);
}
