//! Views of the corpus as they were looked at and found right.
//!
//! `FLAMBEAU_BLESS=1 cargo test -p flambeau-flame --test golden` writes them anew.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::corpus;
use flambeau_flame::{
    Beside, Cut, Graph, Sort, Stacks, Top, ViewError, chrome, csv,
    diff::{Basis, Drawn, Pair, Part, Side},
    diff_json, diff_svg, firefox, flame_json, flamebearer, folded, speedscope, svg, top_json,
};

const FORMATS: [&str; 10] = [
    "folded.txt",
    "csv",
    "top.json",
    "flame.json",
    "speedscope.json",
    "chrome.json",
    "firefox.json",
    "flamebearer.json",
    "flame.svg",
    "icicle.svg",
];

fn view(stacks: &Stacks, column: usize, format: &str) -> Result<Vec<u8>, ViewError> {
    let mut out = Vec::new();
    let cut = Cut { nodes: 40, root: None };
    let title = "shop · cpu";
    match format {
        "folded.txt" => folded(stacks, column, &mut out)?,
        "csv" => csv(stacks, column, Sort::Cum, &mut out)?,
        "top.json" => top_json(stacks, column, Sort::Flat, 20, &mut out)?,
        "flame.json" => flame_json(stacks, column, cut, Beside::default(), &mut out)?,
        "speedscope.json" => speedscope(stacks, column, title, &mut out)?,
        "chrome.json" => chrome(stacks, column, cut, title, &mut out)?,
        "firefox.json" => firefox(stacks, column, cut, title, &mut out)?,
        "flamebearer.json" => flamebearer(stacks, column, cut, title, &mut out)?,
        _ => {
            let icicle = format == "icicle.svg";
            let title = title.to_owned();
            out = svg(stacks, &Graph { column, title, icicle, cut, subtitle: None })?;
        }
    }
    Ok(out)
}

/// Texts with a line for each thing, so that a difference can be read.
fn readable(format: &str, view: Vec<u8>) -> String {
    let text = String::from_utf8(view).unwrap();
    match format.ends_with(".json") {
        true => text.replace("},{", "},\n{").replace("],", "],\n") + "\n",
        false => text,
    }
}

fn compare(profile: &str, column: usize, formats: &[&str]) {
    let stacks = Stacks::of(&corpus(profile));
    let name = profile.split('.').next().unwrap();
    for format in formats {
        let actual = readable(format, view(&stacks, column, format).unwrap());
        blessed(&format!("{name}.{format}"), &actual);
    }
}

fn blessed(file: &str, actual: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("FLAMBEAU_BLESS").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if actual != expected {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        std::fs::write(&kept, actual).unwrap();
        panic!("{file} is not as blessed; what came is {}", kept.display());
    }
}

#[test]
fn inlined_calls_everywhere() {
    compare("odd-inline-columns.pb", 0, &FORMATS);
}

/// Two snapshots of one Go program, as each view of a difference has them.
#[test]
fn two_snapshots_side_by_side() {
    let (before, after) =
        (Stacks::of(&corpus("go-cpu.pb.gz")), Stacks::of(&corpus("go-cpu-500hz.pb.gz")));
    let side = |stacks| {
        let weight = Top::of(stacks, 1, Sort::Flat).total as f64;
        Side { parts: vec![Part { stacks, weight }], column: 1, period: Some(1e7) }
    };
    let pair = Pair::of([side(&before), side(&after)], Basis::Share);
    let cut = Cut { nodes: 40, root: None };
    let mut json = Vec::new();
    diff_json(&pair, cut, 10, &mut json).unwrap();
    blessed("go-cpu.diff.json", &readable("diff.json", json));
    for (name, drawn) in
        [("union", Drawn::Union), ("differential", Drawn::Subject), ("elided", Drawn::Gone)]
    {
        let title = "shop · cpu".to_owned();
        let graph = Graph { title, icicle: true, cut, ..Graph::default() };
        let picture = diff_svg(&pair, &graph, drawn).unwrap();
        blessed(&format!("go-cpu.{name}.svg"), &String::from_utf8(picture).unwrap());
    }
}

#[test]
fn names_that_try_to_be_something_else() {
    compare("odd-markup-names.pb", 0, &FORMATS);
}

#[test]
fn no_stack_no_lines_no_utf8() {
    compare("odd-empty-stack.pb", 0, &["folded.txt", "flame.json"]);
    compare("odd-no-lines.pb", 0, &["folded.txt", "csv"]);
    compare("odd-non-utf8.pb", 0, &["folded.txt", "flame.json"]);
}

#[test]
fn values_of_both_signs() {
    compare("odd-negative.pb", 0, &["folded.txt", "csv", "flame.json"]);
    compare("odd-extreme-values.pb", 0, &["folded.txt", "csv", "top.json"]);
}

#[test]
fn real_profiles_of_several_languages() {
    compare("go-cpu.pb.gz", 1, &["top.json", "flame.json", "flamebearer.json"]);
    compare("go-heap-1.pb.gz", 1, &["top.json"]);
    compare("cpp-cpu.pb.gz", 1, &["top.json", "flame.json"]);
    compare("java-cpu.pb.gz", 0, &["top.json"]);
    compare("rust-cpu.pb", 1, &["top.json", "flame.json"]);
}
