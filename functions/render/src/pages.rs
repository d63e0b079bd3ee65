//! Pages for people.

use askama::Template;
use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use flambeau_layout::{ServiceEntry, name::encode_part};
use flambeau_query::{Plan, Selection};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::{answer, error::RenderError, format::Format, profile::span, request::ProfileQuery};

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ServicesQuery {
    format: Option<String>,
}

/// A service as `/` tells of it.
#[derive(Debug, Serialize)]
struct ServiceLine {
    service: String,
    first: String,
    last: String,
    types: Vec<TypeLink>,
}

#[derive(Debug, Serialize)]
struct TypeLink {
    #[serde(rename = "type")]
    typ: String,
    sample_types: Vec<String>,
    href: String,
}

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    tenant: String,
    services: Vec<ServiceLine>,
}

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    service: String,
    typ: String,
    span: String,
    totals: Vec<(String, String)>,
    left_out: Option<u64>,
    undifferenced: Option<u64>,
    means: bool,
    svg: String,
    formats: Vec<FormatLink>,
    blocks: Vec<BlockLink>,
}

struct FormatLink {
    name: &'static str,
    href: String,
}

struct BlockLink {
    window: String,
    snapshots: u64,
    href: String,
}

/// `/`: services and types.
pub(crate) async fn services(
    State(state): State<crate::State>,
    Query(query): Query<ServicesQuery>,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let services = state.store.services(&state.tenant).await?;
    let services: Vec<ServiceLine> = services.iter().map(line).collect();
    let html = match query.format.as_deref() {
        Some("html") => true,
        Some("json") => false,
        None => Format::accepted(&headers) == Some(Format::Html),
        Some(other) => {
            let known = "services are listed as html or json";
            return Err(RenderError::Parameter(format!("format `{other}` is not known; {known}")));
        }
    };
    if !html {
        return Ok(Json(services).into_response());
    }
    let tenant = state.tenant.to_string();
    Ok(answer::html(ServicesPage { tenant, services }.render()?))
}

fn line(entry: &ServiceEntry) -> ServiceLine {
    let link = |(typ, sample_types): (&flambeau_layout::ProfileType, &Vec<String>)| TypeLink {
        typ: typ.to_string(),
        sample_types: sample_types.clone(),
        href: format!("/s/{}/{}", entry.service.encoded(), typ.encoded()),
    };
    ServiceLine {
        service: entry.service.to_string(),
        first: entry.first.to_string(),
        last: entry.last.to_string(),
        types: entry.types.iter().map(link).collect(),
    }
}

/// `/s/{service}/{type}` for a browser.
pub(crate) fn profile(
    selection: &Selection,
    plan: &Plan,
    query: &ProfileQuery,
) -> Result<Response, RenderError> {
    let typ = encode_part(selection.typ.as_str());
    let blocks = plan.blocks.iter().rev().take(MAX_LISTED_BLOCKS).map(|row| BlockLink {
        window: row.window.start.to_string(),
        snapshots: row.snapshots,
        href: format!("{typ}/blocks/{}", row.block),
    });
    let totals = plan
        .shown_totals(query.aggregate()?)
        .into_iter()
        .map(|(name, total)| (name, total.to_string()));
    let page = ProfilePage {
        service: selection.service.to_string(),
        typ: selection.typ.to_string(),
        span: span(plan),
        totals: totals.collect(),
        left_out: (plan.left_out > 0).then_some(plan.left_out),
        undifferenced: Some(plan.undifferenced()).filter(|count| *count > 0),
        means: plan.divides(query.aggregate()?),
        svg: query.link("svg"),
        formats: Format::names()
            .filter(|name| *name != "html")
            .map(|name| FormatLink { name, href: query.link(name) })
            .collect(),
        blocks: blocks.collect(),
    };
    Ok(answer::html(page.render()?))
}

/// Blocks that a page lists; the newest.
const MAX_LISTED_BLOCKS: usize = 50;
