//! Which representation a request asks for.

use flambeau_layout::ProfileType;
use http::{HeaderMap, header};

use crate::error::RenderError;

/// A representation of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Pprof,
    Svg,
    Html,
    FlameJson,
    Folded,
    TopJson,
    Csv,
    Speedscope,
    Chrome,
    Firefox,
    Flamebearer,
    HeatMap,
    Timeline,
    Sparkline,
    Diff,
}

/// In what form errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tongue {
    /// A page for people.
    Page,
    /// A line of text.
    Line,
    /// A document for programs.
    Program,
}

/// How a format is asked for and answered.
struct Spoken {
    format: Format,
    /// In `format=`; with a point before it, as a suffix of the path too.
    name: &'static str,
    /// Other words for it: what its tool calls such files.
    suffixes: &'static [&'static str],
    /// In `Accept`.
    accepted: &'static [&'static str],
    content_type: &'static str,
    /// How a file of it is named.
    file: &'static str,
}

const JSON: &str = "application/json";

/// All formats. Of several that take one type in `Accept`, the first answers.
const FORMATS: [Spoken; 15] = [
    Spoken {
        format: Format::Pprof,
        name: "pprof",
        suffixes: &["pb.gz"],
        accepted: &["application/octet-stream", "application/vnd.google.protobuf+gzip"],
        content_type: "application/octet-stream",
        file: "pb.gz",
    },
    Spoken {
        format: Format::Svg,
        name: "svg",
        suffixes: &[],
        accepted: &["image/svg+xml"],
        content_type: "image/svg+xml",
        file: "svg",
    },
    Spoken {
        format: Format::Html,
        name: "html",
        suffixes: &[],
        accepted: &["text/html", "application/xhtml+xml"],
        content_type: "text/html; charset=utf-8",
        file: "html",
    },
    Spoken {
        format: Format::FlameJson,
        name: "flame.json",
        suffixes: &["json"],
        accepted: &[JSON],
        content_type: JSON,
        file: "flame.json",
    },
    Spoken {
        format: Format::TopJson,
        name: "top.json",
        suffixes: &[],
        accepted: &[],
        content_type: JSON,
        file: "top.json",
    },
    Spoken {
        format: Format::Folded,
        name: "folded",
        suffixes: &["folded.txt"],
        accepted: &["text/plain"],
        content_type: "text/plain; charset=utf-8",
        file: "folded.txt",
    },
    Spoken {
        format: Format::Csv,
        name: "csv",
        suffixes: &[],
        accepted: &["text/csv"],
        content_type: "text/csv; charset=utf-8; header=present",
        file: "csv",
    },
    Spoken {
        format: Format::Speedscope,
        name: "speedscope",
        suffixes: &["speedscope.json"],
        accepted: &[],
        content_type: JSON,
        file: "speedscope.json",
    },
    Spoken {
        format: Format::Chrome,
        name: "chrome",
        suffixes: &["chrome.json"],
        accepted: &[],
        content_type: JSON,
        file: "chrome.json",
    },
    Spoken {
        format: Format::Firefox,
        name: "firefox",
        suffixes: &["firefox.json"],
        accepted: &[],
        content_type: JSON,
        file: "firefox.json",
    },
    Spoken {
        format: Format::Flamebearer,
        name: "flamebearer",
        suffixes: &["flamebearer.json"],
        accepted: &[],
        content_type: JSON,
        file: "flamebearer.json",
    },
    Spoken {
        format: Format::HeatMap,
        name: "heatmap.json",
        suffixes: &[],
        accepted: &[],
        content_type: JSON,
        file: "heatmap.json",
    },
    Spoken {
        format: Format::Timeline,
        name: "timeline.json",
        suffixes: &[],
        accepted: &[],
        content_type: JSON,
        file: "timeline.json",
    },
    Spoken {
        format: Format::Sparkline,
        name: "timeline.svg",
        suffixes: &[],
        accepted: &[],
        content_type: "image/svg+xml",
        file: "timeline.svg",
    },
    Spoken {
        format: Format::Diff,
        name: "diff.json",
        suffixes: &[],
        accepted: &[],
        content_type: JSON,
        file: "diff.json",
    },
];

