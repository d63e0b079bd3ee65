//! What a dying process says on its pipe, and whether its file agrees.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};

use super::child::WRITERS;
use crate::log::{DeadLog, Sample, SampleKind};

/// Most frames of a sample here.
const DEPTH: usize = 40;

/// One word on the pipe: its meaning in the upper two bits, so that words of different threads
/// can follow each other in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// This sample was written: it may not be lost.
    Written(u64),
    /// This sample was read from a sealed half.
    Told(u64),
    /// All samples told since the last acknowledgement are safe in snapshot `seq`, as is this
    /// much of the ledger.
    Acknowledged { seq: u64, ledger: u64 },
    /// So many samples were written by the engine.
    Sampled(u64),
    /// The process is about to end, or ready to be killed.
    Due,
}

impl Word {
    pub(crate) fn code(self) -> u64 {
        match self {
            Word::Written(id) => id,
            Word::Told(id) => 1 << 62 | id,
            Word::Acknowledged { seq, ledger } => 2 << 62 | seq << 32 | ledger,
            Word::Due => 3 << 62,
            Word::Sampled(count) => 3 << 62 | (count + 1),
        }
    }

    fn of(code: u64) -> Word {
        let rest = code & ((1 << 62) - 1);
        match code >> 62 {
            0 => Word::Written(rest),
            1 => Word::Told(rest),
            2 => Word::Acknowledged { seq: rest >> 32, ledger: rest & 0xffff_ffff },
            _ => rest.checked_sub(1).map_or(Word::Due, Word::Sampled),
        }
    }
}

/// Writes words to standard output, none of them in pieces: so few bytes at once go through a
/// pipe whole (`PIPE_BUF`). Async-signal-safe.
pub(crate) fn send(words: &[u64]) {
    for words in words.chunks(libc::PIPE_BUF / size_of::<u64>()) {
        // SAFETY: memory of the caller's. Without a reader there is nobody to tell.
        unsafe { libc::write(libc::STDOUT_FILENO, words.as_ptr().cast(), size_of_val(words)) };
    }
}

/// The stack that belongs to a sample's id, and its depth.
pub(crate) fn frames_of(id: u64) -> ([u64; DEPTH], usize) {
    let frame = |nth: usize| id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ nth as u64;
    (std::array::from_fn(frame), (id % DEPTH as u64) as usize)
}

/// All that was said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) written: HashSet<u64>,
    acknowledged: BTreeMap<u64, (Vec<u64>, u64)>,
    pub(crate) sampled: u64,
}

impl Heard {
    /// Listens to the end, and calls `due` when the process says it is.
    pub(crate) fn listen(mut pipe: impl Read, mut due: impl FnMut()) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let mut told = Vec::new();
        let (mut bytes, mut from) = (vec![0; 1 << 16], 0);
        loop {
            let got = pipe.read(&mut bytes[from..])?;
            if got == 0 {
                return Ok(heard);
            }
            let (words, rest) = bytes[..from + got].as_chunks();
            for word in words {
                match Word::of(u64::from_ne_bytes(*word)) {
                    Word::Written(id) => assert!(heard.written.insert(id)),
                    Word::Told(id) => told.push(id),
                    Word::Acknowledged { seq, ledger } => {
                        heard.acknowledged.insert(seq, (std::mem::take(&mut told), ledger));
                    }
                    Word::Sampled(count) => heard.sampled = count,
                    Word::Due => due(),
                }
            }
            let kept = rest.len();
            bytes.copy_within(from + got - kept..from + got, 0);
            from = kept;
        }
    }

    /// Checks the file against what was said; gives how many samples were committed and not
    /// witnessed any more.
    ///
    /// A snapshot that was acknowledged and is still in the file is the same one: it would be
    /// sent under the same key, and counts once.
    pub(crate) fn check(&self, dead: &DeadLog) -> usize {
        let mut found: HashMap<u64, usize> = HashMap::new();
        let mut ledger = 0;
        for (ids, told) in self.acknowledged.values() {
            ids.iter().for_each(|id| *found.entry(*id).or_default() += 1);
            ledger += told;
        }
        for half in &dead.halves {
            let ids: Vec<u64> = half.samples.iter().map(checked).collect();
            let counted: u64 = half.account.ledger.iter().map(|(_, count)| count).sum();
            match half.seq.and_then(|seq| self.acknowledged.get(&seq)) {
                Some(same) => assert_eq!(&(ids, counted), same, "a sealed half does not change"),
                None => {
                    ids.iter().for_each(|id| *found.entry(*id).or_default() += 1);
                    ledger += counted;
                }
            }
        }
        ledger += dead.account.ledger.iter().map(|(_, count)| count).sum::<u64>();
        let lost: Vec<&u64> = self.written.iter().filter(|id| !found.contains_key(id)).collect();
        let some = &lost[..lost.len().min(5)];
        assert!(lost.is_empty(), "lost {} of {}: {some:x?}", lost.len(), self.written.len());
        assert!(found.values().all(|times| *times == 1), "a sample is there twice");
        let unwitnessed = found.len() - self.written.len();
        // Each writer, and a handler on each of four threads, was at one sample when it ended.
        let at_most = WRITERS as usize + 4;
        assert!(unwitnessed <= at_most, "{unwitnessed} samples that nobody wrote");
        let (least, most) = (self.written.len() as u64, found.len() as u64);
        assert!((least..=most).contains(&ledger), "ledger {ledger}, samples {least}..={most}");
        unwitnessed
    }
}

impl Heard {
    /// Checks the engine's file against what was said; gives how many samples more it holds.
    pub(crate) fn check_engine(&self, dead: &DeadLog) -> usize {
        let samples = || dead.halves.iter().flat_map(|half| &half.samples);
        let signalled = samples().filter(|sample| sample.head.kind == SampleKind::Cpu);
        let (found, witnessed) = (signalled.count(), self.sampled as usize);
        assert!(found >= witnessed, "lost {} of {witnessed}", witnessed - found);
        assert!(samples().all(|sample| sample.head.weight > 0));
        let numbers: HashSet<u64> = samples().map(|sample| sample.number).collect();
        assert_eq!(numbers.len(), samples().count(), "a sample is there twice");
        found - witnessed
    }
}

/// A sample's id, if all else in it is as it was written.
fn checked(sample: &Sample) -> u64 {
    let id = sample.head.weight;
    let (frames, depth) = frames_of(id);
    assert_eq!(sample.frames, frames[..depth]);
    let head = (sample.head.tid, sample.head.at, sample.head.context.labels);
    assert_eq!(head, (id as u32, !id, id as u32));
    id
}
