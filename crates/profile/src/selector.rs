//! Label selectors in the language of Prometheus: `{function="fast",arch=~"arm.*"}`.

use regex::Regex;
use thiserror::Error;

use crate::merged::{LabelSetId, LabelValue, Merged};

/// The label that a name before the braces stands for.
const NAME_LABEL: &str = "__name__";

/// Matchers, all of which have to match. A label that is not there counts as
/// empty, expressions match whole values only, and `{}` matches everything.
///
/// Language: <https://prometheus.io/docs/prometheus/latest/querying/basics/#time-series-selectors>;
/// names may be quoted (`{"a.b"="c"}`), and an empty text is `{}`.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's key.
    pub name: String,
    /// The condition.
    pub condition: Condition,
}

/// What a label's value has to be.
#[derive(Clone, Debug)]
pub enum Condition {
    /// `=`
    Equal(String),
    /// `!=`
    NotEqual(String),
    /// `=~`, already anchored at both ends.
    Match(Regex),
    /// `!~`, already anchored at both ends.
    NotMatch(Regex),
}

/// Why a selector was not understood.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// Something else was due.
    #[error("invalid selector: expected {expected} at byte {at}")]
    Syntax {
        /// What was due.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// No regular expression.
    #[error("invalid expression `{expression}` in selector")]
    Expression {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        source: regex::Error,
    },
}

impl std::fmt::Display for Matcher {
    /// As it is written in a selector.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let bare = !self.name.starts_with(|c: char| c.is_ascii_digit());
        match bare && !self.name.is_empty() && self.name.chars().all(plain) {
            true => f.write_str(&self.name)?,
            false => Quoted(&self.name).fmt(f)?,
        }
        let unanchored = |rx: &Regex| {
            let text = rx.as_str().strip_prefix(ANCHOR.0).and_then(|rx| rx.strip_suffix(ANCHOR.1));
            text.unwrap_or(rx.as_str()).to_owned()
        };
        let (operator, value) = match &self.condition {
            Condition::Equal(value) => ("=", value.clone()),
            Condition::NotEqual(value) => ("!=", value.clone()),
            Condition::Match(rx) => ("=~", unanchored(rx)),
            Condition::NotMatch(rx) => ("!~", unanchored(rx)),
        };
        write!(f, "{operator}{}", Quoted(&value))
    }
}

/// A text in double quotes, as a selector reads it back.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        write!(f, "{{{}}}", matchers.join(","))
    }
}

