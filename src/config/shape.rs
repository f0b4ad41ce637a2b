//! The JSON Schema, read once into a form that a tree is checked against quickly.
use super::{Kind, schema::Generated};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// An index into `Shapes`; a schema may refer to itself.
pub(super) type ShapeId = usize;

pub(super) enum Shape {
    Any,
    Bool,
    Integer {
        min: Option<i128>,
        max: Option<i128>,
    },
    Number {
        min: Option<f64>,
        max: Option<f64>,
    },
    Text {
        format: Option<String>,
        pattern: Option<Regex>,
        at_least: usize,
    },
    Choice(Vec<String>),
    List {
        items: ShapeId,
        at_least: usize,
    },
    Table(TableShape),
    /// One of several.
    Either(Vec<ShapeId>),
}

#[derive(Default)]
pub(super) struct TableShape {
    pub keys: BTreeMap<String, Key>,
    /// What other keys hold; none means that there are no others.
    pub rest: Option<ShapeId>,
    /// By the value of `kind`: what `options` takes.
    pub kinds: Option<Vec<(Kind, ShapeId)>>,
}

pub(super) struct Key {
    pub shape: ShapeId,
    pub required: bool,
    /// The first line of its description.
    pub about: Option<String>,
}

pub(super) struct Shapes {
    list: Vec<Shape>,
    pub root: ShapeId,
}

impl Shapes {
    pub fn new(generated: &Generated) -> Self {
        let mut compiler = Compiler { generated, list: Vec::new(), named: HashMap::new() };
        let root = compiler.shape(&generated.root);
        Self { list: compiler.list, root }
    }

    pub fn get(&self, id: ShapeId) -> &Shape {
        &self.list[id]
    }

    pub fn table(&self, id: ShapeId) -> Option<&TableShape> {
        match self.get(id) {
            Shape::Table(table) => Some(table),
            Shape::Either(ids) => ids.iter().find_map(|id| self.table(*id)),
            _ => None,
        }
    }

    /// Every single value that can be set by a dotted path, `daemon.log.level`. Lists and maps are not among them.
    pub fn settable(&self) -> BTreeMap<String, ShapeId> {
        let mut found = BTreeMap::new();
        self.collect(self.root, "", &mut found);
        found
    }

    fn collect(&self, id: ShapeId, path: &str, found: &mut BTreeMap<String, ShapeId>) {
        match self.get(id) {
            Shape::Table(table) => {
                for (name, key) in &table.keys {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.collect(key.shape, &path, found);
                }
            }
            Shape::List { .. } | Shape::Any => {}
            _ => {
                found.insert(path.to_owned(), id);
            }
        }
    }
}

struct Compiler<'a> {
    generated: &'a Generated,
    list: Vec<Shape>,
    named: HashMap<String, ShapeId>,
}

