//! Firefox Profiler's processed profile.
//!
//! Source: `src/types/profile.ts` and `docs-developer/CHANGELOG-formats.md` of
//! <https://github.com/firefox-devtools/profiler>. Written here and not by
//! `fxprof-processed-profile`, whose weights are 32-bit integers: nanoseconds
//! and bytes do not fit.

use std::{collections::HashMap, io::Write};

use serde_json::{Value, json};

use crate::{
    error::ViewError,
    folded::OTHER,
    name::shown_name,
    stacks::Stacks,
    tree::{Cut, Node, Tree},
};

/// The version of the format written; newer readers upgrade it by themselves.
pub const FIREFOX_VERSION: u32 = 70;

/// Writes the heaviest nodes of one sample type's call tree: a sample for each
/// node that something ends in, weighted, one after the other. A merged profile
/// has no time axis.
///
/// # Errors
/// When [`Cut::root`] is not there, or `out` does not take it.
pub fn firefox(
    stacks: &Stacks,
    column: usize,
    cut: Cut,
    title: &str,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let tree = Tree::of(stacks, column, cut)?;
    let measure = stacks.measure(column);
    let tables = Tables::of(&tree);
    let title = shown_name(title);
    let document = json!({
        "meta": meta(stacks, &title),
        "libs": [],
        "shared": tables.shared(),
        "threads": [thread(&tree, &measure.unit, &title, &shown_name(&measure.to_string()))],
    });
    Ok(serde_json::to_writer(out, &document)?)
}

fn meta(stacks: &Stacks, title: &str) -> Value {
    json!({
        "interval": 1,
        "startTime": (stacks.start_nanos / 1_000_000).max(0),
        "processType": 0,
        "product": title,
        "stackwalk": 1,
        "version": 36,
        "preprocessedProfileVersion": FIREFOX_VERSION,
        "symbolicated": true,
        "symbolicationNotSupported": true,
        "importedFrom": "Flambeau",
        "usesOnlyOneStackType": true,
        "sourceCodeIsNotOnSearchfox": true,
        "markerSchema": [],
        "categories": [{ "name": "Other", "color": "grey", "subcategories": ["Other"] }],
    })
}

/// How values of a unit become weights: the name of their kind, and how many
/// make one.
fn weights(unit: &str) -> (&'static str, f64) {
    match unit {
        "nanoseconds" => ("tracing-ms", 1e6),
        "microseconds" => ("tracing-ms", 1e3),
        "milliseconds" => ("tracing-ms", 1.0),
        "seconds" => ("tracing-ms", 1e-3),
        "bytes" => ("bytes", 1.0),
        _ => ("samples", 1.0),
    }
}

fn thread(tree: &Tree<'_>, unit: &str, process: &str, name: &str) -> Value {
    let (weight_type, per) = weights(unit);
    let ends = || tree.nodes.iter().enumerate().filter(|(_, node)| node.own > 0);
    let mut now: f64 = 0.0;
    let time: Vec<f64> = ends()
        .map(|(_, node)| {
            let began = now;
            // What is no time stands a millisecond apart.
            now += if weight_type == "tracing-ms" { node.own as f64 / per } else { 1.0 };
            began
        })
        .collect();
    let samples = json!({
        "stack": ends().map(|(at, _)| at).collect::<Vec<_>>(),
        "time": time,
        "weight": ends().map(|(_, node)| weight(node, per)).collect::<Vec<_>>(),
        "weightType": weight_type,
        "length": ends().count(),
    });
    json!({
        "processType": "default",
        "processStartupTime": 0,
        "processShutdownTime": null,
        "registerTime": 0,
        "unregisterTime": null,
        "pausedRanges": [],
        "name": name,
        "processName": process,
        "isMainThread": true,
        "pid": "1",
        "tid": 1,
        "samples": samples,
        "markers": {
            "data": [], "name": [], "startTime": [], "endTime": [], "phase": [],
            "category": [], "length": 0,
        },
    })
}

/// Whole numbers stay whole.
fn weight(node: &Node, per: f64) -> Value {
    if per == 1.0 { json!(node.own) } else { json!(node.own as f64 / per) }
}

/// The tables that threads share. A function has one frame, at one place.
#[derive(Default)]
struct Tables {
    strings: Strings,
    /// For each function its name, file and package, positions in `strings`.
    functions: Vec<(usize, Option<usize>, Option<usize>)>,
    lines: Vec<Option<i64>>,
    /// Texts of files and of packages, by position.
    files: Columns,
    packages: Columns,
    /// For each node its function, and how far before it its parent stands.
    stack_frames: Vec<usize>,
    stack_offsets: Vec<usize>,
}

