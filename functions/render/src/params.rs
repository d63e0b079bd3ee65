//! The parameters of a query, to write others that ask almost the same.

use std::fmt;

/// Names and values in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query, without its `?`.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of this name that says something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(own, value)| *own == name && !value.is_empty()).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name);
    }

    /// Puts one value in place of all of this name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The same with another value; an empty one takes the parameter away.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut params = self.clone();
        params.remove(name);
        if !value.is_empty() {
            params.set(name, value);
        }
        params
    }

    /// The same without some.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Self(kept.cloned().collect())
    }

    /// The question alone: without what says how to show it, and without a link's
    /// signature.
    pub(crate) fn question(&self) -> Self {
        let shown = crate::access::SHOWN_ONLY;
        let question = |name: &str| !shown.contains(&name) && name != "exp" && name != "sig";
        let kept = self.0.iter().filter(|(name, value)| question(name) && !value.is_empty());
        Self(kept.cloned().collect())
    }

    /// As the part of a URL behind its path.
    pub(crate) fn href(&self) -> String {
        let query = self.to_string();
        if query.is_empty() { String::new() } else { format!("?{query}") }
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Params {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(pairs.into_iter().map(owned).collect())
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs());
        f.write_str(&query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_and_change_one_by_one() {
        let params = Params::parse("from=now-1h&f=a%26b&q=%7B%7D&format=svg&h=");
        assert_eq!(Params::parse(&params.to_string()), params);
        assert_eq!((params.get("f"), params.get("h"), params.get("x")), (Some("a&b"), None, None));
        assert_eq!(params.question().to_string(), "from=now-1h&f=a%26b&q=%7B%7D");
        assert_eq!(params.with("f", "").without(&["q", "h"]).href(), "?from=now-1h&format=svg");
        assert_eq!(params.with("from", "2h").get("from"), Some("2h"));
        assert_eq!(Params::default().href(), "");
    }
}
