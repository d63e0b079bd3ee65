//! The room as a whole: written here, read back from the file's bytes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use proptest::prelude::*;

use super::format::{MAX_LOG_BYTES, MAX_NOTE_ID, MAX_TEXT, WORD};
use super::*;
use crate::context::Context;
use crate::mappings::Mapping;
use crate::names::{Definition, DefinitionKind};

const SMALL: LogOptions = LogOptions { period: 7, half_bytes: 8 << 10, dictionary_bytes: 4 << 10 };

fn head(tid: u32, weight: u64) -> SampleHead {
    let context = Context { labels: tid + 1, span: tid + 2 };
    SampleHead { tid, kind: SampleKind::Cpu, at: 1000 + u64::from(tid), weight, context }
}

fn bytes_of(log: &SampleLog) -> Vec<u8> {
    fs::read(log.path().unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_back_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = SampleLog::create(&folder.path().join("made"), SMALL).unwrap();
    assert!(log.append(head(1, 10), &[11, 12, 13]));
    assert!(log.append(SampleHead { kind: SampleKind::Residual, ..head(2, 20) }, &[]));
    let labels = Definition { kind: DefinitionKind::Labels, id: 2, parent: 0, text: "k\0wörth" };
    assert!(log.define(&labels));
    let mapping = Mapping {
        code: 0x1000..0x2000,
        offset: 0x40,
        bias: u64::MAX - 3,
        file: "/var/task/bootstrap".into(),
        build_id: "ab01".into(),
    };
    assert!(log.map(&mapping));
    let dead = read(&bytes_of(&log)).unwrap();
    assert_eq!((dead.header.pid, dead.header.period), (std::process::id(), 7));
    assert_eq!(dead.mappings, [mapping]);
    let [definition] = &dead.definitions[..] else { panic!("{:?}", dead.definitions) };
    assert_eq!((definition.kind, definition.id, &*definition.text), (labels.kind, 2, labels.text));
    let [half] = &dead.halves[..] else { panic!("{:?}", dead.halves) };
    assert_eq!((half.seq, dead.torn), (None, 0));
    let [first, second] = &half.samples[..] else { panic!("{:?}", half.samples) };
    assert_eq!((first.number, first.head, &first.frames[..]), (0, head(1, 10), &[11, 12, 13][..]));
    assert_eq!(
        (second.number, second.head.kind, second.frames.len()),
        (1, SampleKind::Residual, 0)
    );
}

#[test]
fn a_sealed_half_keeps_its_seq_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let log = SampleLog::create(folder.path(), SMALL).unwrap();
    log.append(head(1, 10), &[1]);
    let sealed = log.seal(5).unwrap();
    log.append(head(2, 20), &[2]);
    assert_eq!(sealed.samples().len(), 1);
    let dead = read(&bytes_of(&log)).unwrap();
    let seqs: Vec<_> = dead.halves.iter().map(|half| (half.seq, half.samples.len())).collect();
    assert_eq!((seqs, dead.notes.next_seq), (vec![(Some(5), 1), (None, 1)], 6));
    sealed.release();
    let dead = read(&bytes_of(&log)).unwrap();
    assert_eq!(dead.halves.len(), 1);
    assert_eq!(dead.halves[0].samples[0].head, head(2, 20));
}

#[test]
fn with_both_halves_taken_samples_are_dropped_and_counted() {
    let log = SampleLog::anonymous(SMALL).unwrap();
    assert!(log.append(head(1, 10), &[]));
    assert_eq!(log.seal(0).unwrap().samples().len(), 1);
    assert!(!log.has_room_to_seal());
    assert!(log.append(head(2, 20), &[]));
    let second = log.seal(1).unwrap();
    assert!(log.seal(2).is_none(), "nothing is open");
    assert!(!log.append(head(3, 30), &[]));
    assert_eq!(log.fill(), Fill::default());
    assert_eq!(log.account().counters[Counter::Dropped as usize], 1);
    assert_eq!(log.account().counters[Counter::DroppedWeight as usize], 30);
    assert_eq!(second.samples()[0].head, head(2, 20));
    assert!(log.release(0) && !log.release(0));
    assert!(log.append(head(4, 40), &[]), "released is open again");
    second.release();
    let third = log.seal(2).unwrap();
    assert_eq!(third.samples().iter().map(|sample| sample.head).collect::<Vec<_>>(), [head(4, 40)]);
    assert_eq!(third.account().counters[Counter::DroppedWeight as usize], 30, "told by the next");
    assert_eq!(log.account(), Account::default());
}

