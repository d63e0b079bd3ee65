//! The sample log's protocol (`src/log/protocol.rs`, the very file), under every interleaving of
//! a few threads that the C++ memory model allows, by `loom`.
//!
//! Left out, and why that is fair:
//!
//! - **Checksums and contents.** A record here is two words. What the protocol promises is that
//!   a committed first word comes with its body; what the words mean is `src/log/tests.rs`'s.
//! - **Signals.** A handler that interrupts its own thread is, to every other thread, a thread;
//!   to its own it is stricter, since it runs to its end in between. The protocol keeps nothing
//!   per thread that could tell.
//! - **Death.** The model cannot stop a thread forever and let another read on. It checks what
//!   death needs, an observer at any moment who knows nothing but the file's words; that a dead
//!   process leaves a prefix of each thread's stores is the processor's promise, and
//!   `deaths.rs` tries it for real.
//! - **Size.** Two writers, one sealer, one swap or two, at most two preemptions a run
//!   (three were tried): each
//!   guarantee is about two parties (writer and closer, committer and reader, clearer and
//!   observer), and more of the same repeat them.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

/// The protocol's atomics, as the model has them.
mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}
#[allow(dead_code)]
#[path = "../src/log/protocol.rs"]
mod protocol;

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use atomic::{AtomicU64, fence};
use loom::sync::Arc;
use loom::thread;
use protocol::{FREE, Gate, Half, OPEN, append, sealed, seq_of};

/// Words of a record: its first, which is its id, and one that must fit it.
const RECORD: usize = 2;

struct Log {
    gates: [Gate; 2],
    states: [AtomicU64; 2],
    words: [Vec<AtomicU64>; 2],
}

impl Log {
    /// Half 0 is open; each has room for so many records.
    fn new(records: usize) -> Arc<Log> {
        let words = || (0..records * RECORD).map(|_| AtomicU64::new(0)).collect();
        let log = Arc::new(Log {
            gates: [Gate::closed(), Gate::closed()],
            states: [AtomicU64::new(FREE), AtomicU64::new(FREE)],
            words: [words(), words()],
        });
        assert!(log.halves()[0].begin());
        log
    }

    fn halves(&self) -> [Half<'_>; 2] {
        std::array::from_fn(|half| Half {
            gate: &self.gates[half],
            state: &self.states[half],
            words: &self.words[half],
        })
    }

    fn append(&self, id: u64) -> bool {
        append(&self.halves(), RECORD, |body| {
            body[0].store(!id, Relaxed);
            id
        })
    }

    /// The ids committed in a half.
    fn read(&self, half: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        for record in self.halves()[half].written().chunks(RECORD) {
            let id = record[0].load(Acquire);
            if id != 0 {
                assert_eq!(record[1].load(Relaxed), !id, "a committed record is whole");
                ids.push(id);
            }
        }
        ids
    }

    /// Seals half `which` as `seal.rs` does, waiting for its writers or not.
    fn seal(&self, which: usize, seq: u64, patient: bool) {
        let halves = self.halves();
        let _may_be_passed_by = halves[1 - which].begin();
        halves[which].close();
        while patient && halves[which].gate.is_busy() {
            thread::yield_now();
        }
        halves[which].seal(seq);
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // `LOOM_MAX_PREEMPTIONS=3` looks further, in minutes.
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}

fn writer(log: &Arc<Log>, ids: std::ops::Range<u64>) -> thread::JoinHandle<Vec<u64>> {
    let log = Arc::clone(log);
    thread::spawn(move || ids.filter(|id| log.append(*id)).collect())
}

fn sorted(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable();
    ids
}

#[test]
fn each_sample_is_in_one_half_or_dropped() {
    check(|| {
        let log = Log::new(2);
        let writers = [writer(&log, 1..2), writer(&log, 11..12)];
        log.seal(0, 5, true);
        let told = log.read(0);
        assert_eq!(seq_of(log.states[0].load(Acquire)), Some(5));
        log.halves()[0].retire();
        let cleared = log.halves()[0].clear();
        let kept = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        assert!(cleared || log.halves()[0].clear(), "only a passer-by can be in the way");
        assert!(log.gates.iter().all(|gate| !gate.is_busy()), "who passed by left no trace");
        assert!(log.read(0).is_empty());
        assert_eq!(sorted([told, log.read(1)].concat()), sorted(kept));
    });
}

#[test]
fn who_is_not_waited_for_is_found_before_the_half_is_used_again() {
    check(|| {
        let log = Log::new(2);
        let writers = [writer(&log, 1..2), writer(&log, 11..12)];
        log.seal(0, 5, false);
        let told = log.read(0);
        log.halves()[0].retire();
        let mut all = None;
        if !log.gates[0].is_busy() {
            all = Some(log.read(0));
            if !log.halves()[0].clear() {
                all = None;
            }
        }
        let reopened = all.is_some() && log.halves()[0].begin();
        let kept: Vec<u64> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        // What was in the half by the time it was cleared; what came since is in the new one.
        let (first, again) = match all {
            Some(first) => (first, log.read(0)),
            None => (log.read(0), Vec::new()),
        };
        assert!(told.iter().all(|id| first.contains(id)));
        assert!(reopened || again.is_empty());
        assert_eq!(sorted([first, again, log.read(1)].concat()), sorted(kept));
    });
}

#[test]
fn a_full_half_refuses_and_gives_no_place_twice() {
    check(|| {
        let log = Log::new(1);
        let writers = [writer(&log, 1..2), writer(&log, 11..12)];
        let here: Vec<u64> = [21].into_iter().filter(|id| log.append(*id)).collect();
        let others = writers.into_iter().flat_map(|writer| writer.join().unwrap());
        let kept: Vec<u64> = here.into_iter().chain(others).collect();
        assert_eq!((kept.len(), &log.read(0)), (1, &kept));
    });
}

#[test]
fn whoever_looks_from_outside_believes_nothing_wrong() {
    check(|| {
        let log = Log::new(1);
        assert!(log.append(1));
        log.seal(0, 5, true);
        let owner = Arc::clone(&log);
        let owner = thread::spawn(move || {
            owner.halves()[0].retire();
            assert!(owner.halves()[0].clear());
            // The writer may be passing by.
            let _opened = owner.halves()[0].begin();
        });
        // Both halves are closed or full but for the one that is being opened.
        log.halves()[1].close();
        let writer = writer(&log, 2..3);
        let first = log.words[0][0].load(Acquire);
        let body = log.words[0][1].load(Relaxed);
        fence(Acquire);
        let state = log.states[0].load(Relaxed);
        match first {
            1 => assert!([!1, 0, !2].contains(&body), "{body}"),
            0 => assert_ne!(state, sealed(5), "zeroed while it counts"),
            2 => assert_eq!((body, state), (!2, OPEN), "written before it was open"),
            other => panic!("{other}"),
        }
        owner.join().unwrap();
        writer.join().unwrap();
    });
}
