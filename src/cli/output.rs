//! -o: one value, many forms. Tables are the command's own; the rest follow from serde. The formats of a report
//! follow from `readiness`, and a command that shows none refuses them.
use super::{CliError, Ui};
use crate::domain::Fault;
use clap::ValueEnum;
use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    #[value(alias = "text")]
    Table,
    Wide,
    Json,
    Yaml,
    /// One JSON value a line, for lists.
    Jsonl,
    /// Names only.
    Name,
    /// Reports only: JUnit XML.
    Junit,
    /// Reports only: SARIF 2.1.0.
    Sarif,
    /// Reports and runbooks only: Markdown.
    Markdown,
    /// Reports only: workflow commands of GitHub.
    Github,
    /// Reports only: one page.
    Html,
}

impl Output {
    /// As the command line calls it.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Nothing but a report of a validation has this form.
    pub fn is_of_reports(self) -> bool {
        match self {
            Self::Table | Self::Wide | Self::Json | Self::Yaml | Self::Jsonl | Self::Name => false,
            Self::Junit | Self::Sarif | Self::Markdown | Self::Github | Self::Html => true,
        }
    }

    /// What a command answers that has no report to show.
    pub fn refusal(self) -> Fault {
        Fault::usage(format!("cannot show this as {}: only the report of a validation or a deploy-check has that form", self.name()))
            .hint("`agentctl validate` and `agentctl deploy-check`, and their `show`, take it; elsewhere use table, wide, json, yaml, jsonl or name")
    }

    /// Prints `value` in a machine's format, or what `table` makes of it (`wide` given) for people.
    pub fn print<T: Serialize>(
        self,
        ui: &Ui,
        value: &T,
        table: impl FnOnce(bool) -> String,
    ) -> Result<(), CliError> {
        ui.data(&self.render(value, table)?)
    }

    /// The same as text.
    pub fn render<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(bool) -> String,
    ) -> Result<String, CliError> {
        match self {
            Self::Table => Ok(table(false)),
            Self::Wide => Ok(table(true)),
            Self::Json => Ok(serde_json::to_string_pretty(value).map_err(encode)? + "\n"),
            Self::Yaml => serde_norway::to_string(value).map_err(encode),
            Self::Jsonl | Self::Name => self.lines(value),
            Self::Junit | Self::Sarif | Self::Markdown | Self::Github | Self::Html => {
                Err(self.refusal().into())
            }
        }
    }

    /// The elements of a list (or of the one list a reply holds), a line each.
    fn lines<T: Serialize>(self, value: &T) -> Result<String, CliError> {
        let value = serde_json::to_value(value).map_err(encode)?;
        let list = match &value {
            serde_json::Value::Array(list) => Some(list),
            serde_json::Value::Object(fields) => fields.values().find_map(serde_json::Value::as_array),
            _ => None,
        };
        let one = [value.clone()];
        let mut text = String::new();
        for item in list.map_or(&one[..], Vec::as_slice) {
            let name = ["name", "id", "run", "seq"].iter().find_map(|key| item.get(key));
            match (self, name) {
                (Self::Name, Some(serde_json::Value::String(name))) => text.push_str(name),
                (Self::Name, Some(name)) => text.push_str(&name.to_string()),
                _ => text.push_str(&item.to_string()),
            }
            text.push('\n');
        }
        Ok(text)
    }
}

fn encode(error: impl std::fmt::Display) -> CliError {
    CliError::Protocol(error.to_string())
}
