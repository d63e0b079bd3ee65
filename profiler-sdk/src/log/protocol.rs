//! Who may write where, and when: the whole of the log's concurrency, in one place.
//!
//! Samples are written by signal handlers on any number of threads, at any instruction, so no
//! step here may wait for another thread. They are read by one ordinary thread at a time
//! (the caller's lock), and by another process after this one was killed at any instruction.
//!
//! # One half
//!
//! ```text
//!            begin                     close                 seal                    clear
//!   FREE ───────────► OPEN, writers in ─────► OPEN, drained ─────► SEALED(seq) ─────► FREE
//!   all words zero    reserve fill commit     no writer inside     safe to read       zeroing
//! ```
//!
//! Its [`Gate`] is one word: a *closed* bit, the number of *writers* inside, and the *head*, the
//! number of words given out. A writer enters and reserves by a single `fetch_add`, so there is
//! no moment between looking whether the half is open and being counted in it. That is why
//! nothing here needs sequential consistency: all that writers and the closer must agree on is
//! the order of changes of that one word, which every atomic has.
//!
//! The gates live in the process's own memory. What another process must know after this one's
//! death (the *state* and the words themselves) lies in the file.
//!
//! # Orderings, and why
//!
//! | step | ordering | because |
//! |---|---|---|
//! | state := OPEN, then gate opened | `Release` on the gate | who enters (`Acquire`) writes after the half was marked open and after it was zeroed |
//! | gate entered | `Acquire` | see above; later entries continue the release sequence of the opening |
//! | body of the record | `Relaxed` | nobody believes it before its first word |
//! | first word of the record | `Release` | who sees it (`Acquire`) sees the body |
//! | gate left | `Release` | who sees no writer inside (`Acquire`) sees all that they wrote |
//! | state := SEALED | `Release` | whoever reads the seq sees the account that goes with it |
//! | state := FREE, fence, zeroing | `Release` fence | whoever sees a zero that was a sample sees that it no longer counts |
//!
//! # Death
//!
//! A killed process loses no store that was executed: they are in the page cache, and a
//! processor takes an interrupt between two instructions of the program, never with a later
//! store done and an earlier one not. So a dead log holds, of each thread, its stores up to
//! some point *in the order of the compiled program*, and the orderings above keep the
//! compiler from moving what matters. A record without its first word was not finished and is
//! not believed; one with it is whole, and its checksum says so once more.
//!
//! # A writer that does not leave
//!
//! A thread may be descheduled inside its handler for long, or leave it by a jump. The closer
//! waits for it only so long; then it reads what is committed. Such a half is not zeroed and not
//! opened again before that writer has left, and what it committed late is written again, into
//! the half that is open by then (`seal.rs`).

use super::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use super::atomic::{AtomicU64, fence};

/// The state, in the file, of a half that holds nothing.
pub(crate) const FREE: u64 = 0;

/// The state of a half that is being written.
pub(crate) const OPEN: u64 = 1;

/// The state of a half whose samples belong to the snapshot `seq`.
pub(crate) fn sealed(seq: u64) -> u64 {
    (seq << 2) | 2
}

/// The snapshot that a half with this state belongs to.
pub(crate) fn seq_of(state: u64) -> Option<u64> {
    (state & 3 == 2).then_some(state >> 2)
}

const CLOSED: u64 = 1 << 63;
const WRITER: u64 = 1 << 32;
const HEAD: u64 = WRITER - 1;

/// Most words of a half, 16 MiB. The gate has room for far more; a reader's memory may not.
pub(crate) const MAX_HALF_WORDS: usize = 1 << 21;

/// How often a writer looks at both halves. Once is enough but for a swap in between; two swaps
/// during one append do not happen, and if they do the sample is dropped and counted.
const ROUNDS: usize = 2;

/// Who is inside a half, and how much of it is given out.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU64);

/// What became of a wish to enter.
enum Entry {
    At(usize),
    Full,
    Closed,
}

impl Gate {
    pub(crate) fn closed() -> Gate {
        Gate(AtomicU64::new(CLOSED))
    }

    /// Words given out.
    pub(crate) fn head(&self) -> usize {
        (self.0.load(Acquire) & HEAD) as usize
    }

