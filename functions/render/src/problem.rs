//! Errors in the form that was asked for: a page, a line for `go tool pprof` and
//! terminals, or a document for programs.

use askama::Template;
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{
    error::Problem,
    format::{Format, Tongue},
    pages::Head,
    params::Params,
};

/// `go tool pprof` shows the text of an error only with this.
const GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    head: Head,
    status: StatusCode,
    said: &'a str,
}

/// By RFC 9457.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// Shapes what handlers say went wrong.
pub(crate) async fn shaped(request: Request, next: Next) -> Response {
    let params = Params::parse(request.uri().query().unwrap_or_default());
    let tongue = Format::tongue(params.get("format"), request.uri().path(), request.headers());
    let response = next.run(request).await;
    match response.extensions().get::<Problem>().cloned() {
        Some(problem) => shape(response, &problem, tongue),
        None => response,
    }
}

fn shape(plain: Response, problem: &Problem, tongue: Tongue) -> Response {
    let Problem { status, said } = problem;
    let (content_type, body) = match tongue {
        Tongue::Page => ("text/html; charset=utf-8", page(*status, said)),
        Tongue::Program => ("application/problem+json", document(*status, said)),
        Tongue::Line => ("text/plain; charset=utf-8", format!("{said}\n")),
    };
    let (mut head, _) = plain.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if tongue == Tongue::Line {
        head.headers.insert(GO_PPROF, HeaderValue::from_static("1"));
    }
    (head, body).into_response()
}

fn page(status: StatusCode, said: &str) -> String {
    let head = Head::of("Flambeau", None);
    ProblemPage { head, status, said }.render().unwrap_or_else(|_| said.to_owned())
}

fn document(status: StatusCode, said: &str) -> String {
    let title = status.canonical_reason().unwrap_or("error");
    let (r#type, status, detail) = ("about:blank", status.as_u16(), said);
    serde_json::to_string(&Document { r#type, title, status, detail }).unwrap_or_default()
}
