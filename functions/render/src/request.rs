//! What a request asks for.

use flambeau_layout::UnixMillis;
use flambeau_query::{Aggregate, Range};
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::error::RenderError;

/// How an answer is represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Pprof,
    Svg,
    Html,
    Json,
}

impl Format {
    /// `format=` beats `Accept`, and `default` stands where neither speaks.
    pub(crate) fn of(
        asked: Option<&str>,
        headers: &HeaderMap,
        default: Self,
    ) -> Result<Self, RenderError> {
        match asked {
            Some("pprof") => Ok(Self::Pprof),
            Some("svg") => Ok(Self::Svg),
            Some("html") => Ok(Self::Html),
            Some("json") => Ok(Self::Json),
            Some(other) => {
                let known = "write pprof, svg, html or json";
                Err(RenderError::Parameter(format!("format `{other}` is not known; {known}")))
            }
            None if wants_html(headers) => Ok(Self::Html),
            None => Ok(default),
        }
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|part| part.trim().starts_with("text/html")))
}

/// Parameters of a profile.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ProfileQuery {
    pub(crate) from: Option<String>,
    pub(crate) until: Option<String>,
    /// `go tool pprof -seconds N`: the last N seconds.
    pub(crate) seconds: Option<u32>,
    pub(crate) format: Option<String>,
    /// Sample type, by name or position.
    pub(crate) st: Option<String>,
    /// How snapshots of a gauge become one value: `mean` or `sum`.
    pub(crate) agg: Option<String>,
}

impl ProfileQuery {
    pub(crate) fn range(&self) -> Result<Range, RenderError> {
        let now = UnixMillis::from(jiff::Timestamp::now());
        let last = self.seconds.map(|seconds| format!("{seconds}s"));
        let from = self.from.as_deref().or(last.as_deref());
        Ok(Range::parse(from, self.until.as_deref(), now)?)
    }

    pub(crate) fn aggregate(&self) -> Result<Aggregate, RenderError> {
        let word = self.agg.as_deref().map_or(Ok(Aggregate::default()), str::parse);
        word.map_err(RenderError::Parameter)
    }

    /// The same question in another format, for links.
    pub(crate) fn link(&self, format: &str) -> String {
        let mut link = format!("?format={format}");
        let Self { from, until, st, agg, .. } = self;
        for (name, value) in [("from", from), ("until", until), ("st", st), ("agg", agg)] {
            if let Some(value) = value {
                link.push_str(&format!("&{name}={}", flambeau_layout::name::encode_part(value)));
            }
        }
        link
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(asked: Option<&str>, accept: Option<&str>) -> Format {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, accept.parse().unwrap());
        }
        Format::of(asked, &headers, Format::Pprof).unwrap()
    }

    #[test]
    fn pprof_is_the_default_and_format_beats_accept() {
        assert_eq!(of(None, None), Format::Pprof);
        assert_eq!(of(None, Some("*/*")), Format::Pprof);
        assert_eq!(of(None, Some("application/xhtml+xml, text/html;q=0.9")), Format::Html);
        assert_eq!(of(Some("pprof"), Some("text/html")), Format::Pprof);
        assert!(Format::of(Some("png"), &HeaderMap::new(), Format::Pprof).is_err());
    }

    #[test]
    fn links_keep_the_question() {
        let query = ProfileQuery {
            from: Some("now-1h".into()),
            st: Some("a&b".into()),
            ..Default::default()
        };
        assert_eq!(query.link("svg"), "?format=svg&from=now-1h&st=a%26b");
    }
}