#[test]
fn a_full_half_drops_and_tells_count_and_weight() {
    let log = SampleLog::anonymous(SMALL).unwrap();
    let frames = [1; 42];
    let room = SMALL.half_bytes / WORD / (6 + frames.len());
    let written = (0..room as u32 + 3).filter(|tid| log.append(head(*tid, 10), &frames)).count();
    assert_eq!(written, room);
    assert!(log.fill().used + 48 > log.fill().capacity);
    let sealed = log.seal(0).unwrap();
    assert_eq!(sealed.samples().len(), room);
    let counters = sealed.account().counters;
    assert_eq!(counters[Counter::Dropped as usize], 3);
    assert_eq!(counters[Counter::DroppedWeight as usize], 30);
}

#[test]
fn a_deep_stack_keeps_its_leaf_and_says_so() {
    let log = SampleLog::anonymous(LogOptions::default()).unwrap();
    let deep: Vec<u64> = (0..=MAX_FRAMES as u64).collect();
    assert!(log.append(head(1, 1), &deep[..MAX_FRAMES]));
    assert!(log.append(head(1, 1), &deep));
    let samples = log.seal(0).unwrap().samples();
    assert_eq!((samples[0].truncated, samples[1].truncated), (false, true));
    assert_eq!(samples[1].frames, deep[..MAX_FRAMES]);
    assert_eq!(log.account(), Account::default(), "the account went with the seal");
}

#[test]
fn a_writer_that_stays_inside_hangs_nobody_and_its_sample_is_told_later() {
    let log = SampleLog::anonymous(SMALL).unwrap();
    assert!(log.append(head(1, 10), &[]));
    let (is_inside, inside) = mpsc::channel();
    let (let_go, stay) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let log = &log;
        scope.spawn(move || {
            protocol::append(&log.halves(), format::SAMPLE_WORDS, |words| {
                is_inside.send(()).unwrap();
                let _ = stay.recv();
                let body = sample::body(7, &head(2, 20), 0, false);
                for (to, word) in words.iter().zip(body) {
                    to.store(word, std::sync::atomic::Ordering::Relaxed);
                }
                format::Marker::Sample.first(log.crc, words.len(), body.into_iter())
            })
        });
        inside.recv().unwrap();
        let sealed = log.seal(0).unwrap();
        assert_eq!(sealed.samples().len(), 1);
        sealed.release();
        assert!(!log.has_room_to_seal(), "its half is not used again while it is inside");
        assert!(log.append(head(3, 30), &[]));
        drop(let_go);
    });
    assert!(log.has_room_to_seal());
    let sealed = log.seal(1).unwrap();
    let heads: Vec<_> = sealed.samples().into_iter().map(|sample| sample.head).collect();
    assert_eq!(heads, [head(3, 30), head(2, 20)], "written after it was read: the next tells it");
    assert_eq!(sealed.account(), Account::default());
}

#[test]
fn writers_and_sealers_side_by_side_lose_nothing_untold() {
    let log = SampleLog::anonymous(SMALL).unwrap();
    let mut told = Vec::new();
    let written: Vec<u64> = thread::scope(|scope| {
        let log = &log;
        let writers: Vec<_> = (0..3)
            .map(|tid| {
                let write = move |nth: &u64| log.append(head(tid, *nth), &[*nth; 9]);
                scope.spawn(move || (1..=2_000).filter(write).count() as u64)
            })
            .collect();
        let mut seq = 0;
        while writers.iter().any(|writer| !writer.is_finished()) {
            if let Some(sealed) = log.seal(seq) {
                told.push((sealed.samples(), sealed.account()));
                sealed.release();
                seq += 1;
            }
        }
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let last = log.seal(u64::MAX >> 2).unwrap();
    told.push((last.samples(), last.account()));
    let samples: Vec<&Sample> = told.iter().flat_map(|(samples, _)| samples).collect();
    assert!(samples.iter().all(|sample| sample.frames == [sample.head.weight; 9]));
    let mut numbers: Vec<u64> = samples.iter().map(|sample| sample.number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..written.iter().sum()), "each number once");
    let weight: u64 = samples.iter().map(|sample| sample.head.weight).sum();
    let sum =
        |counter| -> u64 { told.iter().map(|(_, told)| told.counters[counter as usize]).sum() };
    assert_eq!(written.iter().sum::<u64>() + sum(Counter::Dropped), 6_000);
    assert_eq!(weight + sum(Counter::DroppedWeight), 3 * 2_000 * 2_001 / 2);
}

#[test]
fn a_full_dictionary_refuses_and_threads_leave_room_for_labels() {
    let log = SampleLog::anonymous(SMALL).unwrap();
    let define = |kind, id, text| log.define(&Definition { kind, id, parent: 1, text });
    let threads = (0..1000).filter(|id| define(DefinitionKind::Thread, *id, "worker")).count();
    // Four words each, of a quarter of the room.
    assert_eq!(threads, SMALL.dictionary_bytes / WORD / 4 / 4);
    let spans = (0..1000).filter(|id| define(DefinitionKind::Span, *id, "parse")).count();
    assert_eq!(spans, SMALL.dictionary_bytes / WORD / 4 - threads);
    let refused = 2000 - threads - spans;
    assert_eq!(log.account().counters[Counter::Undefined as usize], refused as u64);
}

#[test]
fn texts_are_kept_up_to_their_limit() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { dictionary_bytes: 64 << 10, ..SMALL };
    let log = SampleLog::create(folder.path(), options).unwrap();
    let (most, more) = ("x".repeat(MAX_TEXT), "x".repeat(MAX_TEXT + 1));
    let span = |text| Definition { kind: DefinitionKind::Span, id: 1, parent: 0, text };
    assert!(log.define(&span(&most)) && !log.define(&span(&more)));
    let mapping = Mapping { code: 1..2, offset: 0, bias: 0, file: more, build_id: String::new() };
    assert!(log.map(&mapping));
    let dead = read(&bytes_of(&log)).unwrap();
    assert_eq!((dead.definitions.len(), &dead.definitions[0].text), (1, &most));
    assert_eq!(dead.mappings[0].file, most, "a path that is too long is cut");
    assert!(log.identify(&"e".repeat(MAX_NOTE_ID), &"b".repeat(MAX_NOTE_ID)));
    assert!(!log.identify(&"e".repeat(MAX_NOTE_ID + 1), "b"));
    let identity = read(&bytes_of(&log)).unwrap().notes.identity.unwrap();
    assert_eq!((identity.env.len(), identity.boot.len()), (MAX_NOTE_ID, MAX_NOTE_ID));
}

