//! Answers with the headers that clients need.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    error::RenderError,
    format::Format,
    policy,
    view::{compressed, takes},
};

/// Says what was answered where it differs from what was asked: the range
/// rounded to whole windows, snapshots left out.
const NOTE: header::HeaderName = header::HeaderName::from_static("x-flambeau-answered");
/// How long a link into the bucket can be followed. Who asked follows it at once.
const LINK_LIFE: Duration = Duration::from_secs(15 * 60);

/// For how long a client may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// It never changes.
    Forever,
    /// The next minute may bring more.
    Shortly,
    /// Not at all.
    Never,
}

impl Caching {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Forever => "private, max-age=86400, immutable",
            Self::Shortly => "private, max-age=10",
            Self::Never => "no-store",
        })
    }
}

/// A profile in some format: what it covers in `note`, its file called `name`.
pub(crate) fn profile(
    format: Format,
    body: impl Into<Body>,
    name: &str,
    note: Option<String>,
    caching: Caching,
) -> Response {
    let mut response = with(body.into(), format.content_type(), note);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, caching.header());
    headers
        .insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, authorization"));
    // Browsers open what they can show, and save the rest under its name.
    let place = if format.is_text() { "inline" } else { "attachment" };
    let place = format!("{place}; filename=\"{}\"", file(name, format));
    if let Ok(place) = HeaderValue::try_from(place) {
        headers.insert(header::CONTENT_DISPOSITION, place);
    }
    response
}

/// As [`profile`], compressed where the client takes it and it helps. A pprof
/// is compressed already.
pub(crate) fn view(
    format: Format,
    body: Vec<u8>,
    name: &str,
    note: Option<String>,
    caching: Caching,
    asked: &HeaderMap,
) -> Response {
    if !format.is_text() {
        return profile(format, body, name, note, caching);
    }
    let picture =
        (format.content_type() == Format::Svg.content_type()).then(|| policy::of_picture(&body));
    let (body, gzipped) = compressed(body, accept_encoding(asked));
    let mut response = profile(format, body, name, note, caching);
    if gzipped {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    if let Some(policy) = picture {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn accept_encoding(asked: &HeaderMap) -> &str {
    asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A page.
pub(crate) fn html(page: String, status: StatusCode, asked: &HeaderMap) -> Response {
    let (body, gzipped) = compressed(page.into_bytes(), accept_encoding(asked));
    let mut response = with(body.into(), Format::Html.content_type(), None);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers
        .insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, authorization"));
    if gzipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A file that never changes under its name: its text, and the same compressed.
pub(crate) fn asset(
    content_type: &'static str,
    (plain, gzip, brotli): (&'static [u8], &'static [u8], &'static [u8]),
    asked: &HeaderMap,
) -> Response {
    let accepted = accept_encoding(asked);
    let (body, encoding) = match () {
        () if takes(accepted, "br") => (brotli, Some("br")),
        () if takes(accepted, "gzip") => (gzip, Some("gzip")),
        () => (plain, None),
    };
    let mut response = with(Body::from(body), content_type, None);
    let headers = response.headers_mut();
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// A profile that lies in the bucket: a link that whoever asked can follow.
pub(crate) async fn elsewhere(
    state: &crate::State,
    key: &str,
    name: &str,
) -> Result<Response, RenderError> {
    let link = state.store.presigned(key, &file(name, Format::Pprof), LINK_LIFE).await?;
    redirect(&link, Caching::Never)
}

/// Sends a client elsewhere.
pub(crate) fn redirect(to: &str, caching: Caching) -> Result<Response, RenderError> {
    let location = HeaderValue::try_from(to);
    let location =
        location.map_err(|_| RenderError::Parameter("the address cannot be sent".to_owned()))?;
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, caching.header())];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// A file's name without what a shell, a header or a folder could take amiss.
fn file(name: &str, format: Format) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = name.chars().take(128).map(plain).collect();
    format!("{name}.{}", format.file_suffix())
}

fn with(body: Body, content_type: &'static str, note: Option<String>) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(note) = note.and_then(|note| HeaderValue::try_from(note).ok()) {
        headers.insert(NOTE, note);
    }
    response
}
