//! Columns without borders. Every cell is made safe here, so that no table can forget it.
use super::escape;
use comfy_table::{CellAlignment, ContentArrangement};

pub struct Table {
    inner: comfy_table::Table,
    /// Columns aligned to the right: figures.
    figures: Vec<usize>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        inner.set_header(head.to_vec());
        Self { inner, figures: Vec::new() }
    }

    #[must_use]
    pub fn figures(mut self, columns: &[usize]) -> Self {
        self.figures = columns.to_vec();
        self
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| one_line(cell.as_ref())).collect();
        self.inner.add_row(cells);
    }

    /// The whole table, a newline at its end. With `width`, lines are cut to it.
    pub fn render(mut self, width: Option<usize>) -> String {
        for (index, column) in self.inner.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.figures.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = String::new();
        for line in self.inner.lines() {
            let line = line.trim_end();
            match width {
                Some(width) => text.push_str(&cut(line, width)),
                None => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }
}

/// Untrusted text as one safe line.
pub fn one_line(text: &str) -> String {
    escape(text.trim()).replace(['\n', '\t'], " ")
}

/// At most `width` characters, the last of them `…` if something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_cell_stays_in_its_line_and_its_column() {
        let mut table = Table::new(&["NAME", "WHY"]);
        table.row(["orders", "first\nsecond\x1b[2J"]);
        table.row(["a-longer-name", ""]);
        let text = table.render(None);
        assert_eq!(text, "NAME           WHY\norders         first second\\u{1b}[2J\na-longer-name\n");
    }

    #[test]
    fn figures_stand_to_the_right_and_long_lines_are_cut() {
        let mut table = Table::new(&["TIER", "AGENTS"]).figures(&[1]);
        table.row(["core", "7"]);
        assert_eq!(table.render(None), "TIER  AGENTS\ncore       7\n");
        let mut table = Table::new(&["WHY"]);
        table.row(["0123456789"]);
        assert_eq!(table.render(Some(6)), "WHY\n01234…\n");
    }
}