#[test]
fn notes_say_the_latest_and_clocks_the_last_few() {
    let folder = tempfile::tempdir().unwrap();
    let log = SampleLog::create(folder.path(), SMALL).unwrap();
    let none = read(&bytes_of(&log)).unwrap().notes;
    assert_eq!((none.identity, none.invocation, none.open_spans), (None, None, None));
    let invocation =
        |request| LoggedInvocation { began: 5, deadline: 6, request, outcome: Outcome::Running };
    for nth in 1..=100 {
        log.note_invocation(&invocation(nth));
        log.note_clock(Clock { wall: nth, mono: nth * 2 });
        log.identify("env", &format!("boot-{nth}"));
        log.note_open_spans(&OpenSpans::new(nth, &[3, 4]));
    }
    log.note_next_seq(9);
    log.ledger_add(17, 4);
    log.ledger_add(17, 5);
    assert!(!log.ledger_add(LEDGER_SLOTS as u32, 1) && log.ledger_add(LEDGER_SLOTS as u32 - 1, 1));
    let dead = read(&bytes_of(&log)).unwrap();
    let notes = dead.notes;
    assert_eq!(notes.identity.unwrap().boot, "boot-100");
    assert_eq!(notes.invocation, Some(invocation(100)));
    assert_eq!((notes.open_spans.unwrap().at, notes.open_spans.unwrap().ids()), (100, &[3, 4][..]));
    assert_eq!(notes.next_seq, 9);
    let walls: Vec<u64> = notes.clocks.iter().map(|clock| clock.wall).collect();
    assert_eq!(walls, (69..=100).collect::<Vec<_>>());
    assert_eq!(dead.account.ledger, [(17, 9), (LEDGER_SLOTS as u32 - 1, 1)]);
    assert_eq!(log.ledger_sum(17), 9);
}

#[test]
fn a_log_is_never_larger_than_a_reader_takes() {
    let huge = LogOptions { half_bytes: usize::MAX, dictionary_bytes: usize::MAX, ..SMALL };
    let log = SampleLog::anonymous(huge).unwrap();
    assert!(log.layout.words() * WORD <= MAX_LOG_BYTES);
    assert_eq!(log.fill().capacity, protocol::MAX_HALF_WORDS);
    let tiny =
        SampleLog::anonymous(LogOptions { half_bytes: 0, dictionary_bytes: 0, ..SMALL }).unwrap();
    assert!(!tiny.append(head(1, 1), &[]));
}

#[test]
fn what_is_no_log_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = SampleLog::create(folder.path(), SMALL).unwrap();
    let good = bytes_of(&log);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= byte;
        bytes
    };
    assert!(matches!(read(&[]), Err(LogError::TooShort)));
    assert!(matches!(read(&good[..4095]), Err(LogError::TooShort)));
    assert!(read(&good[..4096]).unwrap().halves[0].samples.is_empty(), "a header is enough");
    assert!(matches!(read(&with(0, 1)), Err(LogError::Foreign)));
    assert!(matches!(read(&with(format::at::HALF_WORDS * WORD, 1)), Err(LogError::Damaged)));
    assert!(matches!(read(&vec![0; MAX_LOG_BYTES + 1]), Err(LogError::TooLarge(_))));
}

