//! What the log says of its process beside the samples: who it is, what it is doing, and how its
//! clocks stand to each other. Ordinary code only.
//!
//! A note that changes is written in turns to two places or more, each with a version and a
//! checksum, so the one before is whole while the next is being written.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::crc::Crc;
use super::format::{
    ANCHOR_WORDS, ANCHORS, MAX_NOTE_ID, Marker, NOTE_WORDS, Words, at, pack, unpack,
};
use super::scan::is_intact;
use super::write::{SampleLog, commit};

/// Most spans that a note of open ones holds.
pub(crate) const MAX_OPEN_SPANS: usize = 16;

/// The same instant on two clocks, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Since the Unix epoch.
    pub(crate) wall: u64,
    /// `CLOCK_MONOTONIC`, as samples have it.
    pub(crate) mono: u64,
}

impl Clock {
    /// Both clocks, now.
    pub(crate) fn now() -> Clock {
        Clock { wall: read_clock(libc::CLOCK_REALTIME), mono: read_clock(libc::CLOCK_MONOTONIC) }
    }
}

fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in `time`; neither clock can fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}

/// Which environment and which boot of it this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedIdentity {
    pub(crate) env: String,
    pub(crate) boot: String,
}

/// How an invocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Answered,
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 3] = [Outcome::Running, Outcome::Answered, Outcome::Failed];
}

/// The latest invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedInvocation {
    /// `CLOCK_MONOTONIC` at its beginning.
    pub(crate) began: u64,
    /// Wall nanoseconds at which it is killed.
    pub(crate) deadline: u64,
    /// How many there were in this process, with this one.
    pub(crate) request: u64,
    pub(crate) outcome: Outcome,
}

/// The spans that wall time since `at` belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OpenSpans {
    /// `CLOCK_MONOTONIC` of the last transition.
    pub(crate) at: u64,
    count: u64,
    ids: [u32; MAX_OPEN_SPANS],
}

impl OpenSpans {
    /// The first [`MAX_OPEN_SPANS`] of these.
    pub(crate) fn new(at: u64, spans: &[u32]) -> OpenSpans {
        let mut ids = [0; MAX_OPEN_SPANS];
        ids.iter_mut().zip(spans).for_each(|(to, id)| *to = *id);
        OpenSpans { at, count: spans.len().min(MAX_OPEN_SPANS) as u64, ids }
    }

    /// Their ids.
    pub(crate) fn ids(&self) -> &[u32] {
        self.ids.get(..self.count as usize).unwrap_or(&self.ids)
    }
}

/// The versions of the notes, each counting from 1.
#[derive(Debug, Default)]
pub(super) struct Versions {
    identity: u64,
    invocation: u64,
    open_spans: u64,
    clocks: u64,
}

impl SampleLog {
    /// Says who this process is; false, and nothing said, if an id has more than
    /// [`MAX_NOTE_ID`] bytes.
    pub(crate) fn identify(&self, env: &str, boot: &str) -> bool {
        if env.len() > MAX_NOTE_ID || boot.len() > MAX_NOTE_ID {
            return false;
        }
        let lengths = (env.len() as u64) << 32 | boot.len() as u64;
        let texts = pack(env.as_bytes()).chain(pack(boot.as_bytes()));
        let body: Vec<u64> = std::iter::once(lengths).chain(texts).collect();
        let mut pen = self.pen();
        self.note(at::IDENTITY, NOTE_WORDS, 2, &mut pen.versions.identity, &body);
        true
    }

    /// Says what is being done.
    pub(crate) fn note_invocation(&self, invocation: &LoggedInvocation) {
        let LoggedInvocation { began, deadline, request, outcome } = *invocation;
        let body = [began, deadline, request, outcome as u64];
        let mut pen = self.pen();
        self.note(at::INVOCATION, NOTE_WORDS, 2, &mut pen.versions.invocation, &body);
    }

    /// Says whose the time is from now on.
    pub(crate) fn note_open_spans(&self, open: &OpenSpans) {
        let mut body = [0; 2 + MAX_OPEN_SPANS];
        (body[0], body[1]) = (open.at, open.count);
        body[2..].iter_mut().zip(open.ids).for_each(|(to, id)| *to = id.into());
        let mut pen = self.pen();
        self.note(at::OPEN_SPANS, NOTE_WORDS, 2, &mut pen.versions.open_spans, &body);
    }

