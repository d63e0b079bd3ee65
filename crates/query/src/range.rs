//! Ranges of time as people ask for them.

use flambeau_layout::{Level, UnixMillis, Window};

/// A time that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not one of the forms.
    #[error(
        "`{0}` is not a time: write now, now-1h, 2h, 2026-11-21T08:00:00Z, or Unix seconds or milliseconds"
    )]
    NotATime(String),
    /// Ends before it begins.
    #[error("the range ends ({until}) before it begins ({from})")]
    Backwards {
        /// Its begin.
        from: UnixMillis,
        /// Its end.
        until: UnixMillis,
    },
}

/// `[from, until)`, or everything that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub from: UnixMillis,
    /// The first moment after it.
    pub until: UnixMillis,
}

/// Numbers from here on are milliseconds, below they are seconds: as seconds
/// this is the year 5138, as milliseconds 1973.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// Everything that can be held: windows of any level inside still fit the
/// clock.
const LAST: UnixMillis = UnixMillis(i64::MAX / 1_000_000);

impl Range {
    /// Everything that is held.
    #[must_use]
    pub fn all() -> Self {
        Self { from: UnixMillis(0), until: LAST }
    }

    /// Reads `from` and `until` as a request has them; an absent one is open.
    ///
    /// # Errors
    /// When one is no time, or they are in the wrong order.
    pub fn parse(
        from: Option<&str>,
        until: Option<&str>,
        now: UnixMillis,
    ) -> Result<Self, RangeError> {
        let time = |text: &str| parse_time(text, now);
        let all = Self::all();
        let from = from.map(time).transpose()?.unwrap_or(all.from);
        let until = until.map(time).transpose()?.unwrap_or(all.until);
        if until < from {
            return Err(RangeError::Backwards { from, until });
        }
        Ok(Self { from: from.max(all.from), until: until.min(all.until) })
    }

    /// Rounded outward to whole windows of `level`.
    #[must_use]
    pub fn rounded(self, level: Level) -> Self {
        let last = Window::of(level, self.until.plus_millis(-1));
        let until = if self.until <= self.from { self.until } else { last.end() };
        Self { from: Window::of(level, self.from).start, until }
    }
}

/// `now`, `now-1h`, `2h` (ago), RFC 3339, Unix seconds or milliseconds.
fn parse_time(text: &str, now: UnixMillis) -> Result<UnixMillis, RangeError> {
    let wrong = || RangeError::NotATime(text.to_owned());
    if text == "now" {
        return Ok(now);
    }
    if let Ok(number) = text.parse::<i64>() {
        let millis = if number.abs() < FIRST_MILLIS { number.saturating_mul(1000) } else { number };
        return Ok(UnixMillis(millis));
    }
    if let Some(ago) = parse_span(text.strip_prefix("now-").unwrap_or(text)) {
        return Ok(now.plus_millis(-ago));
    }
    text.parse::<jiff::Timestamp>().map(UnixMillis::from).map_err(|_| wrong())
}

/// `90s`, `15m`, `1h`, `7d`, `2w` in milliseconds.
fn parse_span(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let millis = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        'w' => 7 * 86_400_000,
        _ => return None,
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse::<i64>().ok()?.checked_mul(millis)).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    #[test]
    fn every_form_is_read() {
        for (text, millis) in [
            ("now", NOW.0),
            ("now-1h", NOW.0 - 3_600_000),
            ("2h", NOW.0 - 7_200_000),
            ("1795000000", NOW.0),
            ("1795000000000", NOW.0),
            ("2026-11-18T11:06:40Z", 1_795_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_time(text, NOW), Ok(UnixMillis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "yesterday", "-1h", "1x", "h", "now-", "99999999999999999999h", "1λ"] {
            assert!(parse_time(text, NOW).is_err(), "{text}");
        }
        assert!(Range::parse(Some("now"), Some("1h"), NOW).is_err());
    }

    #[test]
    fn ranges_round_outward() {
        let range = Range { from: UnixMillis(61_000), until: UnixMillis(120_001) };
        let rounded = range.rounded(Level::Minute);
        assert_eq!(rounded, Range { from: UnixMillis(60_000), until: UnixMillis(180_000) });
        assert_eq!(rounded.rounded(Level::Minute), rounded);
        assert!(Range::all().rounded(Level::Month).until.0 > 0);
    }
}
