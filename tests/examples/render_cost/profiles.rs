//! What is looked at: real snapshots, and one profile as large as profiles get.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::Context;
use flambeau_flame::NodeId;
use flambeau_layout::UnixMillis;
use flambeau_profile::{
    Limits, decode, encode_gzip,
    proto::{Function, Line, Location, Profile, Sample, ValueType},
};
use serde_json::Value;

const STACKS: usize = 50_000;
const FUNCTIONS: u64 = 8_000;
/// Frames of a stack: so many and up to as many more.
const FRAMES: (u64, u64) = (20, 41);
/// Depth to which a caller has few callees, so that stacks share it.
const SHARED: u64 = 9;
const FEW: u64 = 4;

/// The pprof files of a folder, in order.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "gz"));
    files.sort();
    Ok(files)
}

/// The profiles of these files, with their times spread evenly from `from` on.
pub(crate) fn spread(
    files: &[PathBuf],
    from: UnixMillis,
    over_millis: i64,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let each = over_millis / i64::try_from(files.len().max(1))?;
    let profiles = files.iter().enumerate().map(|(at, file)| {
        let mut profile = decode(&std::fs::read(file)?, &Limits::default())?;
        profile.time_nanos = from.plus_millis(each * i64::try_from(at)?).as_nanos();
        Ok(encode_gzip(&profile))
    });
    profiles.collect()
}

/// A profile of a million and a half nodes of a tree, and their exact number.
pub(crate) fn big(time: UnixMillis) -> (Vec<u8>, usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let mut nodes = HashSet::new();
    let mut samples = Vec::with_capacity(STACKS);
    for _ in 0..STACKS {
        let mut path = 0u64;
        let mut frames = Vec::new();
        for depth in 0..FRAMES.0 + below(FRAMES.1) {
            let choice = if depth < SHARED { below(FEW) } else { below(FUNCTIONS) };
            let function = mix(path ^ choice) % FUNCTIONS;
            path = mix(path.rotate_left(7) ^ function);
            nodes.insert(path);
            frames.push(function + 1);
        }
        frames.reverse();
        let value = 1 + i64::try_from(below(1 << 20)).unwrap_or(1);
        samples.push(Sample { location_id: frames, value: vec![value], ..Default::default() });
    }
    (encode_gzip(&profile(samples, time)), nodes.len() + 1)
}

fn profile(sample: Vec<Sample>, time: UnixMillis) -> Profile {
    let name = |n: u64| format!("service{}.example/module{}/handle{n}", n % 7, n % 211);
    let mut strings = ["", "cpu", "nanoseconds"].map(str::to_owned).to_vec();
    strings.extend((0..FUNCTIONS).map(name));
    let line = |id| Line { function_id: id, line: 1, column: 0 };
    Profile {
        string_table: strings,
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        function: (1..=FUNCTIONS)
            .map(|id| Function { id, name: id as i64 + 2, ..Default::default() })
            .collect(),
        location: (1..=FUNCTIONS)
            .map(|id| Location { id, line: vec![line(id)], ..Default::default() })
            .collect(),
        sample,
        time_nanos: time.as_nanos(),
        ..Default::default()
    }
}

fn mix(mut x: u64) -> u64 {
    x ^= x >> 31;
    x = x.wrapping_mul(0x7fb5_d329_728e_a185);
    x ^= x >> 27;
    x.wrapping_mul(0x81da_def4_bc2d_d44d)
}

/// What is in each box, from what ends in it: children stand behind their parent.
fn totals(depths: &[u64], owns: Vec<u64>) -> Vec<u64> {
    let mut totals = owns;
    for at in (1..totals.len()).rev() {
        if let Some(parent) = (0..at).rev().find(|before| depths[*before] + 1 == depths[at]) {
            totals[parent] += totals[at];
        }
    }
    totals
}

/// How deep the box is that is zoomed into.
const ZOOM_DEPTH: u64 = 5;

/// The heaviest box so deep in a `flame.json`.
pub(crate) fn node_to_zoom(flame: &Value) -> anyhow::Result<NodeId> {
    let numbers = |of: &Value| -> Option<Vec<u64>> {
        of.as_array()?.iter().map(|n| n.as_f64().map(|n| n as u64)).collect()
    };
    let column = |name: &str| numbers(&flame["nodes"][name]).context(name.to_owned());
    let (depths, functions, owns) = (column("depth")?, column("function")?, column("own")?);
    let totals = totals(&depths, owns);
    let (mut path, mut heaviest) = (vec![NodeId::ROOT], (0, NodeId::ROOT));
    for ((depth, function), total) in depths.into_iter().zip(functions).zip(totals) {
        let name = &flame["functions"]["name"][function as usize];
        path.truncate(depth as usize + 1);
        let above = path.last().copied().context("the document begins below its root")?;
        path.push(above.child(name.as_str().unwrap_or_default()));
        if depth == ZOOM_DEPTH && total > heaviest.0 {
            heaviest = (total, path[path.len() - 1]);
        }
    }
    Ok(heaviest.1)
}
