//! The corpus of the repository (`tests/data`) and pieces of it: real and odd
//! profiles, cut and bent a little, the same way each time. What the fuzz
//! targets try for hours, in seconds.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use flambeau_profile::{AddOptions, Limits, Merged, Merger, decode, encode, inflate};

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| matches!(path.extension(), Some(e) if e == "pb" || e == "gz"))
        .collect();
    files.sort();
    assert!(files.len() > 20, "the corpus has {} files", files.len());
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.inflated_bytes = 1 << 20;
    limits
}

/// Decodes and merges any bytes; they must agree, and what is merged must hold.
fn try_bytes(bytes: &[u8]) -> bool {
    let mut merger = Merger::new(limits());
    let added = merger.add(bytes, &AddOptions::default());
    let decoded = decode(bytes, &limits());
    assert_eq!(decoded.is_ok(), added.is_ok());
    assert_eq!(added.is_err(), merger.is_empty());
    let Ok(added) = added else { return false };
    let merged = merger.finish().unwrap();
    assert_eq!(merged.totals(), added.totals);
    let raw = merged.encode();
    assert_eq!(Merged::from_bytes(&raw, &Limits::default()).unwrap().encode(), raw);
    let profile = decoded.unwrap();
    assert_eq!(decode(&encode(&profile), &Limits::default()), Ok(profile));
    true
}

#[test]
fn names_say_what_is_good_and_bad() {
    for (path, bytes) in corpus() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(try_bytes(&bytes), !name.starts_with("bad-"), "{name}");
    }
}

/// A small generator of numbers, so that every run tries the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

#[test]
fn damaged_files_are_judged_without_a_fault() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let (mut good, mut bad) = (0, 0);
    for (_, bytes) in corpus() {
        let Ok(raw) = inflate(&bytes, &limits()) else { continue };
        if raw.len() > 60_000 {
            continue;
        }
        for _ in 0..60 {
            let mut bent = raw.to_vec();
            for _ in 0..=numbers.below(3) {
                match numbers.below(4) {
                    0 => bent.truncate(numbers.below(bent.len())),
                    1 => {
                        let (from, to) = (numbers.below(bent.len()), numbers.below(raw.len()));
                        bent.splice(
                            from..from,
                            raw[to..(to + numbers.below(40)).min(raw.len())].iter().copied(),
                        );
                    }
                    _ if bent.is_empty() => {}
                    _ => {
                        let at = numbers.below(bent.len());
                        bent[at] = numbers.below(256) as u8;
                    }
                }
            }
            if try_bytes(&bent) { good += 1 } else { bad += 1 }
        }
    }
    assert!(good > 50 && bad > 500, "{good} good, {bad} bad: both sides must be met");
}
