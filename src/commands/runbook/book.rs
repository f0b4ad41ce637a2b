//! What a runbook is: sections of facts and of commands, in the order in which they are needed. Every text in it is one
//! line, bounded, and free of what would drive a terminal, whoever said it.
use crate::domain::one_line;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Characters of a value; what an agent said may be as long as it likes.
const LONGEST: usize = 400;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    pub schema_version: u32,
    pub at: Timestamp,
    /// `fleet`, `agent/orders`, `check/DB-001`
    pub about: String,
    pub title: String,
    pub source: Source,
    pub sections: Vec<Section>,
    /// What could not be known, and why; a sentence each.
    pub unknown: Vec<String>,
}

/// Where its facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Daemon,
    /// No daemon answered.
    Manifest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub title: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

/// To be typed as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub command: String,
    pub does: String,
}

impl Runbook {
    pub fn new(about: String, title: String, source: Source, at: Timestamp) -> Self {
        Self { schema_version: 1, at, about, title, source, sections: Vec::new(), unknown: Vec::new() }
    }

    /// One that says nothing is left out.
    pub fn add(&mut self, section: Section) {
        if !section.facts.is_empty() || !section.commands.is_empty() {
            self.sections.push(section);
        }
    }

    /// What every command begins with, instead of `agentctl` alone.
    pub fn aim(&mut self, agentctl: &str) {
        for command in self.sections.iter_mut().flat_map(|section| &mut section.commands) {
            if let Some(rest) = command.command.strip_prefix("agentctl ") {
                command.command = bounded(&format!("{agentctl} {rest}"));
            }
        }
    }

    pub fn cannot_know(&mut self, what: &str, why: impl AsRef<str>) {
        self.unknown.push(bounded(&format!("{what}: {}", why.as_ref())));
    }
}

impl Section {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), facts: Vec::new(), commands: Vec::new() }
    }

    pub fn fact(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> &mut Self {
        self.facts.push(Fact { name: bounded(name.as_ref()), value: bounded(value.as_ref()) });
        self
    }

    /// Nothing where there is none.
    pub fn some(&mut self, name: &str, value: Option<impl AsRef<str>>) -> &mut Self {
        if let Some(value) = value {
            self.fact(name, value);
        }
        self
    }

    /// The same for a list, on one line.
    pub fn list(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = impl AsRef<str>>,
        otherwise: &str,
    ) -> &mut Self {
        let all: Vec<String> = values.into_iter().map(|value| value.as_ref().to_owned()).collect();
        let value = if all.is_empty() { otherwise.to_owned() } else { all.join(", ") };
        if !value.is_empty() {
            self.fact(name, value);
        }
        self
    }

    pub fn command(&mut self, command: impl AsRef<str>, does: &str) -> &mut Self {
        self.commands.push(Command { command: bounded(command.as_ref()), does: does.to_owned() });
        self
    }
}

/// One line of at most so many characters; the last is `…` where something is missing.
fn bounded(text: &str) -> String {
    let line = one_line(text);
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample::HOSTILE;

    #[test]
    fn whatever_was_said_is_one_line_that_ends() {
        let mut section = Section::new("what it said");
        section.fact("last words", HOSTILE).fact("long", "x".repeat(100_000)).command("a\nb", "c");
        for fact in &section.facts {
            assert!(!fact.value.contains(['\n', '\x1b', '\t']), "{:?}", fact.value);
            assert!(fact.value.chars().count() <= LONGEST, "{}", fact.value.len());
        }
        assert!(section.facts[1].value.ends_with('…'));
        assert_eq!(section.commands[0].command, "a b");
    }

    #[test]
    fn a_section_that_says_nothing_is_left_out() {
        let mut book =
            Runbook::new("fleet".into(), "the fleet".into(), Source::Manifest, Timestamp::UNIX_EPOCH);
        book.add(Section::new("empty"));
        let mut said = Section::new("said");
        said.fact("a", "b").some("c", None::<&str>).list("d", [] as [&str; 0], "");
        book.add(said);
        assert_eq!((book.sections.len(), book.sections[0].facts.len()), (1, 1));
    }
}
