//! What a request carries in `Authorization`.

use http::{HeaderMap, header};

/// Longest token looked at.
const MAX_TOKEN_BYTES: usize = 512;

/// The token of a request: a bearer's, or the password of basic authentication,
/// whatever the name beside it.
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if rest.len() > MAX_TOKEN_BYTES {
        return Some(String::new());
    }
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.to_owned()),
        "basic" => {
            let text =
                String::from_utf8(base64_simd::forgiving_decode_to_vec(rest.as_bytes()).ok()?)
                    .ok()?;
            text.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn token(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        of(&headers)
    }

    #[test]
    fn bearers_and_passwords_are_tokens() {
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc ").as_deref(), Some("abc"));
        // flambeau:s3cret and :s3cret
        assert_eq!(token("Basic ZmxhbWJlYXU6czNjcmV0").as_deref(), Some("s3cret"));
        assert_eq!(token("Basic OnMzY3JldA==").as_deref(), Some("s3cret"));
    }

    #[test]
    fn anything_else_is_none() {
        for value in ["abc", "AWS4-HMAC-SHA256 x", "Basic ***", "Basic YWJj", "Basic /w=="] {
            assert_eq!(token(value), None, "{value}");
        }
        let long = "x".repeat(MAX_TOKEN_BYTES);
        assert_eq!(token(&format!("Bearer {long}")), Some(long.clone()));
        assert_eq!(token(&format!("Bearer {long}x")).as_deref(), Some(""), "never matches");
    }
}
