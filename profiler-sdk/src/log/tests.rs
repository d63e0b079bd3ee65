//! The room as a whole: written here, read back from the file's bytes.
#![allow(clippy::unwrap_used)]

use std::fs;

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