/// A sample of any shape.
fn any_sample() -> impl Strategy<Value = (SampleHead, Vec<u64>)> {
    let kind =
        prop_oneof![Just(SampleKind::Cpu), Just(SampleKind::Residual), Just(SampleKind::Wall)];
    let head = (any::<u32>(), kind, any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    (head, proptest::collection::vec(any::<u64>(), 0..60)).prop_map(|(head, frames)| {
        let (tid, kind, at, weight, labels, span) = head;
        (SampleHead { tid, kind, at, weight, context: Context { labels, span } }, frames)
    })
}

/// Prints what an append costs:
/// `cargo test --release -p profiler-sdk --lib log::tests::cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_an_append() {
    let frames: Vec<u64> = (0..100).map(|frame| 0x5555_5555_0000 + frame * 64).collect();
    for (crc, name) in [(crc::Crc::detect(), "as found"), (crc::Crc::by_table(), "by table")] {
        for depth in [0, 10, 40, 100] {
            let mut log = SampleLog::anonymous(LogOptions::default()).unwrap();
            log.crc = crc;
            let mut best = f64::MAX;
            for seq in 0..50 {
                let began = Instant::now();
                for tid in 0..1_000 {
                    assert!(log.append(head(tid, 1), std::hint::black_box(&frames[..depth])));
                }
                best = best.min(began.elapsed().as_nanos() as f64 / 1e3);
                let began = Instant::now();
                let sealed = log.seal(seq).unwrap();
                let read = sealed.samples().len();
                let sealing = began.elapsed();
                sealed.release();
                if seq == 49 {
                    println!(
                        "{name}, depth {depth}: {best:.0} ns; {read} sealed and read in {sealing:?}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn samples_come_back_as_they_were(
        samples in proptest::collection::vec(any_sample(), 0..60),
        seals in 0usize..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = SampleLog::create(folder.path(), LogOptions { half_bytes: 64 << 10, ..SMALL }).unwrap();
        let parts = samples.len() / (seals + 1) + 1;
        for (seq, part) in samples.chunks(parts).enumerate() {
            for (head, frames) in part {
                prop_assert!(log.append(*head, frames));
            }
            if seq < seals.min(1) {
                log.seal(seq as u64);
            }
        }
        let dead = read(&bytes_of(&log)).unwrap();
        let back: Vec<_> = dead.halves.into_iter().flat_map(|half| half.samples).collect();
        prop_assert_eq!(back.len(), samples.len());
        for (number, (sample, (head, frames))) in back.iter().zip(&samples).enumerate() {
            prop_assert_eq!(sample.number, number as u64);
            prop_assert_eq!((&sample.head, &sample.frames), (head, frames));
        }
    }

    #[test]
    fn definitions_come_back_as_they_were(
        texts in proptest::collection::vec(".{0,40}", 0..20),
        cut in 0usize..4096,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = SampleLog::create(folder.path(), SMALL).unwrap();
        let define = |(id, text): (u32, &String)| {
            log.define(&Definition { kind: DefinitionKind::Labels, id, parent: id / 2, text })
        };
        let kept = (0..).zip(&texts).map(define).filter(|kept| *kept).count();
        let bytes = bytes_of(&log);
        let all = read(&bytes).unwrap().definitions;
        prop_assert_eq!(all.len(), kept);
        for (id, (definition, text)) in (0..).zip(all.iter().zip(&texts)) {
            prop_assert_eq!((definition.id, definition.parent), (id, id / 2));
            prop_assert_eq!(&definition.text, text);
        }
        let end = format::Layout::DICTIONARY_AT * WORD + cut;
        let some = read(&bytes[..end]).unwrap().definitions;
        prop_assert_eq!(&some[..], &all[..some.len()], "a file cut short holds the first ones");
    }

    #[test]
    fn damage_is_passed_over_and_nothing_else(
        samples in proptest::collection::vec(any_sample(), 1..20),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = SampleLog::create(folder.path(), SMALL).unwrap();
        let written: Vec<_> = samples.iter().filter(|(head, frames)| log.append(*head, frames)).collect();
        let mut bytes = bytes_of(&log);
        let half = log.layout.half_at(0) * WORD;
        let used = log.fill().used * WORD;
        for (at, flip) in &flips {
            bytes[half + at.index(used)] ^= flip;
        }
        let back = read(&bytes).unwrap().halves.remove(0).samples;
        prop_assert!(back.len() + flips.len() >= written.len());
        for sample in back {
            let (head, frames) = written[sample.number as usize];
            prop_assert_eq!((&sample.head, &sample.frames), (head, frames));
        }
    }
}
