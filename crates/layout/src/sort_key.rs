//! Sort keys of block rows.

use std::{fmt, str::FromStr};

use crate::{
    block::{BlockRow, RowState},
    ids::BlockId,
    name::LayoutError,
    time::{Level, UnixMillis, Window},
};

/// Where a block's row stands inside its service's partition:
/// `{state}/{level}/{window}/{tier}/{block}`. Text sorts as (state, level,
/// time, tier), so a rollup stands behind what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// Whether the block stands in a coarser one.
    pub state: RowState,
    /// The time it covers.
    pub window: Window,
    /// Times rolled up inside the window.
    pub tier: u8,
    /// The block.
    pub block: BlockId,
}

impl SortKey {
    /// The key of this row in this state.
    #[must_use]
    pub fn of(row: &BlockRow, state: RowState) -> Self {
        Self { state, window: row.window, tier: row.tier, block: row.block.clone() }
    }

    /// The key of the same row in another state.
    #[must_use]
    pub fn in_state(&self, state: RowState) -> Self {
        Self { state, ..self.clone() }
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, window, tier, block } = self;
        write!(f, "{}{tier:02}/{block}", BlockRow::sort_prefix(*state, *window))
    }
}

impl FromStr for SortKey {
    type Err = LayoutError;

    fn from_str(key: &str) -> Result<Self, LayoutError> {
        let malformed = || {
            let expected = "{open|done}/{level}/{window}/{tier}/{block} was expected";
            LayoutError::malformed("sort key", key, expected)
        };
        let parts: Vec<&str> = key.split('/').collect();
        let [state, level, window, tier, block] = parts[..] else {
            return Err(malformed());
        };
        let state = match state {
            "open" => RowState::Open,
            "done" => RowState::Done,
            _ => return Err(malformed()),
        };
        let parsed = Self {
            state,
            window: parse_window(level, window).ok_or_else(malformed)?,
            tier: tier.parse().map_err(|_| malformed())?,
            block: block.parse()?,
        };
        if parsed.to_string() == key { Ok(parsed) } else { Err(malformed()) }
    }
}

/// Reads a level's number and a window as keys have them; only aligned windows
/// exist.
pub(crate) fn parse_window(level: &str, window: &str) -> Option<Window> {
    let level = Level::from_number(level.parse().ok()?)?;
    let start = UnixMillis(window.parse::<i64>().ok()?.checked_mul(1000)?);
    let window = Window::of(level, start);
    (window.start == start).then_some(window)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_print_and_parse() {
        for key in ["open/0/001795000020/00/b1", "done/3/001794355200/12/b2"] {
            assert_eq!(key.parse::<SortKey>().unwrap().to_string(), key);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for key in [
            "open/0/1795000020/00/b1",
            "open/0/001795000021/00/b1",
            "open/4/001795000020/00/b1",
            "open/0/001795000020/0/b1",
            "gone/0/001795000020/00/b1",
            "open/0/001795000020/00",
            "default.s",
        ] {
            assert!(key.parse::<SortKey>().is_err(), "{key}");
        }
    }
}
