//! What a request asks for.

use flambeau_flame::{Cut, DEFAULT_NODES, MAX_NODES, NodeId, Sort};
use flambeau_layout::{UnixMillis, name::encode_part};
use flambeau_query::{Aggregate, Narrowing, Range, narrow::Options};
use serde::Deserialize;

use crate::error::RenderError;

/// Parameters of a profile. pprof's options have its short names, and its long
/// ones beside them.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
pub(crate) struct ProfileQuery {
    pub(crate) from: Option<String>,
    pub(crate) until: Option<String>,
    /// `go tool pprof -seconds N`: the last N seconds.
    pub(crate) seconds: Option<String>,
    pub(crate) format: Option<String>,
    /// Sample type, by name or position.
    pub(crate) st: Option<String>,
    /// The same, as pprof has it.
    #[serde(alias = "sample_index")]
    si: Option<String>,
    /// How snapshots of a gauge become one value: `mean` or `sum`.
    pub(crate) agg: Option<String>,
    /// Labels, in the language of Prometheus.
    q: Option<String>,
    #[serde(alias = "focus")]
    f: Option<String>,
    #[serde(alias = "ignore")]
    i: Option<String>,
    #[serde(alias = "hide")]
    h: Option<String>,
    #[serde(alias = "show")]
    s: Option<String>,
    #[serde(alias = "show_from")]
    sf: Option<String>,
    #[serde(alias = "tagfocus")]
    tf: Option<String>,
    #[serde(alias = "tagignore")]
    ti: Option<String>,
    #[serde(alias = "tagshow")]
    ts: Option<String>,
    #[serde(alias = "taghide")]
    th: Option<String>,
    #[serde(alias = "normalize")]
    norm: Option<String>,
    max_nodes: Option<String>,
    /// A node of the call tree, as [`NodeId`] in hexadecimal digits.
    root: Option<String>,
    /// `icicle` or `flame`.
    draw: Option<String>,
    /// `flat` or `cum`.
    sort: Option<String>,
}

/// What is there and says something.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

impl ProfileQuery {
    pub(crate) fn range(&self) -> Result<Range, RenderError> {
        let now = UnixMillis::from(jiff::Timestamp::now());
        let last = given(&self.seconds).map(last_seconds).transpose()?;
        let from = given(&self.from).or(last.as_deref());
        Ok(Range::parse(from, given(&self.until), now)?)
    }

    pub(crate) fn aggregate(&self) -> Result<Aggregate, RenderError> {
        let word = given(&self.agg).map_or(Ok(Aggregate::default()), str::parse);
        word.map_err(RenderError::Parameter)
    }

    pub(crate) fn narrowing(&self) -> Result<Narrowing, RenderError> {
        Ok(Narrowing::parse(&Options {
            q: self.q.as_deref(),
            f: self.f.as_deref(),
            i: self.i.as_deref(),
            h: self.h.as_deref(),
            s: self.s.as_deref(),
            sf: self.sf.as_deref(),
            tf: self.tf.as_deref(),
            ti: self.ti.as_deref(),
            ts: self.ts.as_deref(),
            th: self.th.as_deref(),
        })?)
    }

    /// The sample type asked for; `st` is ours, `si` pprof's.
    pub(crate) fn sample_type(&self) -> Option<&str> {
        given(&self.st).or(given(&self.si))
    }

    pub(crate) fn cut(&self) -> Result<Cut, RenderError> {
        Ok(Cut { nodes: self.max_nodes()?, root: self.root()? })
    }

    pub(crate) fn max_nodes(&self) -> Result<usize, RenderError> {
        let Some(text) = given(&self.max_nodes) else { return Ok(DEFAULT_NODES) };
        let nodes = text.parse().ok().filter(|nodes| (1..=MAX_NODES).contains(nodes));
        let wrong = || format!("max_nodes `{text}` is not a number from 1 to {MAX_NODES}");
        nodes.ok_or_else(|| RenderError::Parameter(wrong()))
    }

