//! `AGENTD_*` variables and flags: each names one setting. Levels are joined by two underscores:
//! `AGENTD_DAEMON__LOG__LEVEL` is `daemon.log.level`. Lists and tables are for the file.
use super::{
    check::shown,
    problem::{Problem, SourceText},
    shape::{Shape, ShapeId, Shapes},
    suspect,
    tree::{Entry, Layer, LayerId, LayerKind, Node, Place, Table, Value},
};
use crate::domain::nearest;
use std::{collections::BTreeMap, sync::Arc};

/// What agentd and agentctl use for other ends, or hand to their agents: no settings.
const NOT_SETTINGS: &[&str] = &[
    "AGENTD_SOCKET",
    "AGENTD_CONFIG",
    "AGENTD_FLEET",
    "AGENTD_INSTANCE",
    "AGENTD_AGENT",
    "AGENTD_PORT",
    "AGENTD_REPORT_SOCKET",
];

/// Other names of ours, weaker than the full ones: the short one, and those of document 001 that mean something here.
const ALIASES: &[(&str, &str)] = &[
    ("AGENTD_STATE_DIR", "daemon.state_dir"),
    ("AGENT_SYSTEM_ENABLED", "agent_system"),
    ("AGENT_LOG_LEVEL", "daemon.log.level"),
    ("AGENT_RETRY_ATTEMPTS", "policy.default.attempts"),
    ("AGENT_TIMEOUT_SECONDS", "policy.default.timeout"),
    ("AGENT_MAX_CONCURRENT", "policy.default.concurrency"),
];

/// The tree that variables and flags amount to, flags last.
pub(super) fn layer(
    variables: &[(String, String)],
    flags: &[(String, String)],
    shapes: &Shapes,
    layers: &mut Vec<Layer>,
    problems: &mut Vec<Problem>,
) -> Table {
    if variables.is_empty() && flags.is_empty() {
        return Table::new();
    }
    let settable = shapes.settable();
    let by_name: BTreeMap<String, &str> =
        settable.keys().map(|path| (variable(path), path.as_str())).collect();
    let mut writer = Writer { settable: &settable, shapes, layers, problems, root: Table::new() };
    let mut sorted: Vec<_> = variables.iter().collect();
    sorted.sort();
    for (name, path) in ALIASES {
        for (_, value) in sorted.iter().filter(|(given, _)| given == name) {
            writer.alias(name, path, value);
        }
    }
    for (name, value) in sorted {
        if let Some(path) = by_name.get(name) {
            writer.set(
                path,
                value,
                LayerKind::Variable(name.clone()),
                "the environment",
                &format!("{name}="),
            );
        } else if is_ours(name) {
            writer.unknown(name, value, &by_name);
        }
    }
    for (path, value) in flags {
        if settable.contains_key(path) {
            let kind = LayerKind::Flag(path.clone());
            writer.set(path, value, kind, "the command line", &format!("{path}="));
        } else {
            let mut problem = Problem::new(format!("unknown setting `{}`", shown("", path)));
            if let Some(near) = nearest(path, settable.keys().map(String::as_str)) {
                problem = problem.hint(format!("did you mean `{near}`?"));
            }
            writer.problems.push(problem);
        }
    }
    writer.root
}

/// `daemon.log.level` → `AGENTD_DAEMON__LOG__LEVEL`.
pub fn variable(path: &str) -> String {
    format!("AGENTD_{}", path.replace('.', "__").replace('-', "_").to_ascii_uppercase())
}

fn is_ours(name: &str) -> bool {
    name.starts_with("AGENTD_")
        && !NOT_SETTINGS.contains(&name)
        && !ALIASES.iter().any(|(alias, _)| alias == &name)
}

struct Writer<'a> {
    settable: &'a BTreeMap<String, ShapeId>,
    shapes: &'a Shapes,
    layers: &'a mut Vec<Layer>,
    problems: &'a mut Vec<Problem>,
    root: Table,
}

