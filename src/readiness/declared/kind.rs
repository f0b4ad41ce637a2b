//! What a kind of declared check must do, and how it is entered in the list with its types erased.
use super::{DECLARED, scene::Scene};
use crate::{
    config::{Kind, OptionProblem, read_options},
    health::Eye,
    readiness::Found,
};
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A kind of declared check, compiled from its options when a run begins.
pub trait Look: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    const ABOUT: &'static str;
    type Options: DeserializeOwned + JsonSchema;

    /// Everything that is wrong at once; pointers are relative to `options`.
    fn compile(options: Self::Options) -> Result<Self, Vec<OptionProblem>>;

    /// What it is about, as waivers name it: `file//etc/app.toml`. Never a secret.
    fn resource(&self) -> String;

    /// One attempt. The caller sets the deadline and drops the future when it passes: nothing may be left behind then.
    fn look(&self, scene: &Scene<'_>) -> impl Future<Output = Found> + Send;
}

/// A compiled check of whatever kind.
pub trait Ask: Send + Sync {
    fn about(&self) -> String;
    fn ask<'a>(&'a self, scene: &'a Scene<'a>) -> BoxFuture<'a, Found>;
}

impl<L: Look> Ask for L {
    fn about(&self) -> String {
        self.resource()
    }

    fn ask<'a>(&'a self, scene: &'a Scene<'a>) -> BoxFuture<'a, Found> {
        Box::pin(self.look(scene))
    }
}

/// Options → what asks, or all that is wrong with them.
type Compile = fn(&Value) -> Result<Box<dyn Ask>, Vec<OptionProblem>>;

/// An entry of `DECLARED`.
#[derive(Clone, Copy)]
pub struct DeclaredKind {
    pub kind: Kind,
    compile: Compile,
}

impl DeclaredKind {
    pub const fn of<L: Look>() -> Self {
        Self {
            kind: Kind { name: L::NAME, about: L::ABOUT, schema: schema::<L>, verify: verify::<L> },
            compile: |options| parse::<L>(options).map(|check| Box::new(check) as Box<dyn Ask>),
        }
    }
}

/// Compiles the options of a kind by name.
pub fn compile(kind: &str, options: &Value) -> Result<Box<dyn Ask>, Vec<OptionProblem>> {
    match DECLARED.iter().find(|entry| entry.kind.name == kind) {
        Some(entry) => (entry.compile)(options),
        None => Err(vec![problem(
            "",
            format!("there is no kind of check called `{}`", kind.escape_debug()),
            None,
        )]),
    }
}

/// The probe that looks for a check: the same options, without those that are none of the probe's.
pub fn eye(probe: &str, options: &impl Serialize, ours: &[&str]) -> Result<Eye, Vec<OptionProblem>> {
    let mut options =
        serde_json::to_value(options).map_err(|error| vec![problem("", error.to_string(), None)])?;
    if let Value::Object(fields) = &mut options {
        fields.retain(|name, value| !value.is_null() && !ours.contains(&name.as_str()));
    }
    Eye::new(probe, &options)
}

pub fn problem(pointer: &str, message: impl Into<String>, hint: Option<&str>) -> OptionProblem {
    OptionProblem { pointer: pointer.into(), message: message.into(), hint: hint.map(Into::into) }
}

fn schema<L: Look>(generator: &mut SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<L::Options>()
}

/// What the schema cannot say; what does not even fit the schema is the schema's to report.
fn verify<L: Look>(options: &Value) -> Vec<OptionProblem> {
    match serde_json::from_value::<L::Options>(options.clone()) {
        Ok(options) => L::compile(options).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn parse<L: Look>(options: &Value) -> Result<L, Vec<OptionProblem>> {
    L::compile(read_options(options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_has_a_schema_of_its_own_and_refuses_an_unknown_key() {
        let names: Vec<_> = DECLARED.iter().map(|entry| entry.kind.name).collect();
        assert_eq!(
            names,
            [
                "http",
                "tcp",
                "tls",
                "sql",
                "redis",
                "command",
                "file",
                "env",
                "port",
                "process",
                "variables",
                "access",
                "rate-limit",
                "cors",
                "git"
            ]
        );
        for entry in DECLARED {
            let schema = (entry.kind.schema)(&mut SchemaGenerator::default());
            assert!(!schema.to_value().is_null(), "{}", entry.kind.name);
            let problems =
                (entry.compile)(&json!({"no_such_key": 1})).err().expect("an unknown key was accepted");
            assert!(!problems.is_empty());
        }
    }

    #[test]
    fn an_unknown_kind_is_a_problem_and_not_a_panic() {
        assert!(compile("telepathy", &json!({})).is_err());
    }
}
