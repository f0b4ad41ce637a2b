//! The configuration as a tree whose every value remembers where it was written. Layers are merged here, so that
//! what comes out still knows its origin.
use super::problem::SourceText;
use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where a value of the effective settings comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { line: usize },
    Overlay { environment: String, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "line {line}"),
            Self::Overlay { environment, line } => write!(f, "line {line}, [environment.{environment}]"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// What wrote a value; an index into the loader's list of layers.
pub(super) type LayerId = u32;

pub(super) enum LayerKind {
    File,
    Overlay(String),
    Variable(String),
    Flag(String),
}

pub(super) struct Layer {
    pub kind: LayerKind,
    pub text: Arc<SourceText>,
}

impl Layer {
    pub fn origin(&self, place: Place) -> Origin {
        match &self.kind {
            LayerKind::File => Origin::File { line: self.text.line(place.start()) },
            LayerKind::Overlay(environment) => {
                Origin::Overlay { environment: environment.clone(), line: self.text.line(place.start()) }
            }
            LayerKind::Variable(name) => Origin::Variable(name.clone()),
            LayerKind::Flag(name) => Origin::Flag(name.clone()),
        }
    }
}

/// A stretch of one layer's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub layer: LayerId,
    start: u32,
    end: u32,
}

impl Place {
    pub fn new(layer: LayerId, span: Range<usize>) -> Self {
        // The file is at most 16 MiB.
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { layer, start: short(span.start), end: short(span.end) }
    }

    pub fn start(self) -> usize {
        self.start as usize
    }

    pub fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// A TOML date or time; nothing here takes one.
    Time(String),
    /// A number that no integer or float holds.
    TooLarge,
    List(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Entry>;

#[derive(Clone)]
pub(super) struct Entry {
    /// Where the key stands.
    pub key: Place,
    pub node: Node,
}

/// Lists whose members are tables with a name or an id, and merge by it.
const NAMED: &[&str] = &["agent", "dependency", "probe", "check", "item", "role", "trigger"];

impl Node {
    pub fn from_toml(parsed: Spanned<DeValue<'_>>, layer: LayerId) -> Self {
        let place = Place::new(layer, parsed.span());
        let value = match parsed.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::TooLarge, Value::Integer)
            }
            DeValue::Float(number) => number.as_str().parse().map_or(Value::TooLarge, Value::Float),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Array(items) => {
                Value::List(items.into_iter().map(|item| Self::from_toml(item, layer)).collect())
            }
            DeValue::Table(table) => Value::Table(from_toml(table, layer)),
        };
        Self { value, place }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(table) => table.get(key).map(|entry| &entry.node),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// `name` of a member of a named list, or `id` where it has none.
    pub fn name(&self) -> Option<&str> {
        self.get("name").or_else(|| self.get("id")).and_then(Node::text)
    }

    /// By JSON pointer, or as near to it as the file goes.
    pub fn at(&self, pointer: &str) -> &Node {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let Some(next) = node.step(step) else { break };
            node = next;
        }
        node
    }

    /// By JSON pointer, if it was written at all.
    pub fn find(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, Node::step)
    }

    fn step(&self, step: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(table) => {
                table.get(&*step.replace("~1", "/").replace("~0", "~")).map(|entry| &entry.node)
            }
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Says that another layer wrote all of this.
    pub fn relayer(&mut self, layer: LayerId) {
        self.place.layer = layer;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.relayer(layer)),
            Value::Table(table) => {
                for entry in table.values_mut() {
                    entry.key.layer = layer;
                    entry.node.relayer(layer);
                }
            }
            _ => {}
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::Time(_) => "a date or time",
            Value::TooLarge => "a number too large",
            Value::List(_) => "an array",
            Value::Table(_) => "a table",
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Bool(value) => Json::Bool(*value),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Text(text) | Value::Time(text) => Json::String(text.clone()),
            Value::TooLarge => Json::Null,
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Table(table) => {
                Json::Object(table.iter().map(|(key, entry)| (key.clone(), entry.node.to_json())).collect())
            }
        }
    }
}

