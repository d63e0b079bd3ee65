//! Timed profiles for people: their list, and one of them.

use askama::Template;
use axum::response::Response;
use flambeau_layout::name::encode_part;
use http::{HeaderMap, StatusCode};

use super::{Head, Tab, said};
use crate::{
    access::Admitted, answer, error::RenderError, format::Format, profile::Asked,
    quantity::quantity, traces::TraceLine,
};

#[derive(Template)]
#[template(path = "traces.html")]
struct TracesPage {
    head: Head,
    service: String,
    typ: String,
    back: String,
    days: i64,
    traces: Vec<TraceView>,
}

struct TraceView {
    href: String,
    end: String,
    length: String,
    samples: u64,
    size: String,
}

/// The list.
pub(crate) fn page(
    asked: &Asked,
    lines: Vec<TraceLine>,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let (service, typ) = (asked.selection.service.to_string(), asked.selection.typ.to_string());
    let view = |line: TraceLine| TraceView {
        href: format!("traces/{}", line.id),
        end: said(line.end),
        length: quantity(line.seconds, "seconds"),
        samples: line.samples,
        size: quantity(line.bytes as f64, "bytes"),
    };
    let days = flambeau_layout::lifetime::done_days(flambeau_layout::Level::Minute).unwrap_or(0);
    let page = TracesPage {
        head: Head::of(format!("{service} · {typ} · traces"), None),
        back: format!("../{}", encode_part(&typ)),
        service,
        typ,
        days,
        traces: lines.into_iter().map(view).collect(),
    };
    Ok(answer::html(page.render()?, StatusCode::OK, headers))
}

#[derive(Template)]
#[template(path = "trace.html")]
struct TracePage {
    head: Head,
    service: String,
    typ: String,
    end: String,
    length: String,
    samples: u64,
    heat: String,
    data: String,
    picture: String,
    rows: Vec<Tab>,
    formats: Vec<Tab>,
    part: bool,
    whole: String,
}

/// Rows of a second that a page offers, as FlameScope does.
const ROWS: [usize; 6] = [10, 25, 49, 50, 99, 100];

/// One of them: its heat map, and the flame graph of what is chosen in it.
pub(crate) async fn trace_page(
    state: &crate::State,
    asked: &Asked,
    line: &TraceLine,
    admitted: &Admitted,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let params = asked.params.without(&["format", "view", "exp", "sig"]);
    let data = async |params: &crate::params::Params, format: Format| {
        let query = params.with("format", format.name()).to_string();
        let path = format!("{}/traces/{}", asked.path(), line.id);
        let query = state.access.extend(&state.tenant, admitted, &path, &query).await;
        format!("{path}?{query}")
    };
    let whole = params.without(&["t0", "t1"]);
    let rows = asked.query.second_rows()?;
    let tab = |count: usize| Tab {
        name: count.to_string(),
        href: super::selection::here(&params.with("rows", &count.to_string())),
        current: count == rows,
    };
    let mut formats = Vec::new();
    for format in [Format::Pprof, Format::Svg, Format::Folded, Format::Speedscope, Format::Firefox]
    {
        formats.push(Tab::to(format.name(), data(&params, format).await));
    }
    let (service, typ) = (asked.selection.service.to_string(), asked.selection.typ.to_string());
    let page = TracePage {
        head: Head::of(format!("{service} · {typ} · trace"), Some(admitted)),
        end: said(line.end),
        length: quantity(line.seconds, "seconds"),
        samples: line.samples,
        heat: data(&whole.with("rows", &rows.to_string()), Format::HeatMap).await,
        data: data(&params.with("top", "500"), Format::FlameJson).await,
        picture: data(&params, Format::Svg).await,
        rows: ROWS.map(tab).into(),
        formats,
        part: asked.wish.moments.is_some(),
        whole: super::selection::here(&whole),
        service,
        typ,
    };
    Ok(answer::html(page.render()?, StatusCode::OK, headers))
}
