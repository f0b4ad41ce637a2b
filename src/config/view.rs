//! The effective settings as a file again, each line with where it came from if asked. What is printed loads to the
//! same settings.
use super::{Loaded, Settings};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Lists whose members get a `[[header]]` of their own.
const TABLES: &[&str] = &["agent", "dependency", "probe", "check"];

impl Loaded {
    /// As TOML; with `origins` each line ends in a comment that says who set it.
    pub fn view(&self, origins: bool) -> String {
        let mut printer = Printer { loaded: origins.then_some(self), text: String::new() };
        if let Value::Object(root) = effective(&self.settings) {
            printer.table(&root, "", "");
        }
        printer.text
    }

    /// As a value, for other formats.
    pub fn effective(&self) -> Value {
        effective(&self.settings)
    }
}

fn effective(settings: &Settings) -> Value {
    let mut value = serde_json::to_value(settings).unwrap_or_default();
    drop_nulls(&mut value);
    value
}

/// TOML has no null: what is not set is not there.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

struct Printer<'a> {
    loaded: Option<&'a Loaded>,
    text: String,
}

impl Printer<'_> {
    /// Single values first: after a header, TOML would take them for its own.
    fn table(&mut self, fields: &Map<String, Value>, header: &str, pointer: &str) {
        let at = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        for (key, value) in fields.iter().filter(|(key, value)| !has_header(key, value)) {
            let _ = write!(self.text, "{} = ", bare(key));
            inline(value, &mut self.text);
            if let Some(loaded) = self.loaded {
                let _ = write!(self.text, "  # {}", loaded.origin(&at(key)));
            }
            self.text.push('\n');
        }
        for (key, value) in fields.iter().filter(|(key, value)| has_header(key, value)) {
            let name = if header.is_empty() { bare(key) } else { format!("{header}.{}", bare(key)) };
            match value {
                Value::Object(inner) => {
                    let only_tables =
                        !inner.is_empty() && inner.iter().all(|(key, value)| has_header(key, value));
                    if !only_tables {
                        let _ = write!(self.text, "\n[{name}]\n");
                    }
                    self.table(inner, &name, &at(key));
                }
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let _ = write!(self.text, "\n[[{name}]]\n");
                        if let Value::Object(inner) = item {
                            self.table(inner, &name, &format!("{}/{index}", at(key)));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn has_header(key: &str, value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => {
            TABLES.contains(&key) && !items.is_empty() && items.iter().all(Value::is_object)
        }
        _ => false,
    }
}

fn inline(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => text.push_str(&quoted(string)),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                inline(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (at, (key, value)) in fields.iter().enumerate() {
                let _ = write!(text, "{}{} = ", if at == 0 { " " } else { ", " }, bare(key));
                inline(value, text);
            }
            text.push_str(if fields.is_empty() { "}" } else { " }" });
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quoted(key) }
}

/// JSON's escapes are TOML's too; DEL is the one that JSON leaves bare and TOML does not.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
