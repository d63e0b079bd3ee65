//! What holds for every view of every profile: any bytes as names give
//! well-formed text, XML and JSON, and no value is lost.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Made, corpus, whole_corpus};
use flambeau_flame::{
    Beside, Cut, Graph, NodeId, Sort, Stacks, Tree, ViewError, chrome, csv,
    diff::{Basis, Drawn, Pair, Part, Side},
    diff_json, diff_svg, firefox, flame_json, flamebearer, folded, speedscope, svg, top_json,
};
use flambeau_profile::Merged;
use proptest::prelude::*;
use serde_json::Value;

fn json(write: impl FnOnce(&mut Vec<u8>) -> Result<(), ViewError>) -> Value {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Whether XML 1.0 allows the character.
fn in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Reads XML to its end; answers the texts of its `title` elements.
fn titles(xml: &[u8]) -> Vec<String> {
    let xml = std::str::from_utf8(xml).unwrap();
    assert!(xml.chars().all(in_xml));
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut titles, mut within) = (Vec::new(), false);
    loop {
        use quick_xml::events::Event;
        match reader.read_event().unwrap() {
            Event::Eof => return titles,
            Event::Start(start) => {
                start.attributes().for_each(|attribute| drop(attribute.unwrap()));
                within = start.name().as_ref() == b"title";
                if within {
                    titles.push(String::new());
                }
            }
            Event::End(_) => within = false,
            Event::Text(text) if within => {
                titles.last_mut().unwrap().push_str(&text.decode().unwrap());
            }
            Event::GeneralRef(entity) if within => {
                titles.last_mut().unwrap().push_str(&format!("&{};", entity.decode().unwrap()));
            }
            _ => {}
        }
    }
}

/// The rows of a CSV, by RFC 4180.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = csv.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted);
    rows
}

fn numbers(values: &Value) -> Vec<u64> {
    values.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect()
}

/// A profile against itself, in halves and whole: nothing differs, and all of it
/// is there on both sides.
fn check_diff(stacks: &Stacks, column: usize, cut: Cut, total: u64) {
    let side = |weights: &[f64]| {
        let parts = weights.iter().map(|weight| Part { stacks, weight: *weight }).collect();
        Side { parts, column, period: None }
    };
    let pair = Pair::of([side(&[2.0]), side(&[1.0, 1.0])], Basis::Invocation);
    let diff = json(|out| diff_json(&pair, cut, 4, out));
    assert_eq!(diff["total"][0].as_u64(), Some(total));
    let base = numbers(&diff["nodes"]["base"]);
    assert_eq!(base.len(), diff["nodes"]["function"].as_array().unwrap().len());
    assert_eq!(base.iter().fold(0_u64, |sum, own| sum.saturating_add(*own)), total);
    let names = diff["functions"]["name"].as_array().unwrap().len() as i64;
    for function in diff["nodes"]["function"].as_array().unwrap() {
        assert!((-1..names).contains(&function.as_i64().unwrap()));
    }
    for drawn in [Drawn::Union, Drawn::Subject, Drawn::Gone] {
        let graph = Graph { title: "<&\u{1b}".into(), cut, ..Graph::default() };
        match diff_svg(&pair, &graph, drawn) {
            Ok(picture) => drop(titles(&picture)),
            Err(ViewError::Nothing(_)) => assert!(total == 0 || drawn == Drawn::Gone),
            Err(error) => panic!("{error}"),
        }
    }
}

