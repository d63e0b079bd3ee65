//! `/s/{service}/{type}/traces`: timed profiles that were kept whole, and each of
//! them in the formats of any other.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use flambeau_flame::heatmap::by_second;
use flambeau_layout::{BlockId, Level, UnixMillis};
use flambeau_profile::{Limits, Merged, limits::MAX_SAMPLES};
use flambeau_query::{QueryError, Range, Selection, TracePlace, traces};
use http::{HeaderMap, Uri};
use serde::Serialize;

use crate::{
    access::Admitted,
    answer::{self, Caching},
    error::RenderError,
    format::Format,
    pages,
    profile::{Asked, sent},
    shown::Shown,
    view::{Titles, view},
};

/// A trace as the list tells of it.
#[derive(Debug, Serialize)]
pub(crate) struct TraceLine {
    pub(crate) id: String,
    pub(crate) end: UnixMillis,
    pub(crate) seconds: f64,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
}

impl TraceLine {
    pub(crate) fn of(place: &TracePlace) -> Self {
        Self {
            id: place.id.clone(),
            end: place.end,
            seconds: place.trace.nanos as f64 / 1e9,
            samples: place.trace.samples,
            bytes: place.trace.at.len,
        }
    }
}

/// The list, the newest first.
pub(crate) async fn list(
    State(state): State<crate::State>,
    Path(path): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let asked = Asked::read(&state, path, &uri, &headers)?;
    let now = jiff::Timestamp::now().into();
    let found = traces(&state.store, &kept_range(&asked.selection, now), now).await?;
    let lines: Vec<TraceLine> = found.iter().map(TraceLine::of).collect();
    match asked.format {
        Format::Html => pages::traces::page(&asked, lines, &headers),
        _ => Ok(Json(lines).into_response()),
    }
}

/// Traces live as long as rows straight from a merge: what is asked for is cut to
/// that.
fn kept_range(selection: &Selection, now: UnixMillis) -> Selection {
    let days = flambeau_layout::lifetime::done_days(Level::Minute).unwrap_or(0);
    let first = now.plus_millis(-days * flambeau_layout::lifetime::DAY_MILLIS);
    let Range { from, until } = selection.range;
    let range = Range { from: from.max(first), until: until.min(now.plus_millis(60_000)) };
    Selection { range, ..selection.clone() }
}

/// One of them.
pub(crate) async fn trace(
    State(state): State<crate::State>,
    Path((service, typ, id)): Path<(String, String, String)>,
    Extension(admitted): Extension<Admitted>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    // A format may stand behind the trace's name as behind a type's.
    let (id, format) = Format::split_suffix(&id);
    let typ = format.map_or(typ.clone(), |format| format!("{typ}.{}", format.name()));
    let asked = Asked::read(&state, (service, typ), &uri, &headers)?;
    let place = find(&state, &asked.selection, id).await?;
    if asked.format == Format::Html {
        return pages::traces::trace_page(
            &state,
            &asked,
            &TraceLine::of(&place),
            &admitted,
            &headers,
        )
        .await;
    }
    let bytes = state.store.get_range(&place.trace.at).await?;
    let file_name = format!("{}-{}", asked.file_name(), id);
    if asked.format == Format::Pprof && asked.wish.is_none() {
        return sent(&state, bytes, &file_name, None, Caching::Forever).await;
    }
    let shown = Arc::new(asked.wish.apply(whole(&bytes)?)?);
    let format = asked.format;
    let titles = Titles {
        title: format!("{} · {}", asked.selection.service, asked.selection.typ),
        subtitle: format!("trace of {}, {} samples", place.end, place.trace.samples),
    };
    if format == Format::HeatMap {
        let map = heat_map(&shown, &asked)?;
        return Ok(answer::view(format, map, &file_name, None, Caching::Forever, &headers));
    }
    let work = move || view(&shown, &asked, &titles, None);
    let body = tokio::task::spawn_blocking(work).await??;
    if format == Format::Pprof {
        return sent(&state, body.into(), &file_name, None, Caching::Forever).await;
    }
    Ok(answer::view(format, body, &file_name, None, Caching::Forever, &headers))
}

fn heat_map(shown: &Shown, asked: &Asked) -> Result<Vec<u8>, RenderError> {
    let column = asked.wish.shown_column(shown)?;
    let map = by_second(&shown.profile, column, asked.query.second_rows()?)?;
    let mut out = Vec::new();
    map.write(&mut out)?;
    Ok(out)
}

/// Every moment of a trace is a number of its own.
fn whole(bytes: &[u8]) -> Result<Merged, QueryError> {
    let mut limits = Limits::default();
    limits.label_numbers = MAX_SAMPLES;
    Merged::from_bytes(bytes, &limits).map_err(QueryError::Merge)
}

/// Finds a trace by its id: `{block}.{number}`.
async fn find(
    state: &crate::State,
    selection: &Selection,
    id: &str,
) -> Result<TracePlace, RenderError> {
    let none = || RenderError::NoTrace(id.to_owned());
    let block = id.rsplit_once('.').and_then(|(block, _)| block.parse::<BlockId>().ok());
    block.ok_or_else(none)?;
    let now = jiff::Timestamp::now().into();
    let everything = Selection { range: Range::all(), ..selection.clone() };
    let found = traces(&state.store, &kept_range(&everything, now), now).await?;
    found.into_iter().find(|place| place.id == id).ok_or_else(none)
}
