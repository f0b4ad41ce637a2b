//! Columns without borders. Every cell is made safe here, so that no table can forget it.
use super::Ui;
pub use crate::domain::one_line;
use comfy_table::{CellAlignment, ContentArrangement};

pub struct Table {
    inner: comfy_table::Table,
    /// Columns aligned to the right: figures.
    figures: Vec<usize>,
    /// Column and what style (SGR) its words have; none without colour.
    painted: Vec<(usize, Style)>,
}

/// A cell's text → its SGR style.
type Style = fn(&str) -> Option<&'static str>;

impl Table {
    pub fn new(head: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        inner.set_header(head.to_vec());
        Self { inner, figures: Vec::new(), painted: Vec::new() }
    }

    #[must_use]
    pub fn figures(mut self, columns: &[usize]) -> Self {
        self.figures = columns.to_vec();
        self
    }

    /// Colours the words of a column, if `ui` has colour.
    #[must_use]
    pub fn painted(mut self, column: usize, ui: &Ui, style: Style) -> Self {
        if ui.color {
            self.painted.push((column, style));
        }
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
        let widths = self.inner.column_max_content_widths();
        let starts = |column: usize| widths[..column].iter().map(|width| usize::from(*width) + 2).sum();
        let mut text = String::new();
        for line in self.inner.lines() {
            let line = line.trim_end();
            let mut line = width.map_or_else(|| line.to_owned(), |width| cut(line, width));
            for (column, style) in &self.painted {
                line = paint(&line, starts(*column), usize::from(widths[*column]), *style);
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Colours what stands in these columns of a line, if the style knows the word; else the line as it is.
fn paint(line: &str, start: usize, width: usize, style: Style) -> String {
    let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let (head, rest) = line.split_at(byte(start));
    let (cell, tail) = rest.split_at(byte(start + width).max(head.len()) - head.len());
    let word = cell.trim_end();
    match style(word) {
        Some(style) => format!("{head}\x1b[{style}m{word}\x1b[0m{}{tail}", &cell[word.len()..]),
        None => line.to_owned(),
    }
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
