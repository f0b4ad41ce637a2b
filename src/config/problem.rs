//! What is wrong with the configuration: each problem with its place, all of them together, shown with a caret.
use super::suspect;
use crate::domain::{Fault, FaultKind};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// A text that values were read from: the file, or one variable or flag.
pub struct SourceText {
    /// Its path, or how people call it.
    pub name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl SourceText {
    pub fn new(name: impl Into<String>, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Counted from 1.
    pub fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// The line that holds `at`: its number, where it begins, its text without the newline.
    fn line_at(&self, at: usize) -> (usize, usize, &str) {
        let number = self.line(at);
        let start = self.lines.get(number.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.lines.get(number).map_or(self.text.len(), |next| next - 1);
        (number, start, self.text.get(start..end).unwrap_or_default().trim_end_matches('\r'))
    }
}

/// The text may hold a secret that has no business there.
impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceText").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong. Holds no secret: messages are masked when it is made.
#[derive(Clone, Debug)]
pub struct Problem {
    pub severity: Severity,
    pub message: String,
    pub source: Option<Arc<SourceText>>,
    /// Bytes of the source's text.
    pub span: Range<usize>,
    /// Beside the caret.
    pub label: Option<String>,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(message: impl AsRef<str>) -> Self {
        Self {
            severity: Severity::Error,
            message: suspect::mask(message.as_ref()),
            source: None,
            span: 0..0,
            label: None,
            hint: None,
        }
    }

    #[must_use]
    pub fn at(mut self, source: &Arc<SourceText>, span: Range<usize>) -> Self {
        self.source = Some(Arc::clone(source));
        self.span = span;
        self
    }

    #[must_use]
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(suspect::mask(label.as_ref()));
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(suspect::mask(hint.as_ref()));
        self
    }

    /// `file:line`, if it has a place.
    pub fn place(&self) -> Option<String> {
        self.source.as_ref().map(|source| format!("{}:{}", source.name, source.line(self.span.start)))
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = if self.severity == Severity::Error { Level::ERROR } else { Level::WARNING };
        let mut group = Group::with_title(level.primary_title(escaped(&self.message)));
        if let Some(source) = &self.source {
            // One line is enough to show, and only what is shown needs masking.
            let (number, start, line) = source.line_at(self.span.start.min(source.text.len()));
            let masked = suspect::mask_line(line);
            let from = masked.floor_char_boundary(self.span.start.saturating_sub(start).min(masked.len()));
            let to = masked.ceil_char_boundary(self.span.end.saturating_sub(start).clamp(from, masked.len()));
            let mut caret = AnnotationKind::Primary.span(from..to);
            if let Some(label) = &self.label {
                caret = caret.label(escaped(label));
            }
            let snippet = Snippet::source(masked).line_start(number).path(source.name.clone());
            group = group.element(snippet.annotation(caret));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(escaped(hint)));
        }
        renderer.render(&[group])
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The file they are about, for the sentence above them.
    pub file: Option<PathBuf>,
    pub list: Vec<Problem>,
}

impl Problems {
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Of several loads of one file, each problem once.
    pub fn joined(all: impl IntoIterator<Item = Problems>) -> Problems {
        let mut joined = Problems::default();
        for problems in all {
            joined.file = problems.file;
            joined.list.extend(problems.list);
        }
        joined.sort();
        joined
    }

    /// For machines: a line each, `{severity, message, place, hint}`.
    pub fn summary(&self) -> serde_json::Value {
        let one = |problem: &Problem| {
            serde_json::json!({
                "severity": if problem.severity == Severity::Error { "error" } else { "warning" },
                "message": problem.message,
                "place": problem.place(),
                "hint": problem.hint,
            })
        };
        self.list.iter().map(one).collect()
    }

    /// By place; what has none comes last. The same problem found twice is told once.
    pub(super) fn sort(&mut self) {
        let key = |problem: &Problem| {
            let source = problem.source.as_ref();
            (source.is_none(), source.map(|source| source.name.clone()), problem.span.start)
        };
        self.list.sort_by_cached_key(key);
        self.list.dedup_by(|a, b| a.message == b.message && a.span == b.span && a.place() == b.place());
    }

    /// Each with file, line, caret and hint; with colours if asked.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let shown: Vec<String> = self.list.iter().map(|problem| problem.render(&renderer)).collect();
        shown.join("\n\n")
    }

    /// `cannot use agentd.toml: 3 problems`
    pub fn headline(&self) -> String {
        let file =
            self.file.as_ref().map_or_else(|| "the configuration".into(), |path| path.display().to_string());
        let many = if self.errors() == 1 { "" } else { "s" };
        format!("cannot use {}: {} problem{many}", file.escape_debug(), self.errors())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.headline(), self.render(false))
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Fault {
    fn from(problems: Problems) -> Self {
        let check = match &problems.file {
            Some(file) => format!("agentctl config check {}", file.display()),
            None => "agentctl config check".into(),
        };
        Self::new(FaultKind::Config, problems.to_string())
            .hint(format!("mend it, then try again with `{check}`"))
    }
}

/// Control characters shown, not obeyed: what stands in a file may be hostile.
fn escaped(text: &str) -> String {
    annotate_snippets::normalize_untrusted_str(text).clone()
}