impl Format {
    /// The type asked for, and the format: `format=` beats the path's suffix
    /// beats `Accept`, and pprof stands where none speaks, since `go tool pprof`
    /// says nothing at all.
    pub(crate) fn negotiate(
        typ: &str,
        asked: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(ProfileType, Self), RenderError> {
        let (typ, suffix) = Self::split_suffix(typ);
        let named = asked.filter(|name| !name.is_empty()).map(Self::named).transpose()?;
        let format = named.or(suffix).or_else(|| Self::accepted(headers)).unwrap_or(Self::Pprof);
        Ok((ProfileType::new(typ)?, format))
    }

    /// The format that `Accept` prefers among those it names outright; wildcards
    /// name none. Of equals, the one named first.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best: Option<(u32, Self)> = None;
        for part in accept.flat_map(|accept| accept.split(',')) {
            let mut words = part.split(';').map(str::trim);
            let typ = words.next().unwrap_or_default().to_ascii_lowercase();
            let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(1000, permille);
            let found = FORMATS.iter().find(|spoken| spoken.accepted.contains(&typ.as_str()));
            let better = weight > best.map_or(0, |(weight, _)| weight);
            if let Some(spoken) = found.filter(|_| better) {
                best = Some((weight, spoken.format));
            }
        }
        best.map(|(_, format)| format)
    }

    /// In what form whoever asks so wants to be told of errors.
    pub(crate) fn tongue(asked: Option<&str>, path: &str, headers: &HeaderMap) -> Tongue {
        let last = path.rsplit('/').next().unwrap_or_default();
        let named = asked.and_then(|name| Self::named(name).ok());
        match named.or(Self::split_suffix(last).1).or_else(|| Self::accepted(headers)) {
            Some(Self::Html) => Tongue::Page,
            Some(format) if format.spoken().content_type == JSON => Tongue::Program,
            _ => Tongue::Line,
        }
    }

    fn named(name: &str) -> Result<Self, RenderError> {
        let called = |spoken: &&Spoken| spoken.name == name || spoken.suffixes.contains(&name);
        let found = FORMATS.iter().find(called);
        found.map(|spoken| spoken.format).ok_or_else(|| {
            let known = FORMATS.iter().map(|spoken| spoken.name).collect::<Vec<_>>().join(", ");
            RenderError::Parameter(format!("format `{name}` is not known; there are {known}"))
        })
    }

    /// That there is no such thing of what was asked for.
    pub(crate) fn refused(self, what: &str, there: &[Self]) -> RenderError {
        let there: Vec<_> = there.iter().map(|format| format.name()).collect();
        let (name, there) = (self.name(), there.join(", "));
        RenderError::Parameter(format!("there is no `{name}` of {what}; there are {there}"))
    }

    /// What it is called in `format=`.
    pub(crate) fn name(self) -> &'static str {
        self.spoken().name
    }

    fn spoken(self) -> &'static Spoken {
        FORMATS.iter().find(|spoken| spoken.format == self).unwrap_or(&FORMATS[0])
    }

    /// What stands in `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        self.spoken().content_type
    }

    /// Whether compressing an answer makes it smaller.
    pub(crate) fn is_text(self) -> bool {
        self != Self::Pprof
    }

    /// What a file of it ends with, without the point.
    pub(crate) fn file_suffix(self) -> &'static str {
        self.spoken().file
    }

    /// A name without the suffix that names a format, the longest there is. One
    /// that itself ends like a suffix needs another behind it.
    pub(crate) fn split_suffix(typ: &str) -> (&str, Option<Format>) {
        let spellings = FORMATS.iter().flat_map(|spoken| {
            spoken.suffixes.iter().chain([&spoken.name]).map(|suffix| (*suffix, spoken.format))
        });
        let ends = |suffix: &str| typ.strip_suffix(suffix)?.strip_suffix('.');
        let found = spellings.filter_map(|(suffix, format)| Some((ends(suffix)?, format)));
        let longest = found.filter(|(typ, _)| !typ.is_empty()).min_by_key(|(typ, _)| typ.len());
        longest.map_or((typ, None), |(typ, format)| (typ, Some(format)))
    }
}

