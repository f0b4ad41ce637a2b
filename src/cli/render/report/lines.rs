//! Lines that keep to the terminal: filled text, and columns without borders.
pub use crate::cli::one_line;
use comfy_table::{Table, presets};
use std::fmt::Write;

/// `text` after `label`, which is `indent` columns wide; further lines are indented as much. Without a width it is
/// one line, which is what a pipe wants; a word that is longer than a line keeps its line to itself.
pub fn filled(label: &str, indent: usize, text: &str, width: Option<usize>) -> String {
    let Some(room) = width.map(|width| width.saturating_sub(indent).max(20)) else {
        return format!("{label}{text}\n");
    };
    let (mut filled, mut used) = (label.to_owned(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            let _ = write!(filled, "\n{:indent$}", "");
            used = 0;
        }
        if used > 0 {
            filled.push(' ');
            used += 1;
        }
        filled.push_str(word);
        used += length;
    }
    filled.push('\n');
    filled
}

pub fn columns(names: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(names.iter().copied());
    table
}

pub fn rows(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_keeps_to_the_terminal_and_its_indent() {
        let said = "word ".repeat(60);
        for width in [80, 120] {
            let text = filled("    · ", 6, said.trim(), Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("      word")), "{text}");
            assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 60);
        }
        assert_eq!(filled("  ", 2, "a  b", None), "  a  b\n", "a pipe gets it as it is");
        let long = "x".repeat(200);
        assert_eq!(filled("- ", 2, &format!("a {long} b"), Some(80)), format!("- a\n  {long}\n  b\n"));
    }
}
