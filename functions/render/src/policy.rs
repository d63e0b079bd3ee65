//! What a browser may do with an answer: nothing but what it is for.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use sha2::{Digest, Sha256};

use crate::error::RenderError;

/// Pages: our own script, style, pictures and data; no inline script anywhere, so
/// that what passes for markup in a name stays text.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; \
                    frame-ancestors 'none'";
/// Longest query that is read.
const MAX_QUERY_BYTES: usize = 16 << 10;

/// Puts the headers on every answer, and refuses questions that are too long.
pub(crate) async fn guarded(request: Request, next: Next) -> Response {
    let mut response = match too_long(request.uri()) {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let policy = header::CONTENT_SECURITY_POLICY;
    headers.entry(policy).or_insert(HeaderValue::from_static(PAGE));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn too_long(uri: &Uri) -> Option<Response> {
    use axum::response::IntoResponse;
    let bytes = uri.query().map_or(0, str::len);
    (bytes > MAX_QUERY_BYTES).then(|| {
        let said = format!(
            "the query has {bytes} bytes, more than the {MAX_QUERY_BYTES} allowed; shorten it"
        );
        let mut response = RenderError::Parameter(said).into_response();
        *response.status_mut() = StatusCode::URI_TOO_LONG;
        response
    })
}

/// The policy of an SVG by inferno, which carries a script: that script runs and
/// no other, in a sandbox whose origin is nobody's, so that even a hole in it
/// reaches nothing here.
pub(crate) fn of_picture(svg: &[u8]) -> HeaderValue {
    let text = String::from_utf8_lossy(svg);
    let mut hashes: Vec<String> = scripts(&text).iter().map(|script| hash(script)).collect();
    if text.contains("onload=\"init(evt)\"") {
        hashes.push(hash("init(evt)"));
    }
    let scripts = match hashes.is_empty() {
        true => "script-src 'none'".to_owned(),
        false => format!("script-src 'unsafe-hashes' {}", hashes.join(" ")),
    };
    let sandbox = if hashes.is_empty() { "sandbox" } else { "sandbox allow-scripts" };
    let policy = format!("default-src 'none'; {sandbox}; style-src 'unsafe-inline'; {scripts}");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("sandbox"))
}

/// The texts of scripts as a browser hashes them: marks of CDATA are not text.
fn scripts(svg: &str) -> Vec<String> {
    let mut rest = svg;
    let mut found = Vec::new();
    while let Some(begin) = rest.find("<script") {
        let Some(open) = rest[begin..].find('>') else { break };
        let text = &rest[begin + open + 1..];
        let Some(end) = text.find("</script>") else { break };
        found.push(text[..end].replace("<![CDATA[", "").replace("]]>", ""));
        rest = &text[end..];
    }
    found
}

fn hash(script: &str) -> String {
    let digest = Sha256::digest(script.as_bytes());
    format!("'sha256-{}'", base64_simd::STANDARD.encode_to_string(digest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_scripts_of_a_picture_run() {
        let svg = b"<svg onload=\"init(evt)\"><script type=\"x\"><![CDATA[a<b]]><![CDATA[c]]></script></svg>";
        let policy = of_picture(svg).to_str().unwrap().to_owned();
        assert!(policy.contains("sandbox allow-scripts;"), "{policy}");
        assert!(policy.contains(&hash("a<bc")) && policy.contains(&hash("init(evt)")), "{policy}");
        let still = of_picture(b"<svg><text>x</text></svg>").to_str().unwrap().to_owned();
        assert!(still.contains("sandbox;") && still.contains("script-src 'none'"), "{still}");
    }
}
