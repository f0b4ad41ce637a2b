//! The JSON Schema of the whole file: the settings, and for each kind the options it takes.
use super::{Kind, Kinds, Settings};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Where the definitions of what has a `kind` are, and which kinds those take.
const KINDED: &[(&str, Family)] = &[
    ("AgentSettings", Family::Agent),
    ("ProbeSettings", Family::Probe),
    ("DependencySettings", Family::Probe),
    ("CheckSettings", Family::Check),
    ("ItemSettings", Family::Item),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Agent,
    Probe,
    Check,
    Item,
}

/// What is generated once: definitions by name, and what each kind's options look like.
pub(super) struct Generated {
    pub definitions: Map<String, Value>,
    /// The definition of the root.
    pub root: Value,
    pub agents: Vec<(Kind, Value)>,
    pub probes: Vec<(Kind, Value)>,
    pub checks: Vec<(Kind, Value)>,
    pub items: Vec<(Kind, Value)>,
}

impl Generated {
    pub fn new(kinds: &Kinds) -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let _ = generator.subschema_for::<Settings>();
        let mut hoisted = Map::new();
        let agents = options_of(&kinds.agents, &mut generator, &mut hoisted);
        let probes = options_of(&kinds.probes, &mut generator, &mut hoisted);
        let checks = options_of(&kinds.checks, &mut generator, &mut hoisted);
        let mut items = checks.clone();
        items.extend(options_of(&kinds.items, &mut generator, &mut hoisted));
        let mut definitions = generator.take_definitions(true);
        definitions.extend(hoisted);
        let root = definitions.remove("Settings").unwrap_or_default();
        Self { definitions, root, agents, probes, checks, items }
    }

    /// The kinds that the definition of this name chooses from.
    pub fn kinds_of(&self, definition: &str) -> Option<&[(Kind, Value)]> {
        KINDED.iter().find(|(name, _)| *name == definition).map(|(_, family)| match family {
            Family::Agent => &*self.agents,
            Family::Probe => &*self.probes,
            Family::Check => &*self.checks,
            Family::Item => &*self.items,
        })
    }
}

fn options_of(
    kinds: &[Kind],
    generator: &mut SchemaGenerator,
    hoisted: &mut Map<String, Value>,
) -> Vec<(Kind, Value)> {
    let schema = |kind: &Kind| {
        let mut schema = (kind.schema)(generator).to_value();
        if let Some(fields) = schema.as_object_mut() {
            // A kind may have made a root of its own; its definitions join ours.
            fields.shift_remove("$schema");
            if let Some(Value::Object(own)) = fields.shift_remove("$defs") {
                hoisted.extend(own);
            }
        }
        (*kind, schema)
    };
    kinds.iter().map(schema).collect()
}

/// The schema as editors and other tools read it: closed tables, `options` by kind, overlays.
pub fn json_schema(kinds: &Kinds) -> Value {
    let generated = Generated::new(kinds);
    let mut definitions = Map::new();
    for (name, definition) in &generated.definitions {
        let mut definition = definition.clone();
        close(&mut definition);
        if let (Some(kinds), Some(fields)) = (generated.kinds_of(name), definition.as_object_mut()) {
            let names: Vec<&str> = kinds.iter().map(|(kind, _)| kind.name).collect();
            if let Some(kind) = fields.get_mut("properties").and_then(|p| p.get_mut("kind")) {
                kind["enum"] = json!(names);
            }
            let definitions = &generated.definitions;
            fields.insert("allOf".into(), kinds.iter().map(|kind| by_kind(kind, definitions)).collect());
        }
        definitions.insert(name.clone(), definition);
    }
    let mut root = generated.root.clone();
    close(&mut root);
    root["properties"]["environment"] = json!({
        "description": "Which environment this is: dev, staging, production or a name of yours. \
            [environment.NAME] tables are laid over the rest when NAME is it: tables merge deep, agents, \
            dependencies and probes merge by name, checks and items by id, other values replace.",
        "default": "dev",
        "anyOf": [
            { "type": "string" },
            { "type": "object", "additionalProperties": { "type": "object" } },
        ],
    });
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "agentd.toml".into());
    if let Value::Object(root) = root {
        schema.extend(root);
    }
    schema.insert("$defs".into(), Value::Object(definitions));
    Value::Object(schema)
}

fn by_kind((kind, options): &(Kind, Value), definitions: &Map<String, Value>) -> Value {
    let mut options = options.clone();
    close(&mut options);
    let name = options.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    let table = name.and_then(|name| definitions.get(name)).unwrap_or(&options);
    let required = table.get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    if let Some(fields) = options.as_object_mut() {
        fields.insert("description".into(), kind.about.into());
    }
    let mut then = json!({ "properties": { "options": options } });
    if required {
        then["required"] = json!(["options"]);
    }
    json!({ "if": { "properties": { "kind": { "const": kind.name } }, "required": ["kind"] }, "then": then })
}

/// What lists its keys takes no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let lists = fields.get("properties").is_some_and(Value::is_object);
            // Beside `$ref`, `allOf` and the like the keys of the other part are unknown here.
            let whole = !["$ref", "allOf", "anyOf", "oneOf", "additionalProperties", "if"]
                .iter()
                .any(|key| fields.contains_key(*key));
            if lists && whole {
                fields.insert("additionalProperties".into(), false.into());
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
