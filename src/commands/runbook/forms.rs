//! A runbook as text for a terminal, and as Markdown for a wiki or an issue.
use super::book::{Runbook, Section, Source};
use crate::cli::Ui;
use std::fmt::Write;

/// Beyond it, values stand where they would anyway.
const WIDEST_NAME: usize = 28;

pub fn text(book: &Runbook, ui: &Ui) -> String {
    let mut text = format!("{}\n{}\n", ui.paint("1", &book.title), origin(book));
    for section in &book.sections {
        let _ = writeln!(text, "\n{}", ui.paint("1", &section.title));
        let width = width(section);
        for fact in &section.facts {
            let _ = writeln!(text, "  {:<width$}  {}", fact.name, fact.value);
        }
        for command in &section.commands {
            let _ = writeln!(text, "  $ {}\n      {}", command.command, command.does);
        }
    }
    if !book.unknown.is_empty() {
        let _ = writeln!(text, "\n{}", ui.paint("1;33", "Not known"));
        for what in &book.unknown {
            let _ = writeln!(text, "  {what}");
        }
    }
    text
}

pub fn markdown(book: &Runbook) -> String {
    let mut text = format!("# {}\n\n{}\n", escaped(&book.title), escaped(&origin(book)));
    for section in &book.sections {
        let _ = writeln!(text, "\n## {}\n", escaped(&section.title));
        for fact in &section.facts {
            let _ = writeln!(text, "- **{}**: {}", escaped(&fact.name), escaped(&fact.value));
        }
        if !section.commands.is_empty() {
            if !section.facts.is_empty() {
                text.push('\n');
            }
            // Indented, not fenced: a fence could be closed by what stands in it.
            for command in &section.commands {
                let _ = writeln!(text, "    # {}\n    {}", command.does, command.command);
            }
        }
    }
    if !book.unknown.is_empty() {
        text.push_str("\n## Not known\n\n");
        for what in &book.unknown {
            let _ = writeln!(text, "- {}", escaped(what));
        }
    }
    text
}

fn origin(book: &Runbook) -> String {
    let at = book.at.strftime("%Y-%m-%d %H:%M:%SZ");
    match book.source {
        Source::Daemon => format!("as agentd knows it, {at}"),
        Source::Manifest => {
            format!("agentd did not answer: from the manifest and what lies on the disk, {at}")
        }
    }
}

fn width(section: &Section) -> usize {
    let names = section.facts.iter().map(|fact| fact.name.chars().count());
    names.max().unwrap_or(0).min(WIDEST_NAME)
}

/// Nothing in it is read as Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample::HOSTILE;
    use jiff::Timestamp;

    fn hostile() -> Runbook {
        let mut book = Runbook::new("agent/x".into(), "x".into(), Source::Daemon, Timestamp::UNIX_EPOCH);
        let mut section = Section::new("What it said");
        section.fact("last words", HOSTILE).fact("link", "[a](javascript:b) `c` *d* <img src=x>");
        section.command("agentctl agent logs x/0", "what it printed");
        book.add(section);
        book.cannot_know("probes", HOSTILE);
        book
    }

    #[test]
    fn nothing_that_an_agent_said_becomes_markup() {
        let text = markdown(&hostile());
        assert!(!text.contains("<img") && !text.contains("<script"), "{text}");
        assert!(text.contains("\\[a\\](javascript:b) \\`c\\` \\*d\\* &lt;img src=x&gt;"), "{text}");
        assert!(text.contains("    agentctl agent logs x/0\n"), "{text}");
        assert!(text.contains("## Not known"), "{text}");
    }

    #[test]
    fn as_text_each_fact_is_one_line() {
        let ui = Ui { color: false, color_err: false, quiet: false, terminal: false };
        let text = text(&hostile(), &ui);
        assert!(text.lines().any(|line| line.starts_with("  last words  ")), "{text}");
        assert!(text.contains("  $ agentctl agent logs x/0\n") && !text.contains('\x1b'), "{text}");
    }
}