impl Writer<'_> {
    fn set(&mut self, path: &str, value: &str, kind: LayerKind, source: &str, before: &str) {
        // Only an alias leads into a table of names, and there what looks like a number is one.
        let guess = || value.parse().map_or_else(|_| Value::Text(value.into()), Value::Integer);
        let parsed = self.settable.get(path).map_or_else(guess, |id| self.parse(value, *id));
        let place = self.place(kind, source, before, value);
        let mut steps = path.split('.').rev();
        let last = steps.next().unwrap_or(path);
        let mut name = last.to_owned();
        let mut entry = Entry { key: place, node: Node { value: parsed, place } };
        for step in steps {
            let table = Table::from([(std::mem::replace(&mut name, step.to_owned()), entry)]);
            entry = Entry { key: place, node: Node { value: Value::Table(table), place } };
        }
        super::tree::merge(&mut self.root, Table::from([(name, entry)]));
    }

    /// Names of document 001 come with that document's values.
    fn alias(&mut self, name: &str, path: &str, value: &str) {
        let lower = value.trim().to_ascii_lowercase();
        let seconds;
        let meant = match (name, &*lower) {
            ("AGENT_SYSTEM_ENABLED", "true" | "1" | "yes" | "on") => "on",
            ("AGENT_SYSTEM_ENABLED", "false" | "0" | "no" | "off") => "off",
            ("AGENT_LOG_LEVEL", "warning") => "warn",
            ("AGENT_LOG_LEVEL", "critical") => "error",
            ("AGENT_LOG_LEVEL", level) => level,
            ("AGENT_TIMEOUT_SECONDS", _) => {
                seconds = format!("{}s", value.trim());
                &seconds
            }
            _ => value,
        };
        self.set(path, meant, LayerKind::Variable(name.into()), "the environment", &format!("{name}="));
    }

    /// As the setting's type; what does not parse stays text, and the check says what it should have been.
    fn parse(&self, text: &str, id: ShapeId) -> Value {
        let parsed = match self.shapes.get(id) {
            Shape::Bool => text.parse().ok().map(Value::Bool),
            Shape::Integer { .. } => text.parse().ok().map(Value::Integer),
            Shape::Number { .. } => text.parse().ok().map(Value::Float),
            _ => None,
        };
        parsed.unwrap_or_else(|| Value::Text(text.to_owned()))
    }

    fn unknown(&mut self, name: &str, value: &str, known: &BTreeMap<String, &str>) {
        let near = nearest(name, known.keys().map(String::as_str)).filter(|near| near_enough(name, near));
        if near.is_none() && !name.contains("__") {
            return; // somebody else's, by chance of the same prefix
        }
        let place = self.place(LayerKind::Variable(name.into()), "the environment", "", name);
        let _ = value; // never shown: it may be anything
        let problem = Problem::new(format!("unknown variable `{}`", shown("", name)));
        let problem = problem.at(&self.layers[place.layer as usize].text, place.span());
        self.problems.push(match near {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem
                .hint("`agentctl config schema` lists the settings; levels are joined by two underscores"),
        });
    }

    fn place(&mut self, kind: LayerKind, source: &str, before: &str, value: &str) -> Place {
        let key = before.trim_end_matches('=');
        let value = if suspect::name_is_secret(key) { suspect::MASK } else { value };
        let text = SourceText::new(source, format!("{before}{value}"));
        let layer = LayerId::try_from(self.layers.len()).unwrap_or(0);
        self.layers.push(Layer { kind, text: Arc::new(text) });
        Place::new(layer, before.len()..before.len() + value.len())
    }
}

/// The prefix that all share must not make strangers look alike.
fn near_enough(name: &str, near: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches("AGENTD_").to_owned();
    let (name, near) = (bare(name), bare(near));
    strsim::damerau_levenshtein(&name, &near) <= (near.len() / 3).clamp(1, 4)
        || name.replace('_', "") == near.replace('_', "")
}
