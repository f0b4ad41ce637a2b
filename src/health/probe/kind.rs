//! What a kind of probe must do, and how it is entered in the list with its types erased.
use super::PROBES;
use crate::{
    config::{Kind, OptionProblem, read_options},
    health::{Miss, Target},
};
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// What one look saw: Ok if it is what was wanted, Err if not. Both say what it was; both may hold untrusted text.
pub type Seen = Result<String, Miss>;

/// A kind of probe, compiled from its options when the settings are applied and asked many times.
pub trait Probe: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    const ABOUT: &'static str;
    type Options: DeserializeOwned + JsonSchema;

    /// Everything that is wrong at once; pointers are relative to `options`.
    fn compile(options: Self::Options) -> Result<Self, Vec<OptionProblem>>;

    /// One look. The caller sets the deadline and drops the future when it passes: nothing may be left behind then.
    fn look(&self, target: &Target) -> impl Future<Output = Seen> + Send;
}

/// A compiled probe of whatever kind.
pub trait Ask: Send + Sync {
    fn ask<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen>;
}

impl<P: Probe> Ask for P {
    fn ask<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(self.look(target))
    }
}

/// Options → what asks, or all that is wrong with them.
type Compile = fn(&Value) -> Result<Arc<dyn Ask>, Vec<OptionProblem>>;

/// An entry of `PROBES`.
#[derive(Clone, Copy)]
pub struct ProbeKind {
    pub kind: Kind,
    compile: Compile,
}

impl ProbeKind {
    pub const fn of<P: Probe>() -> Self {
        Self {
            kind: Kind { name: P::NAME, about: P::ABOUT, schema: schema::<P>, verify: verify::<P> },
            compile: |options| parse::<P>(options).map(|probe| Arc::new(probe) as Arc<dyn Ask>),
        }
    }
}

/// Compiles the options of a kind by name.
pub fn compile(kind: &str, options: &Value) -> Result<Arc<dyn Ask>, Vec<OptionProblem>> {
    match PROBES.iter().find(|entry| entry.kind.name == kind) {
        Some(entry) => (entry.compile)(options),
        None => Err(vec![OptionProblem {
            pointer: String::new(),
            message: format!("there is no kind of probe called `{}`", kind.escape_debug()),
            hint: None,
        }]),
    }
}

fn schema<P: Probe>(generator: &mut SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<P::Options>()
}

/// What the schema cannot say; what does not even fit the schema is the schema's to report.
fn verify<P: Probe>(options: &Value) -> Vec<OptionProblem> {
    match serde_json::from_value::<P::Options>(options.clone()) {
        Ok(options) => P::compile(options).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn parse<P: Probe>(options: &Value) -> Result<P, Vec<OptionProblem>> {
    P::compile(read_options(options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_has_a_schema_of_its_own_and_refuses_an_unknown_key() {
        let mut names: Vec<_> = PROBES.iter().map(|entry| entry.kind.name).collect();
        assert_eq!(names, ["http", "tcp", "exec", "process", "heartbeat", "sqlite", "postgres", "redis"]);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROBES.len());
        for entry in PROBES {
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
