//! Parts of a profile: a selector on labels, and pprof's own options.

use flambeau_profile::{Filter, Merged, Selector, SelectorError, TagFilter, TagFilterError};
use regex::{Regex, RegexBuilder};

/// Longest expression or selector, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 2_048;
/// Largest compiled expression, in bytes. Matching takes linear time whatever
/// was written; compiling is what has to be bounded.
pub const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Most expressions in one tag filter or selector.
pub const MAX_EXPRESSIONS: usize = 8;

/// An option that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// Too long.
    #[error("`{option}` has {bytes} bytes, more than the {MAX_EXPRESSION_BYTES} allowed")]
    TooLong {
        /// Which option.
        option: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// Too many expressions in one.
    #[error("`{option}` has {count} expressions, more than the {MAX_EXPRESSIONS} allowed")]
    TooMany {
        /// Which option.
        option: &'static str,
        /// How many it has.
        count: usize,
    },
    /// Not a regular expression, tag filter or selector.
    #[error("`{option}`: {why}")]
    Invalid {
        /// Which option.
        option: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The options as they are written, by pprof's short names. An empty one is
/// one that is not there, as with pprof.
///
/// Source of the names: `internal/driver/config.go` of
/// <https://github.com/google/pprof>; of the meanings, [`Filter`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// `q`: a selector on labels.
    pub q: Option<&'a str>,
    /// `f`, focus.
    pub f: Option<&'a str>,
    /// `i`, ignore.
    pub i: Option<&'a str>,
    /// `h`, hide.
    pub h: Option<&'a str>,
    /// `s`, show.
    pub s: Option<&'a str>,
    /// `sf`, show from.
    pub sf: Option<&'a str>,
    /// `tf`, tag focus.
    pub tf: Option<&'a str>,
    /// `ti`, tag ignore.
    pub ti: Option<&'a str>,
    /// `ts`, tag show.
    pub ts: Option<&'a str>,
    /// `th`, tag hide.
    pub th: Option<&'a str>,
}

/// What part of a profile is asked for.
#[derive(Debug, Clone, Default)]
pub struct Narrowing {
    selector: Option<Selector>,
    filter: Option<Filter>,
}

impl Narrowing {
    /// Reads the options.
    ///
    /// # Errors
    /// [`NarrowError`], naming the option.
    pub fn parse(options: &Options<'_>) -> Result<Self, NarrowError> {
        let Options { q, f, i, h, s, sf, tf, ti, ts, th } = *options;
        let selector = given("q", q)?.map(selector).transpose()?;
        let filter = Filter {
            focus: expression("f", f)?,
            ignore: expression("i", i)?,
            hide: expression("h", h)?,
            show: expression("s", s)?,
            show_from: expression("sf", sf)?,
            tag_focus: tags("tf", tf)?,
            tag_ignore: tags("ti", ti)?,
            tag_show: expression("ts", ts)?,
            tag_hide: expression("th", th)?,
        };
        let asked = [f, i, h, s, sf, tf, ti, ts, th].into_iter().flatten();
        let any = asked.into_iter().any(|option| !option.is_empty());
        Ok(Self { selector, filter: any.then_some(filter) })
    }

    /// The selector on labels.
    #[must_use]
    pub fn selector(&self) -> Option<&Selector> {
        self.selector.as_ref()
    }

    /// Whether the whole is asked for.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.selector.is_none() && self.filter.is_none()
    }

    /// The part of a profile, and the options that matched nothing in it.
    #[must_use]
    pub fn apply(&self, profile: Merged) -> (Merged, Vec<&'static str>) {
        let mut unmatched = Vec::new();
        let mut part = profile;
        if let Some(selector) = &self.selector {
            part = part.selected(selector);
            if part.samples().len() == 0 {
                unmatched.push("q");
            }
        }
        if let Some(filter) = &self.filter {
            let (filtered, matched) = part.filtered(filter);
            let options = [
                ("f", matched.focus),
                ("i", matched.ignore),
                ("h", matched.hide),
                ("s", matched.show),
                ("sf", matched.show_from),
                ("tf", matched.tag_focus),
                ("ti", matched.tag_ignore),
            ];
            unmatched.extend(options.iter().filter(|(_, matched)| !matched).map(|(name, _)| *name));
            part = filtered;
        }
        (part, unmatched)
    }
}

/// An option that is there and not too long.
fn given<'a>(option: &'static str, text: Option<&'a str>) -> Result<Option<&'a str>, NarrowError> {
    match text.map_or(0, str::len) {
        0 => Ok(None),
        bytes if bytes > MAX_EXPRESSION_BYTES => Err(NarrowError::TooLong { option, bytes }),
        _ => Ok(text),
    }
}

