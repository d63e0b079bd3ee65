//! Taking a half's samples away while the other is written.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::account::{self, Account};
use super::format::at;
use super::sample::Sample;
use super::scan;
use super::write::SampleLog;

/// How long a seal waits for writers inside the half. A handler is done in microseconds; one
/// that is not was descheduled, and what it still writes goes to the next snapshot.
const PATIENCE: Duration = Duration::from_millis(50);

/// How often it looks before it begins to sleep in between.
const SPINS: u32 = 64;

/// What became of a half.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing in it.
    #[default]
    Free,
    /// Written now.
    Open,
    /// The samples of a snapshot.
    Sealed { seq: u64, told: Told },
    /// Safe elsewhere, but a writer may be inside.
    Retired { told: Told },
}

/// The numbers of the samples a caller got, if a writer was still inside when it read them, so
/// that there may be more; none if it got all, or wanted none.
type Told = Option<HashSet<u64>>;

/// How much of the open half is given out, in words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) used: usize,
    pub(crate) capacity: usize,
}

impl SampleLog {
    /// Closes the open half: what is in it belongs to the snapshot `seq` from now on, also for
    /// a reader after this process's death. The other half is written meanwhile.
    ///
    /// None if both halves are taken. If this takes the second, samples are dropped and counted
    /// until one is released.
    pub(crate) fn seal(&self, seq: u64) -> Option<Sealed<'_>> {
        let mut phases = self.phases();
        let which = phases.iter().position(|phase| *phase == Phase::Open)?;
        // First the other is opened, so that there is no moment without an open half.
        self.open_a_free(&mut phases);
        let half = self.halves()[which];
        half.close();
        self.wait_for_writers(which);
        let words = self.memory.words();
        account::carry(words, which, self.account_used.load(Acquire));
        words[at::NEXT_SEQ].fetch_max(seq.saturating_add(1), AcqRel);
        half.seal(seq);
        account::finish(words, which);
        phases[which] = Phase::Sealed { seq, told: None };
        Some(Sealed { log: self, which, seq })
    }

    /// Lets go of the snapshot `seq`, which is safe elsewhere; false if no half holds it.
    pub(crate) fn release(&self, seq: u64) -> bool {
        let mut phases = self.phases();
        let mut held = false;
        for (phase, half) in phases.iter_mut().zip(self.halves()) {
            match phase {
                Phase::Sealed { seq: sealed, told } if *sealed == seq => {
                    half.retire();
                    *phase = Phase::Retired { told: told.take() };
                    held = true;
                }
                _ => {}
            }
        }
        self.open_if_none(&mut phases);
        held
    }

    /// How full the half is that is written now; without capacity if both are taken.
    pub(crate) fn fill(&self) -> Fill {
        let phases = self.phases();
        let open = phases.iter().position(|phase| *phase == Phase::Open);
        open.map_or(Fill::default(), |which| Fill {
            used: self.gates[which].head().min(self.layout.half_words),
            capacity: self.layout.half_words,
        })
    }

    /// Whether a seal would leave a half to write to.
    pub(crate) fn has_room_to_seal(&self) -> bool {
        let mut phases = self.phases();
        let late = self.clear_retired(&mut phases);
        self.write_again(&late);
        phases.contains(&Phase::Free)
    }

    /// What the counters and the ledger grew by since the last seal.
    pub(crate) fn account(&self) -> Account {
        let _sealing_waits = self.phases();
        Account::running(self.memory.words())
    }

    /// Opens the first half of a new log.
    pub(super) fn begin(&self) {
        self.open_if_none(&mut self.phases());
    }

    fn open_if_none(&self, phases: &mut [Phase; 2]) {
        if !phases.contains(&Phase::Open) {
            self.open_a_free(phases);
        }
    }

    fn open_a_free(&self, phases: &mut [Phase; 2]) {
        let late = self.clear_retired(phases);
        for (phase, half) in phases.iter_mut().zip(self.halves()) {
            if *phase == Phase::Free && half.begin() {
                *phase = Phase::Open;
                break;
            }
        }
        self.write_again(&late);
    }

    /// Empties retired halves whose writers have left; gives what those committed after the
    /// samples were read.
    fn clear_retired(&self, phases: &mut [Phase; 2]) -> Vec<Sample> {
        let mut late = Vec::new();
        for (phase, half) in phases.iter_mut().zip(self.halves()) {
            let Phase::Retired { told } = phase else { continue };
            if half.gate.is_busy() {
                continue;
            }
            // Nobody writes here any more: the gate is closed, and nobody is inside.
            let found = told.as_ref().map(|told| {
                let written = half.written();
                let mut found = scan::samples(written, 0..written.len(), self.crc).0;
                found.retain(|sample| !told.contains(&sample.number));
                found
            });
            if half.clear() {
                late.extend(found.unwrap_or_default());
                *phase = Phase::Free;
            }
        }
        late
    }

    /// Lets samples that came late for their snapshot be in the next.
    fn write_again(&self, late: &[Sample]) {
        for sample in late {
            self.write(&sample.head, &sample.frames, sample.truncated, || sample.number);
        }
    }

    fn wait_for_writers(&self, which: usize) {
        let gate = &self.gates[which];
        let began = Instant::now();
        let mut looked = 0;
        while gate.is_busy() && began.elapsed() < PATIENCE {
            looked += 1;
            match looked {
                ..SPINS => std::hint::spin_loop(),
                _ => thread::sleep(Duration::from_micros(50)),
            }
        }
    }

    fn phases(&self) -> MutexGuard<'_, [Phase; 2]> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A half whose samples belong to a snapshot.
///
/// Dropping it changes nothing: the half stays taken, in this process until
/// [`SampleLog::release`], and after its death until whoever finds the file has sent it.
#[derive(Debug)]
pub(crate) struct Sealed<'a> {
    log: &'a SampleLog,
    which: usize,
    seq: u64,
}

impl Sealed<'_> {
    /// The snapshot's seq.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Its samples, in the order in which their places were given out. One whose writer the
    /// seal did not wait for any longer goes to the next snapshot, once it is written.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let half = self.log.halves()[self.which];
        // Asked first: if nobody is inside now, the scan sees all there ever will be.
        let is_busy = half.gate.is_busy();
        let written = half.written();
        let samples = scan::samples(written, 0..written.len(), self.log.crc).0;
        if let Phase::Sealed { seq, told } = &mut self.log.phases()[self.which]
            && *seq == self.seq
        {
            *told = is_busy.then(|| samples.iter().map(|sample| sample.number).collect());
        }
        samples
    }

    /// What the counters and the ledger grew by in its time.
    pub(crate) fn account(&self) -> Account {
        Account::of_half(self.log.memory.words(), self.which)
    }

    /// Lets go of the half: its samples are safe elsewhere.
    pub(crate) fn release(self) {
        self.log.release(self.seq);
    }
}
