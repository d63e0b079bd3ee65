//! speedscope's file format: one sampled profile for each sample type.
//!
//! Source: `src/lib/file-format-spec.ts` of
//! <https://github.com/jlfwong/speedscope>. Its own reader of pprof keeps only
//! one line of each location; here inlined calls are frames of their own.

use std::io::Write;

use serde::{Serialize, Serializer};

use crate::{error::ViewError, name::shown_name, stacks::Stacks, symbols::Symbol};

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    shared: Shared<'a>,
    profiles: Vec<Profile<'a>>,
    name: String,
    #[serde(rename = "activeProfileIndex")]
    active: usize,
    exporter: &'static str,
}

#[derive(Serialize)]
struct Shared<'a> {
    #[serde(serialize_with = "frames")]
    frames: &'a [Symbol],
}

#[derive(Serialize)]
struct Frame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<i64>,
}

#[derive(Serialize)]
struct Profile<'a> {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start: u64,
    #[serde(rename = "endValue")]
    end: u64,
    #[serde(serialize_with = "samples")]
    samples: (&'a Stacks, usize),
    #[serde(serialize_with = "weights")]
    weights: (&'a Stacks, usize),
}

/// Writes the stacks of all sample types that have a positive value, one by
/// one; `active` is shown first.
///
/// # Errors
/// When `out` does not take it.
pub fn speedscope(
    stacks: &Stacks,
    active: usize,
    title: &str,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        shared: Shared { frames: &stacks.symbols },
        profiles: (0..stacks.measures.len()).map(|column| profile(stacks, column)).collect(),
        name: shown_name(title),
        active,
        exporter: concat!("flambeau@", env!("CARGO_PKG_VERSION")),
    };
    Ok(serde_json::to_writer(out, &file)?)
}

fn profile(stacks: &Stacks, column: usize) -> Profile<'_> {
    let measure = stacks.measure(column);
    Profile {
        r#type: "sampled",
        name: shown_name(&measure.typ),
        unit: unit(&measure.unit),
        start: 0,
        end: stacks.drawn(column).fold(0, |sum, (_, value)| sum.saturating_add(value)),
        samples: (stacks, column),
        weights: (stacks, column),
    }
}

/// The units that speedscope knows.
fn unit(unit: &str) -> &'static str {
    match unit {
        "nanoseconds" => "nanoseconds",
        "microseconds" => "microseconds",
        "milliseconds" => "milliseconds",
        "seconds" => "seconds",
        "bytes" => "bytes",
        _ => "none",
    }
}

fn frames<S: Serializer>(symbols: &[Symbol], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(symbols.iter().map(|symbol| Frame {
        name: &symbol.name,
        file: &symbol.file,
        line: (symbol.line > 0).then_some(symbol.line),
    }))
}

fn samples<S: Serializer>(of: &(&Stacks, usize), to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(of.0.drawn(of.1).map(|(frames, _)| frames))
}

fn weights<S: Serializer>(of: &(&Stacks, usize), to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(of.0.drawn(of.1).map(|(_, value)| value))
}