    /// Whether a writer is inside, or in passing.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.load(Acquire) & !CLOSED >= WRITER
    }

    fn enter(&self, words: usize, capacity: usize) -> Entry {
        let seen = self.0.load(Relaxed);
        if seen & CLOSED != 0 {
            return Entry::Closed;
        }
        // Looked at first, so that a full half's head stays where it is.
        if (seen & HEAD) as usize + words > capacity {
            return Entry::Full;
        }
        let before = self.0.fetch_add(WRITER + words as u64, Acquire);
        if before & CLOSED != 0 {
            // Nobody reserves behind a closed gate, and it does not open while we are in.
            self.0.fetch_sub(WRITER + words as u64, Relaxed);
            return Entry::Closed;
        }
        let at = (before & HEAD) as usize;
        if at + words > capacity {
            // The head stays beyond the end: giving words back could give them out twice.
            self.leave();
            return Entry::Full;
        }
        Entry::At(at)
    }

    fn leave(&self) {
        self.0.fetch_sub(WRITER, Release);
    }

    /// Opens an empty half's gate; false while somebody is still in passing.
    fn open(&self) -> bool {
        self.0.compare_exchange(CLOSED, 0, AcqRel, Relaxed).is_ok()
    }

    fn close(&self) {
        self.0.fetch_or(CLOSED, AcqRel);
    }

    /// Forgets the head of a closed gate, if nobody is inside.
    fn rewind(&self) -> bool {
        let seen = self.0.load(Acquire);
        seen & CLOSED != 0
            && seen & !CLOSED < WRITER
            && self.0.compare_exchange(seen, CLOSED, AcqRel, Relaxed).is_ok()
    }
}

/// One half of the log: its gate, and its state and words in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Half<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) state: &'a AtomicU64,
    pub(crate) words: &'a [AtomicU64],
}

/// Writes a record of `len` words into whichever half is open: `fill` stores the words behind
/// the first and gives the first. False if both are closed or the open one is full.
///
/// Async-signal-safe: takes no lock, waits for nobody, calls nothing.
#[inline]
pub(crate) fn append(
    halves: &[Half<'_>; 2],
    len: usize,
    fill: impl FnOnce(&[AtomicU64]) -> u64,
) -> bool {
    for half in halves.iter().cycle().take(ROUNDS * halves.len()) {
        match half.gate.enter(len, half.words.len()) {
            Entry::Closed => {}
            Entry::Full => return false,
            Entry::At(at) => {
                // Always there, because the gate measured it; no panic if it were not.
                let committed = half.words.get(at..at + len).and_then(|words| {
                    let (first, body) = words.split_first()?;
                    first.store(fill(body), Release);
                    Some(())
                });
                half.gate.leave();
                return committed.is_some();
            }
        }
    }
    false
}

impl<'a> Half<'a> {
    /// FREE → OPEN; false if somebody is still passing by the gate, then it stays FREE.
    pub(crate) fn begin(&self) -> bool {
        self.state.store(OPEN, Relaxed);
        let opened = self.gate.open();
        if !opened {
            self.state.store(FREE, Relaxed);
        }
        opened
    }

    /// Lets nobody in any more; whoever is in may finish, see [`Gate::is_busy`].
    pub(crate) fn close(&self) {
        self.gate.close();
    }

    /// OPEN → SEALED, once its writers have left or were waited for.
    pub(crate) fn seal(&self, seq: u64) {
        self.state.store(sealed(seq), Release);
    }

    /// SEALED → no state of its own: it no longer counts, but may have a writer inside.
    pub(crate) fn retire(&self) {
        self.state.store(FREE, Relaxed);
        fence(Release);
    }

    /// Zeroes a retired half; false, and nothing done, while a writer is inside.
    pub(crate) fn clear(&self) -> bool {
        let used = self.written();
        if !self.gate.rewind() {
            return false;
        }
        used.iter().for_each(|word| word.store(0, Relaxed));
        true
    }

    /// The words that records may be in.
    pub(crate) fn written(&self) -> &'a [AtomicU64] {
        let used = self.gate.head().min(self.words.len());
        self.words.get(..used).unwrap_or_default()
    }
}
