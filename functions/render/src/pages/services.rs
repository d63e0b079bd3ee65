//! `/`: services and types; `/s/{service}`: the way to a service's first page.

use askama::Template;
use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use flambeau_layout::{ProfileType, ServiceEntry, ServiceName};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Head, said};
use crate::{
    access::Admitted,
    answer::{self, Caching},
    error::RenderError,
    format::Format,
};

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
    #[serde(skip)]
    href: String,
    #[serde(skip)]
    last_said: String,
    /// The last day of its main type, as a picture.
    #[serde(skip)]
    spark: String,
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
    head: Head,
    tenant: String,
    bucket: String,
    services: Vec<ServiceLine>,
}

/// Types that say most first; others follow in order of names.
const MAIN_TYPES: [&str; 4] = ["billed", "cpu", "wall", "heap"];

/// The type that a service's first page shows.
pub(super) fn main_type(entry: &ServiceEntry) -> Option<&ProfileType> {
    // `cpu` is what people look for; the others stand in where there is none.
    let named = |name: &str| entry.types.keys().find(|typ| typ.as_str() == name);
    named("cpu")
        .or_else(|| MAIN_TYPES.iter().find_map(|name| named(name)))
        .or(entry.types.keys().next())
}

/// Services and types.
pub(crate) async fn services(
    State(state): State<crate::State>,
    Query(query): Query<ServicesQuery>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let html = match query.format.as_deref() {
        Some("html") => true,
        Some("json") => false,
        None | Some("") => Format::accepted(&headers) == Some(Format::Html),
        Some(other) => {
            let known = "services are listed as html or json";
            return Err(RenderError::Parameter(format!("format `{other}` is not known; {known}")));
        }
    };
    let services = state.store.services(&state.tenant).await?;
    let mut services: Vec<ServiceLine> = services.iter().map(line).collect();
    if !html {
        return Ok(Json(services).into_response());
    }
    services.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.service.cmp(&b.service)));
    let page = ServicesPage {
        head: Head::of("Flambeau", Some(&admitted)),
        tenant: state.tenant.to_string(),
        bucket: state.store.bucket().to_owned(),
        services,
    };
    Ok(answer::html(page.render()?, StatusCode::OK, &headers))
}

fn line(entry: &ServiceEntry) -> ServiceLine {
    let service = entry.service.encoded();
    let link = |(typ, sample_types): (&ProfileType, &Vec<String>)| TypeLink {
        typ: typ.to_string(),
        sample_types: sample_types.clone(),
        href: format!("/s/{service}/{}", typ.encoded()),
    };
    let main = main_type(entry).map(ProfileType::encoded).unwrap_or_default();
    ServiceLine {
        service: entry.service.to_string(),
        first: entry.first.to_string(),
        last: entry.last.to_string(),
        types: entry.types.iter().map(link).collect(),
        href: format!("/s/{service}"),
        last_said: said(entry.last),
        spark: format!("/s/{service}/{main}?format=timeline.svg&from=now-24h"),
    }
}

/// A service's main type.
pub(crate) async fn service(
    State(state): State<crate::State>,
    Path(service): Path<String>,
) -> Result<Response, RenderError> {
    let service = ServiceName::new(service)?;
    let entry = state.store.service(&state.tenant, &service).await?;
    let main = entry.as_ref().and_then(main_type).map_or("cpu".to_owned(), ProfileType::encoded);
    answer::redirect(&format!("/s/{}/{main}", service.encoded()), Caching::Never)
}
