//! The top table as comma-separated values (RFC 4180).

use std::io::{self, Write};

use crate::{
    stacks::Stacks,
    top::{Sort, Top},
};

/// Writes all rows of one sample type, behind a header. A text that a
/// spreadsheet would take for a formula begins with `'`.
///
/// # Errors
/// When `out` does not take it.
pub fn csv(stacks: &Stacks, column: usize, sort: Sort, out: &mut impl Write) -> io::Result<()> {
    let unit = cell(&stacks.measure(column).to_string());
    write!(out, "function,file,line,package,inlined,flat,cum,sample_type\r\n")?;
    for row in Top::of(stacks, column, sort).rows {
        let symbol = row.symbol;
        let (name, file, package) = (cell(&symbol.name), cell(&symbol.file), cell(&symbol.package));
        let (line, inlined) = (symbol.line, symbol.inlined.word());
        let (flat, cum) = (row.flat, row.cum);
        write!(out, "{name},{file},{line},{package},{inlined},{flat},{cum},{unit}\r\n")?;
    }
    Ok(())
}

/// A text as one cell.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_hold_any_text_and_no_formula() {
        assert_eq!(cell("f<A, B>"), "\"f<A, B>\"");
        assert_eq!(cell("a\"b"), "\"a\"\"b\"");
        assert_eq!(cell("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(cell("-[NSObject init]"), "'-[NSObject init]");
        assert_eq!(cell("main"), "main");
    }
}