/// `0.875` in thousandths; what cannot be read is 1.
fn permille(weight: &str) -> u32 {
    weight.parse::<f64>().map_or(1000, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(typ: &str, asked: Option<&str>, accept: Option<&str>) -> (String, Format) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, accept.parse().unwrap());
        }
        let (typ, format) = Format::negotiate(typ, asked, &headers).unwrap();
        (typ.to_string(), format)
    }

    #[test]
    fn format_beats_suffix_beats_accept_beats_pprof() {
        let html = Some("text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(of("cpu", None, None), ("cpu".into(), Format::Pprof));
        assert_eq!(of("cpu", None, Some("*/*")), ("cpu".into(), Format::Pprof));
        assert_eq!(of("cpu", None, html), ("cpu".into(), Format::Html));
        assert_eq!(of("cpu.svg", None, html), ("cpu".into(), Format::Svg));
        assert_eq!(of("cpu.svg", Some("csv"), html), ("cpu".into(), Format::Csv));
        assert_eq!(of("cpu", Some("pprof"), html), ("cpu".into(), Format::Pprof));
        assert_eq!(of("cpu", Some(""), html), ("cpu".into(), Format::Html));
    }

    #[test]
    fn every_format_has_its_name_and_suffixes() {
        for spoken in &FORMATS {
            assert_eq!(of("cpu", Some(spoken.name), None).1, spoken.format);
            for suffix in spoken.suffixes.iter().chain([&spoken.name]) {
                let expected = ("a.b".to_owned(), spoken.format);
                assert_eq!(of(&format!("a.b.{suffix}"), None, None), expected, "{suffix}");
            }
        }
        assert_eq!(of("cpu.flame.json", None, None), ("cpu".into(), Format::FlameJson));
        assert_eq!(of("cpu.json", None, None), ("cpu".into(), Format::FlameJson));
        assert_eq!(of("cpu.v2", None, None), ("cpu.v2".into(), Format::Pprof));
        assert_eq!(of("svg", None, None), ("svg".into(), Format::Pprof));
    }

    #[test]
    fn accept_is_weighed() {
        for (accept, format) in [
            ("application/json", Format::FlameJson),
            ("text/html;q=0.5, application/json", Format::FlameJson),
            ("image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8", Format::Svg),
            ("TEXT/HTML;q=0.9", Format::Html),
            ("text/html;q=0", Format::Pprof),
            ("text/csv;q=x", Format::Csv),
        ] {
            assert_eq!(of("cpu", None, Some(accept)).1, format, "{accept}");
        }
    }

    #[test]
    fn errors_are_told_in_the_form_asked_for() {
        let tongue = |asked, path, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            Format::tongue(asked, path, &headers)
        };
        assert_eq!(tongue(None, "/s/a/cpu", "text/html,*/*"), Tongue::Page);
        assert_eq!(tongue(None, "/s/a/cpu", "*/*"), Tongue::Line);
        assert_eq!(tongue(None, "/s/a/cpu.json", "text/html"), Tongue::Program);
        assert_eq!(tongue(Some("flame.json"), "/s/a/cpu", "text/html"), Tongue::Program);
        assert_eq!(tongue(Some("pprof"), "/s/a/cpu", "text/html"), Tongue::Line);
        assert_eq!(tongue(Some("nonsense"), "/", "application/json"), Tongue::Program);
    }

    #[test]
    fn an_unknown_format_lists_what_there_is() {
        let error = Format::negotiate("cpu", Some("png"), &HeaderMap::new()).unwrap_err();
        let said = error.to_string();
        assert!(FORMATS.iter().all(|spoken| said.contains(spoken.name)), "{said}");
    }
}
