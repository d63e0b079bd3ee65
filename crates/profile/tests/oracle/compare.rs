//! Two texts side by side, and cases made small before they are shown.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use flambeau_profile::proto::Profile;

/// How many differing lines are worth reading.
const SHOWN: usize = 60;

/// The lines that differ, `-` as pprof has it, `+` as Flambeau has it, with the
/// path of frames that leads to them.
pub fn difference(pprof: &str, ours: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (pprof.lines().collect(), ours.lines().collect());
    let mut out = String::new();
    let mut shown = 0;
    for (sign, line) in edits(&old, &new) {
        if sign != ' ' {
            shown += 1;
        }
        if shown > SHOWN {
            out.push_str("…\n");
            break;
        }
        if sign != ' ' || line.starts_with(|c: char| c.is_ascii_digit()) && old.len() < SHOWN {
            let _ = writeln!(out, "{sign} {line}");
        }
    }
    out
}

/// The shortest script of lines kept, removed and added (longest common
/// subsequence; texts are short once a case is shrunk, long ones are cut).
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    const MOST: usize = 3000;
    let (old, new) = (&old[..old.len().min(MOST)], &new[..new.len().min(MOST)]);
    let mut longest = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] = match old[i] == new[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut script) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            script.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && longest[i + 1][j] >= longest[i][j + 1] {
            script.push(('-', old[i]));
            i += 1;
        } else {
            script.push(('+', new[j]));
            j += 1;
        }
    }
    script
}

/// Takes things out of the profiles as long as `fails` still does; returns the
/// smallest case found and what it fails with.
pub fn shrink(
    mut case: Vec<Profile>,
    mut why: String,
    mut fails: impl FnMut(&[Profile]) -> Option<String>,
) -> (Vec<Profile>, String) {
    let mut changed = true;
    while changed {
        changed = false;
        for smaller in smaller(&case) {
            if let Some(reason) = fails(&smaller) {
                (case, why, changed) = (smaller, reason, true);
                break;
            }
        }
    }
    (case, why)
}

/// The case with one thing less, for each thing it could do without.
fn smaller(case: &[Profile]) -> Vec<Vec<Profile>> {
    let mut all = Vec::new();
    for i in 0..case.len() {
        if case.len() > 1 {
            let mut less = case.to_vec();
            less.remove(i);
            all.push(less);
        }
        for profile in simpler(&case[i]) {
            let mut less = case.to_vec();
            less[i] = profile;
            all.push(less);
        }
    }
    all
}

fn simpler(p: &Profile) -> Vec<Profile> {
    let mut all = Vec::new();
    let mut try_change = |change: &dyn Fn(&mut Profile)| {
        let mut less = p.clone();
        change(&mut less);
        if less != *p {
            all.push(less);
        }
    };
    for s in 0..p.sample.len() {
        try_change(&|p| _ = p.sample.remove(s));
        for l in 0..p.sample[s].location_id.len() {
            try_change(&|p| _ = p.sample[s].location_id.remove(l));
        }
        for l in 0..p.sample[s].label.len() {
            try_change(&|p| _ = p.sample[s].label.remove(l));
        }
    }
    for l in 0..p.location.len() {
        for line in 0..p.location[l].line.len() {
            try_change(&|p| _ = p.location[l].line.remove(line));
        }
        try_change(&|p| p.location[l].mapping_id = 0);
    }
    try_change(&|p| p.comment.clear());
    try_change(&|p| (p.time_nanos, p.duration_nanos, p.period) = (0, 0, 0));
    try_change(&|p| (p.default_sample_type, p.doc_url) = (0, 0));
    try_change(&|p| (p.drop_frames, p.keep_frames) = (0, 0));
    all
}

/// Keeps the inputs of a failed case, for `oracle text` and a debugger.
pub fn keep(name: &str, inputs: &[Vec<u8>]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle-failures").join(name);
    std::fs::create_dir_all(&dir).expect("a folder for the failed case");
    for (i, input) in inputs.iter().enumerate() {
        std::fs::write(dir.join(format!("{i}.pb")), input).expect("room for the failed case");
    }
    dir
}
