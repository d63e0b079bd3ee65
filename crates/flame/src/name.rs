//! Names as views may show them.

use flambeau_profile::{DisplayName, Frame, Merged};

/// Characters of a name that views keep; a longer one is cut and closed by `…`.
pub const NAME_CHARS: usize = 1024;

/// What a sample without frames is called.
pub const NO_STACK: &str = "(no stack)";

/// Any text from a profile as one harmless line: see [`DisplayName`].
#[must_use]
pub fn shown_name(name: &str) -> String {
    DisplayName::new(name).at_most(NAME_CHARS).to_string()
}

/// The name of a frame: its function; where the address was never symbolized,
/// the file in brackets, as pprof has it; the address itself where even that is
/// unknown.
#[must_use]
pub fn frame_name(profile: &Merged, frame: &Frame<'_>) -> String {
    if !frame.name().is_empty() {
        return shown_name(frame.name());
    }
    let file = frame.mapping.map(|id| profile.mapping(id).file).unwrap_or_default();
    match file.rsplit('/').next().unwrap_or_default() {
        "" => format!("{:#x}", frame.address),
        base => shown_name(&format!("[{base}]")),
    }
}

/// A shown name as one frame of a folded line. `;` parts frames and the last
/// space the value, some readers trim lines or take one that begins with `# ` for
/// a comment, and most take a number before the value for a second value: such
/// characters are replaced.
#[must_use]
pub(crate) fn folded_name(shown: &str) -> String {
    let mut name = shown.trim().replace(';', ":");
    if name.is_empty() {
        return "(blank)".to_owned();
    }
    if name.starts_with("# ") {
        name.replace_range(1..2, "_");
    }
    let number = |c: char| c.is_ascii_digit() || c == '.';
    if let Some((at, c)) = name.char_indices().rfind(|(_, c)| c.is_whitespace()) {
        let last = at + c.len_utf8();
        if name[last..].chars().all(number) {
            name.replace_range(at..last, "_");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_one_harmless_line() {
        let name = folded_name(&shown_name("a;b\n\u{202e}c\0<script>"));
        assert_eq!(name, "a:b\\u{a}\\u{202e}c\\u{0}<script>");
    }

    #[test]
    fn no_name_passes_for_a_value_or_a_comment() {
        for (name, folded) in [
            ("f 12", "f_12"),
            ("f 1 2", "f 1_2"),
            (" f 1.5 ", "f_1.5"),
            ("f(int) const", "f(int) const"),
            ("12", "12"),
            ("  ", "(blank)"),
            ("# f", "#_f"),
            ("#f", "#f"),
        ] {
            assert_eq!(folded_name(name), folded);
        }
    }
}
