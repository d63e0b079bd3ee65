//! Names as views may show them.

use flambeau_profile::{Frame, Merged};

/// Makes any text safe for one line of folded stacks and for SVG: control and
/// direction-changing characters become `\u{fffd}`, and `;`, which separates
/// frames, becomes `:`.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let safe = |c: char| match c {
        ';' => ':',
        c if c.is_control() || is_bidi(c) => '\u{fffd}',
        c => c,
    };
    name.chars().map(safe).collect()
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The name of a frame: its function, else file and address as pprof writes
/// them.
#[must_use]
pub fn frame_name(profile: &Merged, frame: &Frame<'_>) -> String {
    if !frame.name().is_empty() {
        return safe_name(frame.name());
    }
    let file = frame.mapping.map(|id| profile.mapping(id).file).unwrap_or_default();
    let base = file.rsplit('/').next().unwrap_or_default();
    safe_name(&format!("[{base}] {:#x}", frame.address)).replace("[] ", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_one_harmless_line() {
        let name = safe_name("a;b\n\u{202e}c\0<script>");
        assert_eq!(name, "a:b\u{fffd}\u{fffd}c\u{fffd}<script>");
    }
}
