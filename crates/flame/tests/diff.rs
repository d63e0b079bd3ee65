//! Two sides in one tree: what vanished and what came are seen, and what differs
//! by chance is told from what does not.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Made;
use flambeau_flame::{
    Cut, Graph, Stacks,
    diff::{Basis, DiffNode, Drawn, Pair, Part, QUIET_SIGMAS, Side, diff_svg},
};

// Functions at odd positions have an inlined call in them: they are not used.
const NAMES: [&str; 7] = ["main", "", "kept", "", "gone", "", "new"];
const KEPT: usize = 2;
const GONE: usize = 4;
const NEW: usize = 6;

fn stacks(samples: &[(&[usize], i64)]) -> Stacks {
    let names = NAMES.iter().map(|name| name.as_bytes().to_vec()).collect();
    let samples = samples.iter().map(|(frames, value)| (frames.to_vec(), *value)).collect();
    let units = (b"cpu".to_vec(), b"ns".to_vec());
    Stacks::of(&Made { names, units, samples }.merged())
}

fn side<'a>(parts: &'a [Stacks], weight: f64) -> Side<'a> {
    let parts = parts.iter().map(|stacks| Part { stacks, weight }).collect();
    Side { parts, column: 0, period: None }
}

fn node(pair: &Pair<'_>, name: &str) -> Option<DiffNode> {
    let tree = pair.tree(Cut::default()).unwrap();
    let named = |node: &&DiffNode| {
        node.symbol.is_some_and(|at| pair.stacks.symbols[at as usize].name.starts_with(name))
    };
    tree.nodes.iter().find(named).copied()
}

#[test]
fn what_is_gone_and_what_is_new_stand_side_by_side() {
    let base = [stacks(&[(&[0, GONE], 50), (&[0], 50)])];
    let subject = [stacks(&[(&[0, NEW], 60), (&[0], 40)])];
    let pair = Pair::of([side(&base, 100.0), side(&subject, 100.0)], Basis::Share);
    assert_eq!(node(&pair, "gone").unwrap().total, [50, 0]);
    assert_eq!(node(&pair, "new").unwrap().total, [0, 60]);
    assert_eq!(node(&pair, "main").unwrap().total, [100, 100]);
    let picture = |drawn| {
        let graph = Graph::default();
        String::from_utf8(diff_svg(&pair, &graph, drawn).unwrap()).unwrap()
    };
    let union = picture(Drawn::Union);
    assert!(union.contains("(gone, was 50.00 %)") && union.contains("(new, 60.00 %)"));
    let subject = picture(Drawn::Subject);
    assert!(!subject.contains(">gone") && subject.contains("(new, 60.00 %)"));
    let gone = picture(Drawn::Gone);
    assert!(gone.contains("(gone, was 50.00 %)") && !gone.contains("(new"));
}

#[test]
fn a_difference_within_the_spread_is_told_from_one_beyond() {
    // `kept` wavers by ten of a hundred between snapshots; `gone` by nothing.
    let part =
        |kept: i64, other: i64| stacks(&[(&[0, KEPT], kept), (&[0, GONE], other), (&[0], 500)]);
    let base: Vec<Stacks> = [90, 110, 95, 105, 100].map(|kept| part(kept, 100)).into();
    let subject: Vec<Stacks> = [108, 92, 104, 100, 106].map(|kept| part(kept, 130)).into();
    let pair = Pair::of([side(&base, 1.0), side(&subject, 1.0)], Basis::Invocation);
    assert!(pair.noise.iter().all(flambeau_flame::diff::Noise::is_spread));
    for row in pair.rows() {
        let change = row.cum[1] as f64 * pair.scale[1] - row.cum[0] as f64 * pair.scale[0];
        let sigmas = change.abs() / row.sigma[1].unwrap().max(1e-9);
        match row.symbol.name.trim_end_matches('.') {
            "kept" => assert!(sigmas < QUIET_SIGMAS, "{sigmas}"),
            "gone" => assert!((change - 30.0).abs() < 1e-9 && sigmas > 100.0, "{change} {sigmas}"),
            _ => {}
        }
    }
    let kept = node(&pair, "kept").unwrap();
    let row = pair.rows().into_iter().find(|row| row.symbol.name.starts_with("kept")).unwrap();
    assert!((kept.sigma.unwrap() - row.sigma[1].unwrap()).abs() < 1e-9, "one path, one function");
}

#[test]
fn one_part_on_a_side_says_nothing_of_noise() {
    let (base, subject) = ([stacks(&[(&[0], 1)])], [stacks(&[(&[0], 2)])]);
    let pair = Pair::of([side(&base, 1.0), side(&subject, 1.0)], Basis::Absolute);
    assert_eq!(node(&pair, "main").unwrap().sigma, None);
    // Where samples are counted, their number says it.
    let counted = |parts| Side { period: Some(1.0), ..side(parts, 1.0) };
    let pair = Pair::of([counted(&base), counted(&subject)], Basis::Absolute);
    assert!((node(&pair, "main").unwrap().sigma.unwrap() - 3.0_f64.sqrt()).abs() < 1e-9);
}

#[test]
fn a_cut_keeps_what_is_heavy_on_either_side() {
    let base = [stacks(&[(&[0, GONE], 90), (&[0, KEPT], 10)])];
    let subject = [stacks(&[(&[0, NEW], 90), (&[0, KEPT], 10)])];
    let pair = Pair::of([side(&base, 100.0), side(&subject, 100.0)], Basis::Share);
    let tree = pair.tree(Cut { nodes: 3, root: None }).unwrap();
    let names: Vec<Option<&str>> = tree
        .nodes
        .iter()
        .map(|node| Some(pair.stacks.symbols[node.symbol? as usize].name.trim_end_matches('.')))
        .collect();
    assert_eq!(names, [Some("main"), Some("gone"), Some("new"), None]);
    assert_eq!((tree.cut_nodes, tree.cut_values), (1, [10, 10]));
}