    fn root(&self) -> Result<Option<NodeId>, RenderError> {
        let Some(text) = given(&self.root) else { return Ok(None) };
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        let wrong = || format!("root `{text}` is not a node: 16 hexadecimal digits");
        id.map(|id| Some(NodeId(id))).ok_or_else(|| RenderError::Parameter(wrong()))
    }

    /// Whether a picture has its root on top.
    pub(crate) fn icicle(&self) -> Result<bool, RenderError> {
        match given(&self.draw) {
            None | Some("icicle") => Ok(true),
            Some("flame") => Ok(false),
            Some(other) => Err(RenderError::Parameter(format!(
                "draw `{other}` is not known; write icicle or flame"
            ))),
        }
    }

    pub(crate) fn sort(&self) -> Result<Sort, RenderError> {
        given(&self.sort).map_or(Ok(Sort::default()), str::parse).map_err(RenderError::Parameter)
    }

    /// pprof's `normalize` scales a profile to its base: there is none here, so
    /// that it changes nothing, as with pprof. What it would not read is refused.
    pub(crate) fn check_norm(&self) -> Result<(), RenderError> {
        let word = self.norm.as_deref().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "" | "1" | "t" | "true" | "y" | "yes" | "0" | "f" | "false" | "n" | "no" => Ok(()),
            _ => Err(RenderError::Parameter(format!("norm `{word}` is neither true nor false"))),
        }
    }

    /// The same question in another format, for links.
    pub(crate) fn link(&self, format: &str) -> String {
        let mut link = format!("?format={format}");
        let parts = [
            ("from", &self.from),
            ("until", &self.until),
            ("seconds", &self.seconds),
            ("st", &self.st),
            ("si", &self.si),
            ("agg", &self.agg),
            ("q", &self.q),
            ("f", &self.f),
            ("i", &self.i),
            ("h", &self.h),
            ("s", &self.s),
            ("sf", &self.sf),
            ("tf", &self.tf),
            ("ti", &self.ti),
            ("ts", &self.ts),
            ("th", &self.th),
        ];
        for (name, value) in parts {
            if let Some(value) = given(value) {
                link.push_str(&format!("&{name}={}", encode_part(value)));
            }
        }
        link
    }
}

/// `go tool pprof -seconds` sends whole seconds.
fn last_seconds(text: &str) -> Result<String, RenderError> {
    let seconds: Option<u32> = text.parse().ok();
    let wrong = || RenderError::Parameter(format!("seconds `{text}` is not a number of seconds"));
    Ok(format!("{}s", seconds.ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn links_keep_the_question() {
        let query = ProfileQuery {
            from: Some("now-1h".into()),
            st: Some("a&b".into()),
            f: Some("x y".into()),
            h: Some(String::new()),
            ..Default::default()
        };
        assert_eq!(query.link("svg"), "?format=svg&from=now-1h&st=a%26b&f=x%20y");
    }

    #[test]
    fn numbers_have_their_bounds() {
        let nodes =
            |text: &str| ProfileQuery { max_nodes: Some(text.into()), ..Default::default() };
        for good in ["1", "8192", "65536"] {
            assert!(nodes(good).max_nodes().is_ok(), "{good}");
        }
        for bad in ["0", "65537", "-1", "many"] {
            assert!(nodes(bad).max_nodes().is_err(), "{bad}");
        }
        assert_eq!(nodes("").max_nodes().unwrap(), DEFAULT_NODES);
        let root = |text: &str| {
            let query = ProfileQuery { root: Some(text.into()), ..Default::default() };
            query.cut().map(|cut| cut.root)
        };
        assert_eq!(root("00000000000000ff").unwrap(), Some(NodeId(255)));
        assert!(root("ff").is_err() && root("+0000000000000ff").is_err());
    }

    #[test]
    fn words_are_pprofs() {
        let norm = |text: &str| {
            ProfileQuery { norm: Some(text.into()), ..Default::default() }.check_norm().is_ok()
        };
        assert!(norm("1") && norm("t") && norm("False") && norm("") && !norm("maybe"));
        let seconds = |text: &str| {
            ProfileQuery { seconds: Some(text.into()), ..Default::default() }.range().is_ok()
        };
        assert!(seconds("5") && seconds("") && !seconds("-5") && !seconds("5s"));
    }
}
