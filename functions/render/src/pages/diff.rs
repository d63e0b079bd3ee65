//! `/diff/{service}/{type}` for people.

use askama::Template;
use axum::response::Response;
use flambeau_flame::diff::Basis;
use flambeau_query::{Plan, QueryError, Range, plan};
use http::{HeaderMap, StatusCode};

use super::{ChartView, Head, Tab, counted, said, selection::here};
use crate::{
    access::Admitted,
    answer,
    diff::{AskedDiff, AskedSide},
    error::RenderError,
    format::Format,
    params::Params,
    quantity::quantity,
    shown::column,
    timeline::{chart, chart_range},
};

#[derive(Template)]
#[template(path = "diff.html")]
struct DiffPage {
    head: Head,
    service: String,
    typ: String,
    back: String,
    sides: [SideView; 2],
    bases: Vec<Tab>,
    measures: Vec<Tab>,
    swapped: String,
    kept: Vec<(String, String)>,
    data: String,
    picture: String,
    pictures: Vec<Tab>,
    pprof: String,
    basis: &'static str,
    unit: String,
}

/// One side of the page.
struct SideView {
    /// `a` or `b`: what its parameters begin with.
    prefix: &'static str,
    name: &'static str,
    from: String,
    until: String,
    selector: String,
    /// The profile of this side alone.
    href: String,
    /// What is there, or why nothing is.
    summary: String,
    chart: Option<ChartView>,
}

/// Functions that the script gets for its table.
const LISTED_FUNCTIONS: &str = "500";

