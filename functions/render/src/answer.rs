//! Answers with the headers that clients need.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

/// Says what was answered where it differs from what was asked: the range
/// rounded to whole windows, snapshots left out.
const NOTE: header::HeaderName = header::HeaderName::from_static("x-flambeau-answered");

pub(crate) fn pprof(bytes: impl Into<Body>, note: Option<String>) -> Response {
    with(bytes.into(), "application/octet-stream", note)
}

pub(crate) fn svg(bytes: Vec<u8>, note: Option<String>) -> Response {
    with(bytes.into(), "image/svg+xml", note)
}

pub(crate) fn html(page: String) -> Response {
    with(page.into(), "text/html; charset=utf-8", None)
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
