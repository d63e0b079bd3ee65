//! Logs as processes leave them, small.

use std::fs;
use std::thread;

use crate::context::Context;
use crate::log::{
    Clock, LogOptions, LoggedInvocation, OpenSpans, Outcome, SampleHead, SampleKind, SampleLog,
};
use crate::mappings::mappings;
use crate::names::{Definition, DefinitionKind};

/// The bytes of logs in each state: fresh, written, sealed once, sealed twice, used again.
pub(crate) fn real_logs() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = LogOptions { period: 10_101_010, half_bytes: 6 << 10, dictionary_bytes: 6 << 10 };
    let log = SampleLog::create(folder.path(), options).expect("a log");
    let now = || fs::read(log.path().expect("a file")).expect("a file of ours");
    let mut logs = vec![now()];
    describe(&log);
    write(&log, 9);
    logs.push(now());
    log.seal(7);
    write(&log, 30);
    logs.push(now());
    log.seal(8);
    write(&log, 2);
    logs.push(now());
    log.release(7);
    write(&log, 4);
    logs.push(now());
    logs
}

fn describe(log: &SampleLog) {
    for mapping in mappings() {
        log.map(&mapping);
    }
    let definitions = [
        (DefinitionKind::Labels, 1, 0, "tenant\0acme\0user\0ünknown"),
        (DefinitionKind::Span, 1, 0, "handler"),
        (DefinitionKind::Span, 2, 1, "parse"),
        (DefinitionKind::Thread, 77, 0, "tokio-runtime-worker"),
    ];
    for (kind, id, parent, text) in definitions {
        log.define(&Definition { kind, id, parent, text });
    }
    log.identify("0f1e2d3c4b5a69788796a5b4c3d2e1f0", "a0b1c2d3e4f5");
    log.note_clock(Clock::now());
    let (began, deadline) = (1_000, 2_000);
    log.note_invocation(&LoggedInvocation {
        began,
        deadline,
        request: 3,
        outcome: Outcome::Running,
    });
    log.note_open_spans(&OpenSpans::new(1_500, &[1, 2]));
}

fn write(log: &SampleLog, samples: u64) {
    thread::scope(|scope| {
        for tid in 77..79 {
            scope.spawn(move || {
                for nth in 0..samples {
                    let context = Context { labels: 1, span: 2 };
                    let (kind, weight) = (SampleKind::Cpu, 10_101_010);
                    let at = 1_000 + nth;
                    let head = SampleHead { tid, kind, at, weight, context };
                    let frames: Vec<u64> =
                        (0..nth % 30).map(|frame| 0x5555_0000_1000 + frame).collect();
                    log.append(head, &frames);
                    log.ledger_add(tid, weight);
                }
            });
        }
    });
}