impl Compiler<'_> {
    fn add(&mut self, shape: Shape) -> ShapeId {
        self.list.push(shape);
        self.list.len() - 1
    }

    fn shape(&mut self, schema: &Value) -> ShapeId {
        let Some(fields) = schema.as_object() else { return self.add(Shape::Any) };
        if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
            return self.reference(name);
        }
        for key in ["anyOf", "oneOf"] {
            match fields.get(key) {
                // Keys of its own beside those of a variant: serde says which of them are wrong.
                Some(_) if fields.contains_key("properties") => return self.add(Shape::Any),
                Some(Value::Array(options)) => return self.either(options),
                _ => {}
            }
        }
        if let Some(Value::Array(parts)) = fields.get("allOf")
            && let [only] = &parts[..]
        {
            return self.shape(only);
        }
        if let Some(choices) = choices(fields) {
            return self.add(Shape::Choice(choices));
        }
        match fields.get("type") {
            Some(Value::String(name)) => self.typed(name, fields),
            Some(Value::Array(names)) => {
                // `["string", "null"]` is how an Option is written; TOML has no null.
                let names: Vec<&str> =
                    names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect();
                if let [only] = &names[..] {
                    return self.typed(only, fields);
                }
                let shapes = names.iter().map(|name| self.typed(name, fields)).collect();
                self.add(Shape::Either(shapes))
            }
            _ if fields.contains_key("properties") => self.typed("object", fields),
            _ => self.add(Shape::Any),
        }
    }

    /// Reserves the place first, so that a definition may refer to itself.
    fn reference(&mut self, pointer: &str) -> ShapeId {
        let name = pointer.trim_start_matches("#/$defs/").replace("~1", "/").replace("~0", "~");
        if let Some(id) = self.named.get(&name) {
            return *id;
        }
        let place = self.add(Shape::Any);
        self.named.insert(name.clone(), place);
        let generated = self.generated;
        let Some(definition) = generated.definitions.get(&name) else { return place };
        let made = self.shape(definition);
        // The made one moves into the reserved place; if it is a shared one, refer to it.
        let shape = if made == self.list.len() - 1 && made != place {
            self.list.pop().unwrap_or(Shape::Any)
        } else {
            Shape::Either(vec![made])
        };
        self.list[place] = shape;
        if let Some(kinds) = generated.kinds_of(&name) {
            let kinds = kinds.iter().map(|(kind, options)| (*kind, self.shape(options))).collect();
            if let Shape::Table(table) = &mut self.list[place] {
                table.kinds = Some(kinds);
            }
        }
        place
    }

    fn either(&mut self, options: &[Value]) -> ShapeId {
        let real = options.iter().filter(|o| o.get("type").and_then(Value::as_str) != Some("null"));
        let mut ids: Vec<ShapeId> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for option in real {
            // Documented variants come as one `const` each: they are one choice.
            match option.as_object().and_then(choices) {
                Some(choices) => words.extend(choices),
                None => ids.push(self.shape(option)),
            }
        }
        if !words.is_empty() {
            ids.push(self.add(Shape::Choice(words)));
        }
        match &ids[..] {
            [only] => *only,
            _ => self.add(Shape::Either(ids)),
        }
    }

    fn typed(&mut self, name: &str, fields: &Map<String, Value>) -> ShapeId {
        let number = |key: &str| fields.get(key).and_then(Value::as_f64);
        let count = |key: &str| fields.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let format = fields.get("format").and_then(Value::as_str);
        let shape = match name {
            "boolean" => Shape::Bool,
            "integer" => {
                let whole = |key: &str| fields.get(key).and_then(Value::as_i64).map(i128::from);
                let (low, high) = width(format);
                Shape::Integer {
                    min: whole("minimum").or_else(|| number("minimum").map(round)).or(low),
                    max: whole("maximum").or_else(|| number("maximum").map(round)).or(high),
                }
            }
            "number" => Shape::Number { min: number("minimum"), max: number("maximum") },
            "string" => Shape::Text {
                format: format.map(str::to_owned),
                pattern: fields.get("pattern").and_then(Value::as_str).and_then(|p| Regex::new(p).ok()),
                at_least: count("minLength").unwrap_or(0),
            },
            "array" => Shape::List {
                items: self.shape(fields.get("items").unwrap_or(&Value::Null)),
                at_least: count("minItems").unwrap_or(0),
            },
            "object" => self.object(fields),
            _ => Shape::Any,
        };
        self.add(shape)
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Shape {
        let mut table = TableShape::default();
        let required: Vec<&str> = fields
            .get("required")
            .and_then(Value::as_array)
            .map(|keys| keys.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if let Some(Value::Object(properties)) = fields.get("properties") {
            for (name, schema) in properties {
                let about = schema.get("description").and_then(Value::as_str);
                let about = about.and_then(|text| text.lines().next()).map(str::to_owned);
                let key = Key { shape: self.shape(schema), required: required.contains(&&**name), about };
                table.keys.insert(name.clone(), key);
            }
        }
        table.rest = match fields.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(self.shape(schema)),
            None if table.keys.is_empty() => Some(self.add(Shape::Any)),
            None => None,
        };
        Shape::Table(table)
    }
}

/// `enum` or `const` of strings.
fn choices(fields: &Map<String, Value>) -> Option<Vec<String>> {
    if let Some(only) = fields.get("const") {
        return only.as_str().map(|text| vec![text.to_owned()]);
    }
    let words = fields.get("enum")?.as_array()?;
    Some(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[allow(clippy::cast_possible_truncation)] // bounds in a schema are small
fn round(number: f64) -> i128 {
    number as i128
}

fn width(format: Option<&str>) -> (Option<i128>, Option<i128>) {
    let (low, high) = match format {
        Some("uint8") => (0, i128::from(u8::MAX)),
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i128::from(u64::MAX)),
        Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
        Some("int16") => (i128::from(i16::MIN), i128::from(i16::MAX)),
        Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
        _ => return (None, None),
    };
    (Some(low), Some(high))
}