/// The page of a difference. A side without data is said on it: it takes nothing
/// from the other.
pub(crate) async fn page(
    state: &crate::State,
    asked: &AskedDiff,
    admitted: &Admitted,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let found = async |side: &AskedSide| match plan(&state.store, &side.selection).await {
        Ok(plan) => Ok(Ok(plan)),
        Err(error @ QueryError::Nothing { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(RenderError::from(error)),
    };
    let (base, subject) = tokio::try_join!(found(&asked.base), found(&asked.subject))?;
    let params = asked.params.without(&["format"]);
    let data = async |params: &Params, format: Format| {
        let query = params.with("format", format.name()).without(&["exp", "sig"]).to_string();
        let path = asked.path();
        let query = state.access.extend(&state.tenant, admitted, &path, &query).await;
        format!("{path}?{query}")
    };
    let mut pictures = Vec::new();
    for (name, word) in [
        ("union", "union"),
        ("differential (what changed, in b)", "differential"),
        ("elided (what is gone)", "elided"),
    ] {
        pictures.push(Tab::to(name, data(&params.with("drawn", word), Format::Svg).await));
    }
    let types = subject.as_ref().or(base.as_ref()).map(Plan::sample_types).unwrap_or_default();
    let names: Vec<&str> = types.iter().map(|(typ, _)| typ.as_str()).collect();
    let shown = column(&names, "", asked.subject.query.sample_type())?;
    let (service, typ) = (&asked.subject.selection.service, &asked.subject.selection.typ);
    let page = DiffPage {
        head: Head::of(format!("{service} · {typ} · difference"), Some(admitted)),
        back: format!("/s/{}/{}", service.encoded(), typ.encoded()),
        sides: [
            side("a", "Base", &asked.base, &asked.params, base.as_ref(), shown)?,
            side("b", "Subject", &asked.subject, &asked.params, subject.as_ref(), shown)?,
        ],
        bases: bases(asked, &params),
        measures: measures(&types, shown, &params),
        swapped: here(&swapped(&params)),
        kept: super::selection::kept(
            &params,
            &["a.from", "a.until", "a.q", "b.from", "b.until", "b.q", "from", "until", "q"],
        ),
        data: data(&params.with("top", LISTED_FUNCTIONS), Format::Diff).await,
        picture: data(&params, Format::Svg).await,
        pictures,
        pprof: data(&params, Format::Pprof).await,
        basis: asked.basis.name(),
        unit: match asked.params.get("unit") {
            Some("dollars") => flambeau_query::cost::COST.1.to_owned(),
            _ => types.get(shown).map_or(String::new(), |(_, unit)| unit.clone()),
        },
        service: service.to_string(),
        typ: typ.to_string(),
    };
    Ok(answer::html(page.render()?, StatusCode::OK, headers))
}

fn side(
    prefix: &'static str,
    name: &'static str,
    asked: &AskedSide,
    all: &Params,
    plan: Result<&Plan, &String>,
    column: usize,
) -> Result<SideView, RenderError> {
    let of = |name: &str| {
        let own = all.get(&format!("{prefix}.{name}")).or(all.get(name));
        own.unwrap_or_default().to_owned()
    };
    let (service, typ) = (asked.selection.service.encoded(), asked.selection.typ.encoded());
    let alone = asked.params.question().without(&["basis"]);
    let chart = plan.ok().map(|plan| {
        let chart = chart(plan, chart_range(plan), column, asked.aggregate);
        ChartView::of(chart, None, format!("{name} over time"))
    });
    let summary = match plan {
        Ok(plan) => summary(plan, column, asked),
        Err(said) => said.clone(),
    };
    let (from, until, selector) = (of("from"), of("until"), of("q"));
    let href = format!("/s/{service}/{typ}{}", alone.href());
    Ok(SideView { prefix, name, from, until, selector, href, summary, chart })
}

fn summary(plan: &Plan, column: usize, asked: &AskedSide) -> String {
    let totals = plan.shown_totals(asked.aggregate);
    let unit = plan.sample_types().get(column).map_or(String::new(), |(_, unit)| unit.clone());
    let total = totals.get(column).map_or(0.0, |(_, total)| total.0 as f64);
    let Range { from, until } = plan.span();
    let chosen = asked.wish.narrowing.selector();
    let mut text = format!(
        "{} in {}{}, {} to {}",
        quantity(total, &unit),
        counted(plan.snapshots(), "snapshot"),
        if chosen.is_some() { " before labels are chosen" } else { "" },
        said(from),
        said(until)
    );
    let activity = plan.activity(chosen);
    if let Some(activity) = activity.filter(|activity| activity.invocations > 0) {
        let invocations = counted(activity.invocations, "invocation");
        text.push_str(&format!(", {invocations}{}", if chosen.is_some() { " chosen" } else { "" }));
    }
    text
}

fn bases(asked: &AskedDiff, params: &Params) -> Vec<Tab> {
    let said = |basis: Basis| match basis {
        Basis::Share => "share of total",
        Basis::Absolute => "absolute",
        Basis::Invocation => "per invocation",
        Basis::Second => "per second running",
    };
    let tab = |(word, basis): (&str, Basis)| Tab {
        name: said(basis).to_owned(),
        href: here(&params.with("basis", word)),
        current: basis == asked.basis,
    };
    Basis::ALL.map(tab).into()
}

fn measures(types: &[(String, String)], shown: usize, params: &Params) -> Vec<Tab> {
    let dollars = params.get("unit") == Some("dollars");
    let plain = params.without(&["st", "si", "unit"]);
    let tab = |(at, (typ, _)): (usize, &(String, String))| Tab {
        name: typ.clone(),
        href: here(&plain.with("st", typ)),
        current: at == shown && !dollars,
    };
    let mut tabs: Vec<Tab> = types.iter().enumerate().map(tab).collect();
    let is_time = |(_, unit): &&(String, String)| flambeau_profile::nanos_in(unit).is_some();
    if let Some((typ, _)) = types.iter().rev().find(is_time) {
        let href = here(&plain.with("st", typ).with("unit", "dollars"));
        tabs.push(Tab { name: "dollars".to_owned(), href, current: dollars });
    }
    tabs
}

/// The same question with the sides changed.
fn swapped(params: &Params) -> Params {
    let other = |name: &str| match name.split_once('.') {
        Some(("a", rest)) => format!("b.{rest}"),
        Some(("b", rest)) => format!("a.{rest}"),
        _ => name.to_owned(),
    };
    let pairs: Vec<(String, String)> =
        params.pairs().map(|(name, value)| (other(name), value.to_owned())).collect();
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