pub(super) fn from_toml(table: DeTable<'_>, layer: LayerId) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let place = Place::new(layer, key.span());
            (key.into_inner().into_owned(), Entry { key: place, node: Node::from_toml(value, layer) })
        })
        .collect()
}

/// Lays `over` on `base`: tables merge deep, named lists by name, anything else is replaced.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, entry) in over {
        match base.get_mut(&key) {
            None => {
                base.insert(key, entry);
            }
            Some(under) => merge_entry(&key, under, entry),
        }
    }
}

fn merge_entry(key: &str, under: &mut Entry, over: Entry) {
    match (&mut under.node.value, over.node.value) {
        (Value::Table(base), Value::Table(over)) => merge(base, over),
        (Value::List(base), Value::List(over))
            if NAMED.contains(&key) && all_named(base) && all_named(&over) =>
        {
            merge_named(base, over);
        }
        (_, value) => *under = Entry { key: over.key, node: Node { value, place: over.node.place } },
    }
}

fn all_named(items: &[Node]) -> bool {
    items.iter().all(|item| item.name().is_some())
}

fn merge_named(base: &mut Vec<Node>, over: Vec<Node>) {
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for (at, item) in base.iter().enumerate() {
        if let Some(name) = item.name() {
            index.entry(name.to_owned()).or_insert(at);
        }
    }
    for item in over {
        let known = item.name().and_then(|name| index.get(name)).copied();
        match (known.and_then(|at| base.get_mut(at)), item.value) {
            (Some(Node { value: Value::Table(under), .. }), Value::Table(over)) => merge(under, over),
            (_, value) => base.push(Node { value, place: item.place }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        from_toml(DeTable::parse(text).expect("valid toml").into_inner(), 0)
    }

    fn json(table: Table) -> serde_json::Value {
        Node { value: Value::Table(table), place: Place::default() }.to_json()
    }

    #[test]
    fn overlays_merge_deep_by_name_and_replace_the_rest() {
        let cases = [
            ("a = 1", "a = 2", "a = 2"),
            ("t = { a = 1, b = 2 }", "t = { b = 3, c = 4 }", "t = { a = 1, b = 3, c = 4 }"),
            ("l = [1, 2]", "l = [3]", "l = [3]"),
            ("l = [{ name = 'x', a = 1 }]", "l = [{ name = 'x', b = 1 }]", "l = [{ name = 'x', b = 1 }]"),
            (
                "agent = [{ name = 'x', a = 1 }, { name = 'y' }]",
                "agent = [{ name = 'y', b = 2 }, { name = 'z' }]",
                "agent = [{ name = 'x', a = 1 }, { name = 'y', b = 2 }, { name = 'z' }]",
            ),
            (
                "agent = [{ name = 'x', probe = [{ name = 'p', every = '1s' }, { name = 'q' }] }]",
                "agent = [{ name = 'x', probe = [{ name = 'p', every = '9s' }] }]",
                "agent = [{ name = 'x', probe = [{ name = 'p', every = '9s' }, { name = 'q' }] }]",
            ),
            (
                "check = [{ id = 'x', a = 1 }, { id = 'y' }]",
                "check = [{ id = 'x', a = 2 }]",
                "check = [{ id = 'x', a = 2 }, { id = 'y' }]",
            ),
            (
                "checklist = { valid_for = '7d', item = [{ id = 'x', a = 1 }] }",
                "checklist = { item = [{ id = 'x', a = 2 }, { id = 'y' }] }",
                "checklist = { valid_for = '7d', item = [{ id = 'x', a = 2 }, { id = 'y' }] }",
            ),
            ("t = { a = 1 }", "t = 5", "t = 5"),
        ];
        for (base, over, want) in cases {
            let mut merged = table(base);
            merge(&mut merged, table(over));
            assert_eq!(json(merged), json(table(want)), "{base} under {over}");
        }
    }

    #[test]
    fn a_pointer_finds_its_node_or_the_nearest_above() {
        let root = Node { value: Value::Table(table("a = [{ 'x/y' = 'deep' }]")), place: Place::default() };
        assert_eq!(root.at("/a/0/x~1y").text(), Some("deep"));
        assert!(root.at("/a/0/none/more").get("x/y").is_some());
        assert!(root.at("").get("a").is_some());
    }
}
