//! A sample, and the words it becomes.

use super::format::{MAX_FRAMES, SAMPLE_WORDS};
use crate::context::Context;

/// What made a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SampleKind {
    /// A CPU timer's signal.
    Cpu,
    /// CPU time that a thread had used since its last signal when it ended: no stack.
    Residual,
    /// A look at a thread by the wall clock.
    Wall,
}

impl SampleKind {
    const ALL: [SampleKind; 3] = [SampleKind::Cpu, SampleKind::Residual, SampleKind::Wall];

    fn code(self) -> u64 {
        match self {
            SampleKind::Cpu => 1,
            SampleKind::Residual => 2,
            SampleKind::Wall => 3,
        }
    }
}

/// What a sample says beside its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleHead {
    /// The kernel's thread id.
    pub(crate) tid: u32,
    pub(crate) kind: SampleKind,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) at: u64,
    /// Nanoseconds it stands for.
    pub(crate) weight: u64,
    pub(crate) context: Context,
}

/// A sample read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Counts up over the log's life in the order of writing; a gap is a sample that was begun
    /// and never committed.
    pub(crate) number: u64,
    pub(crate) head: SampleHead,
    /// Whether frames are missing at the root's end.
    pub(crate) truncated: bool,
    /// Addresses, leaf first.
    pub(crate) frames: Vec<u64>,
}

/// The flag of a sample whose stack was cut.
const TRUNCATED: u64 = 1;

/// The words before the frames, without the first. Async-signal-safe.
#[inline]
pub(crate) fn body(
    number: u64,
    head: &SampleHead,
    frames: usize,
    truncated: bool,
) -> [u64; SAMPLE_WORDS - 1] {
    let flags = if truncated { TRUNCATED } else { 0 };
    [
        number,
        u64::from(head.tid) << 32 | flags << 24 | head.kind.code() << 16 | frames as u64 & 0xffff,
        head.at,
        head.weight,
        u64::from(head.context.labels) << 32 | u64::from(head.context.span),
    ]
}

/// The sample of these words; none if they are not one.
pub(crate) fn parse(body: &[u64]) -> Option<Sample> {
    let (&[number, what, at, weight, context], frames) = body.split_first_chunk()?;
    let kind = SampleKind::ALL.into_iter().find(|kind| kind.code() == what >> 16 & 0xff)?;
    if frames.len() as u64 != what & 0xffff || frames.len() > MAX_FRAMES {
        return None;
    }
    let context = Context { labels: (context >> 32) as u32, span: context as u32 };
    Some(Sample {
        number,
        head: SampleHead { tid: (what >> 32) as u32, kind, at, weight, context },
        truncated: what >> 24 & TRUNCATED != 0,
        frames: frames.to_vec(),
    })
}
