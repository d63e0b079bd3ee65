//! Samples chosen by their labels, in pprof's `tagfocus` language.

use std::collections::BTreeMap;

use regex::Regex;
use thiserror::Error;

use crate::merged::{Label, LabelValue, Merged};
use crate::units::scale;

/// Which labels match: `[key=]regex[,regex…]` for texts, `[key=]range` for
/// numbers, where a range is `32kb`, `:64kb` (at most), `4mb:` (at least) or
/// `12kb:64mb` (between, both included).
///
/// With a key, one expression has to match one of its texts. Without one, each
/// expression has to match some `key:text`. Source: pprof's `driver_focus.go`.
#[derive(Clone, Debug)]
pub struct TagFilter {
    key: Option<String>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Texts(Vec<Regex>),
    Numbers(Range),
}

/// Numbers between two, in one unit.
#[derive(Clone, Debug, PartialEq)]
struct Range {
    least: f64,
    most: f64,
    unit: String,
}

/// Why a tag filter was not understood.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TagFilterError {
    /// No regular expression.
    #[error("invalid expression `{expression}` in tag filter")]
    Expression {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        source: regex::Error,
    },
    /// A number beyond 64 bits.
    #[error("number `{number}` in tag filter does not fit 64 bits")]
    Number {
        /// What was given.
        number: String,
    },
}

impl TagFilter {
    /// Reads a filter; see [`TagFilter`] for the language.
    ///
    /// # Errors
    /// [`TagFilterError`], which names the part at fault.
    pub fn parse(filter: &str) -> Result<TagFilter, TagFilterError> {
        let (key, value) = match filter.split_once('=') {
            Some((key, value)) => (Some(key.to_owned()).filter(|k| !k.is_empty()), value),
            None => (None, filter),
        };
        if let Some(range) = Range::parse(value)? {
            return Ok(TagFilter { key, what: What::Numbers(range) });
        }
        let expression = |expression: &str| {
            Regex::new(expression).map_err(|source| TagFilterError::Expression {
                expression: expression.to_owned(),
                source,
            })
        };
        let texts: Result<Vec<_>, _> = value.split(',').map(expression).collect();
        Ok(TagFilter { key, what: What::Texts(texts?) })
    }

    /// Whether a sample's labels match; `units` as [`Merged::label_units`] has them.
    pub(crate) fn matches<'a>(
        &self,
        labels: impl Iterator<Item = Label<'a>> + Clone,
        units: &BTreeMap<&str, &str>,
    ) -> bool {
        let wanted = |key: &str| self.key.as_deref().is_none_or(|wanted| wanted == key);
        match &self.what {
            What::Numbers(range) => labels.filter(|l| wanted(l.key)).any(|l| match l.value {
                LabelValue::Number(number, _) => {
                    range.holds(number, units.get(l.key).copied().unwrap_or(""))
                }
                LabelValue::Text(_) => false,
            }),
            What::Texts(texts) => {
                let mut given = labels.filter_map(|l| match l.value {
                    LabelValue::Text(text) => Some((l.key, text)),
                    LabelValue::Number(..) => None,
                });
                if self.key.is_some() {
                    return given.any(|(key, text)| {
                        wanted(key) && texts.iter().any(|rx| rx.is_match(text))
                    });
                }
                let pairs: Vec<String> = given.map(|(key, text)| format!("{key}:{text}")).collect();
                texts.iter().all(|rx| pairs.iter().any(|pair| rx.is_match(pair)))
            }
        }
    }
}

impl Range {
    /// `None` where it does not look like a range, and so is an expression.
    fn parse(filter: &str) -> Result<Option<Range>, TagFilterError> {
        let (least, most) = filter.split_once(':').unwrap_or((filter, filter));
        let looks_like_one = |text: &str| text.is_empty() || Bound::shaped(text);
        if !looks_like_one(least) || !looks_like_one(most) {
            return Ok(None);
        }
        let (least, most) = (Bound::parse(least)?, Bound::parse(most)?);
        let Some(first) = least.as_ref().or(most.as_ref()) else {
            return Ok(None);
        };
        let unit = scale(first.number, &first.unit, &first.unit).1;
        let value = |bound: &Bound| scale(bound.number, &bound.unit, &unit);
        let (most, most_unit) = most.as_ref().map_or((f64::INFINITY, unit.clone()), value);
        let least = least.as_ref().map_or(f64::NEG_INFINITY, |b| value(b).0);
        let range = Range { least, most, unit };
        Ok((most_unit == range.unit).then_some(range))
    }

    fn holds(&self, number: i64, unit: &str) -> bool {
        let (value, unit) = scale(number, unit, &self.unit);
        unit == self.unit && value >= self.least && value <= self.most
    }
}

/// A number with a unit, such as `32kb`.
struct Bound {
    number: i64,
    unit: String,
}

impl Bound {
    /// Sign, digits, letters.
    fn split(text: &str) -> (&str, &str) {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        text.split_at(text.len() - unsigned.len() + digits)
    }

    fn shaped(text: &str) -> bool {
        let (number, unit) = Bound::split(text);
        number.ends_with(|c: char| c.is_ascii_digit())
            && unit.bytes().all(|b| b.is_ascii_alphabetic())
    }

    /// `None` for no text.
    fn parse(text: &str) -> Result<Option<Bound>, TagFilterError> {
        if text.is_empty() {
            return Ok(None);
        }
        let (number, unit) = Bound::split(text);
        let unit = unit.to_owned();
        match number.parse() {
            Ok(number) => Ok(Some(Bound { number, unit })),
            Err(_) => Err(TagFilterError::Number { number: number.to_owned() }),
        }
    }
}

impl Merged {
    /// The unit of each key with numbers: the first given, else guessed by
    /// pprof's rule (`bytes` for `alignment` and `request`, else the key).
    pub(crate) fn label_units(&self) -> BTreeMap<&str, &str> {
        let mut units = BTreeMap::new();
        for sample in self.samples() {
            for label in sample.labels() {
                if let LabelValue::Number(_, unit) = label.value {
                    let held = units.entry(label.key).or_insert(unit);
                    if held.is_empty() {
                        *held = unit;
                    }
                }
            }
        }
        for (key, unit) in units.iter_mut().filter(|(_, unit)| unit.is_empty()) {
            *unit = match *key {
                "alignment" | "request" => "bytes",
                key => key,
            };
        }
        units
    }
}
