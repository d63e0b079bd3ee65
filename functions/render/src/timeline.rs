//! Totals over time, by rows alone: as data, and as a small picture.

use axum::response::Response;
use flambeau_layout::UnixMillis;
use flambeau_query::{Aggregate, Plan, QueryError, Range, plan};
use http::HeaderMap;
use serde::Serialize;

use crate::{
    answer::{self, Caching},
    error::RenderError,
    format::Format,
    pages::counted,
    profile::Asked,
    quantity::quantity,
    shown::column,
};

/// Most bars of a chart.
const MAX_BARS: i64 = 180;
/// Lengths of a bar, in milliseconds.
const STEPS: [i64; 18] = [
    1_000,
    5_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    7 * 86_400_000,
    32 * 86_400_000,
];

/// Totals over time as bars.
#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    /// Where the first bar begins.
    pub(crate) from: UnixMillis,
    /// Where the last one ends.
    pub(crate) until: UnixMillis,
    /// Length of a bar in milliseconds.
    pub(crate) step: i64,
    /// Bars in a row, those without snapshots too.
    pub(crate) columns: usize,
    /// Those that have something.
    pub(crate) bars: Vec<Bar>,
    /// The highest bar, in words.
    pub(crate) peak: String,
}

/// One bar.
#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    /// Which one.
    pub(crate) at: usize,
    /// Per cent of the highest.
    pub(crate) height: f64,
    /// Its value and snapshots, in words.
    pub(crate) said: String,
}

#[derive(Serialize)]
struct Document {
    format: &'static str,
    version: u32,
    step: i64,
    resolution: i64,
    sample_types: Vec<String>,
    moments: Vec<Moment>,
}

#[derive(Serialize)]
struct Moment {
    start: UnixMillis,
    snapshots: u64,
    totals: Vec<flambeau_layout::Total>,
}

/// `timeline.json` and `timeline.svg`.
pub(crate) async fn answer(
    state: &crate::State,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let plan = plan(&state.store, &asked.selection).await;
    let body = match (asked.format, plan) {
        // A list shows a day of nothing as nothing.
        (Format::Sparkline, Err(QueryError::Nothing { .. })) => EMPTY.to_vec(),
        (Format::Sparkline, plan) => {
            let plan = plan?;
            let span = chart_range(&plan);
            sparkline(&chart(&plan, span, plan_column(&plan, asked)?, asked.aggregate))
        }
        (_, plan) => document(&plan?)?,
    };
    Ok(answer::view(asked.format, body, &asked.file_name(), None, Caching::Shortly, headers))
}

/// The sample type asked for, by the names that rows know: they do not know a
/// profile's own default, which is the last in most.
pub(crate) fn plan_column(plan: &Plan, asked: &Asked) -> Result<usize, RenderError> {
    let types = plan.sample_types();
    let names: Vec<&str> = types.iter().map(|(typ, _)| typ.as_str()).collect();
    column(&names, "", asked.query.sample_type())
}

/// What of a plan's range a chart is of: where there is data, if all was asked for.
pub(crate) fn chart_range(plan: &Plan) -> Range {
    let span = plan.span();
    let all = Range::all();
    Range {
        from: if plan.asked.from == all.from { span.from } else { plan.range.from },
        until: if plan.asked.until == all.until { span.until } else { plan.range.until },
    }
}

fn document(plan: &Plan) -> Result<Vec<u8>, RenderError> {
    let range = chart_range(plan);
    let timeline = plan.timeline(step_of(range));
    let moment = |moment: &flambeau_query::Moment| {
        let flambeau_query::Moment { start, snapshots, totals } = moment.clone();
        Moment { start, snapshots, totals }
    };
    let document = Document {
        format: "flambeau-timeline",
        version: 1,
        step: timeline.step,
        resolution: timeline.resolution,
        sample_types: plan.totals().into_iter().map(|(name, _)| name).collect(),
        moments: timeline.moments.iter().map(moment).collect(),
    };
    Ok(serde_json::to_vec(&document).map_err(flambeau_flame::ViewError::Json)?)
}

fn step_of(range: Range) -> i64 {
    let millis = (range.until.0 - range.from.0).max(1);
    let fits = |step: &&i64| (millis - 1) / **step < MAX_BARS;
    STEPS.iter().find(fits).copied().unwrap_or(millis / MAX_BARS + 1)
}

/// Bars of one sample type over a range; a gauge's are means per snapshot.
pub(crate) fn chart(plan: &Plan, range: Range, column: usize, aggregate: Aggregate) -> Chart {
    let step = step_of(range);
    let from = range.from.0.div_euclid(step) * step;
    let columns = ((range.until.0 - from - 1).max(0) / step + 1) as usize;
    let mean = aggregate == Aggregate::Mean && plan.gauges().contains(&column);
    let unit = plan.sample_types().get(column).map_or("", |(_, unit)| unit.as_str()).to_owned();
    let mut values: Vec<(usize, f64, u64)> = Vec::new();
    for moment in plan.timeline(step).moments {
        let sum = moment.totals.get(column).map_or(0.0, |total| total.0 as f64);
        let value = if mean { sum / moment.snapshots.max(1) as f64 } else { sum };
        let at = ((moment.start.0 - from) / step).max(0) as usize;
        if at < columns {
            values.push((at, value, moment.snapshots));
        }
    }
    let highest = values.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let bar = |(at, value, snapshots): (usize, f64, u64)| Bar {
        at,
        height: if highest > 0.0 {
            (value.max(0.0) / highest * 1000.0).round() / 10.0
        } else {
            0.0
        },
        said: format!(
            "{}: {}, {}",
            UnixMillis(from + at as i64 * step),
            quantity(value, &unit),
            counted(snapshots, "snapshot")
        ),
    };
    let (from, until) = (UnixMillis(from), UnixMillis(from + columns as i64 * step));
    let bars = values.into_iter().map(bar).collect();
    Chart { from, until, step, columns, bars, peak: quantity(highest, &unit) }
}

/// A picture of nothing.
const EMPTY: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\"></svg>\n";

/// A picture without words, for lists.
fn sparkline(chart: &Chart) -> Vec<u8> {
    use std::fmt::Write;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} 100\" \
         preserveAspectRatio=\"none\" fill=\"#d9622b\">",
        chart.columns
    );
    for Bar { at, height, .. } in &chart.bars {
        let height = height.max(2.0);
        let _ = write!(
            svg,
            "<rect x=\"{at}\" y=\"{:.1}\" width=\"0.9\" height=\"{height:.1}\"/>",
            100.0 - height
        );
    }
    svg.push_str("</svg>\n");
    svg.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_bounded() {
        for millis in [0, 1, 60_000, 86_400_000, 400 * 86_400_000, i64::MAX / 1_000_000] {
            let range = Range { from: UnixMillis(7), until: UnixMillis(7 + millis) };
            let step = step_of(range);
            assert!((millis - 1).max(0) / step <= MAX_BARS, "{millis}: {step}");
        }
    }
}