/// All views of one column; each must be well-formed and hold its total.
fn check(profile: &Merged, column: usize, cut: Cut) {
    let stacks = Stacks::of(profile);
    let total = stacks.drawn(column).fold(0_u64, |sum, (_, value)| sum.saturating_add(value));

    let tree = Tree::of(&stacks, column, cut).unwrap();
    assert_eq!(tree.total, total);
    assert!(tree.nodes.len() <= 2 * cut.nodes + 1);
    let lines = text(|out| folded(&stacks, column, out));
    let values = lines.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    assert_eq!(values.fold(0, u64::saturating_add), total);

    let flame = json(|out| flame_json(&stacks, column, cut, Beside { rows: 5, whole: None }, out));
    let owns = numbers(&flame["nodes"]["own"]);
    assert_eq!(owns.len(), numbers(&flame["nodes"]["depth"]).len());
    assert_eq!(owns.iter().fold(0_u64, |sum, own| sum.saturating_add(*own)), total);
    let names = flame["functions"]["name"].as_array().unwrap().len() as i64;
    for function in flame["nodes"]["function"].as_array().unwrap() {
        assert!((-1..names).contains(&function.as_i64().unwrap()));
    }

    let listed = flame["top"]["function"].as_array().unwrap();
    assert!(
        listed.len() <= 10 && listed.iter().all(|at| (0..names).contains(&at.as_i64().unwrap()))
    );
    assert_eq!(flame["top"]["of"].as_u64().unwrap(), stacks.symbols.len() as u64);

    check_diff(&stacks, column, cut, total);

    let top = json(|out| top_json(&stacks, column, Sort::Flat, 3, out));
    let flats = top["rows"].as_array().unwrap().iter().map(|row| row["flat"].as_i64());
    let rest = top["truncated"]["flat"].as_i64();
    // Sums beyond 64 bits are written whole, but not read whole here.
    let listed: Option<i64> =
        flats.chain([rest]).try_fold(0_i64, |sum, flat| sum.checked_add(flat?));
    if let (Some(listed), Some(total)) = (listed, top["total"].as_i64()) {
        assert_eq!(listed, total);
    }
    let table = rows(&text(|out| csv(&stacks, column, Sort::Cum, out)));
    assert!(table.iter().all(|row| row.len() == 8));
    assert_eq!(table.len(), stacks.symbols.len() + 1);

    let scope = json(|out| speedscope(&stacks, column, "title", out));
    let weights = numbers(&scope["profiles"][column]["weights"]);
    assert_eq!(weights.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight)), total);

    let fox = json(|out| firefox(&stacks, column, cut, "title", out));
    let frames = fox["shared"]["frameTable"]["length"].as_u64().unwrap();
    assert!(numbers(&fox["shared"]["stackTable"]["frame"]).iter().all(|frame| *frame < frames));

    let bearer = json(|out| flamebearer(&stacks, column, cut, "title", out));
    assert_eq!(bearer["flamebearer"]["levels"][0][1].as_u64(), Some(total));
    let events = json(|out| chrome(&stacks, column, cut, "title", out));
    assert_eq!(events["traceEvents"].as_array().unwrap().len(), tree.nodes.len() + 2);

    for icicle in [true, false] {
        let graph = Graph { column, title: "<&\u{1b}".into(), icicle, cut, ..Graph::default() };
        match svg(&stacks, &graph) {
            Ok(picture) => assert!(titles(&picture).iter().any(|title| title.starts_with("all ("))),
            Err(ViewError::Nothing(_)) => assert_eq!(total, 0),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_profile_of_the_corpus_has_every_view() {
    for (name, profile) in whole_corpus() {
        for column in 0..profile.sample_types().len() {
            eprintln!("{name} column {column}");
            check(&profile, column, Cut::default());
            check(&profile, column, Cut { nodes: 5, root: None });
        }
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let hostile: Vec<&[u8]> = vec![
        b"<script>",
        b"]]>",
        b"</title>",
        b"\"'&;",
        b"a;b 1",
        b"x 5",
        b"# a",
        b"",
        b" ",
        b"\x1b[31m",
        b"\0",
        b"\xef\xbf\xbe",
        b"\xff\xfe",
        b"\xe2\x80\xae",
        b"=1+1",
        b"a\r\nb",
        b"\xed\xa0\x80",
        b"_[k]",
        b"f(int)",
        b"f::g",
        b"all",
        b"other",
        b"\\u0000",
        b"${x}",
        b"%s %",
    ];
    let hostile = proptest::sample::select(hostile).prop_map(<[u8]>::to_vec);
    prop_oneof![hostile, proptest::collection::vec(any::<u8>(), 0..12)]
}

fn made() -> impl Strategy<Value = Made> {
    let names = proptest::collection::vec(name(), 1..7);
    (names, name(), name()).prop_flat_map(|(names, typ, unit)| {
        let stack = proptest::collection::vec(0..names.len(), 0..9);
        let value = prop_oneof![4 => 1..1_000_i64, 1 => any::<i64>()];
        let samples = proptest::collection::vec((stack, value), 0..20);
        let (names, units) = (Just(names), Just((typ, unit)));
        (names, units, samples).prop_map(|(names, units, samples)| Made { names, units, samples })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_bytes_are_names(made in made(), nodes in 1..40_usize) {
        let profile = made.merged();
        check(&profile, 0, Cut { nodes, root: None });
    }

    #[test]
    fn every_node_can_be_asked_for(made in made(), nodes in 1..40_usize) {
        let stacks = Stacks::of(&made.merged());
        let whole = Tree::of(&stacks, 0, Cut { nodes: 1_000, root: None }).unwrap();
        prop_assert_eq!(whole.truncated.nodes, 0);
        let mut path: Vec<NodeId> = Vec::new();
        for node in &whole.nodes {
            path.truncate(node.depth as usize);
            let above = path.last().copied().unwrap_or(NodeId::ROOT);
            let id = above.child(&whole.symbol(node).unwrap().name);
            path.push(id);
            let part = Tree::of(&stacks, 0, Cut { nodes, root: Some(id) }).unwrap();
            prop_assert_eq!(part.total, node.total);
            prop_assert_eq!(part.path.len(), node.depth as usize + 1);
        }
        let nowhere = Tree::of(&stacks, 0, Cut { nodes, root: Some(NodeId(1)) });
        prop_assert!(nowhere.is_err());
    }
}

#[test]
fn a_cut_tree_keeps_the_heaviest_and_every_total() {
    let profile = corpus("go-cpu.pb.gz");
    let stacks = Stacks::of(&profile);
    let whole = Tree::of(&stacks, 1, Cut { nodes: 65_536, root: None }).unwrap();
    assert_eq!(whole.truncated.nodes, 0);
    for nodes in [1, 10, 50] {
        let tree = Tree::of(&stacks, 1, Cut { nodes, root: None }).unwrap();
        let kept: Vec<_> = tree.nodes.iter().filter(|node| node.symbol.is_some()).collect();
        assert_eq!((kept.len(), tree.truncated.nodes), (nodes, whole.nodes.len() - nodes));
        let mut weights: Vec<u64> = whole.nodes.iter().map(|node| node.total).collect();
        weights.sort_unstable_by_key(|weight| std::cmp::Reverse(*weight));
        assert!(kept.iter().all(|node| node.total >= weights[nodes - 1]));
        for (at, node) in tree.nodes.iter().enumerate() {
            let below = tree.nodes[at + 1..].iter().take_while(|other| other.depth > node.depth);
            let children = below.filter(|other| other.depth == node.depth + 1);
            let sum: u64 = children.map(|child| child.total).sum();
            assert_eq!(sum + if node.symbol.is_some() { node.own } else { node.total }, node.total);
        }
    }
}

#[test]
fn the_deepest_stacks_are_cut_and_said() {
    let stacks = Stacks::of(&corpus("odd-deep.pb"));
    let tree = Tree::of(&stacks, 0, Cut { nodes: 65_536, root: None }).unwrap();
    let deepest = tree.nodes.iter().map(|node| node.depth as usize).max().unwrap();
    assert_eq!(deepest, flambeau_flame::MAX_DEPTH);
    assert!(tree.truncated.nodes > 0 && tree.truncated.value > 0);
}

#[test]
fn inlined_calls_are_frames_of_their_own() {
    let stacks = Stacks::of(&corpus("odd-inline-columns.pb"));
    let inlined: Vec<&str> = stacks
        .symbols
        .iter()
        .filter(|symbol| symbol.inlined != flambeau_flame::Inlined::No)
        .map(|symbol| symbol.name.as_str())
        .collect();
    assert!(!inlined.is_empty());
    let lines = text(|out| folded(&stacks, 0, out));
    assert!(inlined.iter().all(|name| lines.contains(name)), "{lines}");
}

#[test]
fn colours_follow_packages() {
    let profile = corpus("go-cpu.pb.gz");
    let stacks = Stacks::of(&profile);
    let graph = Graph { column: 1, ..Graph::default() };
    let picture = svg(&stacks, &graph).unwrap();
    assert_eq!(picture, svg(&stacks, &graph).unwrap(), "the same each time");
    let picture = String::from_utf8(picture).unwrap();
    let [r, g, b] = flambeau_flame::colour("runtime");
    assert!(picture.contains(&format!("rgb({r},{g},{b})")), "{r} {g} {b}");
}
