//! Any bytes, and real logs edited by any bytes, with their checksums made good again: reading
//! neither panics nor makes more of them than they hold.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[allow(unused)]
#[path = "../../src/context.rs"]
mod context;
#[allow(unused)]
#[path = "../../src/log/mod.rs"]
mod log;
#[path = "../make_good.rs"]
mod make_good;
#[allow(unused)]
#[path = "../../src/mappings.rs"]
mod mappings;
#[allow(unused)]
#[path = "../../src/names.rs"]
mod names;
#[path = "../real_logs.rs"]
mod real_logs;

static LOGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(real_logs::real_logs);

/// Edits of one input.
const EDITS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let Some((which, edits)) = bytes.split_first() else { return };
    let mut log = LOGS[usize::from(*which) % LOGS.len()].clone();
    // The accounts are most of a log and have no structure: edits skip them.
    let words = log.len() / 8;
    let (header, accounts) = (512, 5 * 4112);
    for edit in edits.as_chunks::<10>().0.iter().take(EDITS) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % (words - accounts);
        let at = if at < header { at } else { at + accounts };
        log[at * 8..][..8].copy_from_slice(&edit[2..]);
    }
    check(&log);
    make_good::make_good(&mut log);
    check(&log);
});

fn check(bytes: &[u8]) {
    let Ok(log) = log::read(bytes) else { return };
    let words = bytes.len() / 8;
    let samples = || log.halves.iter().flat_map(|half| &half.samples);
    let used: usize = samples().map(|sample| 6 + sample.frames.len()).sum();
    assert!(used <= words && samples().all(|sample| sample.frames.len() <= log::MAX_FRAMES));
    let texts: usize = log.definitions.iter().map(|definition| definition.text.len()).sum();
    // Bytes that are not UTF-8 become characters of three.
    assert!(texts <= 3 * bytes.len() && log.halves.len() <= 2 && log.torn <= words as u64 * 3);
    assert!(log.notes.open_spans.is_none_or(|open| open.ids().len() <= log::MAX_OPEN_SPANS));
}
