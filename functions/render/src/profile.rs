//! `/s/{service}/{type}`: one profile, many representations.

use axum::{
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::Response,
};
use flambeau_layout::{BlockId, ProfileType, ServiceName};
use flambeau_profile::{DEFAULT_LEVEL, Limits, Merged};
use flambeau_query::{
    Aggregate, Narrowing, Plan, QueryError, Range, Selection, cached_or_fetch, plan, read,
};
use http::HeaderMap;

use crate::{
    answer,
    error::RenderError,
    format::Format,
    pages,
    request::ProfileQuery,
    view::{Titles, view},
};

/// Everything that is asked of a profile.
struct Asked {
    selection: Selection,
    format: Format,
    query: ProfileQuery,
    narrowing: Narrowing,
    aggregate: Aggregate,
}

impl Asked {
    fn read(
        state: &crate::State,
        (service, typ): (String, String),
        query: Result<Query<ProfileQuery>, QueryRejection>,
        headers: &HeaderMap,
    ) -> Result<Self, RenderError> {
        let Query(query) = query?;
        let (typ, format) = Format::negotiate(&typ, query.format.as_deref(), headers)?;
        let service = ServiceName::new(service)?;
        let selection =
            Selection { tenant: state.tenant.clone(), service, typ, range: query.range()? };
        query.check_norm()?;
        let (narrowing, aggregate) = (query.narrowing()?, query.aggregate()?);
        Ok(Self { selection, format, query, narrowing, aggregate })
    }

    fn file_name(&self) -> String {
        format!("{}-{}", self.selection.service, self.selection.typ)
    }
}

/// The merged profile of a range.
pub(crate) async fn merged(
    State(state): State<crate::State>,
    Path(path): Path<(String, String)>,
    query: Result<Query<ProfileQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let asked = Asked::read(&state, path, query, &headers)?;
    let plan = plan(&state.store, &asked.selection).await?;
    if asked.format == Format::Html {
        return pages::profile(&asked.selection, &plan, &asked.query);
    }
    if asked.format == Format::Pprof && asked.narrowing.is_none() {
        let note = answered(&plan, asked.aggregate, &[]);
        let bytes = merge(&state, &asked.selection, &plan, asked.aggregate).await?;
        return Ok(answer::profile(asked.format, bytes, &asked.file_name(), Some(note)));
    }
    let (plan, profile, unmatched) = narrowed(&state, &asked).await?;
    let note = answered(&plan, asked.aggregate, &unmatched);
    let titles = titles(&asked.selection, &plan);
    let body = view(&profile, asked.format, &asked.query, &titles)?;
    Ok(answer::view(asked.format, body, &asked.file_name(), Some(note), &headers))
}

/// The part of the profile that is asked for, and the options that matched
/// nothing.
async fn narrowed(
    state: &crate::State,
    asked: &Asked,
) -> Result<(Plan, Merged, Vec<&'static str>), RenderError> {
    let now = jiff::Timestamp::now().into();
    let (plan, profile) = read(&state.store, &asked.selection, now, &Limits::default()).await?;
    let profile = plan.show(profile, asked.aggregate).map_err(QueryError::Merge)?;
    let (profile, unmatched) = asked.narrowing.apply(profile);
    Ok((plan, profile, unmatched))
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
        range: Range::all(),
    };
    let part = flambeau_query::block(&state.store, &selection, &id).await?;
    let bytes = state.store.get_range(&part.at).await?;
    Ok(answer::profile(Format::Pprof, bytes, &format!("{}-{id}", selection.service), None))
}

fn titles(selection: &Selection, plan: &Plan) -> Titles {
    let title = format!("{} · {}", selection.service, selection.typ);
    Titles { title, subtitle: span(plan) }
}

/// What the answer covers, in words.
pub(crate) fn span(plan: &Plan) -> String {
    let first = plan.blocks.first().map_or(plan.range.from, |row| row.window.start);
    let last = plan.blocks.iter().map(|row| row.window.end()).max().unwrap_or(plan.range.until);
    format!("{} snapshots, {first} to {last}", plan.snapshots())
}

fn answered(plan: &Plan, aggregate: Aggregate, unmatched: &[&str]) -> String {
    let left_out = match plan.left_out {
        0 => String::new(),
        n => format!("; {n} snapshots of another shape left out"),
    };
    let undifferenced = match plan.undifferenced() {
        0 => String::new(),
        n => format!("; cumulative columns of {n} snapshots left out"),
    };
    let mean = if plan.divides(aggregate) { "; gauges are means per snapshot" } else { "" };
    let everything = plan.asked == Range::all();
    let rounded = match everything || plan.asked == plan.range {
        true => String::new(),
        false => format!("; rounded to {}..{}", plan.range.from, plan.range.until),
    };
    let unmatched: String =
        unmatched.iter().map(|option| format!("; {option} matched nothing")).collect();
    let blocks = plan.blocks.len();
    let span = span(plan);
    format!("{blocks} blocks; {span}{rounded}{left_out}{undifferenced}{mean}{unmatched}")
}