impl Condition {
    /// Whether a value is as it has to be.
    #[must_use]
    pub fn holds(&self, value: &str) -> bool {
        match self {
            Condition::Equal(wanted) => value == wanted,
            Condition::NotEqual(unwanted) => value != unwanted,
            Condition::Match(rx) => rx.is_match(value),
            Condition::NotMatch(rx) => !rx.is_match(value),
        }
    }
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// [`SelectorError`], which says where and what.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut parser = Parser { text, at: 0 };
        let mut matchers = Vec::new();
        if let Some(name) = parser.bare_name() {
            let condition = Condition::Equal(name.to_owned());
            matchers.push(Matcher { name: NAME_LABEL.to_owned(), condition });
        }
        if !parser.take("{") {
            parser.end(if matchers.is_empty() { "`{`" } else { "`{` or the end" })?;
            return Ok(Selector { matchers });
        }
        while !parser.take("}") {
            matchers.push(parser.matcher()?);
            if !parser.take(",") && !parser.sees("}") {
                return Err(parser.expected("`,` or `}`"));
            }
        }
        parser.end("the end")?;
        Ok(Selector { matchers })
    }

    /// The same, with one more condition.
    #[must_use]
    pub fn with(mut self, name: &str, condition: Condition) -> Selector {
        self.matchers.push(Matcher { name: name.to_owned(), condition });
        self
    }

    /// The same without the conditions on one label.
    #[must_use]
    pub fn without(mut self, name: &str) -> Selector {
        self.matchers.retain(|matcher| matcher.name != name);
        self
    }

    /// The conditions, as written.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether labels match; `value` gives a label's value, empty if not there.
    #[must_use]
    pub fn matches<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.matchers.iter().all(|m| m.condition.holds(value(&m.name)))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn sees(&mut self, token: &str) -> bool {
        self.skip_spaces();
        self.rest().starts_with(token)
    }

    fn take(&mut self, token: &str) -> bool {
        let seen = self.sees(token);
        if seen {
            self.at += token.len();
        }
        seen
    }

    fn expected(&self, expected: &'static str) -> SelectorError {
        SelectorError::Syntax { expected, at: self.at }
    }

    fn end(&mut self, expected: &'static str) -> Result<(), SelectorError> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn bare_name(&mut self) -> Option<&'a str> {
        self.skip_spaces();
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let begins_well = !rest.starts_with(|c: char| c.is_ascii_digit());
        self.at += if begins_well { len } else { 0 };
        (len > 0 && begins_well).then(|| &rest[..len])
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let quoted = self.quoted()?;
        let is_quoted = quoted.is_some();
        let name = match quoted {
            Some(name) => name,
            None => self.bare_name().ok_or_else(|| self.expected("a label name"))?.to_owned(),
        };
        let operators = ["=~", "!~", "!=", "="];
        let Some(operator) = operators.into_iter().find(|o| self.take(o)) else {
            // A quoted name on its own is the metric's, as in Prometheus 3.
            if is_quoted && (self.sees(",") || self.sees("}")) {
                let condition = Condition::Equal(name);
                return Ok(Matcher { name: NAME_LABEL.to_owned(), condition });
            }
            return Err(self.expected("`=`, `!=`, `=~` or `!~`"));
        };
        let value = self.quoted()?.ok_or_else(|| self.expected("a quoted value"))?;
        let condition = match operator {
            "=" => Condition::Equal(value),
            "!=" => Condition::NotEqual(value),
            "=~" => Condition::Match(anchored(value)?),
            _ => Condition::NotMatch(anchored(value)?),
        };
        Ok(Matcher { name, condition })
    }

    /// A string in double, single or back quotes; the last without escapes.
    fn quoted(&mut self) -> Result<Option<String>, SelectorError> {
        self.skip_spaces();
        let Some(quote) = self.rest().chars().next().filter(|c| "\"'`".contains(*c)) else {
            return Ok(None);
        };
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err(self.expected("a closing quote"));
            };
            self.at += c.len_utf8();
            match c {
                _ if c == quote => break,
                '\\' if quote != '`' => self.escape(&mut bytes)?,
                '\n' if quote != '`' => return Err(self.expected("a closing quote")),
                _ => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        String::from_utf8(bytes).map(Some).map_err(|_| self.expected("UTF-8"))
    }

    /// What follows a backslash, as Go has it.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), SelectorError> {
        let Some(c) = self.rest().chars().next() else {
            return Err(self.expected("an escape"));
        };
        self.at += c.len_utf8();
        let byte = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '"' | '\'' => c as u8,
            'x' => self.code(2, 16)? as u8,
            '0'..='3' => {
                self.at -= 1;
                self.code(3, 8)? as u8
            }
            'u' | 'U' => {
                let code = self.code(if c == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code).ok_or_else(|| self.expected("a character's code"))?;
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
            _ => return Err(self.expected("an escape")),
        };
        bytes.push(byte);
        Ok(())
    }

    fn code(&mut self, digits: usize, radix: u32) -> Result<u32, SelectorError> {
        let code = self.rest().get(..digits).filter(|d| !d.starts_with('+'));
        let code = code.and_then(|d| u32::from_str_radix(d, radix).ok());
        let code = code.ok_or_else(|| self.expected("digits of an escape"))?;
        self.at += digits;
        Ok(code)
    }
}

/// What an expression stands between: it has to match a whole value, and a dot
/// matches newlines, as in Prometheus.
const ANCHOR: (&str, &str) = ("^(?s:", ")$");

fn anchored(expression: String) -> Result<Regex, SelectorError> {
    match Regex::new(&format!("{}{expression}{}", ANCHOR.0, ANCHOR.1)) {
        Ok(rx) => Ok(rx),
        Err(source) => Err(SelectorError::Expression { expression, source }),
    }
}

impl Merged {
    /// The samples whose text labels match. Of several texts under one key, the
    /// first counts, as in [`crate::Sample::label`].
    #[must_use]
    pub fn selected(&self, selector: &Selector) -> Merged {
        let matches: Vec<bool> = (0..self.label_set_count())
            .map(|i| {
                let id = LabelSetId(i as u32);
                selector.matches(|key| self.label_text(id, key).unwrap_or(""))
            })
            .collect();
        self.keeping(|sample| matches[sample.label_set().index()])
    }

    /// The first text under `key` in a set of labels.
    ///
    /// # Panics
    /// If the id is of another profile and out of range here.
    #[must_use]
    pub fn label_text(&self, id: LabelSetId, key: &str) -> Option<&str> {
        self.labels(id).find_map(|l| match l.value {
            LabelValue::Text(text) if l.key == key => Some(text),
            _ => None,
        })
    }
}
