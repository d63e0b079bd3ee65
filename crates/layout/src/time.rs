//! Times and aligned windows of time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::name::LayoutError;

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// From nanoseconds since the epoch, as pprof's `time_nanos` has them.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos.div_euclid(1_000_000))
    }

    /// As nanoseconds since the epoch; saturates at the ends of the range.
    #[must_use]
    pub fn as_nanos(self) -> i64 {
        self.0.saturating_mul(1_000_000)
    }

    /// This time moved by some milliseconds; saturates.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 where the calendar reaches, else the bare number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl From<jiff::Timestamp> for UnixMillis {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time.as_millisecond())
    }
}

/// The day in an object's key, UTC: `2026-11-21`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDate(jiff::civil::Date);

impl KeyDate {
    /// The day on which `time` falls; times outside the calendar are clamped.
    #[must_use]
    pub fn of(time: UnixMillis) -> Self {
        let last = jiff::Timestamp::MAX;
        let first = jiff::Timestamp::UNIX_EPOCH;
        let time = jiff::Timestamp::from_millisecond(time.0).unwrap_or(last).max(first);
        Self(time.to_zoned(jiff::tz::TimeZone::UTC).date())
    }

    /// The first moment of the day.
    #[must_use]
    pub fn start(self) -> UnixMillis {
        let zoned = self.0.to_zoned(jiff::tz::TimeZone::UTC);
        UnixMillis(zoned.map_or(0, |zoned| zoned.timestamp().as_millisecond()))
    }
}

impl fmt::Display for KeyDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyDate {
    type Err = LayoutError;
    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let malformed = || LayoutError::malformed("date", text, "YYYY-MM-DD was expected");
        let date = Self(text.parse().map_err(|_| malformed())?);
        if date.to_string() == text { Ok(date) } else { Err(malformed()) }
    }
}

/// How often merged: the length of a block's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Merged from snapshots.
    Minute,
    /// Rolled up from minutes.
    Hour,
    /// Rolled up from hours.
    Day,
    /// Rolled up from days: 32 of them, counted from the epoch.
    Month,
}

impl Level {
    /// Every level, finest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// Length of its windows in milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
            Self::Month => 32 * 86_400_000,
        }
    }

    /// Its number in keys, 0 for [`Level::Minute`].
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The level with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The level that windows of this one are rolled up into.
    #[must_use]
    pub fn above(self) -> Option<Self> {
        Self::from_number(self.number() + 1)
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(d)?;
        Self::from_number(number)
            .ok_or_else(|| serde::de::Error::custom(format!("level {number} is not known")))
    }
}

/// An aligned span of time: `[start, start + level)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// Its length.
    pub level: Level,
    /// Its first moment, a multiple of the level's length.
    pub start: UnixMillis,
}

impl Window {
    /// The window of this level in which `time` falls.
    #[must_use]
    pub fn of(level: Level, time: UnixMillis) -> Self {
        let start = time.0.max(0).div_euclid(level.millis()) * level.millis();
        Self { level, start: UnixMillis(start) }
    }

    /// The first moment after it.
    #[must_use]
    pub fn end(self) -> UnixMillis {
        self.start.plus_millis(self.level.millis())
    }

    /// The window of a coarser level that holds this one.
    #[must_use]
    pub fn within(self, level: Level) -> Self {
        Self::of(level, self.start)
    }

    /// Whether it shares a moment with `[from, until)`.
    #[must_use]
    pub fn meets(self, from: UnixMillis, until: UnixMillis) -> bool {
        self.start < until && self.end() > from
    }

    /// Whether it lies wholly in `[from, until)`.
    #[must_use]
    pub fn lies_in(self, from: UnixMillis, until: UnixMillis) -> bool {
        self.start >= from && self.end() <= until
    }
}

impl fmt::Display for Window {
    /// The start in seconds, padded so that text sorts as time does. A level
    /// stands beside it wherever a window is part of a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.start.0.div_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn windows_nest() {
        let time = UnixMillis(1_795_000_123_456);
        for level in Level::ALL {
            let window = Window::of(level, time);
            assert!(window.start <= time && time < window.end());
            if let Some(above) = level.above() {
                let outer = window.within(above);
                assert!(outer.start <= window.start && window.end() <= outer.end());
            }
        }
    }

    #[test]
    fn window_text_sorts_as_time() {
        let a = Window::of(Level::Minute, UnixMillis(999_999_999_000)).to_string();
        let b = Window::of(Level::Minute, UnixMillis(1_795_000_000_000)).to_string();
        assert!(a < b);
    }

    #[test]
    fn dates_have_one_spelling() {
        let date = KeyDate::of(UnixMillis(1_795_000_123_456));
        assert_eq!(date.to_string().parse::<KeyDate>().unwrap(), date);
        assert!("20261121".parse::<KeyDate>().is_err());
        assert!(KeyDate::of(UnixMillis(i64::MAX)) > date);
        assert_eq!(KeyDate::of(UnixMillis(-5)).to_string(), "1970-01-01");
    }
}
