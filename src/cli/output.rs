//! -o: one value, many forms. Tables are the command's own; the rest follow from serde.
use super::{CliError, Ui};
use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
    /// One JSON value a line, for lists.
    Jsonl,
    /// Names only.
    Name,
}

impl Output {
    /// Prints `value` in a machine's format, or what `table` makes of it (`wide` given) for people.
    pub fn print<T: Serialize>(
        self,
        ui: &Ui,
        value: &T,
        table: impl FnOnce(bool) -> String,
    ) -> Result<(), CliError> {
        let text = match self {
            Self::Table => table(false),
            Self::Wide => table(true),
            Self::Json => serde_json::to_string_pretty(value).map_err(encode)? + "\n",
            Self::Yaml => serde_norway::to_string(value).map_err(encode)?,
            Self::Jsonl | Self::Name => return Self::lines(self, ui, value),
        };
        ui.data(&text)
    }

    /// The elements of a list (or of the one list a reply holds), a line each.
    fn lines<T: Serialize>(self, ui: &Ui, value: &T) -> Result<(), CliError> {
        let value = serde_json::to_value(value).map_err(encode)?;
        let list = match &value {
            serde_json::Value::Array(list) => Some(list),
            serde_json::Value::Object(fields) => fields.values().find_map(serde_json::Value::as_array),
            _ => None,
        };
        let one = [value.clone()];
        let mut text = String::new();
        for item in list.map_or(&one[..], Vec::as_slice) {
            let name = ["name", "id", "run"].iter().find_map(|key| item.get(key));
            match (self, name) {
                (Self::Name, Some(serde_json::Value::String(name))) => text.push_str(name),
                (Self::Name, Some(name)) => text.push_str(&name.to_string()),
                _ => text.push_str(&item.to_string()),
            }
            text.push('\n');
        }
        ui.data(&text)
    }
}

fn encode(error: impl std::fmt::Display) -> CliError {
    CliError::Protocol(error.to_string())
}
