//! `/s/{service}/{type}`: one profile, many representations.

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use flambeau_flame::{Graph, svg};
use flambeau_layout::{BlockId, ProfileType, ServiceName};
use flambeau_profile::{DEFAULT_LEVEL, Limits, Merged};
use flambeau_query::{Aggregate, Plan, QueryError, Selection, cached_or_fetch, plan, read};
use http::HeaderMap;

use crate::{
    answer,
    error::RenderError,
    pages,
    request::{Format, ProfileQuery},
};

/// The merged profile of a range.
pub(crate) async fn merged(
    State(state): State<crate::State>,
    Path((service, typ)): Path<(String, String)>,
    Query(query): Query<ProfileQuery>,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let format = Format::of(query.format.as_deref(), &headers, Format::Pprof)?;
    let selection = Selection {
        tenant: state.tenant.clone(),
        service: ServiceName::new(service)?,
        typ: ProfileType::new(typ)?,
        range: query.range()?,
    };
    let aggregate = query.aggregate()?;
    let plan = plan(&state.store, &selection).await?;
    let note = Some(answered(&plan, aggregate));
    if format == Format::Html {
        return pages::profile(&selection, &plan, &query);
    }
    match format {
        Format::Svg => {
            let now = jiff::Timestamp::now().into();
            let (plan, profile) = read(&state.store, &selection, now, &Limits::default()).await?;
            let profile = plan.show(profile, aggregate).map_err(QueryError::Merge)?;
            let graph = graph(&selection, &plan, column(&profile, query.st.as_deref())?);
            Ok(answer::svg(svg(&profile, &graph)?, note))
        }
        Format::Json => {
            let known = "a profile is pprof, svg or html";
            Err(RenderError::Parameter(format!("format `json` is not for profiles; {known}")))
        }
        _ => Ok(answer::pprof(merge(&state, &selection, &plan, aggregate).await?, note)),
    }
}

/// The merged pprof: a kept answer where there is one. A block that has gone
/// since it was planned is planned for again.
async fn merge(
    state: &crate::State,
    selection: &Selection,
    plan: &Plan,
    aggregate: Aggregate,
) -> Result<Bytes, RenderError> {
    let limits = Limits::default();
    match cached_or_fetch(&state.store, plan, aggregate, &limits).await {
        Err(QueryError::Store(error)) if error.may_be_missing() => {
            let now = jiff::Timestamp::now().into();
            let (plan, profile) = read(&state.store, selection, now, &limits).await?;
            let profile = plan.show(profile, aggregate).map_err(QueryError::Merge)?;
            Ok(profile.encode_gzip(DEFAULT_LEVEL).into())
        }
        answered => Ok(answered?.bytes),
    }
}

/// The merged object of one block.
pub(crate) async fn block(
    State(state): State<crate::State>,
    Path((service, typ, id)): Path<(String, String, String)>,
) -> Result<Response, RenderError> {
    let id: BlockId = id.parse()?;
    let selection = Selection {
        tenant: state.tenant.clone(),
        service: ServiceName::new(service)?,
        typ: ProfileType::new(typ)?,
        range: flambeau_query::Range::all(),
    };
    let part = flambeau_query::block(&state.store, &selection, &id).await?;
    Ok(answer::pprof(state.store.get_range(&part.at).await?, None))
}

/// The sample type asked for: by name, by position, or as pprof chooses it (the
/// profile's default, else the last).
fn column(profile: &Merged, asked: Option<&str>) -> Result<usize, RenderError> {
    let types = profile.sample_types();
    let named = |name: &str| types.iter().position(|measure| measure.typ == name);
    let Some(asked) = asked else {
        let default = named(&profile.header().default_sample_type);
        return Ok(default.unwrap_or(types.len().saturating_sub(1)));
    };
    let position = || asked.parse().ok().filter(|column| *column < types.len());
    named(asked).or_else(position).ok_or_else(|| {
        let known: Vec<&str> = types.iter().map(|measure| measure.typ.as_str()).collect();
        RenderError::Parameter(format!(
            "sample type `{asked}` is not here; there are {}",
            known.join(", ")
        ))
    })
}

fn graph(selection: &Selection, plan: &Plan, column: usize) -> Graph {
    Graph {
        column,
        title: flambeau_flame::safe_name(&format!("{} · {}", selection.service, selection.typ)),
        subtitle: Some(span(plan)),
        icicle: false,
    }
}

/// What the answer covers, in words.
pub(crate) fn span(plan: &Plan) -> String {
    let first = plan.blocks.first().map_or(plan.range.from, |row| row.window.start);
    let last = plan.blocks.iter().map(|row| row.window.end()).max().unwrap_or(plan.range.until);
    format!("{} snapshots, {first} to {last}", plan.snapshots())
}

fn answered(plan: &Plan, aggregate: Aggregate) -> String {
    let left_out = match plan.left_out {
        0 => String::new(),
        n => format!("; {n} snapshots of another shape left out"),
    };
    let undifferenced = match plan.undifferenced() {
        0 => String::new(),
        n => format!("; cumulative columns of {n} snapshots left out"),
    };
    let mean = if plan.divides(aggregate) { "; gauges are means per snapshot" } else { "" };
    let everything = plan.asked == flambeau_query::Range::all();
    let rounded = match everything || plan.asked == plan.range {
        true => String::new(),
        false => format!("; rounded to {}..{}", plan.range.from, plan.range.until),
    };
    format!("{} blocks; {}{rounded}{left_out}{undifferenced}{mean}", plan.blocks.len(), span(plan))
}
