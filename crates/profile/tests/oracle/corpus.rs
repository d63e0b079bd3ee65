//! The corpus: verdicts, texts, and merges of every two files.

use std::path::{Path, PathBuf};

use crate::judge::{Question, judge};
use crate::merging::{disagreement, merge};
use crate::{compare::difference, limits};

pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
    /// The golden text beside it, verdict first.
    pub golden: String,
}

pub fn files() -> Vec<File> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| name(path).ends_with(".pb") || name(path).ends_with(".pb.gz"))
        .map(|path| read(&path))
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(files.len() > 80, "where is the corpus? {} has {} files", dir.display(), files.len());
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn read(path: &Path) -> File {
    let name = name(path);
    let stem = name.trim_end_matches(".gz").trim_end_matches(".pb");
    let golden: PathBuf = path.with_file_name(format!("{stem}.txt"));
    let bytes = std::fs::read(path).unwrap();
    File { bytes, golden: std::fs::read_to_string(golden).unwrap(), name }
}

/// Needs no Go: the golden texts begin with pprof's verdict.
#[test]
fn accepts_and_rejects_what_pprof_does() {
    for File { name, bytes, golden } in files() {
        let accepted = golden.starts_with("accept\n");
        assert_eq!(accepted, !name.starts_with("bad-"), "{name} is misnamed or not blessed");
        let ours = flambeau_profile::decode(&bytes, &limits());
        assert_eq!(accepted, ours.is_ok(), "{name}: pprof: {golden}\nFlambeau: {ours:?}");
        let merged = merge(std::slice::from_ref(&bytes));
        assert_eq!(accepted, merged.is_ok(), "{name}: merging it");
    }
}

#[test]
fn golden_texts_are_what_pprof_says_now() {
    let Some(judge) = judge() else { return };
    for file in files() {
        let golden = match judge.text(file.bytes) {
            Ok(text) => format!("accept\n{text}"),
            Err(why) => format!("reject: {why}\n"),
        };
        assert!(
            golden == file.golden,
            "{}: run tests/corpus-gen/generate.sh bless and read the diff\n{}",
            file.name,
            difference(&golden, &file.golden),
        );
    }
}

#[test]
fn every_file_reads_alike() {
    let Some(judge) = judge() else { return };
    for file in files().into_iter().filter(|f| f.golden.starts_with("accept")) {
        let ours = merge(std::slice::from_ref(&file.bytes)).unwrap();
        if ours.saturated() > 0 {
            continue;
        }
        let ours = judge.text(ours.encode()).unwrap();
        let inputs = [file.bytes];
        let pprof = judge.ask(&Question { op: "merge", inputs: &inputs, ..Question::default() });
        let (pprof, ours) = (spelled_out(&pprof.unwrap()), spelled_out(&ours));
        assert!(
            pprof == ours,
            "{}: pprof (-), Flambeau (+)\n{}",
            file.name,
            difference(&pprof, &ours)
        );
    }
}

/// A byte that is not UTF-8 is `\xff` to pprof, and the four characters `\xff`
/// to Flambeau.
fn spelled_out(text: &str) -> String {
    text.replace("\\\\x", "\\x")
}

/// `go`, `java`, `odd`, …: files of different families do not merge anyway, but
/// for the refusal, which one odd file shows.
fn family(file: &File) -> &str {
    file.name.split('-').next().unwrap()
}

#[test]
fn every_two_of_a_family_merge_alike() {
    let Some(judge) = judge() else { return };
    let files: Vec<_> = files()
        .into_iter()
        .filter(|f| f.golden.starts_with("accept") && !f.golden.contains("\\x"))
        .collect();
    let mut merged = 0;
    for (i, a) in files.iter().enumerate() {
        for b in &files[i..] {
            if family(a) != family(b) && a.name != "odd-plain.pb" {
                continue;
            }
            let pair = [a.bytes.clone(), b.bytes.clone()];
            if let Some(why) = disagreement(judge, &pair) {
                panic!("{} and {}: pprof (-), Flambeau (+)\n{why}", a.name, b.name);
            }
            merged += usize::from(merge(&pair).is_ok());
        }
    }
    assert!(merged > 400, "only {merged} pairs were compatible");
}