#[derive(Default)]
struct Strings {
    list: Vec<String>,
    places: HashMap<String, usize>,
}

impl Strings {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.places.insert(text.to_owned(), self.list.len());
        self.list.push(text.to_owned());
        self.list.len() - 1
    }
}

/// A table of distinct texts: rows that name a string each.
#[derive(Default)]
struct Columns {
    rows: Vec<usize>,
    places: HashMap<usize, usize>,
}

impl Columns {
    /// The row of a text; none for an empty one.
    fn place(&mut self, strings: &mut Strings, text: &str) -> Option<usize> {
        if text.is_empty() {
            return None;
        }
        let string = strings.place(text);
        let fresh = self.rows.len();
        let place = *self.places.entry(string).or_insert(fresh);
        if place == fresh {
            self.rows.push(string);
        }
        Some(place)
    }
}

impl Tables {
    fn of(tree: &Tree<'_>) -> Self {
        let mut tables = Self::default();
        let mut functions: HashMap<Option<u32>, usize> = HashMap::new();
        let mut above: Vec<usize> = Vec::new();
        for (at, node) in tree.nodes.iter().enumerate() {
            let function =
                *functions.entry(node.symbol).or_insert_with(|| tables.function(tree, node));
            above.truncate(node.depth as usize);
            tables.stack_frames.push(function);
            tables.stack_offsets.push(above.last().map_or(0, |parent| at - parent));
            above.push(at);
        }
        tables
    }

    fn function(&mut self, tree: &Tree<'_>, node: &Node) -> usize {
        let (name, file, package, line) = match tree.symbol(node) {
            None => (OTHER, "", "", 0),
            Some(symbol) => (&*symbol.name, &*symbol.file, &*symbol.package, symbol.line),
        };
        let name = self.strings.place(name);
        let file = self.files.place(&mut self.strings, file);
        let package = self.packages.place(&mut self.strings, package);
        self.functions.push((name, file, package));
        self.lines.push((line > 0).then_some(line));
        self.functions.len() - 1
    }

    fn shared(&self) -> Value {
        let count = self.functions.len();
        let zeros = vec![0; count];
        let nulls = vec![Value::Null; count];
        let none = vec![-1; count];
        let package = |(_, _, package): &(usize, Option<usize>, Option<usize>)| {
            package.map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
        };
        json!({
            "stringArray": self.strings.list,
            "stackTable": {
                "frame": self.stack_frames,
                "prefixOffset": self.stack_offsets,
                "length": self.stack_frames.len(),
            },
            "frameTable": {
                "address": none, "lib": none, "inlineDepth": zeros,
                "category": nulls, "subcategory": nulls,
                "func": (0..count).collect::<Vec<_>>(),
                "nativeSymbol": nulls, "innerWindowID": zeros,
                "line": nulls, "column": nulls, "originalLocation": nulls,
                "length": count,
            },
            "funcTable": {
                "name": self.functions.iter().map(|f| f.0).collect::<Vec<_>>(),
                "isJS": vec![false; count],
                "relevantForJS": vec![false; count],
                "resource": self.functions.iter().map(package).collect::<Vec<_>>(),
                "source": self.functions.iter().map(|f| f.1).collect::<Vec<_>>(),
                "lineNumber": self.lines,
                "columnNumber": nulls,
                "originalLocation": nulls,
                "length": count,
            },
            "resourceTable": {
                "name": self.packages.rows,
                "host": vec![Value::Null; self.packages.rows.len()],
                // A library.
                "type": vec![1; self.packages.rows.len()],
                "length": self.packages.rows.len(),
            },
            "nativeSymbols": {
                "libIndex": [], "address": [], "name": [], "functionSize": [], "length": 0,
            },
            "sources": self.sources(),
            "sourceLocationTable": { "source": [], "line": [], "column": [], "length": 0 },
        })
    }

    fn sources(&self) -> Value {
        let count = self.files.rows.len();
        let nulls = vec![Value::Null; count];
        json!({
            "id": nulls,
            "filename": self.files.rows,
            "startLine": vec![1; count],
            "startColumn": vec![1; count],
            "sourceMapURL": nulls,
            "content": nulls,
            "length": count,
        })
    }
}