fn build(expression: &str) -> Result<Regex, regex::Error> {
    let mut builder = RegexBuilder::new(expression);
    builder.size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_COMPILED_BYTES);
    builder.build()
}

fn invalid(option: &'static str, error: &dyn std::error::Error) -> NarrowError {
    NarrowError::Invalid { option, why: error.to_string() }
}

fn expression(option: &'static str, text: Option<&str>) -> Result<Option<Regex>, NarrowError> {
    let build = |text| build(text).map_err(|error| invalid(option, &error));
    given(option, text)?.map(build).transpose()
}

/// A tag filter compiles each of its expressions by itself: they are counted
/// and sized before.
fn tags(option: &'static str, text: Option<&str>) -> Result<Option<TagFilter>, NarrowError> {
    let Some(text) = given(option, text)? else { return Ok(None) };
    let value = text.split_once('=').map_or(text, |(_, value)| value);
    let count = value.split(',').count();
    if count > MAX_EXPRESSIONS {
        return Err(NarrowError::TooMany { option, count });
    }
    for expression in value.split(',') {
        // What is no expression may be a range of numbers.
        match build(expression) {
            Err(error @ regex::Error::CompiledTooBig(_)) => return Err(invalid(option, &error)),
            _ => continue,
        }
    }
    TagFilter::parse(text).map(Some).map_err(|error| match error {
        TagFilterError::Expression { source, .. } => invalid(option, &source),
        error => invalid(option, &error),
    })
}

/// A selector compiles its expressions while it is read: they are counted by
/// their operators before. Each may take what the `regex` crate allows, 10 MiB.
fn selector(text: &str) -> Result<Selector, NarrowError> {
    let count = text.matches("=~").count() + text.matches("!~").count();
    if count > MAX_EXPRESSIONS {
        return Err(NarrowError::TooMany { option: "q", count });
    }
    Selector::parse(text).map_err(|error| match error {
        SelectorError::Expression { source, .. } => invalid("q", &source),
        error => invalid("q", &error),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn focus(text: &str) -> Result<Narrowing, NarrowError> {
        Narrowing::parse(&Options { f: Some(text), ..Options::default() })
    }

    fn tag_focus(text: &str) -> Result<Narrowing, NarrowError> {
        Narrowing::parse(&Options { tf: Some(text), ..Options::default() })
    }

    fn select(text: &str) -> Result<Narrowing, NarrowError> {
        Narrowing::parse(&Options { q: Some(text), ..Options::default() })
    }

    #[test]
    fn nothing_and_empty_texts_ask_for_the_whole() {
        assert!(Narrowing::parse(&Options::default()).unwrap().is_none());
        assert!(focus("").unwrap().is_none() && tag_focus("").unwrap().is_none());
        assert!(!focus("main").unwrap().is_none() && !select("{}").unwrap().is_none());
    }

    #[test]
    fn errors_name_the_option() {
        assert!(focus("(").unwrap_err().to_string().starts_with("`f`: "));
        assert!(tag_focus("key=(").unwrap_err().to_string().starts_with("`tf`: "));
        assert!(select("{a").unwrap_err().to_string().starts_with("`q`: "));
    }

    #[test]
    fn ranges_of_numbers_are_tag_filters() {
        for range in ["32kb", ":64kb", "+4mb:", "bytes=12kb:64mb"] {
            assert!(tag_focus(range).is_ok(), "{range}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(focus(&"x".repeat(MAX_EXPRESSION_BYTES)).is_ok());
        let long = focus(&"x".repeat(MAX_EXPRESSION_BYTES + 1)).unwrap_err();
        assert_eq!(long, NarrowError::TooLong { option: "f", bytes: MAX_EXPRESSION_BYTES + 1 });
    }

    #[test]
    fn compiled_sizes_are_bounded() {
        assert!(focus("(a{20}){20}").is_ok());
        assert!(focus(r"(\pL{100}){100}").is_err());
        assert!(tag_focus(r"k=(\pL{100}){100}").is_err());
    }

    #[test]
    fn numbers_of_expressions_are_bounded() {
        let many = |count: usize, one: &str| vec![one; count].join(",");
        assert!(tag_focus(&many(MAX_EXPRESSIONS, "x")).is_ok());
        assert!(tag_focus(&many(MAX_EXPRESSIONS + 1, "x")).is_err());
        assert!(select(&format!("{{{}}}", many(MAX_EXPRESSIONS, "a=~\"x\""))).is_ok());
        assert!(select(&format!("{{{}}}", many(MAX_EXPRESSIONS + 1, "a=~\"x\""))).is_err());
    }
}
