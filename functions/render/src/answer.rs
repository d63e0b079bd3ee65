//! Answers with the headers that clients need.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};

use crate::{format::Format, view::compressed};

/// Says what was answered where it differs from what was asked: the range
/// rounded to whole windows, snapshots left out.
const NOTE: header::HeaderName = header::HeaderName::from_static("x-flambeau-answered");

/// A profile in some format: what it covers in `note`, its file called `name`.
pub(crate) fn profile(
    format: Format,
    body: impl Into<Body>,
    name: &str,
    note: Option<String>,
) -> Response {
    let mut response = with(body.into(), format.content_type(), note);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    // Browsers open what they can show, and save the rest under its name.
    let place = if format.is_text() { "inline" } else { "attachment" };
    let place = format!("{place}; filename=\"{}.{}\"", plain(name), format.file_suffix());
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
    asked: &HeaderMap,
) -> Response {
    if !format.is_text() {
        return profile(format, body, name, note);
    }
    let takes = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let (body, gzipped) = compressed(body, takes.unwrap_or_default());
    let mut response = profile(format, body, name, note);
    if gzipped {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    response
}

pub(crate) fn html(page: String) -> Response {
    with(page.into(), Format::Html.content_type(), None)
}

/// A file's name without what a shell, a header or a folder could take amiss.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    name.chars().take(128).map(plain).collect()
}

fn with(body: Body, content_type: &'static str, note: Option<String>) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(note) = note.and_then(|note| HeaderValue::try_from(note).ok()) {
        headers.insert(NOTE, note);
    }
    response
}
