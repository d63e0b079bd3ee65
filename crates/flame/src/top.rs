//! The top table: how much of a sample type ends in each function, and how
//! much passes through it.

use std::{cmp::Reverse, io::Write, str::FromStr};

use serde::Serialize;

use crate::{
    error::ViewError,
    stacks::Stacks,
    symbols::{Inlined, Symbol},
};

/// By what rows are sorted, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// What ends in the function.
    #[default]
    Flat,
    /// What passes through it.
    Cum,
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "flat" => Ok(Self::Flat),
            "cum" => Ok(Self::Cum),
            other => Err(format!("sort `{other}` is not known; write flat or cum")),
        }
    }
}

/// A function in the table. Values may be negative, as in differences.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The function.
    pub symbol: &'a Symbol,
    /// The value of stacks that end in it.
    pub flat: i128,
    /// The value of stacks it is in, each once however often it is in it.
    pub cum: i128,
}

/// The table of one sample type.
#[derive(Debug)]
pub struct Top<'a> {
    /// All functions of the profile, sorted by size without regard to sign,
    /// then by name.
    pub rows: Vec<Row<'a>>,
    /// The sum of all stacks.
    pub total: i128,
}

impl<'a> Top<'a> {
    /// The table of one column.
    #[must_use]
    pub fn of(stacks: &'a Stacks, column: usize, sort: Sort) -> Self {
        let values = Self::by_symbol(stacks, column);
        let total = values.iter().map(|(flat, _)| flat).sum();
        let row = |(symbol, (flat, cum))| Row { symbol, flat, cum };
        let mut rows: Vec<Row<'a>> = stacks.symbols.iter().zip(values).map(row).collect();
        // Equal rows stay in the order of symbols: by name.
        rows.sort_by_key(|row| {
            let (flat, cum) = (row.flat.unsigned_abs(), row.cum.unsigned_abs());
            Reverse(match sort {
                Sort::Flat => (flat, cum),
                Sort::Cum => (cum, flat),
            })
        });
        Self { rows, total }
    }

    /// Flat and cum of each of [`Stacks::symbols`].
    pub(crate) fn by_symbol(stacks: &Stacks, column: usize) -> Vec<(i128, i128)> {
        let mut values = vec![(0, 0); stacks.symbols.len()];
        let mut counted = vec![usize::MAX; values.len()];
        for (at, stack) in stacks.iter().enumerate() {
            let value = i128::from(stack.values.get(column).copied().unwrap_or(0));
            if let Some(leaf) = stack.frames.last() {
                values[*leaf as usize].0 += value;
            }
            for frame in stack.frames.iter().map(|frame| *frame as usize) {
                if counted[frame] != at {
                    counted[frame] = at;
                    values[frame].1 += value;
                }
            }
        }
        values
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    sample_type: JsonMeasure<'a>,
    total: i128,
    rows: Vec<JsonRow<'a>>,
    truncated: JsonTruncated,
}

#[derive(Serialize)]
struct JsonMeasure<'a> {
    r#type: &'a str,
    unit: &'a str,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    function: &'a str,
    file: &'a str,
    line: i64,
    package: &'a str,
    /// `no`, `some` or `all` of its frames were inlined into their callers.
    inlined: &'static str,
    flat: i128,
    cum: i128,
}

/// Rows left out, and the sum of their flat values.
#[derive(Serialize)]
struct JsonTruncated {
    rows: usize,
    flat: i128,
}

/// Writes the first `most` rows of one sample type as JSON.
///
/// # Errors
/// When `out` does not take it.
pub fn top_json(
    stacks: &Stacks,
    column: usize,
    sort: Sort,
    most: usize,
    out: &mut impl Write,
) -> Result<(), ViewError> {
    let top = Top::of(stacks, column, sort);
    let (shown, rest) = top.rows.split_at(most.min(top.rows.len()));
    let measure = stacks.measure(column);
    let document = Document {
        format: "flambeau-top",
        version: 1,
        sample_type: JsonMeasure { r#type: &measure.typ, unit: &measure.unit },
        total: top.total,
        rows: shown.iter().map(json_row).collect(),
        truncated: JsonTruncated { rows: rest.len(), flat: rest.iter().map(|row| row.flat).sum() },
    };
    Ok(serde_json::to_writer(out, &document)?)
}

fn json_row<'a>(row: &Row<'a>) -> JsonRow<'a> {
    let Symbol { name, file, line, package, inlined } = row.symbol;
    JsonRow {
        function: name,
        file,
        line: *line,
        package,
        inlined: inlined.word(),
        flat: row.flat,
        cum: row.cum,
    }
}

impl Inlined {
    /// `no`, `some` or `all`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Some => "some",
            Self::All => "all",
        }
    }
}
