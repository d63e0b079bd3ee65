//! What a request asks for.

use std::ops::RangeInclusive;

use flambeau_flame::{
    Cut, DEFAULT_NODES, MAX_NODES, NodeId, Sort,
    heatmap::{DEFAULT_SECOND_ROWS, SECOND_ROWS},
};
use flambeau_layout::UnixMillis;
use flambeau_query::{Aggregate, Narrowing, Pin, Range, cost::Pricing, narrow::Options};
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
    /// Functions listed beside a tree.
    top: Option<String>,
    /// A function in the middle, by the name shown.
    pub(crate) around: Option<String>,
    /// Which way from there: `callers` or `callees`.
    side: Option<String>,
    /// `dollars` for time as money.
    unit: Option<String>,
    /// Dollars per GB-second, in place of the table's.
    price: Option<String>,
    /// MB of memory, where samples do not say.
    memory: Option<String>,
    /// What the rows of a heat map are.
    pub(crate) by: Option<String>,
    /// How many of them a second has.
    rows: Option<String>,
    /// Of a trace: from so many nanoseconds after its first sample …
    t0: Option<String>,
    /// … to before so many.
    t1: Option<String>,
    /// What an answer once held; see [`flambeau_query::Pin`].
    pin: Option<String>,
}

/// Which way from a function in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Who calls it.
    Callers,
    /// Whom it calls.
    Callees,
}

/// Functions listed beside a tree, at most.
pub(crate) const MAX_ROWS: usize = 10_000;

/// What is there and says something.
pub(crate) fn given(text: &Option<String>) -> Option<&str> {
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

    /// What of it is about labels alone: whole invocations have no stacks.
    pub(crate) fn label_narrowing(&self) -> Result<Narrowing, RenderError> {
        Ok(Narrowing::parse(&Options { q: self.q.as_deref(), ..Options::default() })?)
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
        let wrong = || format!("max_nodes `{text}` is not a number from 1 to {MAX_NODES}");
        number(text, 1..=MAX_NODES).ok_or_else(|| RenderError::Parameter(wrong()))
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

    /// Functions to list beside a tree.
    pub(crate) fn top(&self) -> Result<usize, RenderError> {
        let Some(text) = given(&self.top) else { return Ok(0) };
        let wrong = || format!("top `{text}` is not a number from 0 to {MAX_ROWS}");
        number(text, 0..=MAX_ROWS).ok_or_else(|| RenderError::Parameter(wrong()))
    }

    /// The function in the middle, and which way from there.
    pub(crate) fn middle(&self) -> Result<Option<(&str, Way)>, RenderError> {
        let Some(function) = given(&self.around) else { return Ok(None) };
        match given(&self.side) {
            Some("callers") => Ok(Some((function, Way::Callers))),
            None | Some("callees") => Ok(Some((function, Way::Callees))),
            Some(other) => Err(RenderError::Parameter(format!(
                "side `{other}` is not known; write callers or callees"
            ))),
        }
    }

    /// With what time is made money, where that is asked for; what the function was
    /// told beforehand stands behind what the request says.
    pub(crate) fn pricing(&self, told: Pricing) -> Result<Option<Pricing>, RenderError> {
        match given(&self.unit) {
            None => return Ok(None),
            Some("dollars") => {}
            Some(other) => {
                let wrong = format!("unit `{other}` is not known; write dollars, or nothing");
                return Err(RenderError::Parameter(wrong));
            }
        }
        let positive = |name: &str, text: &Option<String>| match given(text) {
            None => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(value) if value > 0.0 && value.is_finite() => Ok(Some(value)),
                _ => Err(RenderError::Parameter(format!("{name} `{text}` is not above 0"))),
            },
        };
        Ok(Some(Pricing {
            gb_second: positive("price", &self.price)?.or(told.gb_second),
            memory_mb: positive("memory", &self.memory)?.or(told.memory_mb),
        }))
    }

    /// Rows of a second in a heat map.
    pub(crate) fn second_rows(&self) -> Result<usize, RenderError> {
        let Some(text) = given(&self.rows) else { return Ok(DEFAULT_SECOND_ROWS) };
        let (least, most) = (SECOND_ROWS.start(), SECOND_ROWS.end());
        let wrong = || format!("rows `{text}` is not a number from {least} to {most}");
        number(text, SECOND_ROWS).ok_or_else(|| RenderError::Parameter(wrong()))
    }

    /// The part of a trace, in nanoseconds after its first sample.
    pub(crate) fn moments(&self) -> Result<Option<(i64, i64)>, RenderError> {
        let nanos = |name: &str, text: &Option<String>, open: i64| match given(text) {
            None => Ok(open),
            Some(text) => text.parse::<i64>().map_err(|_| {
                RenderError::Parameter(format!("{name} `{text}` is not a number of nanoseconds"))
            }),
        };
        let (from, until) = (nanos("t0", &self.t0, i64::MIN)?, nanos("t1", &self.t1, i64::MAX)?);
        if until < from {
            let wrong = format!("the part of the trace ends ({until}) before it begins ({from})");
            return Err(RenderError::Parameter(wrong));
        }
        Ok(((from, until) != (i64::MIN, i64::MAX)).then_some((from, until)))
    }

    /// The pin of the answer that is expected.
    pub(crate) fn pin(&self) -> Result<Option<Pin>, RenderError> {
        given(&self.pin).map(str::parse).transpose().map_err(RenderError::Parameter)
    }

    /// Whether anything says from when or until when.
    pub(crate) fn has_range(&self) -> bool {
        given(&self.from).or(given(&self.until)).or(given(&self.seconds)).is_some()
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
}

fn number(text: &str, bounds: RangeInclusive<usize>) -> Option<usize> {
    text.parse().ok().filter(|number| bounds.contains(number))
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
    fn dollars_and_moments_are_read_and_refused() {
        let asked = |unit: &str, price: &str| ProfileQuery {
            unit: Some(unit.into()),
            price: Some(price.into()),
            ..Default::default()
        };
        let told = Pricing { gb_second: Some(2.0), memory_mb: None };
        let priced = |unit, price| asked(unit, price).pricing(told);
        assert_eq!(priced("", "").unwrap(), None);
        assert_eq!(priced("dollars", "").unwrap().unwrap().gb_second, Some(2.0));
        assert_eq!(priced("dollars", "0.5").unwrap().unwrap().gb_second, Some(0.5));
        for price in ["0", "-1", "inf", "NaN", "cheap"] {
            assert!(priced("dollars", price).is_err(), "{price}");
        }
        assert!(priced("euros", "").is_err());
        let moments = |t0: &str, t1: &str| {
            ProfileQuery { t0: Some(t0.into()), t1: Some(t1.into()), ..Default::default() }
                .moments()
        };
        assert_eq!(moments("", "").unwrap(), None);
        assert_eq!(moments("5", "").unwrap(), Some((5, i64::MAX)));
        assert!(moments("6", "5").is_err() && moments("now", "").is_err());
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