    /// Says how the clocks stand; to be told again after each time the process may have been
    /// frozen. The latest [`ANCHORS`] are kept.
    pub(crate) fn note_clock(&self, clock: Clock) {
        let body = [clock.wall, clock.mono];
        let mut pen = self.pen();
        self.note(at::CLOCKS, ANCHOR_WORDS, ANCHORS, &mut pen.versions.clocks, &body);
    }

    /// Says which snapshot comes next.
    pub(crate) fn note_next_seq(&self, seq: u64) {
        self.memory.words()[at::NEXT_SEQ].store(seq, Release);
    }

    fn note(&self, at: usize, stride: usize, places: usize, version: &mut u64, body: &[u64]) {
        *version += 1;
        let body: Vec<u64> = std::iter::once(*version).chain(body.iter().copied()).collect();
        let place = (*version % places as u64) as usize;
        let words = self.area(at + place * stride, body.len() + 1);
        rewrite(words, self.crc, &body);
    }
}

/// Writes a note over an older one, which stops being a record before it is damaged.
fn rewrite(place: &[AtomicU64], crc: Crc, body: &[u64]) {
    if let Some(first) = place.first() {
        first.store(0, Relaxed);
    }
    fence(Release);
    commit(place, crc, Marker::Note, body);
}

/// The whole notes at these places, latest first.
fn notes<W: Words + ?Sized>(
    words: &W,
    at: usize,
    stride: usize,
    places: usize,
    crc: Crc,
) -> Vec<Vec<u64>> {
    let whole = |place: usize| {
        let from = at + place * stride;
        let first = words.word(from)?;
        let len = Marker::Note.length(first).filter(|len| *len <= stride)?;
        let body: Vec<u64> = (from + 1..from + len).map_while(|at| words.word(at)).collect();
        (body.len() + 1 == len && is_intact(first, crc, &body)).then_some(body)
    };
    let mut found: Vec<Vec<u64>> = (0..places).filter_map(whole).collect();
    found.sort_by_key(|body| std::cmp::Reverse(body.first().copied()));
    found
}

/// All that a log's header says beside what never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notes {
    /// None before the first invocation.
    pub(crate) identity: Option<LoggedIdentity>,
    /// None before the first.
    pub(crate) invocation: Option<LoggedInvocation>,
    pub(crate) open_spans: Option<OpenSpans>,
    /// Oldest first.
    pub(crate) clocks: Vec<Clock>,
    /// The seq of the snapshot after those that were sealed.
    pub(crate) next_seq: u64,
}

impl Notes {
    pub(crate) fn read<W: Words + ?Sized>(words: &W, crc: Crc) -> Notes {
        let latest = |at| notes(words, at, NOTE_WORDS, 2, crc);
        let mut clocks: Vec<Clock> = notes(words, at::CLOCKS, ANCHOR_WORDS, ANCHORS, crc)
            .iter()
            .filter_map(|body| parse_clock(body))
            .collect();
        clocks.reverse();
        Notes {
            identity: latest(at::IDENTITY).iter().find_map(|body| parse_identity(body)),
            invocation: latest(at::INVOCATION).iter().find_map(|body| parse_invocation(body)),
            open_spans: latest(at::OPEN_SPANS).iter().find_map(|body| parse_open_spans(body)),
            clocks,
            next_seq: words.word(at::NEXT_SEQ).unwrap_or(0),
        }
    }
}

fn parse_identity(body: &[u64]) -> Option<LoggedIdentity> {
    let (&[_version, lengths], texts) = body.split_first_chunk()?;
    let (env, boot) = ((lengths >> 32) as usize, lengths as u32 as usize);
    let (env_words, boot_words) = texts.split_at_checked(env.div_ceil(8))?;
    Some(LoggedIdentity { env: unpack(env_words, env)?, boot: unpack(boot_words, boot)? })
}

fn parse_invocation(body: &[u64]) -> Option<LoggedInvocation> {
    let &[_version, began, deadline, request, outcome] = body else { return None };
    let outcome = Outcome::ALL.into_iter().find(|known| *known as u64 == outcome)?;
    Some(LoggedInvocation { began, deadline, request, outcome })
}

fn parse_open_spans(body: &[u64]) -> Option<OpenSpans> {
    let (&[_version, at, count], ids) = body.split_first_chunk()?;
    let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
    Some(OpenSpans::new(at, ids.get(..usize::try_from(count).ok()?)?))
}

fn parse_clock(body: &[u64]) -> Option<Clock> {
    let &[_version, wall, mono] = body else { return None };
    Some(Clock { wall, mono })
}
