//! Names from profiles, made safe to show.

use std::fmt::{self, Write};

/// Characters of a name shown by default.
pub const DISPLAY_CHARS: usize = 512;

/// Any text from a profile (a function's name, a file, a label) as one line
/// that cannot do anything to where it is shown: to a terminal, a log, or the
/// order of the text around it.
///
/// Control characters, line and paragraph separators, characters that turn the
/// direction of text or are invisible become escapes such as `\u{202e}`; what
/// is longer than the limit is cut and closed by `…`. Escaping for HTML, SVG or
/// JSON is still the writer's part. An empty name shows as `(unknown)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayName<'a> {
    name: &'a str,
    chars: usize,
}

impl<'a> DisplayName<'a> {
    /// A name to show, cut to [`DISPLAY_CHARS`].
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        DisplayName { name, chars: DISPLAY_CHARS }
    }

    /// The same, cut to another number of characters.
    #[must_use]
    pub fn at_most(self, chars: usize) -> Self {
        DisplayName { chars, ..self }
    }
}

impl fmt::Display for DisplayName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return f.write_str("(unknown)");
        }
        let mut chars = self.name.chars();
        for c in chars.by_ref().take(self.chars) {
            if is_unsafe(c) {
                write!(f, "\\u{{{:x}}}", u32::from(c))?;
            } else {
                f.write_char(c)?;
            }
        }
        if chars.next().is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

/// Characters that act on what is around them, or hide: Unicode's controls
/// (Cc), bidirectional formatting (UAX #9), separators of lines, joiners and
/// other invisible formatting, variation tags, and what XML cannot hold.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::DisplayName;

    fn shown(name: &str) -> String {
        DisplayName::new(name).to_string()
    }

    #[test]
    fn ordinary_names_stay() {
        let name = "std::vec::Vec<T, A>::push<λ, 函数>";
        assert_eq!(shown(name), name);
        assert_eq!(shown(""), "(unknown)");
    }

    #[test]
    fn nothing_acts_on_its_surroundings() {
        assert_eq!(shown("a\n\u{1b}[31mb\0"), "a\\u{a}\\u{1b}[31mb\\u{0}");
        assert_eq!(shown("abc\u{202e}fdp.exe"), "abc\\u{202e}fdp.exe");
        assert_eq!(shown("zero\u{200b}width\u{2028}"), "zero\\u{200b}width\\u{2028}");
    }

    #[test]
    fn the_limit_counts_characters() {
        let name = "é".repeat(10);
        let cut = |n| DisplayName::new(&name).at_most(n).to_string();
        assert_eq!(cut(10), name);
        assert_eq!(cut(9), format!("{}…", "é".repeat(9)));
    }
}
